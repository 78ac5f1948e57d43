"""Plans as on huggingface.co: who may create which Space, asked by the real client."""

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from environments import lay_environment
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from plans import plan_of, set_plan

from palate.localhub import LocalHub
from palate.localhub.environments import ZERO_PACKAGE
from palate.localhub.hardware import PLANS

ZERO = {"repo_type": "space", "space_sdk": "gradio", "space_hardware": "zero-a10g"}
CPU = {"repo_type": "space", "space_sdk": "gradio"}
CARD = """---
title: Mine
sdk: gradio
sdk_version: 6.31.0
python_version: "{}"
app_file: app.py
---
"""
APP = """
import http.server, os, urllib.request
REPORTS = {}
if REPORTS:
    url = os.environ["SPACES_ZERO_DEVICE_API_URL"] + "/startup-report"
    urllib.request.urlopen(urllib.request.Request(url, b"", method="POST")).close()
address = (os.environ["GRADIO_SERVER_NAME"], int(os.environ["GRADIO_SERVER_PORT"]))
http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def api(hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture
def free(hub) -> Iterator[None]:
    with plan_of(hub, "free"):
        yield


@pytest.fixture
def spaces(api) -> Iterator[list[str]]:
    """Names of Spaces, deleted at the end."""
    names: list[str] = []
    yield names
    for name in names:
        api.delete_repo(name, repo_type="space", missing_ok=True)


def refused(status: int, call) -> str:
    with pytest.raises(HfHubHTTPError) as error:
        call()
    assert error.value.response.status_code == status
    return error.value.server_message or ""


def test_the_first_user_of_a_new_hub_has_no_plan(tmp_path):
    with LocalHub(tmp_path / "hub") as own:
        api = HfApi(endpoint=own.endpoint, token=own.token)
        told = api.whoami()
        assert told["isPro"] is False
        assert [org["plan"] for org in told["orgs"]] == ["team"]
        said = refused(402, lambda: api.create_repo("me/a", **CPU))
        assert "hosting Gradio and Docker Spaces on free cpu-basic requires a PRO" in said
        assert list(api.list_spaces(author="me")) == []
        api.create_repo("me/page", repo_type="space", space_sdk="static")
        set_plan(own, "pro")
        assert api.whoami()["isPro"] is True
        assert api.create_repo("me/a", **CPU).repo_id == "me/a"


def test_docker_is_refused_on_both(free, api, repo_id):
    docker = {"repo_type": "space", "space_sdk": "docker"}
    said = refused(402, lambda: api.create_repo(repo_id, **docker))
    assert "hosting Gradio and Docker Spaces on free cpu-basic" in said
    refused(400, lambda: api.create_repo(repo_id, **docker, space_hardware="zero-a10g"))


@pytest.mark.parametrize("plan", ["free", "pro"])
def test_a_plan_has_so_many_zero_gpu_spaces(plan, hub, api, spaces, repo_id):
    most = PLANS[plan]["zero_gpu_spaces"]
    with plan_of(hub, plan):
        for n in range(most):
            spaces.append(api.create_repo(f"{repo_id}-{n}", **ZERO).repo_id)
        said = refused(403, lambda: api.create_repo(f"{repo_id}-more", **ZERO))
        assert f"hosts {most} ZeroGPU Spaces, and may host {most}" in said
        api.delete_repo(spaces.pop(), repo_type="space")
        spaces.append(api.create_repo(f"{repo_id}-more", **ZERO).repo_id)


def test_an_organization_needs_a_plan(hub, api, spaces, repo_id):
    name = repo_id.replace("me/", "my-org/")
    with plan_of(hub, "pro", orgs=["my-org"]):
        assert api.whoami()["orgs"][0]["plan"] is None
        refused(402, lambda: api.create_repo(name, **CPU))
        refused(403, lambda: api.create_repo(name, **ZERO))
    with plan_of(hub, "free", orgs={"my-org": "team"}):
        spaces.append(api.create_repo(name, **CPU, visibility="protected").repo_id)


def test_protected_needs_a_plan_at_creation_and_later(free, api, spaces, repo_id):
    refused(402, lambda: api.create_repo(repo_id, **ZERO, visibility="protected"))
    spaces.append(api.create_repo(repo_id, **ZERO, visibility="private").repo_id)
    protect = {"repo_type": "space", "visibility": "protected"}
    refused(402, lambda: api.update_repo_settings(repo_id, **protect))
    api.update_repo_settings(repo_id, repo_type="space", visibility="public")
    assert not api.space_info(repo_id).private


def test_hardware_cannot_be_had_by_asking_later(free, api, spaces, repo_id):
    spaces.append(api.create_repo(repo_id, **ZERO).repo_id)
    refused(402, lambda: api.request_space_hardware(repo_id, "cpu-basic"))
    assert api.request_space_hardware(repo_id, "zero-a10g").requested_hardware == "zero-a10g"
    runtime = api.request_space_hardware(repo_id, "cpu-upgrade")
    assert runtime.requested_hardware == "cpu-upgrade"


def test_paid_machines_need_a_payment_method(hub, api, repo_id):
    with plan_of(hub, "pro", credit=False):
        assert api.whoami()["canPay"] is False
        refused(402, lambda: api.create_repo(repo_id, **CPU, space_hardware="t4-small"))
        refused(400, lambda: api.create_repo(repo_id, **CPU, space_hardware="abacus"))


@pytest.mark.parametrize(
    ("python", "reports", "expected", "why"),
    [
        ("3.12", True, "RUNNING", None),
        ("3.12.12", True, "RUNNING", None),
        ("3.11", True, "CONFIG_ERROR", "ZeroGPU has Python 3.10.13 and 3.12.12, not 3.11"),
        ("3.1", True, "CONFIG_ERROR", "not 3.1"),
        ("3.12", False, "RUNTIME_ERROR", "No @spaces.GPU function detected during startup"),
    ],
)
def test_what_starts_on_zero_gpu(free, hub, api, spaces, repo_id, python, reports, expected, why):
    lay_environment(hub.root, f"6.31.0 {ZERO_PACKAGE}", "", sys._base_executable)
    spaces.append(api.create_repo(repo_id, **ZERO).repo_id)
    files = {"README.md": CARD.format(python), "app.py": APP.format(reports)}
    operations = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
    api.create_commit(repo_id, operations, commit_message="Push", repo_type="space")
    runtime = api.wait_for_space(repo_id, timeout=60, poll_interval=0.05)
    assert runtime.stage == expected, runtime.raw
    assert (why or "") in (runtime.raw.get("errorMessage") or "")


def test_nobody_reports_for_an_app_that_does_not_exist(hub):
    url = f"{hub.endpoint}/api/zero/{'0' * 32}/startup-report"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(urllib.request.Request(url, b"", method="POST"))

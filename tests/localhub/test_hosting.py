"""Pushed Spaces run: built, started, restarted and stopped, with logs and settings."""

import json
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest
from environments import lay_environment
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
from living import marked
from plans import set_plan

from palate.localhub import LocalHub, isolation

needs_namespaces = pytest.mark.skipif(
    not isolation.supported(), reason="this system has no user namespaces"
)

# reports everything about itself, and creates a file for any other path
APP = """
import http.server, json, os, pathlib, signal, urllib.request

print("secret:", os.environ.get("WORD"))
START = os.urandom(8).hex()

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        home = pathlib.Path(os.environ["HOME"])
        report = {"env": dict(os.environ), "home": sorted(p.name for p in home.iterdir())}
        report |= {"text": TEXT, "files": sorted(os.listdir(".")), "start": START}
        root = home.parents[3]
        kept = [*(root / "spaces" / "environments").iterdir()] + [*(root / "spaces").glob("[0-9]*")]
        report["sees"] = sorted(p.name for p in root.iterdir())
        report["writes"] = [os.access(p, os.W_OK) for p in [*kept, home]]
        (home / self.path[1:]).touch()  # nothing new for /
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(report).encode())

    def log_message(self, *args): pass

def last_words(*_):
    with urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/healthz") as answer:
        pathlib.Path(os.environ["LAST_WORDS"]).write_bytes(answer.read())
    os._exit(0)

if "LAST_WORDS" in os.environ:
    signal.signal(signal.SIGTERM, last_words)

address = (os.environ["GRADIO_SERVER_NAME"], int(os.environ["GRADIO_SERVER_PORT"]))
http.server.ThreadingHTTPServer(address, Page).serve_forever()
"""
CARD = "---\ntitle: Mine\nsdk: gradio\nsdk_version: 6.31.0\napp_file: app.py\nhf_oauth: true\n---\n"


@pytest.fixture
def api(hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.token)


def prepare(hub: LocalHub) -> None:
    """Give Spaces without requirements a bare Python."""
    lay_environment(hub.root, "6.31.0", "", sys._base_executable)


def push(api: HfApi, space: str, text: str = "one", card: str = CARD, **more: str) -> None:
    files = {"README.md": card, "app.py": f"TEXT = {text!r}\n{APP}", **more}

    operations = [CommitOperationAdd(path, content.encode()) for path, content in files.items()]
    api.create_commit(space, operations, commit_message="Push", repo_type="space")


def stage(api: HfApi, space: str) -> str:
    return api.wait_for_space(space, timeout=60, poll_interval=0.05).stage


def visit(api: HfApi, space: str, path: str = "") -> dict:
    with urllib.request.urlopen(f"{api.space_info(space).host}/{path}", timeout=10) as answer:
        return json.loads(answer.read())


@pytest.fixture
def space(hub, api, repo_id) -> str:
    """A running Space of `me`, private, with a secret."""
    prepare(hub)
    secrets = [{"key": "WORD", "value": "open-sesame"}]
    api.create_repo(
        repo_id, repo_type="space", space_sdk="gradio", private=True, space_secrets=secrets
    )
    push(api, repo_id)
    assert stage(api, repo_id) == "RUNNING"
    yield repo_id
    if api.repo_exists(repo_id, repo_type="space"):
        api.delete_repo(repo_id, repo_type="space")


def gone(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError:
        return True
    return False


def test_a_pushed_space_gets_the_environment_of_spaces(hub, api, space):
    report = visit(api, space)
    env = report["env"]
    assert (env["SYSTEM"], env["SPACE_ID"], env["WORD"]) == ("spaces", space, "open-sesame")
    assert env["OPENID_PROVIDER_URL"] == env["HF_ENDPOINT"] == hub.endpoint
    assert env["OAUTH_SCOPES"] == "openid profile"
    assert len(env["OAUTH_CLIENT_SECRET"]) > 20
    assert "HF_TOKEN" not in env
    assert report["home"] == ["app"]
    assert report["files"] == [".gitattributes", "README.md", "app.py"]
    runtime = api.get_space_runtime(space)
    assert runtime.raw["sha"] == api.space_info(space).sha
    assert runtime.raw["domains"][0]["domain"] in api.space_info(space).host


def test_a_change_restarts_it_at_the_same_address(api, space):
    before, host = visit(api, space), api.space_info(space).host
    push(api, space, text="two")
    assert stage(api, space) == "RUNNING"
    after = visit(api, space)
    assert (before["text"], after["text"], api.space_info(space).host) == ("one", "two", host)
    api.add_space_variable(space, "COLOUR", "green")
    assert stage(api, space) == "RUNNING"
    last = visit(api, space)
    assert last["env"]["COLOUR"] == "green"
    assert last["env"]["OAUTH_CLIENT_ID"] == before["env"]["OAUTH_CLIENT_ID"]
    assert len({before["start"], after["start"], last["start"]}) == 3


def test_a_killed_space_is_reported_and_restarts_with_an_empty_disk(api, space):
    visit(api, space, "left-behind")
    report = visit(api, space)
    assert report["home"] == ["app", "left-behind"]
    for process in marked("SPACE_ID", space):
        with suppress(psutil.NoSuchProcess):  # some end with the one before
            process.kill()
    while (runtime := api.get_space_runtime(space)).stage == "RUNNING":
        pass
    assert (runtime.stage, runtime.raw["errorMessage"]) == ("RUNTIME_ERROR", "Exit code: -9")
    api.restart_space(space)
    assert stage(api, space) == "RUNNING"
    assert visit(api, space)["home"] == ["app"]


def test_a_space_keeps_its_address_while_what_it_left_behind_still_ends(api, space):
    host = api.space_info(space).host
    api.pause_space(space)
    with socket.socket() as left_behind:  # as a child of a killed app, for a moment
        left_behind.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        left_behind.bind(("127.0.0.1", int(host.rpartition(":")[2])))
        left_behind.listen()
        api.restart_space(space)
        assert api.get_space_runtime(space).stage == "BUILDING"
        with pytest.raises(TimeoutError):
            api.wait_for_space(space, timeout=1, poll_interval=0.05)
    assert stage(api, space) == "RUNNING"
    assert api.space_info(space).host == host


def test_a_paused_or_deleted_space_is_gone(hub, api, space):
    host = api.space_info(space).host
    assert api.pause_space(space).stage == "PAUSED"
    assert gone(lambda: urllib.request.urlopen(host, timeout=5))
    push(api, space, text="while paused")
    assert api.get_space_runtime(space).stage == "PAUSED"
    api.restart_space(space)
    assert stage(api, space) == "RUNNING"
    assert visit(api, space)["text"] == "while paused"
    api.delete_repo(space, repo_type="space")
    assert gone(lambda: urllib.request.urlopen(host, timeout=5))


def test_logs_mask_secrets_and_are_closed_to_strangers(hub, api, space):
    api.pause_space(space)  # the log of a running Space would be followed
    assert list(api.fetch_space_logs(space)) == ["secret: ***"]
    assert "Checked out" in next(iter(api.fetch_space_logs(space, build=True)))
    stranger = HfApi(endpoint=hub.endpoint, token=hub.tokens["you"])
    with pytest.raises(HfHubHTTPError):
        stranger.get_space_runtime(space)
    with pytest.raises(HfHubHTTPError):
        list(stranger.fetch_space_logs(space))


@pytest.mark.parametrize(
    ("card", "more", "expected"),
    [
        (CARD.replace("gradio\n", "docker\n", 1), {}, "CONFIG_ERROR"),
        (CARD.replace("app_file: app.py", "app_file: other.py"), {}, "NO_APP_FILE"),
        (CARD, {"requirements.txt": "not a requirement !\n"}, "BUILD_ERROR"),
        (CARD, {"app.py": "raise SystemExit(3)\n"}, "RUNTIME_ERROR"),
    ],
)
def test_a_space_that_cannot_run_says_why(hub, api, repo_id, card, more, expected):
    prepare(hub)
    api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=True)
    push(api, repo_id, card=card, **more)
    assert stage(api, repo_id) == expected
    assert api.get_space_runtime(repo_id).raw["errorMessage"]
    if expected == "BUILD_ERROR":
        assert "parse requirement" in " ".join(api.fetch_space_logs(repo_id, build=True))


@pytest.mark.slow
def test_a_killed_hub_starts_its_spaces_again_at_their_addresses(tmp_path):
    hub = LocalHub(tmp_path / "hub").start()
    set_plan(hub, "pro")
    prepare(hub)
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    api.create_repo("me/mine", repo_type="space", space_sdk="gradio")
    push(api, "me/mine")
    assert stage(api, "me/mine") == "RUNNING"
    host, before = api.space_info("me/mine").host, visit(api, "me/mine")
    hub.process.kill()
    hub.stop()
    words = tmp_path / "words"
    with LocalHub(tmp_path / "hub", port=hub.port) as again:
        assert stage(api, "me/mine") == "RUNNING"
        api.add_space_variable("me/mine", "LAST_WORDS", str(words))
        assert stage(api, "me/mine") == "RUNNING"
        after = visit(api, "me/mine")
        assert (api.space_info("me/mine").host, after["text"]) == (host, "one")
        assert after["start"] != before["start"]
        assert again.process.poll() is None
    assert (
        json.loads(words.read_text())["pid"] == again.process.pid
    )  # the Hub answered until its Spaces had ended
    assert gone(lambda: urllib.request.urlopen(host, timeout=5))


@pytest.mark.slow
def test_a_hub_with_two_spaces_that_do_not_end_stops_within_25_seconds(tmp_path):
    hub = LocalHub(tmp_path / "hub").start()
    set_plan(hub, "pro")
    prepare(hub)
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    deaf = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nTEXT = 'x'\n{APP}"
    for name in ("me/one", "me/two"):
        api.create_repo(name, repo_type="space", space_sdk="gradio")
        push(api, name, **{"app.py": deaf})
    assert [stage(api, name) for name in ("me/one", "me/two")] == ["RUNNING"] * 2
    begun = time.monotonic()
    hub.process.terminate()
    hub.process.wait(60)
    hub.stop()
    assert time.monotonic() - begun < 25
    assert not [p for name in ("me/one", "me/two") for p in marked("SPACE_ID", name)]


@needs_namespaces
def test_a_space_sees_nothing_of_the_hub_and_cannot_change_its_environment(hub, api, space):
    found = visit(api, space)
    assert found["sees"] == ["spaces"]  # users, keys, repos and jobs are out of reach
    # one environment, to be read; no other Space than this one
    assert found["writes"] == [False, True, True]

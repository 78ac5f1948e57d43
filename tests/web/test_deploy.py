"""Deploying the Spaces to the local Hub: planned, created, run, updated, paused, deleted."""

import sys
import urllib.request
from itertools import product
from pathlib import Path

import pytest
from environments import hosted, lay_environment
from plans import plan_of

from palate.cli import main
from palate.collect import importing
from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project, Settings
from palate.core.schema import Prompt
from palate.localhub.environments import ZERO_PACKAGE
from palate.web import deploy
from palate.web.deploy_plan import KINDS, SpaceOptions, plan_space, space_of
from palate.web.space_files import space_files

ZERO = Path(__file__).parents[1] / "support" / "zero"  # a package `spaces`


@pytest.fixture(autouse=True)
def _at_home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PALATE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PALATE_SECRET", "a secret of this test")


@pytest.fixture
def project(hub, repo_id) -> Project:
    prompts = [Prompt.of(f"A title about {n}") for n in range(12)]
    project = importing.start_project(repo_id, prompts, Settings(base_model="me/base"))
    yield project
    deploy.delete(project)


@pytest.fixture
def built(hub, argilla, space_python, monkeypatch) -> None:
    """What the Spaces need is there: packages in the environment of the tests, and an Argilla."""
    monkeypatch.setenv("ARGILLA_API_URL", argilla.url)
    monkeypatch.setenv("ARGILLA_API_KEY", argilla.api_key)
    for kind, gpu in product(KINDS, (False, True)):
        files = space_files(kind, gpu=gpu)
        version = next(
            line.split()[1]
            for line in files["README.md"].read_text().splitlines()
            if line.startswith("sdk_version")
        )
        packages = f"{version} {ZERO_PACKAGE}" if gpu else version
        python = f"env PYTHONPATH={ZERO} {sys.executable}" if gpu else hosted(space_python)
        lay_environment(hub.root, packages, files["requirements.txt"], python)


def run(capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["deploy", *words])
    return end.value.code or 0, *capsys.readouterr()


def page(project: Project, kind: str, path: str = "/") -> str:
    host = hub.api().space_info(space_of(project.id, kind)).host
    with urllib.request.urlopen(host + path) as answer:
        return answer.read().decode()


def test_a_space_holds_all_it_needs_and_nothing_else():
    files = space_files("label")
    assert {"app.py", "README.md", "requirements.txt", "palate/__init__.py"} < set(files)
    assert not [p for p in files if "localhub" in p or "_shipped" in p or "__pycache__" in p]
    lines = files["requirements.txt"].split()
    assert all("==" in line for line in lines)
    assert not [line for line in lines if line.startswith(("torch", "trl"))]
    more = set(space_files("label", gpu=True)["requirements.txt"].split()) - set(lines)
    assert "torch" in more  # not pinned: the Hub has the one for its GPUs
    assert sum(line.startswith(("transformers==", "peft==")) for line in more) == len(more) - 1


def test_a_dry_run_prints_the_plan_without_secrets(project, capsys):
    code, out, _ = run(capsys, project.id, "--dry-run", "--hardware", "t4-small", "--sleep", "600")
    assert code == 0
    first, second = out.strip().splitlines()
    assert first.startswith(f"would create private Space {project.id}-label: write ")
    assert (
        "variables PALATE_PROJECT, PALATE_PUBLISH_SECONDS; set secrets HF_TOKEN, PALATE_SECRET"
        in first
    )
    assert second.endswith("hardware t4-small; sleep after 600 s")
    assert "a secret" not in out
    assert "hf_" not in out
    assert not hub.exists(space_of(project.id, "label"), "space")


@pytest.mark.slow
def test_both_spaces_run_and_a_second_deploy_changes_nothing(built, project, capsys):
    code, out, err = run(capsys, project.id, "--visibility", "protected")
    assert (code, err) == (0, "")
    assert f"creates protected Space {project.id}-label: write " in out
    assert "would" not in out
    info = hub.api().space_info(space_of(project.id, "label"))
    assert f"label: {info.host}" in out
    assert (info.private, info.visibility) == (True, "protected")
    assert "Which answer is better?" in page(project, "label", "/api/me")
    assert "no completions" in page(project, "evaluate")  # nothing is trained yet
    before = info.sha
    code, out, _ = run(capsys, project.id, "--visibility", "protected")
    assert out.count("nothing to change") == 2
    assert hub.describe(space_of(project.id, "label"), "space")[0] == before


@pytest.mark.slow
def test_a_missing_secret_is_named_on_the_page_and_put_back(built, project, capsys):
    run(capsys, project.id)
    api, space = hub.api(), space_of(project.id, "label")
    api.delete_space_secret(space, "PALATE_SECRET")
    assert api.wait_for_space(space, poll_interval=0.1).stage == "RUNNING"
    assert "The secret PALATE_SECRET is not set" in page(project, "label")
    out = run(capsys, project.id)[1]
    assert f"changes Space {space}: set secret PALATE_SECRET" in out
    assert "is not set" not in page(project, "label")


def test_another_token_is_renewed_and_another_key_is_not(project, monkeypatch):
    plan = plan_space(project, "evaluate", SpaceOptions())
    plan.files = {}
    deploy.apply(plan)
    monkeypatch.setenv("PALATE_SECRET", "the key of another machine")
    assert "PALATE_SECRET" not in plan_space(project, "evaluate", SpaceOptions()).secrets
    assert "HF_TOKEN" not in plan_space(project, "evaluate", SpaceOptions()).secrets
    monkeypatch.setenv("PALATE_SPACE_TOKEN", "hf_another-token")
    assert plan_space(project, "evaluate", SpaceOptions()).secrets == {
        "HF_TOKEN": "hf_another-token"
    }


def test_a_space_that_palate_did_not_make_is_left_alone(project, capsys):
    space = space_of(project.id, "label")
    hub.api().create_repo(space, repo_type="space", space_sdk="gradio")
    hub.commit(space, "space", {"app.py": "print('mine')"}, "My own Space")
    code, _, err = run(capsys, project.id)
    assert code == 2
    assert f"There is a Space {space} that palate did not make" in err
    assert hub.describe(space, "space")[1] == [".gitattributes", "README.md", "app.py"]


@pytest.mark.parametrize(
    "flags", [("--delete", "--dry-run"), ("--pause", "--delete"), ("--pause", "--sleep", "600")]
)
def test_pause_and_delete_take_no_other_flag(flags, project, capsys):
    code, _, err = run(capsys, project.id, *flags)
    assert code == 2
    assert "takes no other flag" in err


def test_pause_and_delete_leave_the_labels(built, project, capsys):
    plan = plan_space(project, "evaluate", SpaceOptions())
    deploy.apply(plan)
    space = plan.space
    assert run(capsys, project.id, "--pause")[1] == f"paused: {space}\n"
    assert hub.api().get_space_runtime(space).stage == "PAUSED"
    assert run(capsys, project.id, "--delete")[1] == f"deleted: {space}\n"
    assert run(capsys, project.id, "--delete")[1] == f"{project.id} has no Spaces here.\n"
    assert len(Project.load(project.id).prompts) == 12


def test_a_space_that_breaks_shows_the_end_of_its_log(built, project):
    plan = plan_space(project, "label", SpaceOptions())
    plan.files["app.py"] = "raise RuntimeError('the reason')\n"
    deploy.apply(plan)
    seen: list[str] = []
    with pytest.raises(PalateError, match=r"RUNTIME_ERROR[\s\S]*the reason"):
        deploy.wait(plan.space, seen.append)
    assert seen[-1] == "RUNTIME_ERROR"


def test_without_write_access_nothing_is_created(hub, project, monkeypatch):
    from huggingface_hub import HfApi

    from palate.core import hub as calls

    HfApi(endpoint=hub.endpoint, token=hub.token).update_repo_settings(
        project.id, repo_type="dataset", private=False
    )
    monkeypatch.setenv("HF_TOKEN", hub.tokens["you"])
    with pytest.raises(PalateError, match="may not write to"):
        deploy.apply(plan_space(project, "label", SpaceOptions()))
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert not calls.exists(space_of(project.id, "label"), "space")


def test_a_missing_token_says_what_to_do(project, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UsageError, match=r"A Space needs a token.*hf auth login"):
        plan_space(project, "label", SpaceOptions())


@pytest.mark.parametrize(
    ("hardware", "message"),
    [("t4-small", "has no payment method. Add one at"), ("cpu-upgrade", "costs money")],
)
def test_paid_hardware_without_a_payment_method(without_credit, project, hardware, message):
    with pytest.raises(UsageError, match=message):
        plan_space(project, "evaluate", SpaceOptions(hardware=hardware))


def test_unknown_hardware(project):
    plan = plan_space(project, "evaluate", SpaceOptions(hardware="abacus"))
    plan.files = {}
    with pytest.raises(PalateError, match="There is no flavor 'abacus'; expected cpu-"):
        deploy.apply(plan)


@pytest.fixture
def free(hub):
    with plan_of(hub, "free"):
        yield


@pytest.mark.slow
def test_a_free_account_deploys_two_public_spaces_on_zero_gpu(built, free, project, capsys):
    code, out, err = run(capsys, project.id, "--visibility", "public")
    assert (code, err) == (0, "")
    assert out.count("hardware zero-a10g") == 2
    assert f"{project.id} stays private" in out
    assert "anyone with an account (`annotators` in palate.toml)" in out
    for kind in KINDS:
        info = hub.api().space_info(space_of(project.id, kind))
        assert (info.visibility, info.runtime.requested_hardware) == ("public", "zero-a10g")
    assert hub.api().repo_info(project.id, repo_type="dataset").private
    assert "Which answer is better?" in page(project, "label", "/api/me")
    assert run(capsys, project.id)[1].count("nothing to change") == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--visibility", "protected"), "needs PRO or a Team plan; me is a free account"),
        (("--hardware", "cpu-basic"), "Other ways: --hardware zero-a10g; label on this machine"),
    ],
)
def test_what_a_plan_does_not_allow_is_said_first(flags, said, free, project, capsys):
    code, out, err = run(capsys, project.id, *flags)
    assert code == 2
    assert said in err
    assert f"palate label {project.id}" in err
    assert "creates" not in out
    assert not hub.exists(space_of(project.id, "label"), "space")


def test_a_third_zero_gpu_space_is_refused_first(free, project, capsys):
    other = f"{project.id}-other"
    what = {"repo_type": "space", "space_sdk": "gradio", "space_hardware": "zero-a10g"}
    hub.api().create_repo(other, **what)
    code, _, err = run(capsys, project.id)
    assert code == 1
    assert f"may host 2 ZeroGPU Spaces and has {other}: there is no room for" in err
    assert "Nothing was made" in err
    assert "--hardware cpu-upgrade" in err
    assert not hub.exists(space_of(project.id, "label"), "space")
    hub.api().delete_repo(other, repo_type="space")
    assert run(capsys, project.id, "--dry-run")[0] == 0


def test_an_expired_token_is_named(project, monkeypatch, capsys):
    with monkeypatch.context() as other:
        other.setenv("HF_TOKEN", "hf_expired-long-ago")
        code, _, err = run(capsys, project.id)
    assert code == 1
    assert "does not accept the token" in err

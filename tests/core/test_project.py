from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core import hub as calls
from palate.core.errors import BadInput, UsageError
from palate.core.project import SETTINGS_FILE, Project, Settings, check_id
from palate.core.schema import Prompt, to_json


@given(
    st.builds(Settings, question=st.text(st.characters(codec="utf-8", exclude_categories=["C"])))
)
def test_settings_survive_toml(settings):
    assert Settings.parse(settings.dump()) == settings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("question = ", "not valid TOML"),
        ("qestion = 'x'", "field 'qestion': unknown setting; expected one of question"),
        ("round = 'one'", "field 'round': expected int, found 'one'"),
        ("test = 0.6\neval = 0.5", "fractions that leave room for `train`"),
        ("eval = 0.0", "fractions that leave room"),
    ],
)
def test_wrong_settings_are_named(text, says):
    with pytest.raises(BadInput, match=says):
        Settings.parse(text, "me/x/palate.toml")


def test_a_whole_number_will_do_for_a_fraction():
    with pytest.raises(BadInput, match="leave room"):
        Settings.parse("test = 1")


@pytest.mark.parametrize("name", ["titles", "a/b/c", "me/", "../x/y", "me/ti tles"])
def test_a_project_is_owner_and_name(name):
    with pytest.raises(UsageError, match="named like me/titles"):
        check_id(name)


def test_a_broken_row_on_the_hub_is_named(hub, repo_id):
    calls.create(repo_id, "dataset")
    files = {"palate.toml": Settings().dump(), "labels/a.jsonl": '{"event_id": "e"}\n'}
    calls.commit(repo_id, "dataset", files, "Add")
    project = Project.load(repo_id)
    assert asdict(project.settings) == asdict(Settings())
    with pytest.raises(BadInput, match=f"{repo_id}/labels/a.jsonl, row 1, field 'kind'"):
        project.read("labels")


def test_an_old_revision_can_be_read(hub, repo_id):
    calls.create(repo_id, "dataset")
    old = calls.commit(repo_id, "dataset", {"palate.toml": Settings().dump()}, "Start")
    calls.commit(repo_id, "dataset", {"palate.toml": Settings(round=2).dump()}, "Next")
    assert Project.load(repo_id, old).settings.round == 1
    assert Project.load(repo_id).settings.round == 2


def test_rows_of_a_file_are_read_once_at_any_revision(hub, repo_id):
    calls.create(repo_id, "dataset")
    prompts = "".join(to_json(Prompt.of(f"Prompt {i}")) + "\n" for i in range(3))
    first = calls.commit(repo_id, "dataset", {SETTINGS_FILE: "", "prompts/1.jsonl": prompts}, "a")
    second = calls.commit(
        repo_id, "dataset", {"README.md": "---\nlicense: mit\n---\n# A card"}, "b"
    )
    assert Project.load(repo_id, second).prompts is Project.load(repo_id, first).prompts

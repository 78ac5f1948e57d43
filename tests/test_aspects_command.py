"""A project with aspects, as a user types it: a file with two judgements a row, what is said."""

import json

import pytest
from commands import palate

from palate.core import hub as client
from palate.core.project import SETTINGS_FILE, Project

pytestmark = pytest.mark.usefixtures("fast_commands")

# the columns of PKU-SafeRLHF
HEAD = ("prompt", "response_0", "response_1", "better_response_id", "safer_response_id")


def test_two_columns_of_a_file_become_two_aspects(hub, repo_id, tmp_path):
    file = tmp_path / "safe.jsonl"
    rows = [(f"ask {i}", f"yes {i}", f"no {i}", i % 2, 1 if i == 3 else 1 - i % 2)
            for i in range(12)]  # fmt: skip
    file.write_text("".join(json.dumps(dict(zip(HEAD, r, strict=True))) + "\n" for r in rows))
    (tmp_path / "ideas.txt").write_text("".join(f"other {i}\n" for i in range(9)))
    columns = ("--a", "response_0", "--b", "response_1", "--choice")
    run = palate("import", repo_id, str(file), *columns, "safer_response_id", "--aspect", "safe")
    assert run.returncode == 2
    assert f"--aspect safe: there is no project {repo_id} yet." in run.stderr
    assert palate("init", repo_id, "--prompts", str(tmp_path / "ideas.txt")).returncode == 0
    run = palate("import", repo_id, str(file), *columns, "safer_response_id", "--aspect", "safe")
    assert f"--aspect safe: {repo_id} has none: its palate.toml has no `aspects`" in run.stderr
    text = Project.load(repo_id).settings.dump() + 'aspects = ["helpful", "safe"]\n'
    client.commit(repo_id, "dataset", {SETTINGS_FILE: text}, "Aspects")
    run = palate("import", repo_id, str(file), *columns, "safer_response_id")
    assert run.returncode == 2
    assert f"{repo_id} has the aspects helpful, safe. Name one" in run.stderr
    for aspect, column in (("safe", "safer_response_id"), ("helpful", "better_response_id")):
        run = palate("import", repo_id, str(file), *columns, column, "--aspect", aspect)
        assert run.returncode == 0, run.stderr
        assert "12 labels on 12 pairs of 24 texts, 12 prompts: 12 new" in run.stdout
    assert "helpful and safe prefer different answers in 11 of 12 (92%," in run.stdout.replace(
        "\n", " "
    )
    again = palate("import", repo_id, str(file), *columns, "safer_response_id", "--aspect", "safe")
    assert "Nothing changed: the project has all of them." in again.stdout

    said = palate("agreement", repo_id).stdout
    assert said.index("helpful:") < said.index("safe:")
    assert "safe: 12 choices, 0 ties, 0 both bad, 0 skips." in said
    report = json.loads(palate("agreement", repo_id, "--json").stdout)
    assert list(report["aspects"]) == ["helpful", "safe"]
    audited = palate("audit", repo_id, "--aspect", "safe").stdout
    assert f"{repo_id} in the aspect safe" in audited.replace("\n", " ")
    assert "They contradict each other on most of these pairs." in audited.replace("\n", " ")
    assert palate("audit", str(file), "--aspect", "safe").returncode == 2

    only = text.replace('aspects = ["helpful", "safe"]\n', "")
    client.commit(repo_id, "dataset", {SETTINGS_FILE: only}, "No aspects")
    said = palate("status", repo_id).stdout.replace("\n", " ")
    assert "Not counted: 12 judgements on safe. palate.toml names no aspects." in said
    assert "no choices" not in said

"""The commands that take data in, as a user types them: init, import, export, audit."""

import json

import pytest
from commands import COLUMNS, PAIRS, palate

pytestmark = pytest.mark.usefixtures("fast_commands")


def test_a_project_from_init_to_export(hub, repo_id, tmp_path):
    (tmp_path / "ideas.csv").write_text("Idea\nidea 0\nidea 1\nidea 2\n")
    run = palate("init", repo_id, "--prompts", str(tmp_path / "ideas.csv"), "--column", "idees")
    assert run.returncode == 2
    assert "Did you mean 'Idea'?" in run.stderr
    run = palate("init", repo_id, "--prompts", str(tmp_path / "ideas.csv"), "--column", "idea")
    assert run.returncode == 0, run.stderr
    assert f"next: palate candidates {repo_id}" in run.stdout
    (tmp_path / "pairs.csv").write_text(PAIRS)
    run = palate(
        "import", repo_id, str(tmp_path / "pairs.csv"),
        "--prompt", "idea", "--a", "a", "--b", "b", "--choice", "b_won",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "10 labels on 10 pairs of 20 texts, 10 prompts: 10 new" in run.stdout
    assert f"next: palate train {repo_id}" in run.stdout
    run = palate("export", repo_id)
    assert run.returncode == 0
    assert "left out: 1 on eval prompts, which stay blind" in run.stdout
    run = palate("card", repo_id)
    assert f"no model yet: palate train {repo_id}" in run.stdout
    for command in ("verdict", "evaluate"):
        run = palate(command, repo_id)
        assert run.returncode == 2
        assert len(run.stderr.splitlines()) == 1
        assert f"palate completions {repo_id}" in run.stderr


def test_importing_into_no_project_makes_it(hub, repo_id, tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS)
    columns = ["--prompt", "idea", "--a", "a", "--b", "b", "--choice", "b_won"]
    run = palate("import", repo_id, str(tmp_path / "pairs.csv"), *columns)
    assert run.returncode == 0, run.stderr
    assert "10: 9 train, 1 test, 0 eval" in run.stdout
    assert "10 read = 10 imported + 0 left out + 0 refused" in run.stdout
    assert "left out of the preferences" not in run.stdout
    assert "There are no eval prompts yet. It takes at least 9 to decide anything." in run.stdout
    commands = f"palate prompts {repo_id} --write 60, or palate prompts {repo_id} --add FILE"
    assert commands in run.stdout
    run = palate("completions", repo_id)
    assert run.returncode == 2
    assert "has no eval prompts, so there is nothing for the two models to answer" in run.stderr
    assert commands in run.stderr


def test_imported_votes_say_nothing_that_is_not_known(hub, repo_id, tmp_path):
    from palate.core import hub as client

    rows = "".join(f"{i},base {i},tuned {i},{int(i % 4 > 0)}\n" for i in range(20))
    (tmp_path / "votes.csv").write_text("idea,base,tuned,tuned_better\n" + rows)
    columns = ["--prompt", "idea", "--a", "base", "--b", "tuned", "--choice", "tuned_better"]
    run = palate("import", repo_id, str(tmp_path / "votes.csv"), "--votes", *columns)
    assert run.returncode == 0, run.stderr
    assert f"Next: palate verdict {repo_id}" in run.stdout
    status = palate("status", repo_id).stdout
    assert f"next: palate verdict {repo_id}" in status
    assert "candidates" not in status
    said = palate("verdict", repo_id)
    assert said.returncode == 0, said.stderr
    assert "tuned preferred 75.0%" in said.stdout
    assert "whether a model was trained on the prompts is not recorded" in said.stdout
    assert "always on the same side" not in said.stdout
    assert f"no card: {repo_id}-dpo holds no model that palate trained" in said.stdout
    sha, _ = client.describe(repo_id, "dataset")
    card = client.fetch(repo_id, "dataset", sha, ["README.md"])[0].read_text("utf-8")
    assert "Base model: not recorded." in card
    assert "Question: not recorded" in card
    assert "Qwen" not in card + said.stdout
    assert "Which answer is better?" not in card
    assert "| base model of imported votes, not recorded |  | 20 |" in card
    run = palate("candidates", repo_id)
    assert run.returncode == 2
    assert "The project records no base model." in run.stderr


def test_a_wrong_row_leaves_nothing_behind(hub, repo_id, tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS + "idea 3,same,same,1\n")
    columns = ["--prompt", "idea", "--a", "a", "--b", "b", "--choice", "b_won"]
    run = palate("import", repo_id, str(tmp_path / "pairs.csv"), *columns)
    assert run.returncode == 2
    assert "row 11, field 'a, b': both sides have the same text ('same')" in run.stderr
    assert palate("status", repo_id).returncode == 2


def test_an_audit_is_a_report_a_page_and_json(tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS)
    file, html = str(tmp_path / "pairs.csv"), tmp_path / "audit.html"
    run = palate("audit", file, *COLUMNS, "--html", str(html))
    assert run.returncode == 0, run.stderr
    assert "10 rows, 10 prompts" in run.stdout
    assert "warning" in run.stdout
    assert f"Audit of {file}" in html.read_text("utf-8")
    run = palate("audit", file, *COLUMNS, "--json")
    figures = json.loads(run.stdout)
    wanted = {
        "rows", "prompts", "cyclic_triads", "triads", "row_split_lookup_accuracy",
        "prompt_split_lookup_accuracy", "row_split_baseline_accuracy", "baseline_accuracy",
        "longer_chosen", "second_side_chosen", "findings",
    }  # fmt: skip
    assert wanted <= set(figures)
    assert (figures["rows"], figures["second_side_chosen"]) == (10, 0.5)
    assert {"level", "text", "advice"} == set(figures["findings"][0])


def test_a_project_and_any_dataset_on_the_hub_can_be_audited(hub, repo_id, tmp_path):
    from palate.core import hub as client

    (tmp_path / "pairs.csv").write_text(PAIRS)
    assert palate("import", repo_id, str(tmp_path / "pairs.csv"), *COLUMNS).returncode == 0
    figures = json.loads(palate("audit", repo_id, "--json").stdout)
    assert (figures["rows"], figures["prompts"]) == (10, 10)
    assert set(figures["splits"]) == {"train", "test"}
    other = f"{repo_id}-other"
    client.create(other, "dataset")
    chat = [
        {
            "chosen": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "y"}],
            "rejected": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": n}],
        }
        for i, n in enumerate(("no", "never", ""))
    ]
    lines = "".join(json.dumps(row) + "\n" for row in chat)
    client.commit(other, "dataset", {"data/train.jsonl": lines}, "Pairs as others keep them")
    figures = json.loads(palate("audit", other, "--json").stdout)
    assert (figures["rows"], figures["usable_rows"], figures["prompts"]) == (3, 2, 2)
    assert figures["problems"] == {"with an empty or malformed text": 1}
    assert figures["second_side_chosen"] is None


def test_an_audit_ends_with_its_outcome_and_an_exit_code(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text(PAIRS)
    run = palate("audit", str(file), *COLUMNS)
    assert run.returncode == 0
    assert run.stdout.strip().splitlines()[-1].startswith("Nothing stops training.")
    file.write_text("idea,a,b,b_won\n" + "".join(f"idea {i},x,x,{i % 2}\n" for i in range(10)))
    run = palate("audit", str(file), *COLUMNS)
    assert run.returncode == 1
    last = run.stdout.strip().splitlines()[-1]
    assert last.startswith("1 fatal finding: training stops until that is put right.")
    assert palate("audit", str(file), *COLUMNS, "--json").returncode == 1


def test_a_file_may_be_called_as_a_project_in_an_aspect_is(tmp_path):
    file = tmp_path / "pairs in the aspect safe.csv"
    file.write_text(PAIRS)
    run = palate("audit", str(file), *COLUMNS)
    assert "A project is named like" not in run.stderr
    assert run.returncode == 0, run.stderr


def test_an_audit_that_cannot_be_written_or_read_says_so(tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS)
    file = str(tmp_path / "pairs.csv")
    run = palate("audit", file, *COLUMNS, "--html", str(tmp_path / "no" / "audit.html"))
    assert run.returncode == 2
    assert "There is no folder" in run.stderr
    run = palate("audit", file, "--prompt", "topic")
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert "idea" in run.stderr  # the columns that there are

"""The `palate` command as a person types it: a process, its output, its exit code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from palate.cli import COMMANDS, LOOP, help_text
from palate.run.jobs import JOBS

NAMES = (*COMMANDS, *(spec.name for spec in JOBS))
PAIRS = "idea,a,b,win\n" + "".join(f"idea {i},x{i},y{i},{i % 2}\n" for i in range(10))


def palate(*args: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from palate.cli import main; main()", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", **env},
        timeout=120,
    )


def test_help_shows_every_command():
    shown = re.findall(r"\[cyan\]([\w ]+)\[/\]", help_text())
    assert sorted(shown) == sorted(NAMES)
    assert tuple(shown[: len(LOOP)]) == LOOP
    run = palate("--help")
    assert run.returncode == 0
    assert "prove it blind" in run.stdout


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from palate.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    )
    code += (
        "print([m for m in ('torch', 'datasets', 'numpy', 'huggingface_hub') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_in_one_style(name):
    run = palate(*name.split(), "--help")
    assert run.returncode == 0
    assert f"usage: palate {name} [-h]" in run.stdout
    assert len(run.stdout.splitlines()) > 6
    assert not re.search(r"None|\bSTR\b|\bINT\b|\bFLOAT\b|\{\w+,\w+", run.stdout)
    described = re.search(r"│ OWNER/NAME +(.*)", run.stdout)
    assert not described or described[1].startswith("Project, ")
    assert "(default: )" not in run.stdout


@pytest.mark.parametrize("name", [spec.name for spec in JOBS])
def test_the_help_of_a_job_says_where_it_runs_and_how_it_is_typed(name):
    run = palate(name, "--help")
    assert f"    palate {name} me/titles" in run.stdout
    assert f"palate {name} me/titles --on hf --flavor" in run.stdout
    assert "python jobs/" not in run.stdout


def test_a_wrong_flag_is_refused_before_anything_is_read(hub):
    for name, wrong, right in (
        ("train", "--epoch", "--epochs"),
        ("candidates", "--per-promt", "--per-prompt"),
        ("status", "--jsn", "--help"),
    ):
        run = palate(name, "me/there-is-no-such-project", wrong, "2")
        assert run.returncode == 2
        assert right in run.stderr
        assert f"palate {name} --help" in run.stderr
        assert "no repo" not in run.stderr
    run = palate("train", "me/there-is-no-such-project", "--processes", "0")
    assert run.returncode == 2
    assert "expected 1 or more" in run.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["lable"], "Did you mean: palate label?"),
        (["hub", "srve"], "Did you mean: palate hub serve?"),
        (["hub"], "Did you mean: palate hub serve?"),
        (["argilla"], "Did you mean: palate argilla serve?"),
        (["init", "me/x"], "--prompts"),
        (["status", "titles"], "A project is named like me/titles"),
        (["import", "me/x", "nowhere.csv"], "There is no file nowhere.csv"),
    ],
)
def test_wrong_usage_ends_with_2_and_without_a_traceback(args, says):
    run = palate(*args)
    assert run.returncode == 2
    assert says in run.stderr
    assert "Traceback" not in run.stderr


def test_debug_shows_the_traceback():
    run = palate("import", "me/x", "nowhere.csv", "--debug")
    assert "Traceback" in run.stderr


def test_a_hub_that_does_not_answer_is_named():
    run = palate("status", "me/titles", HF_ENDPOINT="http://127.0.0.1:9")
    assert run.returncode == 1
    assert "The Hub at http://127.0.0.1:9 does not answer" in run.stderr
    assert "palate hub serve" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_empty_address_of_the_hub_is_named():
    run = palate("status", "me/titles", HF_ENDPOINT="")
    assert run.returncode == 2
    assert "HF_ENDPOINT is set but empty" in run.stderr


def test_no_token_says_how_to_sign_in(hub, tmp_path):
    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    prompts = str(tmp_path / "p.txt")
    run = palate("init", "me/x", "--prompts", prompts, HF_TOKEN="", HF_HOME=str(tmp_path))
    assert run.returncode == 1
    assert "hf auth login" in run.stderr
    assert "HF_TOKEN" not in run.stderr
    run = palate("init", "me/x", "--prompts", prompts, HF_TOKEN="hf_wrong")
    assert run.returncode == 1
    assert "HF_TOKEN is set and is used before any stored token" in run.stderr


def test_a_token_without_write_access_says_so(hub, repo_id, tmp_path):
    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    prompts = str(tmp_path / "p.txt")
    assert palate("init", repo_id, "--prompts", prompts, "--public").returncode == 0
    other = next(t for user, t in hub.tokens.items() if user != "me")
    (tmp_path / "q.txt").write_text("four\n")
    run = palate("init", repo_id, "--prompts", str(tmp_path / "q.txt"), HF_TOKEN=other)
    assert run.returncode == 1
    assert "write" in run.stderr
    assert "hf auth login" in run.stderr


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
        "--prompt", "idea", "--a", "a", "--b", "b", "--choice", "win",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "10 labels on 10 pairs of 20 texts, 10 prompts" in run.stdout
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
    columns = ["--prompt", "idea", "--a", "a", "--b", "b", "--choice", "win"]
    run = palate("import", repo_id, str(tmp_path / "pairs.csv"), *columns)
    assert run.returncode == 0, run.stderr
    assert "10: 9 train, 1 test, 0 eval" in run.stdout
    assert "left out" not in run.stdout
    assert "There are 0 prompts, and fewer than 9 cannot decide anything." in run.stdout
    commands = f"palate prompts {repo_id} --write 60, or palate prompts {repo_id} --add FILE"
    assert commands in run.stdout
    run = palate("completions", repo_id)
    assert run.returncode == 2
    assert "has no eval prompts, so there is nothing for the two models to answer" in run.stderr
    assert commands in run.stderr


def test_imported_votes_say_nothing_that_is_not_known(hub, repo_id, tmp_path):
    from palate.core import hub as client

    rows = "".join(f"{i},base {i},tuned {i},{int(i % 4 > 0)}\n" for i in range(20))
    (tmp_path / "votes.csv").write_text("idea,base,tuned,better\n" + rows)
    columns = ["--prompt", "idea", "--a", "base", "--b", "tuned", "--choice", "better"]
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
    (tmp_path / "pairs.csv").write_text(PAIRS + "idea 3,same,same,a\n")
    columns = ["--prompt", "idea", "--a", "a", "--b", "b", "--choice", "win"]
    run = palate("import", repo_id, str(tmp_path / "pairs.csv"), *columns)
    assert run.returncode == 2
    assert "row 11, field 'a, b': both sides have the same text ('same')" in run.stderr
    assert palate("status", repo_id).returncode == 2


def test_a_taken_port_is_named(hub, repo_id, tmp_path):
    import socket

    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    assert palate("init", repo_id, "--prompts", str(tmp_path / "p.txt")).returncode == 0
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = str(s.getsockname()[1])
        run = palate("label", repo_id, "--port", port, PALATE_DATA=str(tmp_path / "data"))
    assert run.returncode == 2
    assert f"Port {port} is in use" in run.stderr


@pytest.mark.parametrize("server", ["hub", "argilla"])
def test_a_server_names_a_taken_port(server, tmp_path, argilla):
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = str(s.getsockname()[1])
        run = palate(server, "serve", "--port", port, "--root", str(tmp_path))
    assert run.returncode == 2
    assert port in run.stderr
    assert "Traceback" not in run.stderr


def test_readme_names_every_command():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name in NAMES:
        assert f"`palate {name}`" in readme


COLUMNS = ("--prompt", "idea", "--a", "a", "--b", "b", "--choice", "win")


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


def test_a_reader_who_has_seen_enough_ends_it_quietly(tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS)
    code = "from palate.cli import main; main()"
    words = [sys.executable, "-c", code, "audit", str(tmp_path / "pairs.csv"), *COLUMNS, "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""

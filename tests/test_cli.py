"""The `palate` command as a person types it: a process, its output, its exit code."""

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from commands import COLUMNS, PAIRS, palate

from palate.cli import COMMANDS, LOOP, help_text
from palate.run.jobs import JOBS

NAMES = (*COMMANDS, *(spec.name for spec in JOBS))


def ragged(text: str) -> Iterator[str]:
    """Yield lines of descriptions that end early, although the next word has room.

    tyro keeps the line break of a description that takes two lines of the source.
    """
    lines = [line[2:-2] for line in text.splitlines() if line.startswith("│ ")]
    for line, after in pairwise(lines):
        name_alone = line[:15].strip() and not line[:15].endswith(" ")
        words = "" if name_alone or after[:15].strip() else after.split()
        if words and line[15:].strip() and len(line.rstrip()) + len(words[0]) < len(line):
            yield line.strip()


def test_help_shows_every_command():
    shown = re.findall(r"\[cyan\]([\w ]+)\[/\]", help_text())
    assert sorted(shown) == sorted(NAMES)
    assert tuple(shown[: len(LOOP)]) == LOOP
    run = palate("--help")
    assert run.returncode == 0
    assert "prove it blind" in run.stdout
    assert "[/]" not in run.stdout


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
    assert "[/]" not in run.stdout  # a style that was not taken for one
    assert list(ragged(run.stdout)) == []


@pytest.mark.parametrize("name", [spec.name for spec in JOBS])
def test_the_help_of_a_job_says_where_it_runs_and_how_it_is_typed(name):
    run = palate(name, "--help")
    assert f"    palate {name} me/titles" in run.stdout
    assert f"palate {name} me/titles --on hf --flavor" in run.stdout
    assert "python jobs/" not in run.stdout


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("import me/x f.csv --a x --a=y --b z --choice c", "--a is given more than once"),
        ("import me/x f.csv --choice x --choice y", "after one: --choice VALUE VALUE"),
        ("import me/x f.csv --skip --skip", "--skip is given more than once. Give it once."),
        ("train me/x --epochs 1 --epochs 2", "--epochs is given more than once"),
        ("train me/x --batch-size 1 --batch_size 2", "--batch-size is given more than once"),
        ("train me/x --on hf --on=local", "--on is given more than once. Give it once."),
        ("kto me/x --on hf --flavor a --flavor b", "--flavor is given more than once"),
        ("best me/x --on hf --yes --yes", "--yes is given more than once"),
    ],
)
def test_a_flag_that_is_given_twice_is_refused_for_its_last_value_alone_would_count(command, says):
    ended = palate(*command.split())
    assert (ended.returncode, says in ended.stderr) == (2, True)


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
        (["train", "me/my titles"], "A project is named like me/titles"),
        (["export", "datasets/me/titles"], "A project is named like me/titles"),
        (["status", "me/titles--old"], "'me/titles--old' is no name of a repo: Cannot have --"),
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

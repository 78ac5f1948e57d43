"""Text of people, models and servers steers nothing in a terminal."""

import ast
import io
import json
from pathlib import Path

import pytest
from commands import palate
from rich.table import Table

import palate as palate_package
from palate.collect import importing
from palate.core import hub as calls
from palate.core.errors import PalateError, printable, run_guarded
from palate.core.ledger import jsonl
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Event, Pair, Prompt
from palate.terminal.console import PlainConsole

HOSTILE = ["\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\rback", "\x08\x08", "\u202eesrever"]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_neither_colours_nor_moves_nor_turns(text):
    console = PlainConsole()
    console.file = io.StringIO()
    table = Table(box=None, show_header=False)
    table.add_row(text)
    console.print(text)
    console.print(table)
    lines = console.file.getvalue().split("\n")
    assert [line.strip() for line in lines[:2]] == [printable(text)] * 2
    assert not set("".join(lines)) & set("\x1b\x07\x08\x9b\r\u202e")


@pytest.mark.parametrize("text", ["[/]", "[bold]x[/bold]", "[link=https://evil.example]x[/link]"])
def test_brackets_are_text(text):
    console = PlainConsole()
    console.file = io.StringIO()
    console.print(text)
    assert console.file.getvalue() == f"{text}\n"


def test_nothing_is_printed_by_another_console():
    """Other consoles of rich take brackets in a text for styles."""
    folder = Path(palate_package.__file__).parent
    calls = [
        f"{file.relative_to(folder)}:{node.lineno}"
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Console"
    ]
    assert calls == []


def test_an_error_is_printed_without_controls(capsys):
    def fail() -> None:
        raise PalateError("the Hub says \x1b]0;owned\x07 no")

    assert run_guarded(fail) == 1
    assert capsys.readouterr().err == "palate: the Hub says \ufffd]0;owned\ufffd no\n"


@pytest.mark.slow
def test_a_hostile_annotator_is_only_text_in_the_report(hub, repo_id):
    prompt = Prompt.of("Why?")
    importing.start_project(repo_id, [prompt], Settings())
    x, y = Candidate.of(prompt.id, "x"), Candidate.of(prompt.id, "y")
    who = "[/]\x1b]0;owned\x07"
    event = Event(
        "e1", "label", Pair.of(x, y).id, prompt.id, x.id, y.id, x.id, 3, who, 5,
        "2026-01-01T00:00:00.000Z", 1, "ballot",
    )  # fmt: skip
    files = {"candidates/c.jsonl": jsonl([x, y]), "labels/l.jsonl": jsonl([event])}
    calls.commit(repo_id, "dataset", files, "Add")
    done = palate("agreement", repo_id)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[/]\ufffd]0;owned\ufffd" in done.stdout
    assert "\x1b]0" not in done.stdout
    assert json.loads(palate("agreement", repo_id, "--json").stdout)["people"]
    assert Project.load(repo_id).labels[0].annotator == who

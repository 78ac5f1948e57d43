"""A bar becomes lines in a log, and lines become the bar again."""

import io
from queue import SimpleQueue

from rich.console import Console
from rich.progress import BarColumn, TextColumn

from palate.terminal.progress import Progress, Relay, announced


def logged(total: int, step: int) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    with Progress(TextColumn("training"), BarColumn(), console=console) as bar:
        task = bar.add_task("", total=total, now="")
        for done in range(step, total + 1, step):
            bar.update(task, completed=done, now="loss 0.5")
    return console.file.getvalue().splitlines()


def test_a_log_gets_a_line_now_and_then():
    lines = logged(1000, 1)
    assert 50 <= len(lines) <= 53
    assert lines[0] == "training 1/1000 (loss 0.5)"
    assert "training 500/1000 (loss 0.5)" in lines


def test_a_terminal_gets_none():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with Progress(TextColumn("writing"), BarColumn(), console=console) as bar:
        bar.advance(bar.add_task("", total=2))
    assert "writing 1/2" not in console.file.getvalue()


def test_a_followed_log_is_a_bar_on_a_terminal_and_itself_elsewhere():
    lines = ["hello [bold]", "training 3/12 (loss 0.5)", "a\rb\rc", "training 12/12"]
    plain = Console(file=io.StringIO(), width=100)
    with Relay(plain) as relay:
        for line in lines:
            relay.show(line)
    text = plain.file.getvalue()
    assert "hello [bold]\ntraining 3/12 (loss 0.5)\nc\ntraining 12/12\n" in text
    screen = Console(file=io.StringIO(), width=100, force_terminal=True)
    with Relay(screen) as relay:
        for line in lines:
            relay.show(line)
        assert [(t.description, t.completed, t.total) for t in relay._bar.tasks] == [
            ("training", 12, 12)
        ]
    assert "hello [bold]" in screen.file.getvalue()


def test_a_long_step_is_announced_and_a_short_one_is_not():
    lines: SimpleQueue[str] = SimpleQueue()
    with announced(lines.put, "Reading.", seconds=0):
        assert lines.get(timeout=60) == "Reading."
    with announced(lines.put, "Writing.", seconds=600):
        pass
    assert lines.empty()

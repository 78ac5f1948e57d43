"""Whatever a Hub, or what is in its place, answers: palate says so and goes on."""

import json
import subprocess
import sys

import bad_hub
import pytest

from palate.core import hub as hub_calls
from palate.core.errors import Supervised
from palate.core.project import Settings

RETRIED = {"a redirect to itself", "half of the body", "too many, by a date",
           "too many, by a word", "an error", "a gateway's page"}  # fmt: skip


def test_no_answer_ends_the_publisher_or_a_command_in_a_traceback(hub, repo_id):
    hub_calls.create(repo_id, "dataset")
    hub_calls.commit(repo_id, "dataset", {"palate.toml": Settings().dump()}, "Make it a project")
    run = subprocess.run(
        [sys.executable, bad_hub.__file__, hub.endpoint, repo_id], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    seen = {row["kind"]: row for row in map(json.loads, run.stdout.splitlines())}
    assert list(seen) == list(bad_hub.ANSWERS)
    for kind, row in seen.items():
        assert row["once"], row
        assert "Traceback" not in row["output"], row
        assert row["code"] == (0 if kind in RETRIED else 1), row
        assert row["code"] == 0 or row["output"].startswith("palate: "), row


@pytest.mark.parametrize("error", [KeyError("sha"), ValueError("?"), RecursionError(), OSError(28)])
def test_a_supervised_thread_records_an_error_and_goes_on(error, capsys):
    outcomes = [error, None, error]
    problems: list[str | None] = []

    def turn() -> bool:
        problems.append(thread.problem)
        if outcomes and (outcome := outcomes.pop(0)):
            raise outcome
        return bool(outcomes)

    thread = Supervised("worker", turn, longest=0.01)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert [bool(problem) for problem in problems] == [False, True, False, True]
    assert thread.problem is None
    assert not thread.died()


def test_a_supervised_thread_that_is_stopped_tries_what_failed_once_more():
    turns = []

    def turn() -> bool:
        turns.append(1)
        thread.stop()
        raise ValueError("broken")

    thread = Supervised("worker", turn)
    thread.start()
    thread.join(20)
    assert len(turns) == 2
    assert "ValueError: broken" in str(thread.problem)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_something_ended_has_died():
    def turn() -> bool:
        raise SystemExit  # what no supervisor survives

    thread = Supervised("worker", turn)
    assert not thread.died()
    thread.start()
    thread.join(20)
    assert thread.died()

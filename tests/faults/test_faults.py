"""Servers are killed, disks emptied and hands unsteady while labels arrive; nothing is lost.

The same script as in `benchmarks/`, with fewer labels and kills. It is a process of its own:
clients read the Hub's address once, and this Hub dies and comes back.
"""

import pytest
from scripts import measured

LABELS = 36


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("scenarios", ["flaky,devices,hub,space,hands", "argilla,wiped,gone"])
def test_every_label_is_there_once_and_nobody_is_asked_twice(scenarios, space_python):
    words = ("--labels", str(LABELS), "--kills", "2", "--only", scenarios)
    for seen in measured("faults.py", *words, seconds=450, python=space_python):
        assert seen["labels"] >= LABELS - 3  # three devices do not divide it evenly
        for wrong in ("lost", "not_in_argilla", "twice", "never_given", "asked_twice", "refused"):
            assert seen[wrong] == 0, seen

"""Commands that `kill -9` ends anywhere: nothing is half made, and the same command finishes.

The same script as in `benchmarks/`, with fewer moments.
"""

import pytest
from scripts import measured


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("commands", ["export,import,verdict,card,forget", "deploy"])
def test_what_was_killed_is_finished_by_the_same_command(commands, chance, space_python):
    seed = str(chance.randrange(10**6))
    words = ("--killed", commands, "--kills", "2", "--seed", seed)
    seen = measured("faults.py", *words, seconds=450, python=space_python)
    assert [r["scenario"] for r in seen] == commands.split(",")
    assert sum(r["killed"] for r in seen) > 0
    assert [(r["half_made"], r["unfinished"]) for r in seen] == [(0, 0)] * len(seen)

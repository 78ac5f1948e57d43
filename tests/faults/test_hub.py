"""The local Hub is killed, attacked and filled: the script in `benchmarks/`, with smaller numbers.

It runs in its own process: clients read the Hub's address once, and this Hub is killed.
"""

import pytest
from scripts import measured


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_hub_loses_no_acknowledged_commit():
    seen = measured(
        "hub.py", "writers", "--writers", "4", "--kills", "2", "--commits", "6", seconds=280
    )
    assert seen["acknowledged"] == 24
    assert (seen["lost"], seen["fsck"], seen["in_log"], seen["left_over"]) == (
        0,
        [],
        [],
        [],
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_request_breaks_the_hub():
    seen = measured("hub.py", "fuzz", "--requests", "600", "--seed", "7", seconds=280)
    assert seen["answers"]["2xx"] > 50  # otherwise it tested little
    assert seen["answers"]["4xx"] > 200
    assert (seen["server_errors"], seen["in_log"], seen["outside"], seen["fsck"]) == ([],) * 4


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_large_file_does_not_fill_the_servers_memory():
    seen = measured("hub.py", "large", "--megabytes", "64", seconds=280)
    assert not seen["differs"]
    assert seen["memory_after_down_mb"] - seen["memory_before_mb"] < 32
    assert (seen["in_log"], seen["left_over"]) == ([], [])

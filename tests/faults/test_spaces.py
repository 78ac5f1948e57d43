"""Both Spaces get requests that no page would send: the script in `benchmarks/`, with fewer."""

import pytest
from scripts import measured


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["label", "evaluate"])
def test_no_request_breaks_a_space(kind):
    seen = measured("spaces.py", kind, "--requests", "500", "--seed", "7", seconds=280)
    assert seen["answers"]["2xx"] > 50  # otherwise it tested little
    assert seen["answers"]["4xx"] > 150
    assert (seen["server_errors"], seen["in_log"]) == ([], [])
    assert seen["serves"]

"""Both Spaces get requests that no page would send: the script in `benchmarks/`, with fewer."""

import pytest
from scripts import measured


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["label", "evaluate"])
def test_no_request_breaks_a_space(kind, space_python):
    words = (kind, "--requests", "500", "--seed", "7")
    seen = measured("spaces.py", *words, seconds=280, python=space_python)
    assert seen["answers"]["2xx"] > 50  # otherwise it tested little
    assert seen["answers"]["4xx"] > 150
    assert (seen["server_errors"], seen["in_log"]) == ([], [])
    assert seen["serves"]

"""The demo's seed: each splits the prompts otherwise, and a project keeps its own."""

from pathlib import Path

import pytest

from palate.core import hub as client
from palate.core.errors import UsageError
from palate.demo.base_models import TINY
from palate.demo.common import PROJECT, make_project
from palate.demo.runner import seed_of


@pytest.fixture
def begin(hub):
    """Return a function that begins the demo's project with a seed; return each prompt's split."""

    def start(seed: int) -> dict[str, str]:
        client.api().delete_repo(PROJECT, repo_type="dataset", missing_ok=True)
        return {p.text: p.split for p in make_project(TINY, seed).prompts}

    yield start
    client.api().delete_repo(PROJECT, repo_type="dataset", missing_ok=True)


def test_a_seed_repeats_and_two_differ(begin):
    one, again, other = begin(1), begin(1), begin(2)
    assert one == again
    assert one.keys() == other.keys()
    assert one != other


def test_a_project_keeps_the_seed_that_it_was_begun_with(begin):
    here = Path("demo")
    begin(7)
    assert seed_of(here, None) == seed_of(here, 7) == 7
    with pytest.raises(UsageError, match=r"has the seed 7\. Choose another folder with --root"):
        seed_of(here, 0)


def test_a_new_project_takes_the_seed_that_is_asked_for(hub):
    assert not client.exists(PROJECT, "dataset")
    assert seed_of(Path("demo"), None) == 0
    assert seed_of(Path("demo"), 3) == 3

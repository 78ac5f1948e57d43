"""Shards of a run of candidates: who takes what, against the local Hub."""

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.collect import importing
from palate.core import hub as client
from palate.core.errors import UsageError
from palate.core.project import Project, Settings
from palate.core.schema import Prompt, to_json
from palate.generate import shards
from palate.generate.generation import groups_of
from palate.generate.shards import Shard, join

SETTINGS = {"model": "me/tiny@abc", "seed": 0}


def divide(project: Project) -> list[list[Prompt]]:
    return groups_of(project.prompts, 2, 4)


@pytest.fixture
def project(repo_id) -> Project:
    prompts = [Prompt.of(f"A title for film {i}") for i in range(9)]
    return importing.start_project(repo_id, prompts, replace(Settings(), test=0.2, eval=0.2))


@given(st.integers(1, 40), st.integers(0, 200))
def test_every_group_belongs_to_one_shard(of, group):
    takers = [n for n in range(1, of + 1) if Shard(n, of).takes(group)]
    assert len(takers) == 1
    assert str(Shard.parse(f"{takers[0]}/{of}")) == f"{takers[0]}/{of}"


@pytest.mark.parametrize("wrong", ["0/16", "17/16", "x", "3", "3/", "-1/4", "1/0", "1/4/4", "³/16"])
def test_a_malformed_shard_is_refused(wrong):
    with pytest.raises(UsageError, match="expected one such as 3/16, from 1/16 to 16/16"):
        Shard.parse(wrong)


def test_all_shards_start_from_the_commit_of_the_first(project):
    first = join(project.id, Shard(1, 2), SETTINGS, divide)
    client.commit(project.id, "dataset", {"guidelines.md": "Be brief."}, "Write guidelines")
    second = join(project.id, Shard(2, 2), SETTINGS, divide)
    assert first.start.revision == second.start.revision == project.revision
    taken = [[i for i in range(5) if s.left(i)] for s in (first, second)]
    assert taken == [[0, 2, 4], [1, 3]]


def test_no_shard_repeats_what_another_has_done(project):
    share = join(project.id, Shard(1, 2), SETTINGS, divide)
    client.commit(project.id, "dataset", share.after(2), "Group 2")
    again = join(project.id, Shard(1, 2), SETTINGS, divide)
    assert [i for i in range(5) if again.left(i)] == [0, 4]
    other = join(project.id, Shard(3, 3), SETTINGS, divide)
    assert [i for i in range(5) if other.takes(i)] == [2]
    assert not other.left(2)
    apart = join(project.id, Shard(1, 2), SETTINGS | {"seed": 1}, divide)
    assert apart.left(2)


def test_shards_that_start_together_start_one_run(project):
    found: list[str] = []
    begin = threading.Barrier(4)

    def take(n: int) -> None:
        begin.wait()
        found.append(join(project.id, Shard(n, 4), SETTINGS, divide).start.revision)

    threads = [threading.Thread(target=take, args=(n,)) for n in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == [project.revision] * 4
    records = [f for f in Project.load(project.id).files if f.startswith("shards/")]
    assert len(records) == 4


def test_a_shard_of_another_version_is_refused(project, monkeypatch):
    join(project.id, Shard(1, 16), SETTINGS, divide)
    monkeypatch.setattr(shards, "__version__", "9.9")
    before = Project.load(project.id).revision
    with pytest.raises(UsageError, match=r"written by palate 0\.1.*, and this is palate 9\.9"):
        join(project.id, Shard(2, 16), SETTINGS, divide)
    assert Project.load(project.id).revision == before
    join(project.id, Shard(2, 16), SETTINGS | {"seed": 1}, divide)


def test_new_prompts_start_another_run(project):
    share = join(project.id, Shard(1, 1), SETTINGS, divide)
    row = to_json(Prompt.of("One more"))
    client.commit(project.id, "dataset", {"prompts/later.jsonl": row + "\n"}, "One more prompt")
    again = join(project.id, Shard(1, 1), SETTINGS, divide)
    assert len(divide(again.start)) == len(divide(project))  # finished first as it was begun
    for group in range(len(divide(project))):
        files = share.after(group)
    client.commit(project.id, "dataset", files, "Done")
    new = join(project.id, Shard(1, 1), SETTINGS, divide)
    assert [len(g) for g in divide(new.start)] == [2, 2, 2, 2, 2]
    assert new.left(0)

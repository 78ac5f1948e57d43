"""Read, change, commit, retry: what all four writers do while others write."""

from collections.abc import Callable

import pytest
from samples import PAIRS, PROMPT, TEXTS, event

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as client
from palate.core import ledger
from palate.core.hub import Change
from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.schema import Candidate
from palate.generate.shards import Shard, join
from palate.report.dataset_card import push_dataset_card
from palate.report.export import export


@pytest.fixture
def project(repo_id) -> str:
    """A project with two candidates of a train prompt, one of them preferred."""
    judged = event(PAIRS[0])
    client.create(repo_id, "dataset")
    files = {
        SETTINGS_FILE: Settings().dump(),
        "prompts/1.jsonl": ledger.jsonl([PROMPT]),
        "candidates/1.jsonl": ledger.jsonl(TEXTS),
        "labels/1.jsonl": ledger.jsonl([judged]),
    }
    client.commit(repo_id, "dataset", files, "A project")
    return repo_id


@pytest.fixture
def busy(monkeypatch) -> Callable[[int], list[int]]:
    """Let another writer commit just before each of the next `n` commits that name a parent.

    Returns the list that counts these commits. Everything still runs against the local Hub.
    """
    commit = client.commit
    collisions: list[int] = []

    def start(n: int) -> list[int]:
        def late(repo, kind, files, message, **options):
            if options.get("parent") and len(collisions) < n:
                collisions.append(len(collisions))
                commit(repo, kind, {f"other/{len(collisions)}.txt": "x"}, "Somebody else's")
            return commit(repo, kind, files, message, **options)

        monkeypatch.setattr(client, "commit", late)
        return collisions

    return start


def add(project: str) -> object:
    return importing.add(project, Imported([], [Candidate.of(PROMPT.id, "one more")], []), "Add")


CALLERS: dict[str, tuple[Callable[[str], object], str]] = {
    "export": (export, "preferences/"),
    "import": (add, "candidates/2"),
    "card": (push_dataset_card, "README.md"),
    "shard": (
        lambda id: join(id, Shard(1, 2), {"seed": 0}, lambda p: [list(p.prompts)]),
        "shards/",
    ),
}


def written(project: str, prefix: str) -> list[str]:
    return [f for f in client.describe(project, "dataset")[1] if f.startswith(prefix)]


@pytest.mark.parametrize("name", CALLERS)
def test_a_writer_that_never_gets_through_raises_and_has_written_nothing(project, busy, name):
    call, prefix = CALLERS[name]
    collisions = busy(1000)
    with pytest.raises(client.Conflict, match=f"Others changed {project} during each of"):
        call(project)
    assert len(collisions) >= client.TRIES
    assert written(project, prefix) == []


@pytest.mark.parametrize("name", CALLERS)
def test_a_writer_that_collides_once_starts_over(project, busy, name):
    call, prefix = CALLERS[name]
    busy(1)
    call(project)
    assert len(written(project, prefix)) == 1


def test_what_an_export_returns_is_on_the_hub(project, busy):
    busy(2)
    exported, preferences = export(project)
    rows = Project.load(project).preferences
    assert list(rows) == preferences.all() == list(exported.preferences)
    assert len(rows) == 1


def test_nothing_to_write_is_no_commit(project):
    before, _ = client.describe(project, "dataset")
    assert client.update(project, "dataset", lambda sha, paths: Change(paths)) == (
        before,
        client.describe(project, "dataset")[1],
    )
    assert client.describe(project, "dataset")[0] == before


def test_an_update_can_delete(project):
    sha, result = client.update(
        project, "dataset", lambda sha, paths: Change("done", "Delete", delete=["labels/1.jsonl"])
    )
    assert result == "done"
    assert client.describe(project, "dataset")[0] == sha
    assert written(project, "labels/") == []

"""One person is forgotten or excluded: what every copy does then, on a real Hub and Argilla."""

import json
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from argilla_ui import client
from commands import palate
from labelling import ADA, BO, label
from run_facts import RUN

from palate.collect import importing
from palate.core import hub as calls
from palate.core.ledger import jsonl
from palate.core.project import REWARD_FILE, Project, Settings
from palate.core.schema import Candidate, Event, Pair, Prompt
from palate.evaluate.loading import project_verdict
from palate.label.strategies import Doubt, RewardNotes
from palate.localhub import LocalHub
from palate.report.export import export
from palate.report.publish import publish_verdict
from palate.web import forgetting
from palate.web.ballot.people import decide
from palate.web.labelling.ballot import LabelBallot

pytestmark = pytest.mark.usefixtures("fast_commands")

KEY = {"PALATE_SECRET": "key"}


@pytest.fixture
def labelled(project, connect) -> tuple[Project, str, str]:
    """A project with labels of two people, and their pseudonyms; Ada wrote an answer, too."""
    with closing(LabelBallot(project, connect, "key", pause=0.1)) as ballot:
        ballot.prepared()
        for person in (ADA, BO):
            for item in ballot.next(person, 2, [])["items"]:
                note = f"Note by {person.name}"
                assert ballot.submit(person, [label(item, comment=note)])[0].state == "saved"
        (item,) = ballot.next(ADA, 1, [])["items"]
        text = "Better, says Ada"
        assert ballot.submit(ADA, [label(item, kind="rewrite", text=text)])[0].state == "saved"
        pseudonyms = [ballot.pseudonym(person) for person in (ADA, BO)]
    export(project.id)
    return Project.load(project.id), *pseudonyms


def stored(hub: LocalHub) -> Iterator[bytes]:
    """Yield what git holds in the Hub's repos."""
    for file in (hub.root / "git").glob("*/objects/??/*"):
        yield zlib.decompress(file.read_bytes())


def texts(repo: str, kind: calls.RepoType = "dataset") -> dict[str, str]:
    """Return the files of a repo by path."""
    sha, paths = calls.describe(repo, kind)
    files = calls.fetch(repo, kind, sha, paths)
    return {path: file.read_text() for path, file in zip(paths, files, strict=True)}


def test_a_forgotten_person_is_gone_from_dataset_history_and_argilla(labelled, hub, argilla):
    project, ada, bo = labelled
    assert any(ada.encode() in content for content in stored(hub))
    doubts = tuple(Doubt(who, "pair", 0.1) for who in (ada, bo))
    notes = {REWARD_FILE: RewardNotes(0, 1, doubts).text()}
    calls.commit(project.id, "dataset", notes, "What a reward doubts")
    shown = palate("forget", project.id, "Ada", **KEY)
    assert shown.returncode == 2
    assert "3 label events and 0 vote events, 1 better answer written" in shown.stdout
    assert "Add --yes" in shown.stderr
    assert ada in str(texts(project.id))
    env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}
    done = palate("forget", project.id, "Ada", "--yes", **KEY, **env)
    assert done.returncode == 0, done.stderr
    files = texts(project.id)
    assert [path for path, text in files.items() if ada in text] == ["people.jsonl"]
    assert bo in files[REWARD_FILE]
    assert "Ada" not in str(files).replace("\\n", "")
    assert not [c for c in stored(hub) if b"by Ada" in c or b"says Ada" in c]
    left = Project.load(project.id)
    assert {e.annotator for e in left.read("labels")} == {bo}
    assert {p.annotator for p in left.preferences} == {bo}
    with client(argilla) as owner:
        users = owner.get("/api/v1/users").json()["items"]
    assert ada not in {u["username"] for u in users}
    assert bo in {u["username"] for u in users}
    again = palate("forget", project.id, ada, "--yes", **KEY)
    assert "nothing is left" in again.stdout, again.stderr


def test_no_copy_brings_a_forgotten_person_back(labelled, connect, monkeypatch):
    project, ada, bo = labelled
    monkeypatch.setenv("PALATE_SECRET", "key")
    running = LabelBallot(project, connect, "key", pause=0.1)
    running.prepared()
    item, late = running.next(ADA, 2, [])["items"]
    event = label(item)
    assert running.submit(ADA, [event])[0].state == "saved"
    forgetting.forget(project.id, [ada])
    assert running.submit(ADA, [label(late)])[0].state == "saved"  # it does not know yet
    assert running.close()  # what Argilla holds of her is not published
    assert {e.annotator for e in Project.load(project.id).read("labels")} == {bo}
    with closing(LabelBallot(Project.load(project.id), connect, "key", pause=0.1)) as restarted:
        restarted.prepared()
        assert not restarted.may_answer(ADA)
        assert restarted.may_answer(BO)
        assert ada not in restarted.names()
        assert {e.annotator for e in restarted.events()} == {bo}
    decide(project.id, [ada], "include")
    with closing(LabelBallot(Project.load(project.id), connect, "key", pause=0.1)) as lifted:
        lifted.prepared()
        assert lifted.may_answer(ADA)
        assert lifted.pseudonym(ADA) not in (ada, bo)
        (receipt,) = lifted.submit(ADA, [event])  # from her browser, as before
        assert (receipt.state, lifted.next(ADA, 0, [])["done"]) == ("rejected", 0)
        (item,) = lifted.next(ADA, 1, [])["items"]
        assert lifted.submit(ADA, [label(item)])[0].state == "saved"
        new = lifted.pseudonym(ADA)
    assert {e.annotator for e in Project.load(project.id).labels} == {bo, new}


def test_an_excluded_persons_events_count_nowhere_until_they_count_again(labelled, tmp_path):
    project, ada, bo = labelled
    card = texts(project.id)["README.md"]
    assert "excluded" not in card
    done = palate("exclude", project.id, "Ada", **KEY)
    assert done.returncode == 0, done.stderr
    assert f"{ada}: 3 label events and 0 vote events count nowhere" in done.stdout
    without = Project.load(project.id)
    assert {e.annotator for e in without.labels} == {bo} == {
        p.annotator for p in without.preferences
    }  # fmt: skip
    assert len(without.read("labels")) == 5
    assert "excluded 1 person, whose events stay" in texts(project.id)["README.md"]
    audit = palate("audit", project.id)
    assert "excluded 1 person who labelled" in " ".join(audit.stdout.split())
    assert "Not counted: 1 person" in palate("agreement", project.id).stdout
    assert palate("exclude", project.id, "Ada", "--undo", **KEY).returncode == 0
    assert Project.load(project.id).preferences == project.preferences
    assert texts(project.id)["README.md"] == card


def test_somebody_who_never_answered_is_not_found(labelled, monkeypatch):
    monkeypatch.setenv("PALATE_SECRET", "key")
    done = palate("forget", labelled[0].id, "Nobody", "--yes")
    assert done.returncode == 2
    assert "Nobody called 'Nobody' has answered" in done.stderr
    assert "palate agreement" in done.stderr
    assert Path(done.stdout) == Path()


def test_an_imported_person_is_found_by_name_and_not_imported_again(hub, repo_id, tmp_path):
    file = tmp_path / "pairs.csv"
    rows = (f"idea {i},x{i},y{i},{'ab'[i % 2]},{'Ada' if i < 4 else 'Bo'}\n" for i in range(10))
    file.write_text("idea,a,b,win,who\n" + "".join(rows))
    columns = ("--prompt", "idea", "--a", "a", "--b", "b", "--choice", "win", "--annotator", "who")
    assert palate("import", repo_id, str(file), *columns).returncode == 0
    done = palate("forget", repo_id, "Ada", "--yes", **KEY)
    assert "4 label events" in done.stdout, done.stderr
    assert len(Project.load(repo_id).read("labels")) == 6
    again = palate("import", repo_id, str(file), *columns)
    assert "4 by a person who was forgotten" in " ".join(again.stdout.split()), again.stderr
    assert len(Project.load(repo_id).read("labels")) == 6


@pytest.fixture
def judged(hub, repo_id) -> Project:
    """A project with a verdict on the votes of two people."""
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    project = importing.start_project(repo_id, prompts, Settings(eval=0.25))
    calls.create(project.model_repo, "model")
    facts = json.dumps(RUN | {"project": repo_id, "model": project.model_repo})
    revision = calls.commit(project.model_repo, "model", {"run.json": facts}, "Train")
    models = [("me/base", "b" * 40), (project.model_repo, revision)]
    votes, rows = [], []
    for prompt in (p for p in project.prompts if p.split == "eval"):
        base, tuned = (
            Candidate.of(prompt.id, f"{name} {prompt.text}", model=name, revision=sha)
            for name, sha in models
        )
        rows += [base, tuned]
        for who in ("p-ada", "p-bo"):
            vote = Event(
                f"{who}-{prompt.id}", "label", Pair.of(base, tuned).id, prompt.id, base.id,
                tuned.id, tuned.id, 3, who, 900, "2026-01-01T00:00:00.000Z", 1, "ballot",
            )  # fmt: skip
            votes.append(vote)
    files = {"candidates/z.jsonl": jsonl(rows), "evaluations/1.jsonl": jsonl(votes)}
    calls.commit(repo_id, "dataset", files, "Vote")
    project = Project.load(repo_id)
    publish_verdict(project, project_verdict(project))
    return project


def test_the_verdict_is_made_again_of_the_votes_that_are_left(judged):
    votes = len(judged.evaluations)
    assert f"of {votes} votes" in texts(judged.model_repo, "model")["README.md"]
    said = forgetting.forget(judged.id, ["p-ada"])
    assert "The verdict is now: " in said
    files = texts(judged.model_repo, "model")
    assert f"of {votes // 2} votes" in files["README.md"]
    assert len([path for path in texts(judged.id) if path.startswith("verdicts/")]) == 1
    assert "There is no verdict any more." in forgetting.forget(judged.id, ["p-bo"])
    files = texts(judged.model_repo, "model")
    assert "verdict.json" not in files
    assert "votes" not in files["README.md"]
    assert not [path for path in texts(judged.id) if path.startswith("verdicts/")]

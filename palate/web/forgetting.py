"""Decides about one person of a project: whether their events count, or are deleted everywhere.

Each step finds out what is left to do, so running it again continues one that was interrupted. The
owner's decisions are statements in the dataset, which every reader of events obeys.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from palate.argilla.store import LabelStore
from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import REWARD_FILE, Project
from palate.core.schema import Event, EventConfig, Row, Unpaired, digest
from palate.label.strategies import RewardNotes
from palate.report.export import export
from palate.report.publish import renew_verdict
from palate.web.ballot.people import NAME_CHARACTERS, decide, pseudonyms
from palate.web.serving import secret_of

EVENTS: tuple[EventConfig, ...] = ("labels", "evaluations", "wild")


@dataclass(frozen=True)
class Belongings:
    """What a project has of one person."""

    annotators: tuple[str, ...]  # their pseudonyms
    labels: int  # events; so are votes
    votes: int
    texts: int  # better answers that they wrote
    preferences: int  # without those that several people's answers imply
    thumbs: int  # single answers that they called good or bad

    def __bool__(self) -> bool:
        return any((self.labels, self.votes, self.texts, self.preferences, self.thumbs))


def argilla_names(project_id: str) -> dict[str, str]:
    """Return names by pseudonym from the Argilla at ARGILLA_API_URL; none where none is set."""
    store = _store()
    if store is None:
        return {}
    with closing(store):
        return store.names()


def find(project: Project, name: str) -> tuple[str, ...]:
    """Return the pseudonyms of the person with a name, or the one given; raise UsageError for none.

    A name is one that was typed on this machine, signed in with, imported, or shown by Argilla.
    """
    key, people, name = secret_of(project.id).encode(), project.people, name.strip()
    names = argilla_names(project.id)
    subjects = [f"local:{name[:NAME_CHARACTERS].casefold()}"]
    if user := hub.user_id(name):
        subjects.append(f"hf:{user}")
    ids = {name, f"p-{digest('import', name)[:10]}"}
    ids |= {who for who, called in names.items() if called.casefold() == name.casefold()}
    for subject in subjects:
        ids.update(pseudonyms(key, subject, people))
    known = {e.annotator for config in EVENTS for e in project.read(config)}
    known |= {row.annotator for row in project.read("unpaired")}
    known |= people.uncounted | {who for who in names if who.startswith("p-")}
    if not ids & known:
        raise UsageError(
            f"Nobody called {name!r} has answered in {project.id}. Give the pseudonym instead:"
            f" `palate agreement {project.id}` lists those who labelled, and the owner's page shows"
            " their names. Names are found with the PALATE_SECRET of the Space that took them."
        )
    return tuple(sorted(ids & known))


def belongings(project: Project, annotators: Iterable[str]) -> Belongings:
    """Count what a project has of a person."""
    ids = tuple(annotators)
    labels, *others = ([e for e in project.read(c) if e.annotator in ids] for c in EVENTS)
    votes = [e for some in others for e in some]
    texts = {e.chosen for e in (*labels, *votes) if e.kind == "rewrite"}
    preferences = sum(row.annotator in ids for row in project.read("preferences"))
    thumbs = sum(row.annotator in ids for row in project.read("unpaired"))
    return Belongings(ids, len(labels), len(votes), len(texts), preferences, thumbs)


def erase(project_id: str) -> int:
    """Delete every line of forgotten people from the dataset's files; return how many."""

    def build(sha: str, paths: list[str]) -> hub.Change[int]:
        project = Project.at(project_id, sha, paths)
        forgotten = project.people.forgotten
        events = [e for config in EVENTS for e in project.read(config)]
        texts = {e.chosen for e in events if e.kind == "rewrite" and e.annotator in forgotten}
        texts -= {e.chosen for e in events if e.kind == "rewrite" and e.annotator not in forgotten}

        def goes(row: Row) -> bool:
            if isinstance(row, Event | Unpaired):
                return row.annotator in forgotten
            return getattr(row, "id", None) in texts

        files: dict[str, bytes | str | Path] = {}
        delete, gone = [], 0
        for config in (*EVENTS, "unpaired", "candidates"):
            rows = iter(project.read(config))
            for path in project.paths(config):
                (file,) = hub.fetch(project_id, "dataset", sha, [path])
                with file.open("rb") as opened:
                    lines = list(opened)
                kept = [line for line in lines if not goes(next(rows))]
                if len(kept) < len(lines) and (config != "candidates" or "/written-" in path):
                    gone += len(lines) - len(kept)
                    files |= {path: b"".join(kept)} if kept else {}
                    delete += [] if kept else [path]
        notes = RewardNotes.parse(project.text(REWARD_FILE), f"{project_id}/{REWARD_FILE}")
        doubts = tuple(d for d in notes.doubts if d.annotator not in forgotten)
        if doubts != notes.doubts:
            files[REWARD_FILE] = replace(notes, doubts=doubts).text()
        return hub.Change(gone, "Remove what was asked to be forgotten", files, delete)

    return hub.update(project_id, "dataset", build)[1]


def forget(project_id: str, annotators: Sequence[str]) -> str:
    """Delete everything of a person from dataset, history and Argilla; return what was made again.

    From the first step on their events are void, so whatever comes later can be interrupted.
    """
    decide(project_id, annotators, "forget")
    if store := _store():
        with closing(store):
            store.open(project_id, question=Project.load(project_id).settings.question)
            store.forget(lambda who: who in annotators)
    erase(project_id)
    renewed = renew(project_id)
    hub.squash(project_id, "dataset", "Forget a person")
    decide(project_id, annotators, "erased")
    hub.drop_cached(project_id, "dataset", keep=hub.describe(project_id, "dataset")[0])
    return renewed


def renew(project_id: str) -> str:
    """Make preferences, cards and verdict again from the events that count; return a sentence."""
    export(project_id)
    project = Project.load(project_id)
    if not project.is_trained():
        return "Preferences and dataset card are made again."
    return f"Preferences and cards are made again. {renew_verdict(project)}".rstrip()


def beyond_reach(project: Project) -> list[str]:
    """Return, a sentence each, where a forgotten person's answers may be that nobody here reaches.

    Call it before they are forgotten: it looks at what exists now.
    """
    sentences = ["Copies of the dataset that others have downloaded."]
    packed = (f"{project.model_repo}-{kind}" for kind in ("gguf", "merged"))
    trained = [r for r in (*project.model_repos, *packed) if hub.exists(r, "model")]
    if trained:
        names = " and ".join(trained)
        sentences.append(f"Weights: {names} may have learned from these labels; train again.")
    if refs := hub.other_refs(project.id, "dataset"):
        sentences.append(f"Other branches and tags of the dataset, which you can delete: {refs}.")
    sentences.append("Old commits, for as long as the Hub still answers to their hashes.")
    sentences.append("Totals in verdicts of earlier rounds, which name nobody.")
    return sentences


def argilla_sentence(project_id: str) -> str:
    """Return what happens in Argilla, and when."""
    if _store():
        return "They and their name are deleted in Argilla."
    return (
        "Argilla is out of reach from here (ARGILLA_API_URL and ARGILLA_API_KEY are not set). The"
        " label Space deletes them and their name there: within a minute if it runs, or else at"
        " its next start."
    )


def _store() -> LabelStore | None:
    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    return LabelStore(url, key) if url and key else None

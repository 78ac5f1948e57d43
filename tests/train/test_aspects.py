"""What a training reads and checks in a project whose labels are in two aspects."""

from dataclasses import replace

import pytest
from rich.console import Console
from samples import BY_ID, PAIRS, PROMPT, event

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as client
from palate.core import ledger
from palate.core.errors import PalateError, UsageError
from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.rounds import in_aspect
from palate.core.schema import Candidate, Pair
from palate.report.export import export
from palate.train.config import DPOArguments
from palate.train.rows import people
from palate.train.rows.data import Rows, audit, read_preferences

SAME = [Candidate.of(PROMPT.id, "the same", model=f"me/{m}", revision="a" * 40) for m in "xy"]


@pytest.fixture
def judged(hub, repo_id) -> Project:
    """Ann says what is more helpful; Ben says what is safer, on a pair of one text."""
    importing.start_project(repo_id, [PROMPT], Settings(aspects=("helpful", "safe")))
    importing.add(repo_id, Imported([], [*BY_ID.values(), *SAME], []), "Add")
    twins = Pair.of(*SAME)
    ann = [event(p, chosen=p.a, annotator="p-ann", aspect="helpful") for p in PAIRS]
    ben = event(twins, chosen=twins.a, annotator="p-ben", aspect="safe")
    client.commit(repo_id, "dataset", {"labels/1.jsonl": ledger.jsonl([*ann, ben])}, "Labels")
    export(repo_id)
    return Project.load(repo_id)


def test_rows_of_before_the_aspects_changed_are_no_error_but_a_reason_to_export(judged):
    other = Settings(aspects=("kind", "harmless"))
    client.commit(judged.id, "dataset", {SETTINGS_FILE: other.dump()}, "Change")
    for together in (True, False):
        with pytest.raises(UsageError, match=f"Export again with: palate export {judged.id}"):
            read_preferences(Project.load(judged.id), together=together)


def test_annotators_names_people_of_every_aspect_that_is_learned(judged):
    both = DPOArguments(judged.id, annotators="p-ben")
    chosen = people.part(judged, both)
    assert isinstance(chosen, people.PartOfPeople)
    assert chosen.sentence().startswith("Only the labels of 1 of 2 people are used")
    everybody = people.part(judged, replace(both, annotators="p-ann,p-ben"))
    assert "--annotators names all 2 people" in everybody.sentence()
    with pytest.raises(UsageError, match="is called 'p-ben'"):
        people.part(judged, replace(both, aspect="helpful"))
    assert people.part(in_aspect(judged, "safe"), replace(both, aspect="safe")).people_in_all == 1


def test_a_training_on_all_aspects_audits_each(judged):
    rows, quiet = Rows([], []), Console(quiet=True)
    said = "In the aspect safe: 1 row with the same text on both sides"
    with pytest.raises(PalateError, match=said):
        audit(quiet, judged, rows, ignore=False, together=True)
    found = audit(quiet, judged, rows, ignore=True, together=True)
    assert {f.text.split(":")[0] for f in found} == {"In the aspect helpful", "In the aspect safe"}
    alone = audit(quiet, judged, rows, ignore=False)
    assert {f.text.split(":")[0] for f in alone} == {"In the aspect helpful"}


def test_an_aspect_without_a_choice_stops_no_training_on_all(judged):
    newer = Settings(aspects=("helpful", "kind"))
    client.commit(judged.id, "dataset", {SETTINGS_FILE: newer.dump()}, "Change")
    project = Project.load(judged.id)
    found = audit(Console(quiet=True), project, Rows([], []), ignore=False, together=True)
    assert not any("aspect kind" in f.text for f in found)

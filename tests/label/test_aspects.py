"""Aspects: settings, events and preferences of each, and one where they count together."""

from dataclasses import replace

import pytest
from samples import BY_ID, PAIRS, PROMPT, event

from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as client
from palate.core import ledger
from palate.core.errors import BadInput, UsageError
from palate.core.project import Project, Settings
from palate.core.rounds import by_aspect, in_all_aspects, in_aspect, unasked, weights_of
from palate.core.schema import Candidate, Event, Pair, Preference, to_json
from palate.core.typed import read_line
from palate.evaluate.loading import is_arena
from palate.label.preferences import NOT_ASKED, combined, in_view, rebuild
from palate.label.steps import steps
from palate.report.export import export

EVEN = {"helpful": 0.5, "safe": 0.5}
BOTH = Settings(aspects=("helpful", "safe"))


@pytest.mark.parametrize(
    "value",
    [
        '["helpful"]',
        '["helpful", "helpful"]',
        '["Helpful", "safe"]',
        '["helpful", "not safe"]',
        '["helpful", "../safe"]',
        '["helpful", "safe-"]',
        '["helpful", "si\u00f1"]',
        '["a", "b", "c", "d", "e"]',
        f'["helpful", "{"s" * 25}"]',
    ],
)
def test_names_that_cannot_be_aspects_are_refused(value):
    with pytest.raises(BadInput, match="'aspects': expected 2 to 4 different names of a-z, 0-9"):
        Settings.parse(f"aspects = {value}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('aspects = "safe"', "'aspects': expected list, found 'safe'"),
        ('aspects = ["helpful", 1]', "'aspects': expected names"),
        ('aspects = ["a", "b"]\nweights = [1]', "'weights': expected a number above 0 for each"),
        ('aspects = ["a", "b"]\nweights = [1, 0]', "'weights': expected a number above 0"),
        ('aspects = ["a", "b"]\nweights = [1, nan]', "'weights': expected a number above 0"),
        ('aspects = ["a", "b"]\nweights = [1, true]', "'weights': expected numbers"),
        ("weights = [1, 1]", "'weights': expected a number above 0 for each aspect"),
    ],
)
def test_wrong_aspects_and_weights_name_the_setting(text, says):
    with pytest.raises(BadInput, match=says):
        Settings.parse(text)


def test_settings_read_back_and_without_aspects_are_as_before():
    settings = Settings(aspects=("helpful", "safe"), weights=(1, 3))
    assert Settings.parse(settings.dump()) == settings
    assert weights_of(settings) == {"helpful": 0.25, "safe": 0.75}
    assert not {"aspects", "weights"} & set(Settings().dump().replace("=", " ").split())


def test_rows_without_an_aspect_are_the_bytes_of_before():
    assert '"aspect"' not in to_json(event(PAIRS[0]))
    (row,) = rebuild([PROMPT], list(BY_ID.values()), [event(PAIRS[0])]).all()
    assert '"aspect"' not in to_json(row)
    (row,) = rebuild([PROMPT], list(BY_ID.values()), [event(PAIRS[0], aspect="safe")]).all()
    assert read_line(Preference, to_json(row), "f", 1).aspect == "safe"
    with pytest.raises(BadInput, match="field 'aspect': expected an aspect: a-z"):
        read_line(Event, to_json(event(PAIRS[0], aspect="<b>")), "f", 1)


def test_a_judgement_replaces_one_in_its_own_aspect_alone():
    first, other = event(PAIRS[0], aspect="helpful"), event(PAIRS[0], aspect="safe")
    again = event(PAIRS[0], "tie", aspect="safe", time="2099-01-01T00:00:00.000Z")
    assert {e.event_id for e in ledger.standing_judgements([first, other, again])} == {
        first.event_id,
        again.event_id,
    }
    many = [event(PAIRS[0], aspect=a, sequence=n) for n, a in enumerate(["a", "b", "c", "d"], 1)]
    assert len(ledger.compacted(many)) == 4


def preferences(*said: tuple[int, str, str]) -> list[Preference]:
    """Return the preferences of one person, by pair, aspect and the side that is better."""
    events = []
    for n, aspect, side in said:
        pair = PAIRS[n]
        better = {"a": pair.a, "b": pair.b}.get(side)
        events.append(event(pair, "label" if better else "tie", chosen=better, aspect=aspect))
    rows = []
    for aspect in ("helpful", "safe"):
        own = [e for e in events if e.aspect == aspect]
        rows += rebuild([PROMPT], list(BY_ID.values()), own).all()
    return rows


def test_aspects_that_agree_or_of_which_one_is_a_tie_give_one_row():
    rows, left_out = combined(
        preferences((0, "helpful", "a"), (0, "safe", "a"), (5, "helpful", "tie"), (5, "safe", "b")),
        EVEN,
    )
    chosen = {row.pair_id: row.chosen[0]["content"] for row in rows}
    assert chosen == {PAIRS[0].id: BY_ID[PAIRS[0].a].text, PAIRS[5].id: BY_ID[PAIRS[5].b].text}
    assert [row.aspect for row in rows] == [None, None]
    assert not left_out


def test_aspects_that_contradict_cancel_or_the_heavier_one_decides():
    said = preferences((0, "helpful", "a"), (0, "safe", "b"))
    rows, left_out = combined(said, EVEN)
    assert (rows, dict(left_out)) == ([], {"aspects that cancel out": 1})
    (row,), left_out = combined(said, {"helpful": 0.3, "safe": 0.7})
    assert row.chosen[0]["content"] == BY_ID[PAIRS[0].b].text
    assert not left_out


def test_what_only_one_aspect_implies_is_not_combined():
    said = preferences((0, "helpful", "a"), (0, "safe", "a"))
    implied = replace(said[0], source="implied", pair_id=PAIRS[1].id)
    rows, left_out = combined([*said, implied], EVEN)
    assert len(rows) == 1
    assert dict(left_out) == {"implied in some aspects only": 1}
    both = [implied, replace(implied, aspect="safe", annotator="several")]
    assert len(combined([*said, *both], EVEN)[0]) == 2


@pytest.fixture
def judged(hub, repo_id) -> Project:
    """A pair that helpful and safe decide differently, one with a label of before."""
    importing.start_project(repo_id, [PROMPT], BOTH)
    importing.add(repo_id, Imported([], list(BY_ID.values()), []), "Add")
    a, b = PAIRS[0], PAIRS[5]
    events = [
        event(a, chosen=a.a, aspect="helpful"), event(a, chosen=a.b, aspect="safe"),
        event(b, "tie", aspect="helpful"), event(b, chosen=b.b), event(b, "flag"),
    ]  # fmt: skip
    client.commit(repo_id, "dataset", {"labels/1.jsonl": ledger.jsonl(events)}, "Labels")
    return Project.load(repo_id)


def test_a_project_is_seen_in_one_aspect(judged):
    assert judged.aspect == "helpful"
    assert [e.kind for e in judged.labels] == ["label", "tie", "flag"]
    assert [e.chosen for e in in_aspect(judged, "safe").labels] == [PAIRS[0].b, None]
    assert [one.aspect for one in by_aspect(judged)] == ["helpful", "safe"]
    assert dict(unasked(judged)) == {"the question alone": 1}
    with pytest.raises(UsageError, match=r"--aspect kind: .* has one of helpful, safe"):
        in_aspect(judged, "kind")


def test_an_export_has_the_rows_of_every_aspect_and_counts_what_is_not_asked(judged):
    project, exported = export(judged.id)
    rows = project.read("preferences")
    split = {p.id: p.split for p in project.prompts}[PROMPT.id]
    assert split != "eval"
    assert [row.aspect for row in rows] == ["helpful", "safe"]
    assert rows[0].chosen == rows[1].rejected
    assert [row.aspect for row in in_aspect(project, "safe").preferences] == ["safe"]
    assert exported.left_out == {
        "ties (helpful)": 1,
        "on the question alone, which the project does not ask": 1,
    }
    card = project.text("README.md")
    assert "| helpful | 1 | 1 | 0 | 0 | – | 1 |" in card
    assert "| safe | 1 | 0 | 0 | 0 | – | 1 |" in card
    assert "they weigh 50.0% helpful, 50.0% safe" in card
    assert "behind the labels" not in card


def test_what_was_said_in_the_second_aspect_alone_is_progress_and_an_arena(judged):
    x, y, z = (Candidate.of(PROMPT.id, f"By {n}", model=f"me/{n}", revision=n * 40) for n in "abc")
    labels = [event(PAIRS[0], aspect="safe"), event(PAIRS[5], aspect="kind")]
    votes = [event(Pair.of(*both), aspect="safe") for both in ((x, y), (x, z))]
    files = {
        "labels/1.jsonl": ledger.jsonl(labels),
        "candidates/models.jsonl": ledger.jsonl([x, y, z]),
        "evaluations/1.jsonl": ledger.jsonl(votes),
    }
    client.commit(judged.id, "dataset", files, "In safe alone")
    project = Project.load(judged.id)
    said = {step.name: step for step in steps(project)}
    assert said["labels"].facts == "1 choice, no ties, no skips · 1 pair · 1 person"
    assert said["votes"].facts == "2 blind"
    assert is_arena(project)
    assert in_all_aspects(project, "evaluations") == list(project.read("evaluations"))


def test_rows_of_before_the_aspects_changed_are_left_out_and_counted(judged):
    export(judged.id)
    renamed = Settings(aspects=("helpful", "harmless"))
    client.commit(judged.id, "dataset", {"palate.toml": renamed.dump()}, "Rename")
    project = Project.load(judged.id)
    rows, left_out = in_view(project, project.read("preferences"), together=True)
    assert [row.chosen[0]["content"] for row in rows] == [BY_ID[PAIRS[0].a].text]
    assert dict(left_out) == {NOT_ASKED: 1}
    alone = replace(project, settings=Settings(), aspect=None)
    assert in_view(alone, project.read("preferences"), together=True) == ([], {NOT_ASKED: 2})

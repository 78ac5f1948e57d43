"""verdict.json and judge.json of every version of palate: they load, and cards render from them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_facts import RUN
from verdicts import votes

from palate.core.errors import BadInput, PalateError
from palate.evaluate.judging import JudgeAgreement, JudgeReport
from palate.evaluate.verdict import Matches, Point, Verdict
from palate.report.model_card import model_files
from palate.train.records import record

STORED = Path(__file__).parents[1] / "stored"


def stored(name: str) -> dict:
    return json.loads((STORED / name).read_text("utf-8"))


def test_a_verdict_without_version_loads_unchanged():
    data = stored("me--titles-dpo/verdict.json")
    verdict = Verdict.from_json(data)
    assert (verdict.votes, verdict.wins, verdict.losses, verdict.ties) == (112, 87, 22, 3)
    assert verdict.moves[0] == Point(2, 0.5, 0.0094, 0.9906)
    assert verdict.again == Matches(5, 5)
    assert verdict.confounds is not None
    assert verdict.confounds.texts["a colon"] == (56, 5)
    again = json.loads(json.dumps(verdict.to_json()))
    assert [list(point.values()) for point in again.pop("moves")] == data.pop("moves")
    # its p-values took votes as independent
    kept, stored_confounds = again.pop("confounds"), data.pop("confounds")
    assert kept["texts"] == stored_confounds["texts"]
    assert kept["controlled_needs"] is None
    assert kept["left"]["hits"] == stored_confounds["left"]["hits"]
    assert (kept["left"]["interval"], kept["left"]["p"]) == (None, None)
    changed = {"version", "about_prompts", "about_people", "ahead", "round_on_prompts", "withdrawn"}
    changed |= {"prompts_by_model", "rounds"}
    gone = {"interval", "sequence", "clustered", "evidence", "more"}
    assert {k: v for k, v in again.items() if k not in changed} == {
        k: v for k, v in data.items() if k not in gone
    }


def test_a_verdict_from_before_agreement_was_counted_has_none():
    data = stored("me--titles-dpo/verdict.json")
    del data["agreed"]
    assert Verdict.from_json(data).agreed == Matches(0, 0)


def test_the_first_verdicts_held_counts_and_the_rest_follows():
    verdict = Verdict.from_json(stored("verdict-0-first.json"))
    assert (verdict.wins, verdict.losses, verdict.ties) == (34, 16, 2)
    assert verdict.decision == "open"
    assert "palate verdict" in verdict.meaning()
    assert verdict.cautions() == ["One person voted, so this is one person's taste."]


@pytest.mark.parametrize("name", ["me--titles-dpo/verdict.json", "verdict-0-first.json"])
def test_cards_render_from_stored_verdicts(name):
    files = model_files(
        record.from_json(RUN),
        Verdict.from_json(stored(name)),
        JudgeReport.from_json(stored("judge-0.json")),
    )
    assert "plots/win_rate.svg" in files
    assert "**A language model as judge**" in str(files["README.md"])


def test_a_judge_report_without_version_loads_unchanged():
    data = stored("judge-0.json")
    report = JudgeReport.from_json(data)
    assert report.agreement == JudgeAgreement(
        28, 40, kappa=data["agreement"]["kappa"],
        kappa_interval=tuple(data["agreement"]["kappa_interval"]),
    )  # fmt: skip
    again = json.loads(json.dumps(report.to_json()))
    assert again.pop("version") == 2
    assert again.pop("unread_pairs") is None
    agreement = again.pop("agreement")
    assert agreement | data.pop("agreement") | {"interval": None} == agreement
    assert again == data


def test_a_judge_report_of_version_1_still_loads():
    data = stored("judge-0.json") | {"version": 1, "unreadable": 3, "ties": 2}
    report = JudgeReport.from_json(data)
    assert (report.ties, report.unread_pairs, report.unread()) == (2, None, "")
    assert "an earlier version of palate" in report.sentence()


@pytest.mark.parametrize(
    ("cls", "name"), [(Verdict, "me--titles-dpo/verdict.json"), (JudgeReport, "judge-0.json")]
)
def test_what_is_newer_or_damaged_says_so(cls, name):
    with pytest.raises(PalateError, match=f"{name} has version 9.*Upgrade with: pip install"):
        cls.from_json(stored(name) | {"version": 9}, name)
    damaged = {k: v for k, v in stored(name).items() if k != "win_rate"}
    with pytest.raises(BadInput, match="field 'win_rate': is missing"):
        cls.from_json(damaged, name)
    with pytest.raises(BadInput, match="expected an object"):
        cls.from_json([], name)


@settings(max_examples=15)  # a verdict takes a tenth of a second
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 5))
def test_a_verdict_reads_back_as_it_was_written(wins, losses, ties):
    verdict = votes(wins, losses, ties)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict

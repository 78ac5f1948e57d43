"""run.json: read back as it was written, whichever version wrote it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_facts import RUN, SFT_RUN

from palate.core.errors import BadInput, PalateError
from palate.evaluate.verdict import Verdict
from palate.report.model_card import model_files
from palate.train.records import record
from palate.train.records.record import VERSION, DPORecord, SFTRecord

STORED = Path(__file__).parents[1] / "stored"
FACTS = [
    pytest.param(r, f, id=f"{r['job']}-{f}")
    for r in (RUN, SFT_RUN)
    for f in r
    if f not in ("job", "version")  # without a version it is the first
]


def test_a_run_of_the_version_before_the_field_still_loads_and_makes_a_card():
    folder = STORED / "me--titles-dpo"
    run = record.load(folder)
    stored = json.loads((folder / "run.json").read_text("utf-8"))
    assert "version" not in stored
    assert isinstance(run, DPORecord)
    kept = json.loads(json.dumps(run.to_json()))
    for name in ("agreement", "self_consistency"):  # whose intervals took rows as independent
        rate, before = kept["data"].pop(name), stored["data"].pop(name)
        assert (rate["hits"], rate["n"], rate["interval"]) == (before["hits"], before["n"], None)
    assert kept["data"].pop("implied_checks")["n"] == 0
    later = ("alpha_interval", "ai", "judge", "judge_agreement", "aspects", "judges_agree")
    assert [kept["data"].pop(name) for name in later] == [None, 0, "", None, {}, None]
    counted = ("judges", "people_chosen", "people_in_all")
    assert [kept["data"].pop(name) for name in counted] == [{}, 0, 0]
    assert kept.pop("search") is None
    results = {"test_prompts": None, "test_ties": 0, "cross_fitted": False, "leads": {}}
    results |= {"kept": "lowest loss", "by_annotator": {}}
    # nothing else is lost, and what was not measured is not claimed
    stored["results"] |= results
    assert kept == stored | {"version": VERSION}
    assert run.results.baselines["bag of words"].n == run.results.test_rows == 92
    verdict = Verdict.from_json(json.loads((folder / "verdict.json").read_text("utf-8")))
    card = str(model_files(run, verdict)["README.md"])
    assert "The Bread That Outlived Three 40 Calm I Page" in card


@pytest.mark.parametrize(("facts", "kind"), [(RUN, DPORecord), (SFT_RUN, SFTRecord)])
def test_a_record_is_read_back_as_it_was_written(facts, kind, tmp_path):
    run = record.from_json(facts)
    assert type(run) is kind
    run.save(tmp_path)
    assert record.load(tmp_path) == run
    assert run.to_json()["version"] == VERSION


@pytest.mark.parametrize(("facts", "fact"), FACTS)
def test_a_missing_fact_is_an_error_not_a_blank(facts, fact):
    with pytest.raises(BadInput, match=f"run.json, field '{fact}': is missing"):
        record.from_json({k: v for k, v in facts.items() if k != fact})


def test_a_missing_fact_is_named_by_its_path():
    bad = RUN | {"data": RUN["data"] | {"prompts": {"train": 1, "test": 2}}}
    with pytest.raises(BadInput, match=r"field 'data\.prompts\.eval': is missing"):
        record.from_json(bad)


def test_a_newer_record_says_what_to_do():
    with pytest.raises(PalateError, match="A newer palate wrote it"):
        record.from_json(RUN | {"version": VERSION + 1})


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists) | st.just({"job": "judge"}))
def test_what_is_no_record_is_refused(value):
    with pytest.raises(BadInput, match="field 'job'"):
        record.from_json(value)


def test_text_that_is_not_json_is_refused():
    with pytest.raises(BadInput, match=r"me/x/run\.json: not JSON"):
        record.parse("{", "me/x/run.json")


def test_the_result_is_one_line():
    dpo, sft = record.from_json(RUN).sentence(), record.from_json(SFT_RUN).sentence()
    assert "the model prefers what people preferred in 62.7% of 110 pairs" in dpo
    assert "(95% interval 53.4–71.2). Step " in dpo
    assert sft == (
        "test loss 3.2000 → 2.5000 a token (perplexity 24.5 → 12.2) on 24 answers, best at step 50,"
        " 612 s"
    )


@pytest.mark.parametrize("facts", [RUN, SFT_RUN])
def test_without_test_rows_the_line_claims_nothing(facts):
    nothing = {k: None for k in facts["results"] if "test" in k} | {"test_rows": 0}
    nothing |= {"test_ties": 0} if facts is RUN else {}
    run = record.from_json(facts | {"results": facts["results"] | nothing})
    assert "nothing is known" in run.sentence()

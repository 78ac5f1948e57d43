"""compare.json: what it holds, and its table on the edges."""

import json
from dataclasses import replace

import pytest

from palate.core.errors import PalateError
from palate.core.rates import Rate
from palate.core.schema import Model
from palate.report.comparison import HEAD, Entry, MethodsReport, Share
from palate.reward.measured import Figures, Measure
from palate.train.records.best import Mean

BASE, TUNED = Model("me/base", "a" * 40), Model("me/titles-dpo", "b" * 40)
MEASURE = Measure(18, 6, Rate(12, 18, 6, 1, 9.0, 0.5))
BEST = Model("me/titles-reward", "best-of-16.aaaaaaaaaaaa.cccccccccccc")


def figures(**changes) -> Figures:
    usual = {
        "answers": 10, "reward": Mean(0.5, (0.1, 0.9)), "change": Mean(0.25, None),
        "kl": Mean(3.14, (2.0, 4.0)), "characters": 61.4, "ended": 1.0,
    }  # fmt: skip
    return Figures(**(usual | changes))


def report(measure: Measure | None = MEASURE) -> MethodsReport:
    entries = (
        Entry("base", BASE, figures(change=Mean(0.0, None), kl=None)),
        Entry(
            "dpo", TUNED, figures(), Share(0.641, (0.58, 0.7)), 126.0, 0.4, ("Text -0.3 points",)
        ),
        Entry("best-of-16", BEST, figures(kl=None), Share(1.0, None)),
    )
    return MethodsReport(0, "d" * 40, "2026-01-01T00:00:00.000Z", measure, entries)


def test_it_reads_back_what_it_wrote():
    made = report()
    assert MethodsReport.from_json(json.loads(made.text())) == made


def test_a_newer_file_is_refused_and_a_wrong_one_names_its_field():
    value = json.loads(report().text())
    with pytest.raises(PalateError, match="version"):
        MethodsReport.from_json(value | {"version": 9})
    del value["entries"][0]["figures"]["ended"]
    with pytest.raises(PalateError, match="ended"):
        MethodsReport.from_json(value)


def test_a_cell_is_empty_where_nothing_is_known():
    base, dpo, best = (dict(zip(HEAD, cells, strict=True)) for cells in report().rows())
    assert (base["KL"], base["more than base"], base["pairs right, held out"]) == ("0", "–", "–")
    assert dpo == {
        "method": "dpo", "pairs right, held out": "64.1% (58–70%)",
        "reward, held out": "+0.50 (+0.10 to +0.90)", "more than base": "+0.25", "KL": "3.1",
        "characters": "61", "end": "100%", "minutes": "2.1", "cost": "$0.40",
        "check": "Text -0.3 points", "place": "–",
    }  # fmt: skip
    # the most by which the best of 16 can differ: log 16 - 15/16
    assert (best["KL"], best["minutes"], best["cost"]) == ("at most 1.8", "–", "–")
    assert best["pairs right, held out"] == "100.0%"


def test_a_terminal_shows_what_is_known_and_how_to_read_it():
    lines = report().lines()
    assert lines[0] == "base: reward +0.50 (+0.10 to +0.90), KL 0, characters 61, end 100%"
    assert "learned from 18 labels on 6 test prompts, which no method trained on" in lines[-1]
    assert "such a reward ranks 12 of 18 on 6 prompts (67%" in lines[-1]
    assert "too few labels" in report(None).lines()[-1]


def lines_with(*entries: Entry) -> str:
    return "\n".join(MethodsReport(0, "", "", MEASURE, (*report().entries, *entries)).notes())


def test_which_methods_kept_weights_that_test_prompts_chose():
    rl, sft = Entry("rl", TUNED, figures()), Entry("sft", TUNED, figures(), kept="loss")
    hindsight = replace(sft, method="hindsight")
    assert "rl kept the weights that such a reward" in lines_with(replace(rl, kept="reward"))
    assert "rl may have kept" in lines_with(rl)  # of an older file
    assert "rl" not in lines_with(replace(rl, kept="last")).split()
    assert "kept the weights" not in lines_with()
    assert "sft kept the weights with the lowest loss" in lines_with(sft)
    assert "so its figures may be too high" in lines_with(replace(sft, kept=None))
    both = lines_with(sft, hindsight)
    assert "sft and hindsight kept the weights" in both
    assert "so their figures may be too high" in both

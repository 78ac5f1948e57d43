"""Groups of people by taste: found where there are two, and not where there are none."""

import math
from dataclasses import replace

import numpy as np
import pytest

from palate.audit import findings, json_report
from palate.audit.groups import Answers, Groups, contrast, divide, find, finding
from palate.audit.measure import measure
from palate.audit.rows import Row, Rows
from palate.collect.labels import pseudonym


def answers(rng, tastes, prompts=20, texts=4, sees=lambda who, pair: True) -> list[Row]:
    """Return rows of people; `tastes` returns each person's values of a prompt's texts."""
    made = []
    for q in range(prompts):
        values = tastes(rng, texts)
        for a in range(texts):
            for b in range(a + 1, texts):
                for who, own in enumerate(values):
                    if sees(who, (q, a, b)):
                        left = 1.5 * (own[a] - own[b]) + rng.logistic() > 0
                        choice = "left" if left else "right"
                        row = Row(0, f"q{q}", f"t{q}-{a}", f"t{q}-{b}", choice)
                        made.append(replace(row, annotator=f"p-{who}"))
    return made


def two_tastes(n, first):
    def tastes(rng, texts):
        one, other = rng.normal(size=(2, texts))
        return [one if who < first else other for who in range(n)]

    return tastes


def one_taste(reliability):
    def tastes(rng, texts):
        shared = rng.normal(size=texts) * rng.choice([0.2, 1, 2])  # some prompts are harder
        return [r * shared for r in reliability]

    return tastes


def tastes_of_their_own(n):
    return lambda rng, texts: rng.normal(size=(n, texts)) * 2


NO_GROUPS = {
    "alike": one_taste([1.0] * 6),
    "some careless": one_taste([2, 1, 1, 0.3, 0.05, 0.05]),
    "coins": one_taste([0.0] * 6),
    "each their own": tastes_of_their_own(6),
}


@pytest.mark.parametrize(("n", "first"), [(6, 3), (8, 3), (14, 5)])
def test_two_tastes_are_two_groups(n, first):
    rows = answers(np.random.default_rng(1), two_tastes(n, first))
    found = find(rows)
    assert {frozenset(g.people) for g in found.groups} == {
        frozenset(f"p-{i}" for i in range(first)), frozenset(f"p-{i}" for i in range(first, n)),
    }  # fmt: skip
    larger = found.groups[0]
    assert len(larger.people) == n - first
    assert larger.interval[0] < larger.share == (n - first) / n < larger.interval[1]
    assert found.p is not None
    assert found.p <= 0.01
    assert (found.within.rate or 0) > 0.65 > 0.55 > (found.between.rate or 1)
    pairs_of_people = found.within.n + found.between.n
    assert pairs_of_people == math.comb(n, 2) * 120  # each counted once, held out


@pytest.mark.parametrize("kind", NO_GROUPS)
def test_chance_and_carelessness_make_no_groups(kind):
    groups = [bool(find(answers(np.random.default_rng(s), NO_GROUPS[kind])).groups) for s in (1, 2)]
    assert groups == [False, False]


@pytest.mark.slow
@pytest.mark.parametrize("kind", NO_GROUPS)
def test_in_95_of_100_runs_there_are_no_groups_where_there_are_none(kind):
    runs = [find(answers(np.random.default_rng(s), NO_GROUPS[kind], 12), s) for s in range(100)]
    assert sum(bool(found.groups) for found in runs) <= 5


def test_people_who_see_different_pairs_are_divided_as_well():
    def sees(who, pair):
        return who in np.random.default_rng(sum(pair) * 7 + pair[0]).choice(8, 4, replace=False)

    found = find(answers(np.random.default_rng(2), two_tastes(8, 4), prompts=60, sees=sees))
    assert {len(g.people) for g in found.groups} == {4}


def test_too_few_people_or_pairs_are_not_tested():
    few = answers(np.random.default_rng(0), two_tastes(3, 1))
    assert find(few) == Groups(3, 120)
    short = answers(np.random.default_rng(0), two_tastes(6, 3), prompts=5)
    assert find(short) == Groups(6, 30)
    assert find([]) == Groups(0, 0)
    alone = [r for r in few if r.annotator == "p-0"]
    assert find(alone) == Groups(0, 0)
    nobody = [replace(r, annotator="imported") for r in few]
    assert find(nobody) == Groups(0, 0)


def test_everybody_saying_the_same_is_no_group():
    rows = [
        Row(0, f"q{q}", f"a{q}", f"b{q}", "left", annotator=f"p-{who}")
        for q in range(60)
        for who in range(5)
    ]
    found = find(rows)
    assert not found.groups
    assert found.p is None or found.p > 0.5


def test_the_last_of_several_answers_counts_whichever_side_it_was_on():
    row = Row(0, "q", "x", "y", "left", annotator="p-0")
    rows = [row, replace(row, left="y", right="x"), replace(row, annotator="p-1")]
    made = Answers.of(rows)
    assert made.people == ("p-0", "p-1")
    assert made.table().tolist() == [[-1], [1]]


def test_a_division_shows_what_its_lesser_group_shows():
    agreed = np.array([[0, 8, -8, -8], [8, 0, -8, -8], [-8, -8, 0, 8], [-8, -8, 8, 0]], np.float32)
    shared = 10 * (1 - np.eye(4, dtype=np.float32))
    right, wrong, alone = contrast(
        np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], bool), agreed, shared
    )
    assert right == pytest.approx(1.6 / math.sqrt(1 / 10 + 1 / 40))
    assert wrong < 0
    assert alone == -np.inf
    best, division = divide(np.array([[1, 1, -1], [1, 1, -1], [-1, -1, 1], [-1, -1, 1]], float))
    assert division.tolist() == [True, True, False, False]
    assert best > 0


def test_the_audit_offers_the_commands_that_train_on_a_group():
    rows = answers(np.random.default_rng(1), two_tastes(6, 3))
    source = Rows("me/titles", rows, len(rows), sided=True, project="me/titles")
    result = measure(source)
    (said,) = [f for f in findings.findings(result) if "by taste" in f.text]
    assert said.level == "note"
    assert "6 people on 120 pairs that several of them decided form two groups." in said.text
    assert "3 people (50%, for other people like these 12–88%): p-0, p-1, p-2" in said.text
    assert "palate train me/titles --annotators p-0,p-1,p-2" in said.advice
    assert "Nothing is divided unless you ask." in said.advice
    made = json_report.to_json(result, [])["groups_by_taste"]
    assert made["groups"][1]["people"] == ["p-3", "p-4", "p-5"]
    assert measure(source, learn=False).groups is None
    names = {"p-0": "Ann, the boss"}
    named = [replace(r, annotator=names.get(r.annotator, r.annotator)) for r in rows]
    file = measure(replace(source, rows=named, project=""))
    advice = finding(file.groups, file.project).advice
    assert f"palate train OWNER/NAME --annotators {pseudonym('Ann, the boss')},p-1,p-2" in advice


def test_where_none_are_shown_the_audit_says_only_that():
    said = finding(Groups(6, 120, 0.4), "me/titles")
    assert said.text.startswith("No groups by taste are shown among 6 people on 120 pairs")
    assert "--annotators" not in said.advice

"""Ratings of several models, from votes between any two."""

import random
import re
from dataclasses import replace
from itertools import combinations

import evalica
import numpy as np
import pytest

from palate.core.schema import BEST_OF, Candidate, Event, Model, Pair
from palate.evaluate.bradley_terry import SCALE, Games, strengths
from palate.evaluate.pictures import rated_models
from palate.evaluate.ratings import Rating, RatingList, name, ratings, short_names, table

BASE, ONE, TWO, THREE = (
    Model(f"me/{name}", name[0] * 40) for name in ("base", "one", "two", "xthree")
)


def votes(
    strength: dict[Model, float], each: int = 300, prompts: int = 40, people: int = 1
) -> tuple[list[Event], list[Candidate]]:
    """Return votes between every two models that follow the strengths, in points."""
    draw, events, candidates = random.Random(0), [], []
    for n in range(each):
        for x, y in combinations(strength, 2):
            prompt = f"q{n % prompts}"
            texts = [Candidate.of(prompt, f"{m.repo} {n} {x.repo}{y.repo}", model=m.repo,
                                  revision=m.revision) for m in (x, y)]  # fmt: skip
            candidates += texts
            left, right = draw.sample(texts, 2)
            chance = 1 / (1 + 10 ** ((strength[y] - strength[x]) / 400))
            chosen = texts[0] if draw.random() < chance else texts[1]
            events.append(
                Event(
                    event_id=f"event-{x.repo}{y.repo}{n:05}", kind="label",
                    pair_id=Pair.of(*texts).id, prompt_id=prompt, left=left.id, right=right.id,
                    chosen=chosen.id, strength=None, annotator=f"p-{n % people}", milliseconds=900,
                    round=1, via="ballot", time=f"2026-01-01T00:00:{len(events) % 60:02}.000Z",
                )
            )  # fmt: skip
    return events, candidates


def one_list(*given) -> RatingList:
    (rated,) = ratings(*given, BASE)
    return rated


def test_ratings_find_the_strengths_and_count_from_the_base():
    rated = one_list(*votes({BASE: 0, ONE: 100, TWO: 200}))
    assert [r.model for r in rated.ratings] == [TWO, ONE, BASE]
    assert rated.reference == BASE
    assert rated.ratings[2].over is None
    for r, truth in zip(rated.ratings, (200, 100), strict=False):
        assert r.over.points == pytest.approx(truth, abs=45)
        low, high = r.over.interval
        assert low < truth < high
        assert r.votes == 600
    assert [r.place for r in rated.ratings] == ["1", "2", "3"]
    lines = table([rated])
    assert lines[0].startswith("Ratings of 3 models by 900 votes on 40 prompts, for prompts like")
    assert lines[1].startswith("1. me/two at ttttttt: +")
    assert any(line.startswith("me/two at ttttttt over me/one at ooooooo: +") for line in lines)


def test_the_picture_says_each_difference_and_can_be_read_on_a_phone():
    rated = one_list(*votes({BASE: 0, ONE: 100, TWO: 200}))
    svg = rated_models(rated)
    for r in rated.ratings[:2]:
        assert f"{name(r.model)}: {r.over.words()}" in svg
    assert f"{name(BASE)}: the reference" in svg
    (width,) = re.findall(r'viewBox="0 0 ([\d.]+) ', svg)
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert min(sizes) * 328 / float(width) >= 12


def test_the_picture_of_a_model_that_won_every_vote_has_an_open_end():
    rated = one_list(*votes({BASE: 0, ONE: 0, TWO: 100_000}))
    assert any(r.over and r.over.points is None for r in rated.ratings)
    assert "nan" not in rated_models(rated).lower()
    assert "won every vote that compares them" in rated_models(rated)


def test_two_models_need_no_ratings():
    assert ratings(*votes({BASE: 0, ONE: 100}), BASE) == []


def test_places_are_shared_where_votes_do_not_tell_models_apart():
    rated = one_list(*votes({BASE: 0, ONE: 0, TWO: 1000}, each=40))
    assert [r.place for r in rated.ratings] == ["1", "2–3", "2–3"]


def test_a_model_that_never_lost_is_bounded_by_its_votes():
    """Of 12 prompts with 2 votes each it won all: Wilson's interval for 12 of 12 is above +140."""
    few, many = (
        one_list(*votes({BASE: 0, ONE: 50, TWO: 9000}, each=n, prompts=n)) for n in (12, 60)
    )
    for rated, low, high in ((few, 80, 400), (many, 400, 800)):
        assert rated.ratings[0].model == TWO
        over = rated.ratings[0].over
        assert over.points is None
        assert low < over.interval[0] < high
        assert over.interval[1] is None
        assert over.words().endswith("points: it won every vote that compares them")


def test_wilsons_interval_is_that_of_one_pair_that_went_one_way():
    k = 20
    games = Games(2, np.zeros(k, int), np.ones(k, int), np.ones(k), np.arange(k), np.zeros(k, int))
    low, high = strengths(games).interval(0, 1)
    quantile = 2.0930  # Student's, 19 degrees of freedom
    assert low == pytest.approx(SCALE * np.log(k / quantile**2), abs=0.1)
    assert high == np.inf


def test_repeated_votes_on_few_prompts_say_no_more_than_the_prompts():
    once, often = (
        one_list(*votes({BASE: 0, ONE: 50, TWO: 9000}, each=n, prompts=12)) for n in (12, 120)
    )
    assert often.ratings[0].over.interval[0] < once.ratings[0].over.interval[0] + 25


def test_models_that_never_met_are_in_two_lists():
    first, candidates = votes({BASE: 0, ONE: 100})
    second, others = votes({TWO: 0, THREE: 100}, each=100)
    lists = ratings([*first, *second], [*candidates, *others], BASE)
    assert [{r.model for r in one.ratings} for one in lists] == [{BASE, ONE}, {TWO, THREE}]
    assert "No vote connects the next models with those above." in table(lists)


def test_too_few_prompts_give_no_interval():
    rated = one_list(*votes({BASE: 0, ONE: 100, TWO: 200}, prompts=4))
    assert "too few prompts or people for an interval" in rated.ratings[0].over.words()
    assert {r.place for r in rated.ratings} == {"1–3"}


def test_points_are_evalicas():
    events, candidates = votes({BASE: 0, ONE: 60, TWO: 90, THREE: 200}, prompts=13, people=7)
    repo = {c.id: c.model for c in candidates}
    won = [evalica.Winner.X if e.chosen == e.left else evalica.Winner.Y for e in events]
    scores = evalica.bradley_terry(
        [repo[e.left] for e in events], [repo[e.right] for e in events], won
    ).scores
    for d in one_list(events, candidates).differences:
        ratio = scores[d.model.repo] / scores[d.other.repo]
        assert d.points == pytest.approx(SCALE * np.log(ratio), abs=0.1)


def test_prompts_that_disagree_widen_an_interval():
    def rated(by_prompt: bool) -> RatingList:
        events, candidates = votes({BASE: 0, ONE: 0, TWO: 0}, each=220, prompts=11)
        model = {c.id: c.model for c in candidates}
        turned = []
        for n, e in enumerate(events):
            stronger = (hash_of(e.prompt_id) if by_prompt else n) % 2
            sides = sorted((e.left, e.right), key=model.__getitem__)
            turned.append(replace(e, chosen=sides[stronger]))
        return one_list(turned, candidates)

    same, apart = (
        next(r.over for r in rated(kind).ratings if r.over).interval for kind in (False, True)
    )
    assert apart[1] - apart[0] > 2 * (same[1] - same[0])


def hash_of(prompt: str) -> int:
    return int(prompt[1:])


@pytest.mark.parametrize(("prompts", "people"), [(11, 1), (20, 3), (20, 10)])
def test_intervals_hold(prompts, people):
    """`benchmarks/ratings.py` has more cells and runs."""
    random = np.random.default_rng(3)
    held = []
    for _ in range(60):
        latent = random.normal((0, 0.4, 0.8), 0.7, (prompts, 3))
        p, _, g = (
            m.ravel() for m in np.meshgrid(range(prompts), range(people), range(3), indexing="ij")
        )
        left, right = np.array([(0, 0, 1), (1, 2, 2)])[:, g]
        rows = np.arange(len(p))
        chance = 1 / (1 + np.exp(latent[p, right] - latent[p, left]))
        won = (random.random(len(rows)) < chance).astype(float)
        voter = np.tile(np.repeat(range(people), 3), prompts)
        found = strengths(Games(3, left, right, won, p, voter))
        truth = SCALE * np.array((0, 0.4, 0.8)) / np.sqrt(1 + 2 * 0.7**2 / 2.9)  # attenuated
        for i, j in combinations(range(3), 2):
            low, high = found.interval(i, j)
            held.append(low <= truth[i] - truth[j] <= high)
    assert np.mean(held) >= 0.91


def test_what_a_reward_chose_is_called_the_best_of_so_many():
    chosen = Model("me/x-reward", f"best-of-16.{'1' * 12}.{'2' * 12}")
    lines = table(ratings(*votes({BASE: 0, ONE: 50, chosen: 100}), BASE))
    assert any("best of 16 by me/x-reward: " in line for line in lines)
    assert not any("best-of" in line for line in lines)


def test_a_page_calls_models_by_short_names_unless_two_have_the_same():
    repos = {"me/x-kto": "a", "me/x-dpo": "b", "you/x-dpo": "c", "me/base": "d"}
    models = [Model(repo, sha * 40) for repo, sha in repos.items()]
    best = Model("me/x-reward", f"{BEST_OF}16.{'d' * 12}.{'e' * 12}")
    again = Model("me/x-kto", "f" * 40)
    ratings_of = [Rating(m, None, (1, 1), 1) for m in (*models, best)]
    rated = RatingList(models[-1], ratings_of, [], 1, 1, 1, 1)
    assert list(short_names([rated], "me/x").values()) == [
        "kto", "dpo", "you/x-dpo", "me/base", "best of 16",
    ]  # fmt: skip
    other = RatingList(again, [Rating(again, None, (1, 1), 1)], [], 1, 1, 1, 1)
    names = short_names([rated, other], "me/x")
    assert (names[models[0]], names[again]) == ("me/x-kto at aaaaaaa", "me/x-kto at fffffff")


@pytest.mark.parametrize("models", [3, 6, 12])
def test_a_difference_is_as_sure_either_way_round_whatever_rounding_does(models):
    """One eigenvalue of the information is 0: rounding must not make a large variance of it."""
    rng = np.random.default_rng(models)
    for votes_each in (20, 300, 3000):
        left = rng.integers(0, models, votes_each * models)
        right = (left + rng.integers(1, models, len(left))) % models
        result = (rng.random(len(left)) < 0.5 + 0.02 * (left - right)).astype(float)
        prompt = rng.integers(0, 40, len(left))
        found = strengths(Games(models, left, right, result, prompt, np.zeros_like(left)))
        apart = ~np.eye(models, dtype=bool)
        assert found.error == pytest.approx(found.error.T)
        assert found.units == pytest.approx(found.units.T)
        assert (found.units[apart] > 5).all()

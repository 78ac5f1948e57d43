"""Votes on two revisions, counted into a verdict. Pure: no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from palate.core.ledger import standing_judgements
from palate.core.schema import Candidate, Event, Model, Pair, model_of
from palate.evaluate.confounds import Vote, confounds
from palate.evaluate.contest import EvaluationPairs, round_on_prompts
from palate.evaluate.decision import MARGIN, Evidence, RoundResult, decide
from palate.evaluate.planning import to_go
from palate.evaluate.verdict import Matches, Point, Verdict, Voter

CURVE_POINTS = 60  # of the win rate over the votes


def count_votes(
    events: Iterable[Event],
    candidates: Sequence[Candidate],
    compared: EvaluationPairs,
    *,
    margin: float = MARGIN,
    characters: tuple[int, int] | None = None,
    number: int | None = None,
) -> Verdict | None:
    """Return the verdict of all standing votes on two revisions; None without a vote.

    Votes on other revisions do not count. `characters`: see `confounds`; `number` is that of the
    round on these prompts, where more than `events` tell.
    """
    events = list(events)
    number = number or round_on_prompts(events, candidates, compared)
    by_id = {c.id: c for c in candidates}
    standing = standing_judgements(events)
    between = [e for e in standing if _is_between(e, by_id, compared)]
    ours = [e for e in between if compared.eval_ids is None or e.prompt_id in compared.eval_ids]
    cast = [e for e in ours if e.kind == "tie" or (e.kind == "label" and e.chosen)]
    if not cast:
        return None
    votes = [_vote(e, by_id, compared) for e in cast]
    return replace(
        _verdict(cast, votes, compared, margin, number),
        withdrawn=len(between) - len(ours),
        skips=sum(e.kind == "skip" for e in ours),
        both_bad=sum(e.kind == "both_bad" for e in ours),
        lost=sum(e.left not in by_id or e.right not in by_id for e in standing),
        again=_again(ours, standing_judgements(events, "repeat")),
        confounds=confounds(votes, characters),
    )


def count_by_aspect(
    events: Iterable[Event],
    candidates: Sequence[Candidate],
    compared: EvaluationPairs,
    aspects: Sequence[str],
    *,
    margin: float = MARGIN,
    characters: tuple[int, int] | None = None,
) -> Verdict | None:
    """Return the verdict in the first aspect with votes, and with it those in the others.

    Votes in different aspects are never added up. Without `aspects`, those in none are counted.
    Which round on these prompts it is, votes in every aspect tell: each was a look at them.
    """
    events, verdicts = list(events), list[Verdict]()
    number = round_on_prompts(events, candidates, compared)
    for aspect in aspects or (None,):
        own = [e for e in events if e.aspect == aspect]
        verdict = count_votes(
            own, candidates, compared, margin=margin, characters=characters, number=number
        )
        if verdict:
            rounds = _rounds(own, candidates, compared, verdict)
            verdicts.append(replace(verdict, aspect=aspect, rounds=rounds))
    return replace(verdicts[0], others=tuple(verdicts[1:])) if verdicts else None


def _rounds(
    events: Sequence[Event],
    candidates: Sequence[Candidate],
    compared: EvaluationPairs,
    newest: Verdict,
) -> tuple[RoundResult, ...]:
    """Return the result of each round, this one's last; of several models in one, the newest's.

    Empty in the first round. A model's round is that in which it first wrote.
    """
    numbers: dict[Model, int] = {}
    for c in candidates:
        if c.model == compared.tuned.repo and model_of(c) != compared.base:
            numbers[model_of(c)] = min(c.round, numbers.get(model_of(c), c.round))
    by_id, this = {c.id: c for c in candidates}, numbers.get(compared.tuned, 1)
    newest_of = {this: newest}
    for model, number in numbers.items():
        other = replace(compared, tuned=model, identical=0)
        ours = [e for e in events if _is_between(e, by_id, other)]
        pairs = {e.pair_id: Pair.between(e.prompt_id, e.left, e.right) for e in ours}
        other = replace(other, pairs=list(pairs.values()))
        verdict = count_votes(events, candidates, other) if number < this else None
        if verdict and (number not in newest_of or verdict.time > newest_of[number].time):
            newest_of[number] = verdict
    results = [
        RoundResult(number, v.tuned, v.votes, v.win_rate, v.interval, v.decision)
        for number, v in sorted(newest_of.items())
    ]
    return tuple(results) if len(results) > 1 else ()


def _verdict(
    cast: Sequence[Event],
    votes: Sequence[Vote],
    compared: EvaluationPairs,
    margin: float,
    number: int,
) -> Verdict:
    """Return the verdict of wins, losses and ties alone; `cast` and `votes` are in one order."""
    results, people = [v.result for v in votes], [e.annotator for e in cast]
    wins, losses, ties = (results.count(r) for r in (1, 0, 0.5))
    counted = Evidence(number)
    for e, result in zip(cast, results, strict=True):
        counted.add(e.prompt_id, e.annotator, result)
    about_prompts = counted.about("prompts")
    decision = decide(wins, losses, about_prompts, margin)
    left = len(compared.pairs) - len({e.pair_id for e in cast})
    return Verdict(
        round_on_prompts=number,
        base=compared.base, tuned=compared.tuned,
        votes=len(cast), wins=wins, losses=losses, ties=ties, skips=0, both_bad=0,
        identical=compared.identical, lost=0,
        win_rate=_mean(results),
        about_prompts=about_prompts, about_people=counted.about("people"),
        win_rate_without_ties=wins / (wins + losses) if wins + losses else None,
        win_rate_with_identical=_with_identical(_mean(results), compared),
        decision=decision,
        ahead=to_go(wins, losses, about_prompts, left) if decision == "open" else None,
        margin=margin,
        left_chosen=sum(e.chosen == e.left for e in cast if e.kind == "label"),
        annotators=len(set(people)), prompts=len({e.prompt_id for e in cast}),
        prompts_by_model=len({e.prompt_id for e in cast} & compared.by_model),
        people=_voters(people, results),
        strengths=_strengths(cast, results),
        again=Matches(0, 0), agreed=_agreed(cast, results),
        confounds=None,
        moves=_points(cast, results, number),
        time=max(e.time for e in cast),
    )  # fmt: skip


def _is_between(e: Event, by_id: Mapping[str, Candidate], compared: EvaluationPairs) -> bool:
    models = {model_of(by_id[c]) for c in (e.left, e.right) if c in by_id}
    return models == {compared.base, compared.tuned}


def _vote(e: Event, by_id: Mapping[str, Candidate], compared: EvaluationPairs) -> Vote:
    left, right = by_id[e.left], by_id[e.right]
    tuned_left = model_of(left) == compared.tuned
    tuned, base = (left, right) if tuned_left else (right, left)
    result = 0.5 if e.kind == "tie" else float(e.chosen == tuned.id)
    return Vote(e.prompt_id, base.text, tuned.text, tuned_left, result, e.annotator)


def _mean(results: Sequence[float]) -> float:
    return sum(results) / len(results)


def _with_identical(win_rate: float, compared: EvaluationPairs) -> float:
    """Return the win rate with each identical pair as a tie, at its share of all pairs."""
    total = len(compared.pairs) + compared.identical
    share = compared.identical / total if compared.identical else 0.0
    return (1 - share) * win_rate + share / 2


def _voters(people: Sequence[str], results: Sequence[float]) -> list[Voter]:
    by_person: dict[str, list[float]] = {}
    for person, result in zip(people, results, strict=True):
        by_person.setdefault(person, []).append(result)
    voters = [Voter(len(own), _mean(own)) for own in by_person.values()]
    return sorted(voters, key=lambda v: (-v.votes, v.win_rate))


def _strengths(cast: Sequence[Event], results: Sequence[float]) -> dict[str, tuple[int, int]]:
    """Return wins and losses by the strength that the voter gave."""
    counts: dict[str, tuple[int, int]] = {}
    for e, result in zip(cast, results, strict=True):
        if e.strength and e.kind == "label":
            wins, losses = counts.get(str(e.strength), (0, 0))
            won = result == 1
            counts[str(e.strength)] = (wins + won, losses + (not won))
    return dict(sorted(counts.items()))


def _again(first: Sequence[Event], repeats: Sequence[Event]) -> Matches:
    by_pair = {(e.annotator, e.pair_id): e for e in first}
    twice = [(by_pair[k], e) for e in repeats if (k := (e.annotator, e.pair_id)) in by_pair]
    return Matches(sum((x.kind, x.chosen) == (y.kind, y.chosen) for x, y in twice), len(twice))


def _agreed(cast: Sequence[Event], results: Sequence[float]) -> Matches:
    by_pair: dict[str, list[float]] = {}
    for e, result in zip(cast, results, strict=True):
        by_pair.setdefault(e.pair_id, []).append(result)
    equal = [x == y for same in by_pair.values() for x, y in combinations(same, 2)]
    return Matches(sum(equal), len(equal))


def _points(cast: Sequence[Event], results: Sequence[float], number: int) -> list[Point]:
    """Return the course of the win rate, at most CURVE_POINTS of it."""
    n, counted, points = len(results), Evidence(number), []
    shown = {max(1, round(n * i / CURVE_POINTS)) for i in range(1, CURVE_POINTS + 1)}
    for k, (e, result) in enumerate(zip(cast, results, strict=True), 1):
        counted.add(e.prompt_id, e.annotator, result)
        if k in shown:
            low, high = counted.about("prompts").interval
            points.append(Point(k, round(counted.rate, 4), round(low, 4), round(high, 4)))
    return points

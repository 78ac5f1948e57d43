"""A verdict: the blind votes on two exact revisions, their doubt, and what to do next."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Literal

from palate.core import ledger
from palate.core.errors import PalateError
from palate.core.markdown import count as counted
from palate.core.project import Project
from palate.core.schema import Candidate, Event, Model, model_of
from palate.core.stats import (
    DECIDES,
    clustered,
    evidence,
    sequence,
    votes_needed,
    votes_to_go,
    wilson,
)
from palate.evaluate.confounds import Duel, confounds
from palate.evaluate.contest import contest

Decision = Literal["better", "worse", "no difference", "open"]
MARGIN = 0.1  # a win rate this near to one half is called no difference
POINTS = 60  # of the picture of how the win rate moved


@dataclass(frozen=True)
class Verdict:
    """A blind comparison of two exact revisions. Rates are fractions, ties count as half a win."""

    base: Model
    tuned: Model
    votes: int  # wins + losses + ties
    wins: int
    losses: int
    ties: int
    skips: int
    both_bad: int  # counted beside the votes: neither a win nor a tie
    identical: int  # pairs of equal texts, which nobody was asked about
    lost: int  # votes on texts that are no longer in the project
    win_rate: float
    interval: tuple[float, float]  # Wilson, 95 %, for a number of votes that was fixed before
    sequence: tuple[float, float]  # 95 %, however often one looked; leaves out ½ once decided
    clustered: tuple[float, float] | None  # 95 %, over prompts and people; None for few prompts
    win_rate_without_ties: float | None  # None when every vote is a tie
    win_rate_with_identical: float  # each identical pair a tie
    evidence: float  # e-value against "preferred equally often"; see `stats.DECIDES`
    decision: Decision
    more: int | None  # decisive votes that would decide, if they go on as so far; None: too many
    margin: float
    left_chosen: int  # of wins + losses: how often the left side won
    annotators: int
    prompts: int
    people: list[dict[str, Any]]  # {votes, win_rate} of each voter, no names
    strengths: dict[str, list[int]]  # "1" barely … "4" much better → [wins, losses]
    again: dict[str, int]  # pairs asked again with the sides exchanged: {same, n}
    agreed: dict[str, int]  # two people on one pair: {same, n}
    confounds: dict[str, Any]  # see `palate.confounds`
    moves: list[list[float]]  # [votes, win rate, low, high of the sequence], as the votes came
    time: str  # of the last vote

    def sentence(self) -> str:
        """Return the result in one line."""
        low, high = (100 * x for x in self.interval)
        return (
            f"tuned preferred {100 * self.win_rate:.1f} % (95 % interval {low:.1f}–{high:.1f},"
            f" {counted(self.votes, 'vote')}, {counted(self.ties, 'tie')})"
        )

    def meaning(self) -> str:
        """Return what was found and how sure it is, in words for anybody."""
        margin = f"{100 * self.margin:.0f} points"
        if not self.wins + self.losses:
            return "Every vote is a tie: nobody saw a difference."
        if self.decision == "no difference":
            return f"Decided: if one is preferred at all, then by less than {margin}. You can stop."
        if self.decision != "open":
            return (
                f"Decided: people prefer the {'tuned' if self.decision == 'better' else 'base'}"
                " model. Were both alike, votes this one-sided would come in less than 1 of"
                f" {_round(self.evidence):,} evaluations, even with a look after every vote."
                " You can stop."
            )
        if self.more is None:
            return (
                "Not decided, and the votes are so even that thousands more might not decide."
                " Call it a draw, or train again."
            )
        return (
            "Not decided yet. If votes go on as so far, about"
            f" {counted(self.more, 'more vote')} will decide."
        )

    def cautions(self) -> list[str]:
        """Return what keeps the figures from saying more than they seem to."""
        found = []
        if self.annotators == 1:
            found.append("One person voted: this is their taste, nobody else's.")
        if self.clustered and self.wider():
            low, high = (100 * x for x in self.clustered)
            found.append(
                f"{self.votes} votes are on {self.prompts} prompts. What holds for other prompts"
                f" is less sure: {low:.0f}–{high:.0f} %."
            )
        if self.clustered is None:
            found.append(
                f"Only {counted(self.prompts, 'prompt')}: other prompts may go the other way."
            )
        if self.confounds["left"] is None and self.wins + self.losses:
            found.append("One model always stood on the same side, so side may have decided.")
        if self.lost:
            are, do = ("is", "does") if self.lost == 1 else ("are", "do")
            votes = counted(self.lost, "vote")
            found.append(f"{votes} {are} on texts that are gone, and {do} not count.")
        return found

    def wider(self) -> bool:
        """Tell whether the interval over prompts and people says more doubt than that of votes."""
        low, high = self.clustered or self.interval
        return high - low > self.interval[1] - self.interval[0]

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict) -> "Verdict":
        models = {k: Model(**data[k]) for k in ("base", "tuned")}
        bounds = {k: data[k] and tuple(data[k]) for k in ("interval", "sequence", "clustered")}
        values: dict[str, Any] = {**data, **models, **bounds}
        return cls(**values)


def verdict(
    votes: Iterable[Event],
    candidates: Sequence[Candidate],
    base: Model,
    tuned: Model,
    *,
    pairs: int = 0,
    identical: int = 0,
    margin: float = MARGIN,
    characters: tuple[int, int] | None = None,
) -> Verdict | None:
    """Return the verdict of all events on these two revisions; None without a vote.

    Votes on other revisions do not count. `pairs` were asked about, `identical` not.
    """
    events = list(votes)
    text = {c.id: c.text for c in candidates}
    side = {c.id: model_of(c) for c in candidates}
    standing = ledger.standing_judgements(events)
    ours = [e for e in standing if {side.get(e.left), side.get(e.right)} == {base, tuned}]
    asked = [e for e in ours if e.kind == "tie" or (e.kind == "label" and e.chosen)]
    if not asked:
        return None
    results = [0.5 if e.kind == "tie" else float(side[e.chosen or ""] == tuned) for e in asked]
    duels = [
        Duel(e.prompt_id, text[other], text[ours_], side[e.left] == tuned, r)
        for e, r in zip(asked, results, strict=True)
        for ours_, other in [(e.left, e.right) if side[e.left] == tuned else (e.right, e.left)]
    ]
    n, wins, losses = len(asked), results.count(1), results.count(0)
    ties, rate = n - wins - losses, sum(results) / n
    e = evidence(wins, losses)
    bounds = sequence(wins, losses, ties)
    inside = 0.5 - margin < bounds[0] and bounds[1] < 0.5 + margin
    decision: Decision = "no difference" if inside else "open"
    if e >= DECIDES:
        decision = "better" if wins > losses else "worse"
    people = [x.annotator for x in asked]
    alike = identical / (pairs + identical) if identical else 0.0
    return Verdict(
        base=base, tuned=tuned, votes=n, wins=wins, losses=losses, ties=ties,
        skips=sum(x.kind == "skip" for x in ours),
        both_bad=sum(x.kind == "both_bad" for x in ours),
        identical=identical,
        lost=sum(x.left not in side or x.right not in side for x in standing),
        win_rate=rate,
        interval=wilson(sum(results), n),
        sequence=bounds,
        clustered=clustered(results, [x.prompt_id for x in asked], people),
        win_rate_without_ties=wins / (wins + losses) if wins + losses else None,
        win_rate_with_identical=(1 - alike) * rate + alike / 2,
        evidence=e,
        decision=decision,
        more=votes_to_go(wins, losses) if decision == "open" else 0,
        margin=margin,
        left_chosen=sum(x.chosen == x.left for x in asked if x.kind == "label"),
        annotators=len(set(people)),
        prompts=len({x.prompt_id for x in asked}),
        people=_people(people, results),
        strengths=_strengths(asked, results),
        again=_again(ours, ledger.standing_judgements(events, "repeat")),
        agreed=_agreed(asked, results),
        confounds=confounds(duels, characters),
        moves=_moves(results),
        time=max(x.time for x in asked),
    )  # fmt: skip


def confounded(v: Verdict) -> list[str]:
    """Return what besides quality may have decided, in sentences."""
    c, found = v.confounds, []
    if left := c["left"]:
        found.append(f"The left side won {left['hits']} of {left['n']}, p = {left['p']:.2g}.")
    longer, (base, tuned) = c["length"]["longer_won"], c["length"]["median"]
    if longer["n"]:
        found.append(
            f"The longer answer won {longer['hits']} of {longer['n']}, p = {longer['p']:.2g};"
            f" median characters: base {base:.0f}, tuned {tuned:.0f}."
        )
    for name, (b, t) in c["texts"].items():
        found.append(f"Answers with {name}: base {b} of {c['of'][0]}, tuned {t} of {c['of'][1]}.")
    if alike := c["controlled"]:
        low, high = (100 * x for x in alike["interval"])
        found.append(
            f"Between answers alike in {alike['alike_in']}, tuned would win"
            f" {100 * alike['rate']:.1f} % ({low:.1f}–{high:.1f})."
        )
    return found


def _people(people: Sequence[str], results: Sequence[float]) -> list[dict[str, Any]]:
    by: dict[str, list[float]] = {}
    for who, result in zip(people, results, strict=True):
        by.setdefault(who, []).append(result)
    each = [{"votes": len(r), "win_rate": sum(r) / len(r)} for r in by.values()]
    return sorted(each, key=lambda p: (-p["votes"], p["win_rate"]))


def _strengths(asked: Sequence[Event], results: Sequence[float]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for e, result in zip(asked, results, strict=True):
        if e.strength and e.kind == "label":
            found.setdefault(str(e.strength), [0, 0])[0 if result == 1 else 1] += 1
    return dict(sorted(found.items()))


def _again(first: Sequence[Event], repeats: Sequence[Event]) -> dict[str, int]:
    said = {(e.annotator, e.pair_id): e for e in first}
    both = [(said[k], e) for e in repeats if (k := (e.annotator, e.pair_id)) in said]
    return {"same": sum((x.kind, x.chosen) == (y.kind, y.chosen) for x, y in both), "n": len(both)}


def _agreed(asked: Sequence[Event], results: Sequence[float]) -> dict[str, int]:
    said: dict[str, list[float]] = {}
    for e, result in zip(asked, results, strict=True):
        said.setdefault(e.pair_id, []).append(result)
    both = [x == y for some in said.values() for x, y in combinations(some, 2)]
    return {"same": sum(both), "n": len(both)}


def _moves(results: Sequence[float]) -> list[list[float]]:
    points, n = [], len(results)
    for k in sorted({max(1, round(n * i / POINTS)) for i in range(1, POINTS + 1)}):
        some = results[:k]
        wins, losses = some.count(1), some.count(0)
        low, high = sequence(wins, losses, k - wins - losses)
        points.append([k, round(sum(some) / k, 4), round(low, 4), round(high, 4)])
    return points


def _round(value: float) -> int:
    """Return the number with its first two digits alone, at most a million."""
    whole = int(min(value, 1e6))
    return int(float(f"{whole:.1e}"))


def plan() -> str:
    """Return what a person wants to know before the first vote."""
    few, many = votes_needed(0.75), votes_needed(0.6)
    return (
        f"About {few} votes show a model that is preferred 3 times in 4, and about {many} one that"
        " is preferred 6 times in 10. You may look at any time."
    )


def count(
    project: Project, margin: float = MARGIN, characters: tuple[int, int] | None = None
) -> Verdict:
    """Return the verdict of all standing votes; raises PalateError without one."""

    c = contest(project)
    result = verdict(
        project.evaluations, project.candidates, c.base, c.tuned,
        pairs=len(c.pairs), identical=c.identical, margin=margin, characters=characters,
    )  # fmt: skip
    if result is None:
        raise PalateError(
            f"Nobody has voted on {c.tuned.repo} at {c.tuned.revision[:7]} yet."
            f" Vote with: palate evaluate {project.id}. {plan()}"
        )
    return result

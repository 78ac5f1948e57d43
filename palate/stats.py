"""Numbers with their doubt: win rate, intervals, position split. Pure: no I/O."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from palate.schema import Candidate, Event


def wilson(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion, as fractions.

    `successes` may be fractional (a tie is half a win). E. B. Wilson, "Probable inference, the law
    of succession, and statistical inference", JASA 22 (1927). Raises ValueError for n < 1.
    """
    from scipy.stats import norm

    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, found {successes} of {n}")
    z = float(norm.ppf(0.5 + confidence / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Model:
    """A model at an exact commit."""

    repo: str
    revision: str


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
    win_rate: float
    interval: tuple[float, float]  # Wilson, 95 %
    win_rate_without_ties: float | None  # None when every vote is a tie
    left_chosen: int  # of wins + losses: how often the left side won
    annotators: int
    prompts: int
    time: str  # of the last vote

    def sentence(self) -> str:
        """Return the verdict in one line."""
        low, high = (100 * x for x in self.interval)
        ties = f"{self.ties} tie{'s' * (self.ties != 1)}"
        return (
            f"tuned preferred {100 * self.win_rate:.1f} % (95 % interval {low:.1f}–{high:.1f},"
            f" {self.votes} vote{'s' * (self.votes != 1)}, {ties})"
        )

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict) -> "Verdict":
        models = {k: Model(**data[k]) for k in ("base", "tuned")}
        values: dict[str, Any] = {**data, **models, "interval": tuple(data["interval"])}
        return cls(**values)


def verdict(
    votes: Iterable[Event],
    candidates: Sequence[Candidate],
    base: Model,
    tuned: Model,
    identical: int = 0,
) -> Verdict | None:
    """Return the verdict of the standing `votes` on these two revisions; None without a vote.

    Votes on other revisions do not count.
    """
    side = {c.id: Model(c.model or "", c.revision or "") for c in candidates}
    ours = [e for e in votes if {side.get(e.left), side.get(e.right)} == {base, tuned}]
    labels = [e for e in ours if e.kind == "label" and e.chosen]
    wins = sum(side[e.chosen] == tuned for e in labels if e.chosen)
    ties = sum(e.kind == "tie" for e in ours)
    n = len(labels) + ties
    if n == 0:
        return None
    return Verdict(
        base=base,
        tuned=tuned,
        votes=n,
        wins=wins,
        losses=len(labels) - wins,
        ties=ties,
        skips=sum(e.kind == "skip" for e in ours),
        both_bad=sum(e.kind == "both_bad" for e in ours),
        identical=identical,
        win_rate=(wins + ties / 2) / n,
        interval=wilson(wins + ties / 2, n),
        win_rate_without_ties=wins / len(labels) if labels else None,
        left_chosen=sum(e.chosen == e.left for e in labels),
        annotators=len({e.annotator for e in ours}),
        prompts=len({e.prompt_id for e in ours}),
        time=max(e.time for e in ours),
    )

"""A verdict: the blind votes on two exact revisions, how sure it is, and what to do next.

Pure: no I/O. `verdict.json` is `Verdict.to_json`; `Verdict.from_json` reads every version of it.
"""

from dataclasses import asdict, dataclass, field
from typing import Literal

from palate.core.markdown import count
from palate.core.schema import Model
from palate.core.stats import DECIDES, evidence, sequence, votes_needed, votes_to_go
from palate.core.typed import read, version_of
from palate.evaluate.confounds import Confounds

VERSION = 1  # of verdict.json
Decision = Literal["better", "worse", "no difference", "open"]
MARGIN = 0.1  # a win rate this close to one half counts as no difference


@dataclass(frozen=True)
class Voter:
    """How one person voted, without their name."""

    votes: int
    win_rate: float


@dataclass(frozen=True)
class Matches:
    """Of `n` pairs of votes on the same answers, `same` were equal."""

    same: int
    n: int


@dataclass(frozen=True)
class Point:
    """The win rate after the first `votes` votes, with its sequential interval."""

    votes: int
    win_rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A blind comparison of two exact revisions. Rates are fractions, ties count as half a win."""

    version: int = field(default=VERSION, kw_only=True)
    base: Model
    tuned: Model
    votes: int  # wins + losses + ties
    wins: int
    losses: int
    ties: int
    skips: int
    both_bad: int  # not among the votes: neither a win nor a tie
    identical: int  # pairs of identical texts, which were not shown to anyone
    lost: int  # votes on texts that the project no longer has
    win_rate: float
    interval: tuple[float, float]  # Wilson, 95%; valid only if the number of votes was fixed
    sequence: tuple[float, float]  # 95%, valid after every vote; excludes ½ once decided
    clustered: tuple[float, float] | None  # 95%, over prompts and people; None: few prompts
    win_rate_without_ties: float | None  # None when every vote is a tie
    win_rate_with_identical: float | None  # identical pairs as ties; None: see confounds
    evidence: float  # e-value against "both are preferred equally often"; see `stats.DECIDES`
    decision: Decision
    more: int | None  # decisive votes that would decide at the rate so far; None: too many
    margin: float
    left_chosen: int  # of wins + losses: how often the left side won
    annotators: int
    prompts: int
    people: list[Voter]
    strengths: dict[str, tuple[int, int]]  # "1" barely … "4" much better → wins, losses
    again: Matches  # pairs that a person judged twice, the sides swapped
    agreed: Matches  # pairs that two people judged
    confounds: Confounds | None  # None in the first files of version 0
    moves: list[Point]  # the win rate as the votes came in
    time: str  # of the last vote

    def sentence(self) -> str:
        """Return the result in one line."""
        low, high = (100 * x for x in self.interval)
        return (
            f"tuned preferred {100 * self.win_rate:.1f}% (95% interval {low:.1f}–{high:.1f},"
            f" {count(self.votes, 'vote')}, {count(self.ties, 'tie')})"
        )

    def meaning(self) -> str:
        """Return in plain words what was found and how sure it is."""
        if not self.wins + self.losses:
            return "Every vote is a tie: nobody saw a difference."
        if self.decision == "no difference":
            points = f"{100 * self.margin:.0f} points"
            return f"Decided: no meaningful difference (less than {points}). You can stop."
        if self.decision != "open":
            return (
                f"Decided: people prefer the {'tuned' if self.decision == 'better' else 'base'}"
                " model. If both were equally good, votes this one-sided would come up in fewer"
                f" than 1 of {_two_digits(self.evidence):,} evaluations, even with a look after"
                " every vote. You can stop."
            )
        if self.more is None:
            return (
                "Not decided, and the votes are so even that thousands more might not decide."
                " Call it a draw, or train again."
            )
        return f"Not decided yet. At this rate, about {count(self.more, 'more vote')} will decide."

    def cautions(self) -> list[str]:
        """Return what limits the result, a sentence each."""
        lines = []
        if self.annotators == 1:
            lines.append("One person voted, so this is one person's taste.")
        if self.clustered and self.wider():
            low, high = (100 * x for x in self.clustered)
            lines.append(
                f"The {self.votes} votes cover {count(self.prompts, 'prompt')}. For other prompts"
                f" the result is less certain: {low:.0f}–{high:.0f}%."
            )
        if self.prompts < 5:  # too few for `clustered`
            lines.append(
                f"Only {count(self.prompts, 'prompt')}: other prompts may go the other way."
            )
        if self.confounds and self.confounds.left is None and self.wins + self.losses:
            lines.append("One model was always on the same side, so position may have decided.")
        if self.lost:
            refer, do = ("refers", "does") if self.lost == 1 else ("refer", "do")
            lines.append(
                f"{count(self.lost, 'vote')} {refer} to texts that are gone and {do} not count."
            )
        return lines

    def wider(self) -> bool:
        """Tell whether the interval over prompts and people is wider than that of the votes."""
        low, high = self.clustered or self.interval
        return high - low > self.interval[1] - self.interval[0]

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"confounds": self.confounds and self.confounds.to_json()}

    @classmethod
    def from_json(cls, data: object, source: object = "verdict.json") -> "Verdict":
        """Return the verdict of a stored file's JSON, whichever palate wrote it.

        Raises BadInput naming the field that does not fit, PalateError for a newer version.
        """
        if version_of(data, VERSION, source) == 0 and isinstance(data, dict):
            data = _from_version_0(data, source)
        return read(cls, data, source)


@dataclass(frozen=True)
class _Counts:
    """What the very first verdicts held, besides what follows from it."""

    wins: int
    losses: int
    ties: int


def _from_version_0(data: dict[str, object], source: object) -> dict[str, object]:
    """Return a file without `version` as version 1 has it.

    Its points were bare lists. The first files had little more than the counts: what follows from
    them is computed, the rest is empty.
    """
    if "sequence" not in data:
        counts = read(_Counts, data, source)
        wins, losses = counts.wins, counts.losses
        bounds, e = sequence(wins, losses, counts.ties), evidence(wins, losses)
        decision = decide(wins, losses, bounds, MARGIN)
        data = data | {
            "lost": 0, "sequence": bounds, "clustered": None, "win_rate_with_identical": None,
            "evidence": e, "decision": decision, "margin": MARGIN,
            "more": votes_to_go(wins, losses) if decision == "open" else 0,
            "people": [], "strengths": {}, "again": {"same": 0, "n": 0}, "confounds": None,
            "moves": [],
        }  # fmt: skip
    if isinstance(moves := data.get("moves"), list):
        names = ("votes", "win_rate", "low", "high")
        data = data | {
            "moves": [
                dict(zip(names, m, strict=False)) if isinstance(m, list) else m for m in moves
            ]
        }
    return {"agreed": {"same": 0, "n": 0}, **data}


def decide(wins: int, losses: int, bounds: tuple[float, float], margin: float) -> Decision:
    """Return what the votes decide, given the sequential interval of the win rate."""
    if evidence(wins, losses) >= DECIDES:
        return "better" if wins > losses else "worse"
    inside = 0.5 - margin < bounds[0] and bounds[1] < 0.5 + margin
    return "no difference" if inside else "open"


def _two_digits(value: float) -> int:
    """Return the number with only its first two digits, at most a million."""
    whole = int(min(value, 1e6))
    return int(float(f"{whole:.1e}"))


def plan() -> str:
    """Return how many votes an evaluation takes."""
    clear, slight = votes_needed(0.75), votes_needed(0.6)
    return (
        f"About {clear} votes show a model that is preferred 3 times in 4, and about {slight} one"
        " that is preferred 6 times in 10. You can look at any time."
    )

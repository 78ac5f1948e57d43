"""A verdict: the blind votes on two exact revisions, how sure it is, and what to do next.

Pure: no I/O. `verdict.json` is `Verdict.to_json`; `Verdict.from_json` reads every version of it.
"""

from dataclasses import asdict, dataclass, field
from typing import Literal

from palate.core.markdown import count
from palate.core.schema import Model
from palate.core.typed import read, version_of
from palate.evaluate.confounds import Confounds
from palate.evaluate.decision import PEOPLE_NEEDED, PROMPTS_NEEDED, Claim, claims
from palate.evaluate.planning import RATES, ToGo, least_wins, plan, to_go

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
    """The win rate after the first `votes` votes, with its interval for other prompts."""

    votes: int
    win_rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A blind comparison of two exact revisions. Rates are fractions, ties count as half a win.

    It makes two claims, one inside the other: about other prompts, judged by the people who voted,
    and about other people. Both are None in older files whose votes share prompts or are of several
    people: such a verdict has to be counted again.
    """

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
    about_prompts: Claim | None
    about_people: Claim | None
    win_rate_without_ties: float | None  # None when every vote is a tie
    win_rate_with_identical: float | None  # identical pairs as ties; None: see confounds
    decision: Decision  # of the claim about prompts
    ahead: ToGo | None  # while it is open
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

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval for other prompts, valid after every vote; 0 to 1 if unknown."""
        return self.about_prompts.interval if self.about_prompts else (0.0, 1.0)

    @property
    def voters(self) -> str:
        if self.annotators == 1:
            return "the person who voted"
        return f"the {self.annotators:,} people who voted"

    def sentence(self) -> str:
        """Return the result in one line."""
        low, high = (100 * x for x in self.interval)
        return (
            f"tuned preferred {100 * self.win_rate:.1f}% (95% interval {low:.1f}–{high:.1f},"
            f" {count(self.votes, 'vote')}, {count(self.ties, 'tie')})"
        )

    def meaning(self) -> str:
        """Return in plain words what was found, for whom, and how sure it is."""
        if not self.wins + self.losses:
            return "Every vote is a tie: nobody saw a difference."
        if self.about_prompts is None:
            return (
                "An earlier version of palate counted these votes as if no two shared a prompt."
                " Count them again with: palate verdict"
            )
        if self.decision == "open":
            return self._open(self.about_prompts)
        if self.decision == "no difference":
            low, high = (100 * (0.5 + side * self.margin) for side in (-1, 1))
            return (
                f"Decided for prompts like these: no meaningful difference to {self.voters}."
                f" The win rate is between {low:.0f}% and {high:.0f}%. You can stop."
            )
        prefer = "prefers" if self.annotators == 1 else "prefer"
        model = "tuned" if self.decision == "better" else "base"
        return (
            f"Decided for prompts like these: {self.voters} {prefer} the {model} model. If both"
            " were equally good, votes this one-sided would come up in fewer than 1 of"
            f" {_two_digits(self.about_prompts.evidence):,} evaluations, even with a look after"
            f" every vote. {self._people()}"
        )

    def _open(self, claim: Claim) -> str:
        if claim.units < PROMPTS_NEEDED:
            return (
                f"Not decided: votes on {count(claim.units, 'prompt')} say too little about other"
                f" prompts, whatever they are. It takes at least {PROMPTS_NEEDED}."
            )
        ahead = self.ahead
        if ahead is None or ahead.half is None:
            return (
                "Not decided, and the votes are so even that thousands more might not decide."
                " Call it a draw, or train again."
            )
        within = f"half of evaluations like this one decide within {count(ahead.half, 'more vote')}"
        if ahead.most is not None:
            within += f", four in five within {ahead.most:,}"
        return f"Not decided yet: {within}, if each is on a new prompt."

    def _people(self) -> str:
        """Return what is known of people who did not vote."""
        claim = self.about_people
        if claim is None or claim.units < PEOPLE_NEEDED:
            return (
                "Whether other people prefer it is not known: that takes at least"
                f" {PEOPLE_NEEDED} voters."
            )
        low, high = (100 * x for x in claim.interval)
        if claim.decided:
            return (
                f"People like them do, too: for others the win rate is {low:.0f}–{high:.0f}%."
                " You can stop."
            )
        return f"For people like them it is open: {low:.0f}–{high:.0f}%."

    def cautions(self) -> list[str]:
        """Return what limits the result, a sentence each."""
        lines = []
        claim = self.about_prompts
        if self.annotators == 1:
            lines.append("One person voted, so this is one person's taste.")
        if claim and (claim.design_effect or 1) >= 1.5:
            alone = round(self.votes / (claim.design_effect or 1))
            lines.append(
                f"The {self.votes:,} votes cover {count(self.prompts, 'prompt')}. Votes on the same"
                " prompt resemble each other, so they say as much as about"
                f" {count(alone, 'vote')} on different prompts."
            )
        if self.decision in ("better", "worse"):
            lines.append(
                "A rate at which voting stopped because it was decided is too far from 50%, by 4"
                " to 9 points on average. The interval allows for it."
            )
        if self.confounds and self.confounds.left is None and self.wins + self.losses:
            lines.append("One model was always on the same side, so position may have decided.")
        if self.lost:
            refer, do = ("refers", "does") if self.lost == 1 else ("refer", "do")
            lines.append(
                f"{count(self.lost, 'vote')} {refer} to texts that are gone and {do} not count."
            )
        return lines

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
    """What every verdict without a version holds."""

    wins: int
    losses: int
    ties: int
    votes: int
    prompts: int
    annotators: int
    margin: float = MARGIN


def _from_version_0(data: dict[str, object], source: object) -> dict[str, object]:
    """Return a file without `version` as version 1 has it.

    Its points were bare lists, the first files held hardly more than the counts, and it took all
    votes as independent. Where one person voted, and once per prompt, that is right,
    and the claims follow from the counts.
    """
    counts = read(_Counts, data, source)
    empty = {
        "lost": 0, "win_rate_with_identical": None, "margin": MARGIN, "people": [],
        "strengths": {}, "again": {"same": 0, "n": 0}, "agreed": {"same": 0, "n": 0},
        "confounds": None, "moves": [],
    }  # fmt: skip
    names, data = ("votes", "win_rate", "low", "high"), empty | data
    if isinstance(moves := data["moves"], list):
        points = [dict(zip(names, m, strict=False)) if isinstance(m, list) else m for m in moves]
        data = data | {"moves": points}
    return data | _claims_of(counts)


def _claims_of(counts: _Counts) -> dict[str, object]:
    """Return the claims that follow from counts alone, if any do."""
    if counts.votes != counts.prompts or counts.annotators != 1:
        return {"about_prompts": None, "about_people": None, "ahead": None, "decision": "open"}
    results = [1.0] * counts.wins + [0.0] * counts.losses + [0.5] * counts.ties
    prompts, people = claims([(i, 0, result) for i, result in enumerate(results)])
    decision = decide(counts.wins, counts.losses, prompts, counts.margin)
    ahead = to_go(counts.wins, counts.losses, prompts, 0) if decision == "open" else None
    return {
        "about_prompts": asdict(prompts), "about_people": asdict(people), "decision": decision,
        "ahead": ahead and asdict(ahead),
    }  # fmt: skip


def decide(wins: int, losses: int, claim: Claim, margin: float) -> Decision:
    """Return what the votes decide for other prompts, judged by the people who voted."""
    if claim.decided:
        return "better" if wins > losses else "worse"
    low, high = claim.interval
    return "no difference" if 0.5 - margin < low and high < 0.5 + margin else "open"


def _two_digits(value: float) -> int:
    """Return the number rounded down to its first two digits, at most a million."""
    whole = int(min(value, 1e6))
    step = 10 ** max(len(str(whole)) - 2, 0)
    return whole // step * step


def planned(prompts: int) -> str:
    """Return how many prompts a verdict takes, and what those that are there can show."""
    sentences = []
    for rate, words in zip(RATES, ("3 times in 4", "6 times in 10"), strict=True):
        p = plan(rate, prompts)
        sentences.append(
            f"If the tuned model is preferred {words}, half of evaluations decide within"
            f" {p.half:,} prompts and four in five within {p.most:,}."
        )
    enough = plan(RATES[0], prompts)
    wins = least_wins(prompts)
    if wins is None:
        there = (
            f"There are {count(prompts, 'prompt')}, and fewer than {PROMPTS_NEEDED} cannot decide"
            " anything."
        )
    else:
        there = (
            f"There are {count(prompts, 'prompt')}: with one vote each they decide at"
            f" {wins}:{prompts - wins} or clearer, which is {100 * enough.share:.0f}% of"
            " evaluations at 3 in 4."
        )
    return " ".join([*sentences, there, "You can look at any time."])

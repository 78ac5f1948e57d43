"""A verdict: the blind votes on two exact revisions, how sure it is, and what to do next.

Pure: no I/O. `verdict.json` is `Verdict.to_json`; `Verdict.from_json` reads every version of it.
"""

from dataclasses import asdict, dataclass, field

from palate.core.markdown import count
from palate.core.schema import Model
from palate.core.typed import read, version_of
from palate.evaluate.confounds import Confounds
from palate.evaluate.contest import about_origin
from palate.evaluate.decision import PEOPLE_NEEDED, PROMPTS_NEEDED, Claim, Decision, RoundResult
from palate.evaluate.planning import ToGo, from_version_0
from palate.evaluate.sequential import DECIDES, PRIOR, two_digits

VERSION = 1  # of verdict.json


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
    and about other people. Both are None in older files where votes share prompts or people.
    """

    version: int = field(default=VERSION, kw_only=True)
    # 1, and 1 more for each earlier tuned model that was voted on with the same prompts
    round_on_prompts: int = field(default=1, kw_only=True)
    withdrawn: int = field(default=0, kw_only=True)  # votes on prompts that are not `eval` any more
    prompts_by_model: int = field(default=0, kw_only=True)  # of `prompts`: written by a model
    aspect: str | None = field(default=None, kw_only=True)  # that the votes are in, if any
    others: "tuple[Verdict, ...]" = field(default=(), kw_only=True)  # those in other aspects
    rounds: tuple[RoundResult, ...] = field(default=(), kw_only=True)  # from the second on: all
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
        one = self.annotators == 1
        return "the person who voted" if one else f"the {self.annotators:,} people who voted"

    def sentence(self) -> str:
        """Return the result in one line."""
        votes = f"{count(self.votes, 'vote')}, {count(self.ties, 'tie')}"
        if not self.wins + self.losses:
            return f"neither model preferred ({votes})"
        if not self.known:
            choices = f"tuned preferred in {self.wins:,}, base in {self.losses:,}"
            return f"{choices}, on too few prompts to say more ({votes})"
        rate, low, high = (100 * x for x in (self.win_rate, *self.interval))
        return f"tuned preferred {rate:.1f}% (95% interval {low:.1f}–{high:.1f}, {votes})"

    @property
    def known(self) -> bool:
        """Whether the votes say anything about other prompts."""
        return bool(self.about_prompts and self.about_prompts.design_effect is not None)

    def meaning(self) -> str:
        """Return in plain words what was found, for whom, and how sure it is."""
        if not self.wins + self.losses:
            return (
                f"Not decided: every vote is a tie. To {self.voters} the answers were equally good,"
                f" on {count(self.prompts, 'prompt')}."
            )
        if self.about_prompts is None:
            return (
                "An earlier version of palate counted these votes as if no two shared a prompt."
                " Count them again with: palate verdict"
            )
        if self._one_side():
            return (
                f"Not decided: every choice went to the {'left' if self.left_chosen else 'right'}"
                " side, whichever model was there. Such votes compare sides, not models."
            )
        if self.decision == "open":
            return self._open(self.about_prompts)
        if self.decision == "no difference":
            low, high = (100 * (0.5 + side * self.margin) for side in (-1, 1))
            return (
                f"Decided for prompts like these: to {self.voters}, neither model is meaningfully"
                f" better. The whole 95% interval, which is where the rate on such prompts may be,"
                f" is between {low:g}% and {high:g}%. You can stop."
            )
        prefer = " prefers" if self.annotators == 1 else ", taken together, prefer"
        model = "tuned" if self.decision == "better" else "base"
        return (
            f"Decided for prompts like these: {self.voters}{prefer} the {model} model. If both"
            f" were equally good, votes this one-sided would come up in {self._odds()}"
            f" {self._people()}{self._for_base()}"
        )

    def _odds(self) -> str:
        """Return in how many evaluations chance does this, as far as that is known to hold.

        Where votes share prompts the design effect is estimated. Simulated, 1 of 20 holds, but
        beyond that equal models reach evidence of 1,000 in up to 5 of 1,000 evaluations.
        """
        claim = self.about_prompts
        alone = claim is not None and claim.design_effect == 1
        number = two_digits(claim.evidence if claim and alone else DECIDES)
        more = "" if alone else " Where votes share prompts, palate claims no more than that."
        return f"fewer than 1 of {number:,} evaluations, even with a look after every vote.{more}"

    def _for_base(self) -> str:
        """Return what a verdict for the base model leaves to do."""
        if self.decision != "worse":
            return ""
        return " Use the base model. To beat it, label more pairs and train again."

    def _one_side(self) -> bool:
        """Tell whether every choice was of one side, although both models were on both."""
        choices = self.wins + self.losses
        sided = self.confounds is None or self.confounds.left is None
        return not sided and choices >= PROMPTS_NEEDED and self.left_chosen in (0, choices)

    def _open(self, claim: Claim) -> str:
        if claim.units < PROMPTS_NEEDED:
            return (
                f"Not decided: votes on {count(claim.units, 'prompt')} say too little about other"
                f" prompts, however one-sided they are. It takes at least {PROMPTS_NEEDED} prompts."
            )
        ahead = self.ahead
        if ahead is None or ahead.half is None:
            return self._far()
        more = count(ahead.half, "more vote") + (" (ties not counted)" if self.ties else "")
        share = "four in five" if ahead.most == ahead.half else "half"
        if ahead.most not in (None, ahead.half):
            more += f" and four in five after {ahead.most:,}"
        return (
            f"Not decided yet. Of evaluations like this one, {share} are decided after {more}."
            " Put each vote on a new prompt."
        )

    def _far(self) -> str:
        """Return what to do where thousands of votes on new prompts might not decide."""
        if abs(self.win_rate - 0.5) >= self.margin:
            return (
                f"Not decided: {self.votes:,} votes on {count(self.prompts, 'prompt')} say too"
                " little about other prompts. More votes on these would add little: it takes more"
                " prompts, with as many votes on each."
            )
        return (
            "Not decided, and the votes are so even that thousands more might not show which model"
            " is better. Call it a draw, or train again."
        )

    def _people(self) -> str:
        """Return what is known of people who did not vote."""
        claim = self.about_people
        if claim is None or claim.units < PEOPLE_NEEDED:
            return (
                "Whether other people prefer it is not known: that takes at least"
                f" {PEOPLE_NEEDED} voters."
            )
        stop = "People like them do, too. You can stop."
        return stop if claim.decided else "Whether other people prefer it, too, is not decided."

    @property
    def shrunk(self) -> float:
        """The win rate, shrunk toward one half for voting that stopped once it was decided.

        It is the posterior mean under the mixture that decides, which stopping does not change.
        """
        each = self.about_prompts.design_effect if self.about_prompts else None
        alone = self.votes / (each or 1.0)
        return (alone * self.win_rate + PRIOR) / (alone + 2 * PRIOR)

    def cautions(self) -> list[str]:
        """Return what limits the result, a sentence each."""
        return [*self._about_voters(), *self._about_prompts(), *self._about_votes()]

    def _about_voters(self) -> list[str]:
        if self.annotators == 1:
            return ["One person voted, so this is one person's taste."]
        lines = []
        if self.about_people and self.about_people.design_effect is not None:
            low, high = (100 * x for x in self.about_people.interval)
            lines.append(
                f"For people like these {self.annotators:,}, not only for these, the 95% interval"
                f" is {low:.1f}–{high:.1f}%."
            )
        names = "Each name counts as a person. Whether two names are one person cannot be known."
        return [*lines, names]

    def _about_prompts(self) -> list[str]:
        lines, claim = [], self.about_prompts
        if claim and (claim.design_effect or 1) >= 1.5:
            alone = round(self.votes / (claim.design_effect or 1))
            lines.append(
                f"The {self.votes:,} votes cover {count(self.prompts, 'prompt')}. Votes on the same"
                " prompt resemble each other, so they say as much as about"
                f" {count(alone, 'vote')} on different prompts."
            )
        if claim and (number := self.round_on_prompts) > 1:
            were = "was" if number == 2 else "were"
            lines.append(
                f"{count(number - 1, 'earlier tuned model')} {were} compared on these prompts, and"
                f" among {number} one may look better by luck. This one therefore takes clearer"
                f" votes (an e-value of {two_digits(claim.decides):,}, not {two_digits(DECIDES)}),"
                " and its interval is wider. That keeps the chance that any of them is wrongly"
                " called better within about 5%. Voters may also recognize the base model's"
                " answers. With new eval prompts alone, the count starts again."
            )
        return lines

    def _about_votes(self) -> list[str]:
        lines = []
        if self.decision in ("better", "worse") and not self._one_side():
            rate, careful = f"{100 * self.win_rate:.0f}%", f"{100 * self.shrunk:.0f}%"
            if rate != careful:
                lines.append(
                    f"If voting stopped because it was decided, {rate} is further from 50% than the"
                    f" truth is, on average: {careful} is the more careful figure. The interval"
                    " allows for that."
                )
        is_sided = bool(self.confounds and self.confounds.left is None and self.wins + self.losses)
        lines += about_origin(self.tuned, self.prompts, self.prompts_by_model, is_sided=is_sided)
        for number, what in (
            (self.lost, "texts that are gone"),
            (self.withdrawn, "prompts that are no longer eval prompts"),
        ):
            if number:
                refer, do = ("refers", "does") if number == 1 else ("refer", "do")
                lines.append(f"{count(number, 'vote')} {refer} to {what} and {do} not count.")
        return lines

    def to_json(self) -> dict[str, object]:
        values = asdict(self) | {"confounds": self.confounds and self.confounds.to_json()}
        del values["aspect"], values["others"]  # as verdicts were before
        more = {"aspect": self.aspect, "others": [other.to_json() for other in self.others]}
        return values | more if self.aspect else values

    @classmethod
    def from_json(cls, data: object, source: object = "verdict.json") -> "Verdict":
        """Return the verdict of a stored file's JSON, whichever palate wrote it.

        Raises BadInput naming the field that does not fit, PalateError for a newer version.
        """
        if version_of(data, VERSION, source) == 0 and isinstance(data, dict):
            data = from_version_0(data, source)
        return read(cls, data, source)

"""What besides quality may have decided a blind comparison: side, length, format.

Pure: no I/O.
"""

import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from palate.core.rates import Rate

PROMPTS_PER_DIFFERENCE = 10  # between the answers; with fewer a controlled win rate is noise
TESTS = 2  # of biases: side and length

Floats = NDArray[np.float64]
_MARKDOWN = re.compile(r"^#{1,6} |^\s*[-*] |^\s*\d+\. |\*\*\S|```|^\|.+\|$|\]\(", re.MULTILINE)
_QUOTES = re.compile(r'["“”„«»]')
FORMATS: dict[str, Callable[[str], bool]] = {
    "a quotation mark": lambda t: bool(_QUOTES.search(t)),
    "a digit": lambda t: any(map(str.isdigit, t)),
    "a question mark": lambda t: "?" in t,
    "an exclamation mark": lambda t: "!" in t,
    "a colon": lambda t: ":" in t,
    "markdown": lambda t: bool(_MARKDOWN.search(t)),
    "several lines": lambda t: "\n" in t.strip(),
}


@dataclass(frozen=True)
class Vote:
    """One vote on two answers to a prompt: 1 is a win of the tuned model, 0 a loss, ½ a tie."""

    prompt_id: str
    base: str
    tuned: str
    tuned_left: bool
    result: float
    person: str = ""


@dataclass(frozen=True)
class Lengths:
    """How long the answers are, and whether length decided."""

    median: tuple[float, float]  # characters; base, tuned
    longer_won: Rate


@dataclass(frozen=True)
class Controlled:
    """The win rate between answers that are equal in side, length and format."""

    rate: float
    interval: tuple[float, float]  # 95%
    n: int  # decisive votes
    alike_in: str  # such as "length and format", where one model never changed sides


@dataclass(frozen=True)
class Confounds:
    """What differs between the two models' answers, and how the votes follow it."""

    of: tuple[int, int]  # distinct answers; base, tuned
    texts: dict[str, tuple[int, int]]  # feature → answers that have it; base, tuned
    length: Lengths
    left: Rate | None  # how often the left side won; None where one model never changed sides
    controlled: Controlled | None
    controlled_needs: int | None = None  # prompts, where there are fewer

    def sentences(self) -> list[str]:
        """Return what besides quality may have decided, a sentence each."""
        lines = []
        if self.left is not None and self.left.n:
            lines.append(f"The left answer won {self.left.words()}{self.left.test(TESTS)}.")
        if self.length.longer_won.n:
            (base, tuned), longer = self.length.median, self.length.longer_won
            lines.append(
                f"The longer answer won {longer.words()}{longer.test(TESTS)}. Median length: base"
                f" {base:.0f} characters, tuned {tuned:.0f}."
            )
        for name, (b, t) in self.texts.items():
            lines.append(
                f"Answers with {name}: base {b} of {self.of[0]}, tuned {t} of {self.of[1]}."
            )
        if self.controlled:
            low, high = (100 * x for x in self.controlled.interval)
            lines.append(
                f"With {self.controlled.alike_in} equal, tuned would win"
                f" {100 * self.controlled.rate:.1f}% of votes that are no tie (95% interval"
                f" {low:.1f}–{high:.1f}, for one look when voting is over)."
            )
        elif self.controlled_needs:
            lines.append(
                "How tuned would do with side, length and format equal is not known: the answers"
                f" differ in so many ways that it takes {self.controlled_needs:,} prompts."
            )
        return lines

    def to_json(self) -> dict[str, object]:
        length = {"median": self.length.median, "longer_won": self.length.longer_won.to_json()}
        return asdict(self) | {"length": length, "left": self.left and self.left.to_json()}


def confounds(votes: Sequence[Vote], characters: tuple[int, int] | None = None) -> Confounds:
    """Return what differs between the models' answers, and how the votes follow it.

    With `characters` given, answers whose length is in that range are counted, too.
    """
    base = list(dict.fromkeys((v.prompt_id, v.base) for v in votes))
    tuned = list(dict.fromkeys((v.prompt_id, v.tuned) for v in votes))
    features: dict[str, Callable[[str], bool]] = dict(FORMATS)
    if characters:
        low, high = characters
        features = {f"{low} to {high} characters": lambda t: low <= len(t) <= high, **features}
    counts = {
        name: (sum(has(t) for _, t in base), sum(has(t) for _, t in tuned))
        for name, has in features.items()
    }
    decided = [v for v in votes if v.result in (0, 1)]
    unequal = [v for v in decided if len(v.base) != len(v.tuned)]
    longer = [(len(v.tuned) > len(v.base)) == (v.result == 1) for v in unequal]
    left = [v.tuned_left == (v.result == 1) for v in decided]
    one_side = len({v.tuned_left for v in decided}) == 1
    median = (
        statistics.median(len(t) for _, t in base),
        statistics.median(len(t) for _, t in tuned),
    )
    return Confounds(
        of=(len(base), len(tuned)),
        texts={name: n for name, n in counts.items() if any(n)},
        length=Lengths(median, _against_half(longer, unequal)),
        # where one model is always on the same side, position and quality cannot be told apart
        left=None if one_side else _against_half(left, decided),
        controlled=controlled(decided),
        controlled_needs=_needed(decided),
    )


def _against_half(hits: Sequence[bool], votes: Sequence[Vote]) -> Rate:
    prompts, people = [v.prompt_id for v in votes], [v.person for v in votes]
    return Rate.of(hits, prompts, people, chance=0.5)


def controlled(decided: Sequence[Vote]) -> Controlled | None:
    """Return the win rate between answers of the same side, length and format.

    It is the intercept of a logistic regression on their differences: T. Li, A. Angelopoulos, W.-L.
    Chiang, "Does style matter? Disentangling style and substance in Chatbot Arena" (2024). The
    interval is for other prompts, judged by these people.

    None with fewer than `PROMPTS_PER_DIFFERENCE` prompts for each difference, where one model won
    all votes, or where the models' answers always differ in the same direction, since none are
    alike then. A side that never changed is left out.
    """
    from sklearn.linear_model import LogisticRegression

    if not decided:
        return None
    won = np.array([v.result == 1 for v in decided], float)
    x, sided = _differences(decided)
    prompts = len({v.prompt_id for v in decided})
    if not x.shape[1] or prompts < PROMPTS_PER_DIFFERENCE * x.shape[1] or won.min() == won.max():
        return None
    if (x.min(0) > 0).any() or (x.max(0) < 0).any():
        return None
    x = x / x.std(0)
    model = LogisticRegression(max_iter=500).fit(x, won)
    chances = model.predict_proba(x)[:, 1]
    middle, half = float(model.intercept_[0]), _half_width(x, won, chances, decided)
    low, rate, high = (1 / (1 + math.exp(-z)) for z in (middle - half, middle, middle + half))
    alike = "side, length and format" if sided else "length and format"
    return Controlled(rate, (low, high), len(decided), alike)


def _needed(decided: Sequence[Vote]) -> int | None:
    """Return the prompts that a controlled win rate takes; None where there are enough."""
    needed = PROMPTS_PER_DIFFERENCE * _differences(decided)[0].shape[1] if decided else 0
    return needed if needed > len({v.prompt_id for v in decided}) else None


def _half_width(x: Floats, won: Floats, chances: Floats, decided: Sequence[Vote]) -> float:
    """Return half the width of the intercept's 95% interval, in log odds.

    Its error is the jackknife's that leaves out each prompt, by one step of Newton's method: J. G.
    MacKinnon, M. Ø. Nielsen, M. D. Webb, "Cluster-robust jackknife and bootstrap inference for
    logistic regression models", Econometric Reviews 44 (2025). `x` is (votes, features); `won` and
    the predicted `chances` are (votes,).
    """
    from scipy.stats import t

    prompts = {p: i for i, p in enumerate(dict.fromkeys(v.prompt_id for v in decided))}
    of = np.array([prompts[v.prompt_id] for v in decided])
    design = np.column_stack((np.ones(len(x)), x))
    k, size = len(prompts), design.shape[1]
    ridge = np.diag([0.0, *np.ones(x.shape[1])])  # scikit-learn penalises all but the intercept
    scores, curves = np.zeros((k, size)), np.zeros((k, size, size))
    np.add.at(scores, of, (won - chances)[:, None] * design)
    weighted = design * (chances * (1 - chances))[:, None]
    np.add.at(curves, of, weighted[:, :, None] * design[:, None, :])
    without = curves.sum(0) + ridge - curves
    steps = np.linalg.solve(without, scores[:, :, None])[:, 0, 0]
    error = math.sqrt((k - 1) / k * float(steps @ steps))
    return float(t.ppf(0.975, k - size)) * error


def _differences(decided: Sequence[Vote]) -> tuple[Floats, bool]:
    """Return the differences that occur, (votes, features), and whether side is among them."""
    x = np.array([_difference(v) for v in decided])
    sided = x[:, 0].std() > 0
    return (x[:, x.any(0)] if sided else x[:, 1:][:, x[:, 1:].any(0)]), sided


def _difference(v: Vote) -> list[float]:
    """Return tuned minus base: side, logarithm of the length, each format."""
    length = math.log((len(v.tuned) + 1) / (len(v.base) + 1))
    formats = [float(has(v.tuned)) - float(has(v.base)) for has in FORMATS.values()]
    return [1.0 if v.tuned_left else -1.0, length, *formats]

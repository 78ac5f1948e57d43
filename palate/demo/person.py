"""A simulated annotator: a taste that is stated here, and seen by the model only in labels.

Pure: the same question gets the same answer, whichever side a text is shown on.
"""

import math
import re
from dataclasses import dataclass
from random import Random
from typing import Literal

Choice = Literal["left", "right", "tie"]
NEAR = 0.25  # a difference in utility that can go unnoticed
TIES = 0.5  # the share of such pairs that is called a tie


@dataclass(frozen=True)
class Taste:
    """What an annotator likes, in logits; law: `judge(b, a)` is `judge(a, b)` mirrored."""

    seed: int = 0
    question: float = 2.0
    number: float = 2.0
    colon: float = -2.5
    word: float = -0.25  # for each word

    def utility(self, text: str) -> float:
        """Return how much the text is liked."""
        return (
            self.question * text.rstrip().endswith("?")
            + self.number * bool(re.search(r"\d", text))
            + self.colon * (":" in text)
            + self.word * len(text.split())
        )

    def judge(self, left: str, right: str) -> tuple[Choice, int]:
        """Return which text is better and how clearly, 1–4, as a person would: not quite surely.

        The left one wins with probability 1 / (1 + exp(utility(right) − utility(left))), after
        Bradley and Terry; the strength grows with the difference as felt. Ties have strength 1.
        """
        if left == right:
            return "tie", 1
        first, second = sorted((left, right))
        chance = Random(f"{self.seed}\0{first}\0{second}")
        difference = self.utility(first) - self.utility(second)
        if abs(difference) < NEAR and chance.random() < TIES:
            return "tie", 1
        u = 1 - chance.random()  # in (0, 1], as the logarithm wants it
        felt = difference + math.log(u) - math.log1p(-min(u, 1 - 2**-53))
        better = first if felt > 0 else second
        return "left" if better == left else "right", 1 + min(3, int(abs(felt)))

    def describe(self) -> str:
        """Return the taste in words that follow "the annotator"."""
        weights = {
            "questions": self.question,
            "numbers": self.number,
            "colons": self.colon,
            "long titles": self.word,
        }
        likes = [what for what, weight in weights.items() if weight > 0]
        dislikes = [what for what, weight in weights.items() if weight < 0]
        said = [
            f"{verb} {' and '.join(things)}"
            for verb, things in (("likes", likes), ("dislikes", dislikes))
            if things
        ]
        return ", and ".join(said) or "likes everything alike"

"""A simulated annotator with a known taste, which the model sees only in the labels.

Pure: no I/O. The same two texts get the same answer, whichever side they are on.
"""

import math
import re
from dataclasses import dataclass
from random import Random
from typing import Literal

Choice = Literal["left", "right", "tie"]
UNNOTICED_LOGITS = 0.25  # differences in utility below this may be called a tie
TIE_SHARE = 0.5  # of such pairs
FREE_WORDS = 6  # a taste for ever fewer words would teach a model to write none


@dataclass(frozen=True)
class SimulatedAnnotator:
    """What an annotator likes, in logits; law: `judge(b, a)` is `judge(a, b)` mirrored."""

    seed: int = 0
    question: float = 2.0
    number: float = 2.0
    colon: float = -2.5
    word: float = -0.25  # per word after the first `FREE_WORDS`

    def utility(self, text: str) -> float:
        """Return how much the text is liked."""
        return (
            self.question * text.rstrip().endswith("?")
            + self.number * bool(re.search(r"\d", text))
            + self.colon * (":" in text)
            + self.word * max(0, len(text.split()) - FREE_WORDS)
        )

    def judge(self, left: str, right: str) -> tuple[Choice, int]:
        """Return the better text and how clearly it is better (1–4), with a person's noise.

        The left one wins with probability 1 / (1 + exp(utility(right) − utility(left))) (Bradley
        and Terry 1952). The strength grows with the noisy difference; ties have strength 1.
        """
        if left == right:
            return "tie", 1
        first, second = sorted((left, right))
        random = Random(f"{self.seed}\0{first}\0{second}")
        difference = self.utility(first) - self.utility(second)
        if abs(difference) < UNNOTICED_LOGITS and random.random() < TIE_SHARE:
            return "tie", 1
        u = 1 - random.random()  # in (0, 1], where the logarithm is finite
        noisy = difference + math.log(u) - math.log1p(-min(u, 1 - 2**-53))
        better = first if noisy > 0 else second
        return "left" if better == left else "right", 1 + min(3, int(abs(noisy)))

    def describe(self) -> str:
        """Return the taste in words that follow "the annotator"."""
        weights = {
            "questions": self.question,
            "numbers": self.number,
            "colons": self.colon,
            "long titles": self.word,
        }
        likes = [feature for feature, weight in weights.items() if weight > 0]
        dislikes = [feature for feature, weight in weights.items() if weight < 0]
        parts = [
            f"{verb} {' and '.join(features)}"
            for verb, features in (("likes", likes), ("dislikes", dislikes))
            if features
        ]
        return " and ".join(parts) or "likes everything equally"

"""The reward that a model learns from: normalised, and guarded against what it could exploit.

Pure: no I/O. Everything is in standard deviations of the base model's answers to a prompt, measured
before the first step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from palate.core.errors import UsageError
from palate.core.similar import spoken_words

RUN = 3  # words
CUT = 1.0  # off an answer that was cut or is empty
BAND = 0.1  # by which answers may get longer or shorter on average before it costs anything
STRETCH = 0.15  # beyond the band: here one deviation of length costs one of the reward
MOST = 3.0  # times as much, at most
REPETITION = 5.0  # off an answer that repeats itself all the time, more than the base model does
USUAL = 0.95  # of the base model's answers repeat themselves no more than is free
TINY = 1e-6


def repeated(text: str) -> float:
    """Return the share of a text's runs of three words that it has had before."""
    words = [w.casefold() for w in spoken_words(text)]
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


@dataclass(frozen=True)
class Norm:
    """What the base model's answers are like: the reward's unit, and what the guards allow."""

    mean: float  # of the reward
    spread: float  # of the reward, among answers to a prompt
    characters: float  # of an answer, on average
    repeated: float  # that is free

    @classmethod
    def of(cls, scores: Sequence[np.ndarray], texts: Sequence[str]) -> Self:
        """Return it for answers of the base model; `scores` has a row for each prompt.

        Raises UsageError where a prompt's answers all have the same reward.
        """
        spread = float(np.sqrt(np.mean([np.var(s, ddof=1) for s in scores])))
        if not spread > TINY:
            raise UsageError(
                "The reward gives all answers to a prompt the same score, so there is nothing to"
                " learn. Is --max-new-tokens too low, or does the model write one answer only? Else"
                " make a better reward with: palate reward"
            )
        return cls(
            mean=float(np.mean(np.concatenate(scores))),
            spread=spread,
            characters=float(np.mean([len(t) for t in texts])),
            repeated=float(np.quantile([repeated(t) for t in texts], USUAL)),
        )

    def normalised(self, scores: np.ndarray) -> np.ndarray:
        return (scores - self.mean) / self.spread

    def guarded(
        self, scores: np.ndarray, texts: Sequence[str], ended: Sequence[bool]
    ) -> np.ndarray:
        """Return the normalised reward of a batch's answers, less what the guards take."""
        whole = np.array([e and bool(t) for e, t in zip(ended, texts, strict=True)])
        excess = np.array([repeated(t) for t in texts]) - self.repeated
        lengths = np.array([len(t) for t in texts], float)
        return (
            self.normalised(scores)
            - CUT * ~whole
            - REPETITION * np.maximum(0, excess)
            - self.stretched(lengths)
        )

    def stretched(self, lengths: np.ndarray) -> np.ndarray:
        """Return what length takes from, or gives to, each answer of a batch.

        It is nothing while the mean length is in the band. Beyond, it grows with the distance, and
        with how much longer than the batch's others an answer is (or shorter).
        """
        mean, spread = float(lengths.mean()), float(lengths.std())
        drift = mean / max(self.characters, TINY) - 1
        over = min(MOST, max(0.0, abs(drift) - BAND) / STRETCH)
        if not over or not spread:
            return np.zeros(len(lengths))
        return np.sign(drift) * over * (lengths - mean) / spread

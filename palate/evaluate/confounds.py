"""What besides quality may have decided a blind comparison: side, length, format. Pure: no I/O."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palate.core.stats import against_half
from palate.core.text import FORMATS

ENOUGH = 30  # decisive votes that a controlled win rate takes


@dataclass(frozen=True)
class Duel:
    """One vote: the texts, whether tuned stood left, and its result (1 won, 0 lost, ½ tie)."""

    prompt: str
    base: str
    tuned: str
    tuned_left: bool
    result: float


def confounds(duels: Sequence[Duel], characters: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return what differs between the models' texts, and how the choice follows it.

    `texts` counts, over the distinct texts, how many of each model have a feature (within
    `characters`, where a range is given); `length` gives median characters and how often the longer
    one won; `left` how often the left one did; `controlled` the win rate between texts alike.
    """
    texts = [list(dict.fromkeys((d.prompt, t) for d in duels for t in [getattr(d, side)]))
             for side in ("base", "tuned")]  # fmt: skip
    features = dict(FORMATS)
    if characters:
        low, high = characters
        features = {f"{low} to {high} characters": lambda t: low <= len(t) <= high, **features}
    counts = {
        name: [sum(has(t) for _, t in side) for side in texts] for name, has in features.items()
    }
    decided = [d for d in duels if d.result in (0, 1)]
    unequal = [d for d in decided if len(d.base) != len(d.tuned)]
    longer = sum((len(d.tuned) > len(d.base)) == (d.result == 1) for d in unequal)
    left = sum(d.tuned_left == (d.result == 1) for d in decided)
    same_side = len({d.tuned_left for d in decided}) == 1
    return {
        "of": [len(side) for side in texts],
        "texts": {name: n for name, n in counts.items() if any(n)},
        "length": {
            "median": [statistics.median(len(t) for _, t in side) for side in texts],
            "longer_won": against_half(longer, len(unequal)).to_json(),
        },
        # one model always on the same side: position and quality cannot be told apart
        "left": None if same_side else against_half(left, len(decided)).to_json(),
        "controlled": controlled(decided),
    }


def controlled(decided: Sequence[Duel]) -> dict[str, Any] | None:
    """Return the win rate where side, length and format are the same, with a 95 % interval.

    The intercept of a logistic regression on their differences: T. Li, A. Angelopoulos, W.-L.
    Chiang, "Does style matter? Disentangling style and substance in Chatbot Arena" (2024). Its
    error takes votes on one prompt together: K.-Y. Liang, S. L. Zeger, "Longitudinal data analysis
    using generalized linear models", Biometrika 73 (1986).

    None with too few votes or prompts, where all went to one model, or where one model's answers
    differ in something always in the same direction: none are alike in it then. A side that never
    changed is left out.
    """
    from scipy.stats import t
    from sklearn.linear_model import LogisticRegression

    won = np.array([d.result == 1 for d in decided], float)
    prompts = {p: i for i, p in enumerate(dict.fromkeys(d.prompt for d in decided))}
    if len(decided) < ENOUGH or len(prompts) < 5 or won.min() == won.max():
        return None
    x = np.array([_difference(d) for d in decided])
    sided = x[:, 0].std() > 0
    x = x[:, x.any(0)] if sided else x[:, 1:][:, x[:, 1:].any(0)]
    if not x.shape[1] or (x.min(0) > 0).any() or (x.max(0) < 0).any():
        return None
    x = x / x.std(0)
    model = LogisticRegression(max_iter=500).fit(x, won)
    design = np.column_stack((np.ones(len(x)), x))
    p = model.predict_proba(x)[:, 1]
    ridge = np.diag([0.0, *np.ones(x.shape[1])])  # scikit-learn's, on all but the intercept
    bread = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design + ridge)
    scores = np.zeros((len(prompts), design.shape[1]))
    np.add.at(scores, [prompts[d.prompt] for d in decided], (won - p)[:, None] * design)
    k = len(prompts)
    error = math.sqrt((bread @ (scores.T @ scores) @ bread)[0, 0] * k / (k - 1))
    middle, half = float(model.intercept_[0]), float(t.ppf(0.975, k - 1)) * error
    low, rate, high = (1 / (1 + math.exp(-z)) for z in (middle - half, middle, middle + half))
    alike = "side, length and format" if sided else "length and format"
    return {"rate": rate, "interval": [low, high], "n": len(decided), "alike_in": alike}


def _difference(d: Duel) -> list[float]:
    """Return tuned less base: side, logarithm of the length, each format."""
    length = math.log((len(d.tuned) + 1) / (len(d.base) + 1))
    formats = [float(has(d.tuned)) - float(has(d.base)) for has in FORMATS.values()]
    return [1.0 if d.tuned_left else -1.0, length, *formats]

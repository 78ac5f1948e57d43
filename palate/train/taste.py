"""What of the labels enters the training: strength, noise, and what they prefer. Pure: no I/O."""

from collections.abc import Iterable, Sequence

from palate.audit import baselines, measure
from palate.audit.rows import Row, Rows
from palate.core.errors import UsageError
from palate.core.schema import Preference
from palate.label.agreement import Report
from palate.train.config import Strength

NOISELESS = 20  # repeats: fewer say too little of how often people change their mind


def columns(rows: Sequence[Preference], strength: Strength) -> dict[str, list[float]]:
    """Return the columns that strength adds to the training rows.

    `margin` is the reward margin wanted, 1 for "much better" to 0 for "barely" (H. Touvron et al.,
    "Llama 2", 2023, section 3.2.2), which DPO takes as an offset (A. Amini et al., "Direct
    Preference Optimization with an Offset", 2024). `weight` has a mean of 1.
    """
    if strength == "off":
        return {}
    if not any(r.strength for r in rows):
        raise UsageError(f"No preference says how strong it is, so --strength {strength} is empty.")
    if strength == "offset":
        return {"margin": [r.margin for r in rows]}
    raw = [0.25 + r.margin for r in rows]  # barely better still counts
    mean = sum(raw) / len(raw)
    return {"weight": [x / mean for x in raw]}


def flip_rate(report: Report) -> float:
    """Return how often a label is wrong, from how often a person said the opposite later.

    Two answers differ where exactly one is a flip: d = 2 e (1 - e). Raises UsageError where there
    are too few repeats.
    """
    d = report.flips
    if d.n < NOISELESS or d.rate is None:
        raise UsageError(
            f"--loss robust has to know how often labels are wrong, and only {d.n} pairs were asked"
            f" again ({NOISELESS} needed). Say it: --flip-rate 0.1"
        )
    return min((1 - (1 - 2 * min(d.rate, 0.5)) ** 0.5) / 2, 0.49)


def as_rows(preferences: Iterable[Preference], split: str) -> list[Row]:
    """Return preferences as an audit and its baselines take them."""
    return [
        Row(
            number, "\n\n".join(m["content"] for m in p.prompt), p.chosen[-1]["content"],
            p.rejected[-1]["content"], "left", split, p.annotator or "", p.prompt,
        )
        for number, p in enumerate(preferences, 1)
    ]  # fmt: skip


def to_beat(
    train: Sequence[Preference], test: Sequence[Preference]
) -> dict[str, baselines.Accuracy]:
    """Return the accuracy on `test` of rules learned from `train`; empty without test rows."""
    if not test:
        return {}
    known, held = as_rows(train, "train"), as_rows(test, "test")
    rules = {"bag of words": baselines.bag_of_words, "length": baselines.longer}
    return {name: baselines.tested(known, held, rule) for name, rule in rules.items()}


def sentence(rows: Sequence[Preference]) -> str:
    """Return in a sentence what the labels prefer, of what can be counted; empty if nothing."""
    figures = measure.measure(Rows("", as_rows(rows, "train"), len(rows), sided=False), learn=False)
    said = []
    if figures.longer.p is not None and figures.longer.p < 0.05:
        more = (figures.longer.rate or 0) > 0.5
        share = figures.longer.rate if more else 1 - (figures.longer.rate or 0)
        said.append(f"the {'longer' if more else 'shorter'} text ({100 * (share or 0):.0f}%)")
    marked = [
        (abs((r.rate or 0) - 0.5), name, r)
        for name, r in figures.formats.items()
        if r.n >= 20 and r.p is not None and r.p < 0.01
    ]
    for _, name, r in sorted(marked, key=lambda m: -m[0])[:2]:
        more = (r.rate or 0) > 0.5
        share = r.rate if more else 1 - (r.rate or 0)
        said.append(f"{'one with' if more else 'one without'} {name} ({100 * (share or 0):.0f}%)")
    if not said:
        return "What the labels prefer shows neither in length nor in format."
    return f"Of two texts that differ in it, the labels prefer {', '.join(said)}."

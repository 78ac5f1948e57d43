"""How many training rows are wrong, from what people said when they were asked again."""

from collections.abc import Sequence

from palate.core.errors import UsageError
from palate.core.schema import Preference
from palate.label.agreement import Report
from palate.train.config import DPOArguments
from palate.train.trainers import losses

MIN_REPEATS = 20  # fewer repeats or checks say too little of how often labels are wrong
UNCHECKED = 0.15  # of implied pairs contradict the person, in benchmarks/label_cost.py
MOST_WRONG = 0.49  # labels no better than coins teach nothing


def flip_rate(args: DPOArguments, rows: Sequence[Preference], people: Report) -> float | None:
    """Return the share of wrong labels that `--loss robust` needs; None for other losses."""
    if "robust" not in losses.parse(args.loss).names or args.flip_rate is not None:
        return args.flip_rate
    return round(wrong_rows(rows, people), 4)


def wrong_rows(rows: Sequence[Preference], people: Report) -> float:
    """Return the expected share of wrong training rows: of asked and implied ones, by their number.

    Two answers on a pair differ where exactly one is wrong: for asked rows d = 2 e (1 - e), with d
    from how often a person reversed a choice when asked again; for implied ones c = i (1 - e) +
    e (1 - i), with c from the checks. Raises UsageError where there are too few repeats.
    """
    d, c = people.flips, people.implied
    if d.n < MIN_REPEATS or d.rate is None:
        raise UsageError(
            f"--loss robust needs the share of wrong labels, and only {d.n} pairs were asked again"
            f" ({MIN_REPEATS} needed). Set it: --flip-rate 0.1"
        )
    asked = min((1 - (1 - 2 * min(d.rate, 0.5)) ** 0.5) / 2, MOST_WRONG)
    contradicted = UNCHECKED if c.n < MIN_REPEATS or c.rate is None else c.rate
    implied = min(max((contradicted - asked) / (1 - 2 * asked), 0.0), MOST_WRONG)
    share = sum(r.source == "implied" for r in rows) / len(rows)
    return (1 - share) * asked + share * implied


def implied_line(rows: Sequence[Preference], people: Report) -> str | None:
    """Return how many training rows were inferred, and how often that was wrong; None for none."""
    n = sum(r.source == "implied" for r in rows)
    if not n:
        return None
    checked = (
        f"Of the inferred pairs that people were asked about, they decided {people.implied.words()}"
        " the other way."
        if people.implied.n
        else f"None was checked by asking; on the labels of palate's benchmark, {UNCHECKED:.0%} of"
        " the inferred pairs were wrong."
    )
    return (
        f"{n:,} of {len(rows):,} training rows ({n / len(rows):.0%}) are inferred from other"
        f" answers. {checked} To train without them: --no-implied"
    )

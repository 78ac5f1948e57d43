"""What the choices themselves show: circles, habits, and rules that predict them. Pure: no I/O."""

from collections.abc import Iterator

from palate.audit.finding import Finding
from palate.audit.measure import Audit
from palate.core.markdown import count
from palate.core.rates import Rate

MANY_CYCLES = 0.15  # of triads; 25% by chance where every pair is asked
FEW_SIDES = 10  # choices; of fewer, all may be of one side by chance


def findings(a: Audit) -> Iterator[Finding]:
    """Yield what an audit found about the choices."""
    yield from _cycles(a)
    yield from _biases(a)
    yield from _baselines(a)


def _cycles(a: Audit) -> Iterator[Finding]:
    c = a.cycles
    if c.rate is None:
        if not a.named and a.repeated:
            yield Finding(
                "note",
                "Circular answers were not counted: pairs were judged more than once, and the rows"
                " do not say by whom.",
                "Add a column annotator to see whether each person is consistent.",
            )
        return
    low, high = c.interval or (0.0, 1.0)
    advice = "That is too few to tell whether the answers are consistent."
    if low > MANY_CYCLES:
        advice = (
            "The answers are inconsistent. Make the question narrower, or label with more care."
        )
    elif high < MANY_CYCLES:
        advice = (
            "Where every pair was asked, the answers are consistent, and ranking would have asked"
            " fewer. Where a ranking chose the pairs, few could close a circle."
        )
    whose = "" if a.named else " The rows do not say who judged, so they count as one person's."
    yield Finding(
        "warning" if low > MANY_CYCLES else "note",
        f"Of {count(c.n, 'triad')}, {c.hits:,} {'is' if c.hits == 1 else 'are'} cyclic"
        f" ({100 * c.rate:.1f}%; 25% by chance where every pair is asked).{whose}",
        advice,
    )


def _biases(a: Audit) -> Iterator[Finding]:
    if a.longer.differs(a.tests):
        side = "longer" if (a.longer.rate or 0) > 0.5 else "shorter"
        yield Finding(
            "warning" if abs((a.longer.rate or 0) - 0.5) > 0.1 else "note",
            f"When lengths differ, the {side} text is preferred: the longer one won"
            f" {a.longer.words()}{a.longer.test(a.tests)}.",
            f"A model will learn to write {side} answers. If that is not intended, compare lengths"
            " in the evaluation, or train with --length-desensitized.",
        )
    if a.second is not None and a.second.n:
        yield _sides(a.second, a.tests)
    for name, rate in a.common_formats.items():
        if rate.differs(a.tests):
            often = "preferred" if (rate.rate or 0) > 0.5 else "rejected"
            yield Finding(
                "warning" if abs((rate.rate or 0) - 0.5) > 0.2 else "note",
                f"Texts with {name} are {often}: where only one text has it, that text won"
                f" {rate.words()}{rate.test(a.tests)}.",
                "A model will learn this. If it is intended, asking for it in the prompt is"
                " cheaper.",
            )


def _sides(second: Rate, tests: int) -> Finding:
    words = f"the second side was chosen {second.words()}{second.test(tests)}"
    if second.hits in (0, second.n) and second.n >= FEW_SIDES:
        return Finding(
            "warning",
            f"Every choice was the same side: {words}.",
            "Check that the choice column is read correctly and that sides were random.",
        )
    if second.differs(tests):
        return Finding("warning", f"Side bias: {words}.", "Show the texts in random order.")
    return Finding("note", f"No side bias was found: {words}.", "Nothing to do.")


def _baselines(a: Audit) -> Iterator[Finding]:
    model = a.baseline.get("by prompt")
    if not a.learned:
        return
    if model is None:
        yield Finding(
            "note",
            "Too few rows or prompts for a baseline.",
            "What a tuned model has to beat is unknown.",
        )
        return
    best = max((b for b in (model, a.length_rule) if b), key=lambda b: b.rate)
    name = "a bag of words" if best is model else "length alone"
    yield Finding(
        "note" if best.low > 0.5 else "warning",
        f"On unseen prompts, {name} predicts {best.words()} of the choices.",
        "A tuned model's test reward accuracy has to beat that."
        if best.low > 0.5
        else "No simple rule is shown to predict the choices: they are few, the taste is subtle, or"
        " the labels are noise.",
    )

"""What the labels hold, checked before training: findings, noise, strength and simple rules.

All but `audit` and `flip_rate` is pure: no I/O.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console

from palate.audit import baselines, findings, measure
from palate.audit import rows as audit_rows
from palate.collect.splits import check_no_overlap, check_training
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.core.schema import Preference
from palate.label import agreement
from palate.train.config import DPOArguments, Strength
from palate.train.rows import Rows

MIN_REPEATS = 20  # fewer say too little of how often people change their mind
MIN_FORMAT_PAIRS = 20
FORMAT_P = 0.01
LENGTH_P = 0.05


def audit(
    console: Console, project: Project, rows: Rows[Preference], *, ignore: bool
) -> tuple[findings.Finding, ...]:
    """Audit the labels, print warnings and return all findings; raise PalateError if one is fatal.

    With `ignore`, fatal findings do not raise.
    """
    figures = measure.measure(audit_rows.of_project(project), learn=False)
    found = findings.findings(figures)
    try:
        check_no_overlap(project.prompts)
        check_training(rows.train, project.prompts)
    except PalateError as error:
        found.insert(0, findings.Finding("fatal", str(error), "Correct it before training."))
    for f in found:
        if f.level != "note":
            console.print(f"  {f.level}: {f.text} {f.advice}", style="yellow", markup=False)
    fatal = [f for f in found if f.level == "fatal"]
    if fatal and not ignore:
        raise PalateError(
            f"{fatal[0].text} {fatal[0].advice} For all findings: palate audit {project.id}."
            " To train anyway: --ignore-audit"
        )
    return tuple(found)


def flip_rate(args: DPOArguments, project: Project) -> float | None:
    """Return the share of wrong labels that `--loss robust` needs; None for other losses."""
    if args.loss != "robust" or args.flip_rate is not None:
        return args.flip_rate
    report = agreement.report(project.labels, project.candidates)
    return round(measured_flip_rate(report), 4)


def measured_flip_rate(report: agreement.Report) -> float:
    """Return the share of wrong labels, from how often a person reversed a choice when asked again.

    Two answers differ where exactly one is wrong: d = 2 e (1 - e). Raises UsageError where there
    are too few repeats.
    """
    d = report.flips
    if d.n < MIN_REPEATS or d.rate is None:
        raise UsageError(
            f"--loss robust needs the share of wrong labels, and only {d.n} pairs were asked again"
            f" ({MIN_REPEATS} needed). Set it: --flip-rate 0.1"
        )
    return min((1 - (1 - 2 * min(d.rate, 0.5)) ** 0.5) / 2, 0.49)


def strength_columns(rows: Sequence[Preference], strength: Strength) -> dict[str, list[float]]:
    """Return the columns that `--strength` adds to the training rows.

    `margin` is the reward margin to reach, 1 for "much better" to 0 for "barely" (H. Touvron et
    al., "Llama 2", 2023, section 3.2.2), which DPO takes as an offset (A. Amini et al., "Direct
    Preference Optimization with an Offset", 2024). `weight` has a mean of 1.
    """
    if strength == "off":
        return {}
    if not any(r.strength for r in rows):
        raise UsageError(
            f"--strength {strength} has nothing to use: no preference says how strong it is."
        )
    if strength == "offset":
        return {"margin": [r.margin for r in rows]}
    raw = [0.25 + r.margin for r in rows]  # barely better still counts
    mean = sum(raw) / len(raw)
    return {"weight": [x / mean for x in raw]}


def baseline_accuracies(rows: Rows[Preference]) -> dict[str, baselines.Accuracy]:
    """Return the test accuracy of simple rules learned from people's train rows.

    Implied rows are used where there are no others. Empty without test rows.
    """
    if not rows.test:
        return {}
    human = [r for r in rows.train if r.source == "human"]
    known, held = as_audit_rows(human or rows.train, "train"), as_audit_rows(rows.test, "test")
    rules = {"bag of words": baselines.bag_of_words, "length": baselines.longer}
    return {name: baselines.tested(known, held, rule) for name, rule in rules.items()}


def as_audit_rows(preferences: Iterable[Preference], split: str) -> list[audit_rows.Row]:
    """Return preferences as the audit and its baselines take them."""
    return [
        audit_rows.Row(
            number, "\n\n".join(m["content"] for m in p.prompt), p.chosen[-1]["content"],
            p.rejected[-1]["content"], "left", split, p.annotator or "", p.prompt,
        )
        for number, p in enumerate(preferences, 1)
    ]  # fmt: skip


def preference_sentence(rows: Sequence[Preference]) -> str:
    """Return which length and which formats the labels prefer, in sentences."""
    table = audit_rows.Rows("", as_audit_rows(rows, "train"), len(rows), sided=False)
    figures = measure.measure(table, learn=False)
    sentences = []
    if figures.longer.p is not None and figures.longer.p < LENGTH_P:
        longer = figures.longer.rate or 0
        name = "longer" if longer > 0.5 else "shorter"
        share = 100 * max(longer, 1 - longer)
        sentences.append(f"When lengths differ, the {name} answer wins {share:.0f}% of the time.")
    marked = [
        (abs((r.rate or 0) - 0.5), name, r.rate or 0)
        for name, r in figures.formats.items()
        if r.n >= MIN_FORMAT_PAIRS and r.p is not None and r.p < FORMAT_P
    ]
    for _, name, rate in sorted(marked, key=lambda m: -m[0])[:2]:
        has, lacks = ("with", "without") if rate > 0.5 else ("without", "with")
        share = 100 * max(rate, 1 - rate)
        sentences.append(f"An answer {has} {name} beats one {lacks} it {share:.0f}% of the time.")
    return " ".join(sentences) or "The labels prefer no length and no format."

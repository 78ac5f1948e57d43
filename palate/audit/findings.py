"""What an audit's figures mean: how serious each is, and what to do. Pure: no I/O."""

from collections.abc import Iterator, Sequence

from palate.audit import choices, groups
from palate.audit.finding import SHOWN_ROWS, Finding, Level, some
from palate.audit.fit import cost
from palate.audit.measure import Audit, Fit
from palate.collect.pairs import Doubted
from palate.core.markdown import count

FEW_LABELS = 200  # with a strict preference; with fewer a model learns little
EPOCHS = 3.0  # of the training whose cost is estimated


def findings(audit: Audit) -> list[Finding]:
    """Return the findings, the worst first."""
    order = {"fatal": 0, "warning": 1, "note": 2}
    parts = (_rows(audit), _splits(audit), choices.findings(audit))
    result = [finding for part in parts for finding in part]
    if audit.fit:
        result += _tokens(audit.fit)
    return sorted(result, key=lambda f: order[f.level])


def outcome(issues: Sequence[Finding]) -> str:
    """Return what the findings come to, in a line."""
    fatal, warnings = (sum(i.level == level for i in issues) for level in ("fatal", "warning"))
    also = f" {count(warnings, 'warning')}." if warnings else ""
    if fatal:
        return f"{count(fatal, 'fatal finding')}: training stops until that is put right.{also}"
    return f"Nothing stops training.{also}"


def _rows(a: Audit) -> Iterator[Finding]:
    strict = a.kinds.get("left", 0) + a.kinds.get("right", 0)
    yield from _unusable(a, strict)
    yield from _labels(a, strict)
    if a.duplicates:
        yield _duplicates(a)
    if a.contradictions:
        share = a.contradictions / max(strict, 1)
        yield Finding(
            "warning" if share > 0.05 else "note",
            f"{count(a.contradictions, 'pair')} with contradictory choices.",
            "Where people differ, train on some of them (--annotators) or on the majority. --loss"
            " robust allows for noise.",
        )
    if a.doubted:
        yield _doubted(a.doubted)
    if a.groups and a.groups.p is not None:
        yield groups.finding(a.groups, a.project)
    ties = a.kinds.get("tie", 0) + a.kinds.get("neither", 0)
    if ties:
        yield Finding(
            "note",
            f"{ties:,} of {count(a.usable, 'row')} without a preference: ties, or both bad.",
            "DPO does not learn from them. They are left out and counted.",
        )


def _unusable(a: Audit, strict: int) -> Iterator[Finding]:
    """Yield what is known of rows that are left out, doubtful, or teach nothing."""
    if a.excluded:
        yield Finding(
            "note",
            f"The owner has excluded {count(a.excluded, 'person', 'people')} who labelled.",
            f"No label by {'this person' if a.excluded == 1 else 'them'} is counted here.",
        )
    for what, numbers in a.problems.items():
        yield Finding(
            "warning",
            f"{count(len(numbers), 'row')} {what}: {some(numbers)}.",
            "They are left out. Correct them in the source, or remove them.",
        )
    for remark, number in a.remarks.items():
        yield Finding(
            "warning",
            f"{count(number, 'row')} {remark}.",
            "Counted as chosen and rejected say. Were these taken from the scores?",
        )
    if a.identical:
        level: Level = "fatal" if len(a.identical) >= strict > 0 else "warning"
        yield Finding(
            level,
            f"{count(len(a.identical), 'row')} with the same text on both sides:"
            f" {some(a.identical)}.",
            "They teach nothing. Remove them.",
        )


def _doubted(labels: Sequence[Doubted]) -> Finding:
    """Return what is known of the labels that the reward finds unlikely."""
    listed = "; ".join(
        f"{_short(x.chosen)} over {_short(x.rejected)} ({100 * x.probability:.0f}%)"
        for x in labels[:SHOWN_ROWS]
    )
    more = f"; and {len(labels) - SHOWN_ROWS:,} more" if len(labels) > SHOWN_ROWS else ""
    again = [x.again for x in labels if x.again is not None]
    asked = (
        f"Asked again, people said the same of {sum(again)} of {count(len(again), 'label')}."
        if again
        else "The label Space asks the same people about them once more, blind."
    )
    return Finding(
        "note",
        f"{count(len(labels), 'label')} that the reward, made of other prompts, finds unlikely:"
        f" {listed}{more}.",
        f"{asked} Either may be wrong: the person, or the reward.",
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[:60]}{'…' * (len(line) > 60)}”"


def _labels(a: Audit, strict: int) -> Iterator[Finding]:
    if a.rows and not a.usable:
        yield Finding(
            "fatal",
            f"None of the {count(a.rows, 'row')} can be read, so nothing is known of the choices.",
            "Name the columns: --prompt, --a, --b and --choice. If both texts begin with the"
            " prompt, move it to a column.",
        )
    elif strict == 0:
        yield Finding("fatal", "No row prefers one text.", "Collect labels before training.")
    elif strict < FEW_LABELS:
        yield Finding(
            "warning",
            f"Only {count(strict, 'row')} {'prefers' if strict == 1 else 'prefer'} one text.",
            f"Collect a few hundred. With fewer than {FEW_LABELS} a model learns mostly noise.",
        )


def _duplicates(a: Audit) -> Finding:
    if a.named:
        return Finding(
            "note",
            f"{count(a.duplicates, 'duplicate row')}.",
            "Duplicates count more than other rows. Keep one of each.",
        )
    return Finding(
        "note",
        f"{count(a.duplicates, 'row')} {'repeats' if a.duplicates == 1 else 'repeat'} an earlier"
        " one, and the rows do not say who judged: copies, or people who agree.",
        "Add a column annotator. Remove copies, and keep people who agree.",
    )


def _splits(a: Audit) -> Iterator[Finding]:
    for leak in a.leaks:
        kinds = (
            (leak.prompts, "a prompt of train"),
            (leak.alike, "a prompt much like one of train"),
            (leak.texts, "both texts in train"),
        )
        shared = [
            f"{n:,} of its {count(leak.rows, 'row')} {'has' if n == 1 else 'have'} {what}"
            for n, what in kinds
            if n
        ]
        scores = ""
        if leak.lookup and leak.lookup.low > 0.5:
            scores = f" A lookup table of wins in train scores {leak.lookup.words()} there."
        example = f" For example: {leak.examples[0]!r}." if leak.examples else ""
        yield Finding(
            "fatal" if leak.prompts else "warning",
            f"The split {leak.split} leaks: {', and '.join(shared)}.{scores}{example}",
            "Split by prompt, as palate import does. Results on such rows mean nothing.",
        )
    row, prompt = a.lookup.get("by row"), a.lookup.get("by prompt")
    if row and prompt and row.low > 0.55 and row.rate - prompt.rate > 0.05:
        yield Finding(
            "warning",
            f"A split by row would leak: a lookup table of wins scores {row.words()} on it,"
            f" {prompt.words()} on a split by prompt.",
            "Split by prompt, never by row. palate does this; train_test_split does not.",
        )


def _tokens(f: Fit) -> Iterator[Finding]:
    if f.problem:
        yield Finding("fatal", f"{f.model} {f.problem}.", "Choose an instruction-tuned model.")
        return
    if f.overlong:
        level: Level = "fatal" if len(f.overlong) >= f.sampled else "warning"
        yield Finding(
            level,
            f"{count(len(f.overlong), 'row')} longer than {f.max_length:,} tokens:"
            f" {some(f.overlong)}.",
            "Training leaves them out. Raise --max-length, or shorten them.",
        )
    if f.changed_prompts:
        yield Finding(
            "warning",
            f"The chat template of {f.model} changes {count(len(f.changed_prompts), 'prompt')}:"
            f" {some(f.changed_prompts)}.",
            "The model is not asked what people saw. Check the template.",
        )
    if not f.ends:
        yield Finding(
            "warning",
            f"The chat template of {f.model} does not end an answer with the EOS token.",
            "The tuned model may not know when to stop. See its tokenizer_config.json.",
        )
    spent = cost(f, EPOCHS)
    trl, tree = f.positions["trl"], f.positions["tree"]
    yield Finding(
        "note",
        f"An epoch is {tree:,} token positions; in TRL's batches of pairs it is {trl:,}"
        f" ({trl / max(tree, 1):.1f} times as many). {EPOCHS:.0f} epochs of {f.model}"
        f" ({f.parameters / 1e6:,.0f} M parameters) take about"
        f" {spent['operations'] / 1e15:.2g} PFLOP, {_minutes(spent['a10g_minutes'])} on an A10G.",
        "On a smaller machine, --method lora needs less memory, but not less time.",
    )


def _minutes(minutes: float) -> str:
    return "less than a minute" if minutes < 1 else f"about {minutes:,.0f} min"

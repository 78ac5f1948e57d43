"""What an audit's figures mean: how bad each is, and what to do. Pure: no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from palate.audit.fit import cost
from palate.audit.measure import Audit
from palate.core.markdown import count
from palate.core.stats import Rate

Level = Literal["fatal", "warning", "note"]
SURE = 0.01  # a two-sided p below which a bias is no chance
FEW = 200  # strict labels, below which a model learns little
ROUND = 0.01


@dataclass(frozen=True)
class Finding:
    """One thing to know about the data: `fatal` stops a training."""

    level: Level
    text: str
    advice: str

    def to_json(self) -> dict[str, str]:
        return {"level": self.level, "text": self.text, "advice": self.advice}


def findings(audit: Audit) -> list[Finding]:
    """Return what is worth knowing, the worst first."""
    order = {"fatal": 0, "warning": 1, "note": 2}
    found = [*_rows(audit), *_splits(audit), *_answers(audit), *_biases(audit), *_worth(audit)]
    if audit.fit:
        found += _tokens(audit)
    return sorted(found, key=lambda f: order[f.level])


def _rows(a: Audit) -> Iterator[Finding]:
    strict = a.kinds.get("left", 0) + a.kinds.get("right", 0)
    for what, numbers in a.problems.items():
        yield Finding(
            "warning",
            f"{count(len(numbers), 'row')} {what}: {_some(numbers)}.",
            "They are left out. Correct them at the source, or remove them.",
        )
    if a.identical:
        level: Level = "fatal" if len(a.identical) >= strict > 0 else "warning"
        yield Finding(
            level,
            f"{count(len(a.identical), 'row')} with the same text on both sides:"
            f" {_some(a.identical)}.",
            "Nothing can be learned from them; remove them.",
        )
    if strict == 0:
        yield Finding("fatal", "No row prefers one text.", "Collect labels before training.")
    elif strict < FEW:
        yield Finding(
            "warning",
            f"Only {count(strict, 'row')} prefer one text.",
            f"A few hundred teach a taste; below {FEW} a model mostly learns chance.",
        )
    if a.duplicates:
        yield Finding(
            "note",
            f"{count(a.duplicates, 'row')} say again what an earlier row says.",
            "They weigh more than others; keep one of each.",
        )
    if a.contradictions:
        share = a.contradictions / max(strict, 1)
        yield Finding(
            "warning" if share > 0.05 else "note",
            f"{count(a.contradictions, 'pair')} were decided both ways.",
            "Where people differ, train on one of them or on the majority; --loss robust allows"
            " for noise.",
        )
    ties = a.kinds.get("tie", 0) + a.kinds.get("neither", 0)
    if ties:
        yield Finding(
            "note",
            f"{count(ties, 'row')} of {a.usable:,} are ties or find both bad.",
            "DPO does not learn from them; they are left out and counted.",
        )


def _splits(a: Audit) -> Iterator[Finding]:
    for leak in a.leaks:
        shared = []
        if leak.prompts:
            shared.append(f"{leak.prompts:,} of its {leak.rows:,} rows ask a prompt of train")
        if leak.texts:
            shared.append(f"train holds both texts of {leak.texts:,} of its {leak.rows:,} rows")
        scores = ""
        if leak.lookup and leak.lookup.low > 0.5:
            scores = f" A lookup table of train's wins alone scores {leak.lookup.words()} there."
        example = f" For example: {leak.examples[0]!r}." if leak.examples else ""
        yield Finding(
            "fatal" if leak.prompts else "warning",
            f"The split {leak.split} leaks: {', and '.join(shared)}.{scores}{example}",
            "Split by prompt, as palate import does; what was measured on it means nothing.",
        )
    row, prompt = a.lookup.get("by row"), a.lookup.get("by prompt")
    if row and prompt and row.low > 0.55 and row.rate - prompt.rate > 0.05:
        yield Finding(
            "warning",
            f"A split by row would leak: a lookup table of wins scores {row.words()} on it, and"
            f" {prompt.words()} on a split by prompt.",
            "Split by prompt, never by row. palate does; the usual train_test_split does not.",
        )


def _answers(a: Audit) -> Iterator[Finding]:
    c = a.cycles
    if not c.n:
        return
    share = 100 * (c.rate or 0)
    if share > 15:
        yield Finding(
            "warning",
            f"{c.hits:,} of {c.n:,} triads are cyclic ({share:.1f}%; chance is 25%).",
            "The answers hardly follow an order. Narrow the question, or label with more care.",
        )
    else:
        yield Finding(
            "note",
            f"{c.hits:,} of {c.n:,} triads are cyclic ({share:.1f}%; chance is 25%).",
            "The answers follow an order: a ranking of each prompt's texts would ask fewer pairs.",
        )


def _biases(a: Audit) -> Iterator[Finding]:
    if a.longer.n and _sure(a.longer):
        side = "longer" if (a.longer.rate or 0) > 0.5 else "shorter"
        yield Finding(
            "warning" if abs((a.longer.rate or 0) - 0.5) > 0.1 else "note",
            f"The {side} text is preferred: the longer one won {a.longer.words()}.",
            f"A model will learn to write {side} answers. If that is not the taste, compare"
            " lengths in the evaluation, or train with --length-desensitized.",
        )
    if a.second is not None and a.second.n:
        words = f"the second side was chosen {a.second.words()}, p = {a.second.p:.2g}"
        if a.second.hits in (0, a.second.n):
            yield Finding(
                "warning",
                f"Every choice fell on the same side: {words}.",
                "Is the choice column read the right way, or were the sides never exchanged?",
            )
        elif _sure(a.second):
            yield Finding("warning", f"Sides matter: {words}.", "Show the sides in random order.")
        else:
            yield Finding("note", f"No side bias: {words}.", "Nothing to do.")
    for name, rate in a.formats.items():
        if rate.n >= 20 and _sure(rate):
            often = "for" if (rate.rate or 0) > 0.5 else "against"
            yield Finding(
                "warning" if abs((rate.rate or 0) - 0.5) > 0.2 else "note",
                f"{name[0].upper()}{name[1:]} speaks {often} a text: of pairs in which one side"
                f" alone has it, that side won {rate.words()}.",
                "A model will learn it. Keep it if it is the taste; it is cheaper to ask for it.",
            )


def _worth(a: Audit) -> Iterator[Finding]:
    model = a.baseline.get("by prompt")
    if not a.learned:
        return
    if model is None:
        yield Finding(
            "note",
            "Too few rows or prompts for a baseline.",
            "What a tuned model has to beat stays unknown.",
        )
        return
    best = max((b for b in (model, a.length_rule) if b), key=lambda b: b.rate)
    name = "a bag of words" if best is model else "length alone"
    yield Finding(
        "note" if best.low > 0.5 else "warning",
        f"On prompts that it has not seen, {name} is right on {best.words()}.",
        "A tuned model's test reward accuracy has to beat that."
        if best.low > 0.5
        else "No simple rule finds the taste: it may be subtle, or the labels noise.",
    )
    if a.doubling is not None:
        points = 100 * a.doubling
        text = f"bring about {points:+.1f} points" if points >= 0.5 else "change little"
        yield Finding(
            "note",
            f"Twice the labels would {text} of that baseline's accuracy.",
            "Label more prompts rather than more pairs of the same." if points >= 0.5
            else "More labels of this kind are not what is missing.",
        )  # fmt: skip


def _tokens(a: Audit) -> Iterator[Finding]:
    f = a.fit
    assert f is not None
    if f.problem:
        yield Finding(
            "fatal", f"{f.model} {f.problem}.", "Choose an instruction-tuned model, or add one."
        )
        return
    if f.overlong:
        level: Level = "fatal" if len(f.overlong) >= f.sampled else "warning"
        yield Finding(
            level,
            f"{count(len(f.overlong), 'row')} are longer than {f.max_length:,} tokens:"
            f" {_some(f.overlong)}.",
            "They are left out of training. Raise --max-length, or shorten them.",
        )
    if f.changed_prompts:
        yield Finding(
            "warning",
            f"The chat template of {f.model} changes {count(len(f.changed_prompts), 'prompt')}:"
            f" {_some(f.changed_prompts)}.",
            "What the model is asked is not what people saw. Look at the template.",
        )
    if not f.ends:
        yield Finding(
            "warning",
            f"The chat template of {f.model} does not close an answer with its EOS token.",
            "The tuned model may not know where to stop; see its tokenizer_config.json.",
        )
    spent = cost(f, 3.0)
    trl, tree = f.positions["trl"], f.positions["tree"]
    yield Finding(
        "note",
        f"An epoch is {tree:,} token positions, and {trl:,} as TRL batches pairs"
        f" ({trl / max(tree, 1):.1f} times as many). Three epochs of {f.model}"
        f" ({f.parameters / 1e6:,.0f} M parameters) are about"
        f" {spent['operations'] / 1e15:.2g} PFLOP, {_minutes(spent['a10g_minutes'])} on an A10G.",
        "Where the machine is smaller, --method lora needs less memory, not less time.",
    )


def _minutes(minutes: float) -> str:
    return "less than a minute" if minutes < 1 else f"about {minutes:,.0f} min"


def _sure(rate: Rate) -> bool:
    return rate.p is not None and rate.p < SURE


def _some(numbers: list[int]) -> str:
    shown = ", ".join(f"{n:,}" for n in numbers[:5])
    more = len(numbers) - 5
    head = "row " if len(numbers) == 1 else "rows "
    return head + shown + (f" and {more:,} more" if more > 0 else "")


def to_json(audit: Audit, found: list[Finding]) -> dict[str, Any]:
    """Return all figures as JSON types; the keys that scripts read first hold plain numbers."""
    a = audit

    def rate(accuracy: Any) -> float | None:
        return None if accuracy is None else accuracy.rate

    return {
        "source": a.source,
        "rows": a.rows,
        "usable_rows": a.usable,
        "problems": {what: len(n) for what, n in a.problems.items()},
        "prompts": a.prompts,
        "texts": a.texts,
        "candidates_per_prompt": {str(k): n for k, n in sorted(a.candidates.items())},
        "annotators": a.annotators,
        "splits": a.splits,
        "choices": a.kinds,
        "identical_pairs": len(a.identical),
        "duplicates": a.duplicates,
        "contradictions": a.contradictions,
        "cyclic_triads": a.cycles.hits,
        "triads": a.cycles.n,
        "leaks": [
            {"split": x.split, "rows": x.rows, "prompts": x.prompts, "texts": x.texts,
             "lookup_accuracy": rate(x.lookup)} for x in a.leaks
        ],
        "row_split_lookup_accuracy": rate(a.lookup.get("by row")),
        "prompt_split_lookup_accuracy": rate(a.lookup.get("by prompt")),
        "row_split_baseline_accuracy": rate(a.baseline.get("by row")),
        "baseline_accuracy": rate(a.baseline.get("by prompt")),
        "baseline": {k: v.to_json() for k, v in a.baseline.items()},
        "length_rule": a.length_rule.to_json() if a.length_rule else None,
        "learning_curve": a.curve,
        "gain_of_twice_the_labels": a.doubling,
        "rows_sampled_for_baselines": a.sampled,
        "longer_chosen": a.longer.rate,
        "longer": a.longer.to_json(),
        "second_side_chosen": a.second.rate if a.second else None,
        "second_side": a.second.to_json() if a.second else None,
        "formats": {name: r.to_json() for name, r in a.formats.items()},
        "words": a.words,
        "tokens": _fit_json(a) if a.fit else None,
        "findings": [f.to_json() for f in found],
    }  # fmt: skip


def _fit_json(a: Audit) -> dict[str, Any]:
    f = a.fit
    assert f is not None
    return {
        "model": f.model, "parameters": f.parameters, "problem": f.problem or None,
        "max_length": f.max_length, "overlong_rows": len(f.overlong),
        "changed_prompts": len(f.changed_prompts), "closes_with_eos": f.ends,
        "positions": f.positions, **f.tokens, **(cost(f, 3.0) if f.positions else {}),
    }  # fmt: skip

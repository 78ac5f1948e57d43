"""Splits by prompt, made before the first label, and the checks that hold them. Pure: no I/O."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from palate.core.errors import PalateError
from palate.core.project import Settings
from palate.core.schema import Preference, Prompt, Split
from palate.core.similar import alike


def assign(new: Sequence[Prompt], existing: Sequence[Prompt], settings: Settings) -> list[Prompt]:
    """Return the prompts of `new` that `existing` lacks, each with its split.

    The settings' fractions hold for all prompts together; a prompt keeps its split for ever. From
    three prompts on, every split gets at least one.
    """
    known = {p.id for p in existing}
    fresh = [p for p in {p.id: p for p in new}.values() if p.id not in known]
    total = len(fresh) + len(existing)
    sizes = Counter(p.split for p in existing)
    wanted: list[Split] = []
    for split, fraction in (("eval", settings.eval), ("test", settings.test)):
        target = max(round(fraction * total), 1 if total >= 3 else 0)
        wanted += [split] * max(0, target - sizes[split])
    wanted = wanted[: len(fresh)]
    order = sorted(range(len(fresh)), key=lambda i: fresh[i].id)
    random.Random(settings.seed).shuffle(order)
    chosen = dict(zip(order, wanted, strict=False))
    return [replace(p, split=chosen.get(i, "train")) for i, p in enumerate(fresh)]


def check_no_overlap(prompts: Iterable[Prompt]) -> None:
    """Raise PalateError if a prompt, by its normalised text, is in two splits."""
    seen: dict[str, Prompt] = {}
    for p in prompts:
        other = seen.setdefault(normal(p.text), p)
        if other.split != p.split:
            raise PalateError(
                f"The prompt {p.text[:80]!r} is in the splits {other.split} and {p.split}:"
                " a model would be tested on what it was trained on. Remove one of the two."
            )


def check_training(rows: Iterable[Preference], prompts: Iterable[Prompt]) -> None:
    """Raise PalateError if a row to train on has a prompt of `test` or `eval`.

    A prompt that is only like an `eval` prompt counts, too: no verdict is given on those.
    """
    prompts = list(prompts)
    held_out = {normal(p.text): p for p in prompts if p.split != "train"}
    texts = list(dict.fromkeys(_text(row) for row in rows))
    for text in texts:
        if prompt := held_out.get(normal(text)):
            raise PalateError(
                f"The {prompt.split} prompt {text[:80]!r} occurs in the training data:"
                " its results would mean nothing. Run `palate export` to rebuild the preferences."
            )
    _check_eval(prompts, texts, "is in the training data", "")


def check_evaluation(prompts: Iterable[Prompt], rows: Iterable[Preference]) -> None:
    """Raise PalateError if an `eval` prompt, or one like it, was trained on."""
    prompts = list(prompts)
    check_no_overlap(prompts)
    trained = [p.text for p in prompts if p.split == "train"] + [_text(row) for row in rows]
    _check_eval(prompts, trained, "was trained on", ", and train again")


def _check_eval(prompts: Iterable[Prompt], trained: Sequence[str], what: str, then: str) -> None:
    blind = [p.text for p in prompts if p.split == "eval"]
    for text, other in alike(blind, trained).items():
        raise PalateError(
            f"The eval prompt {text[:80]!r} {what}, or one much like it: {other[:80]!r}. A verdict"
            f" on it would mean nothing. Remove one of the two from the project's prompts{then}."
        )


def _text(row: Preference) -> str:
    return "\n\n".join(m["content"] for m in row.prompt)


def normal(text: str) -> str:
    """Return the text as the checks compare it: without case, and with single spaces."""
    return " ".join(text.casefold().split())

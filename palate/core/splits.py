"""Splits by prompt, made before the first label, and the checks that hold them. Pure: no I/O."""

import random
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

from palate.core.errors import PalateError
from palate.core.project import Settings
from palate.core.schema import Preference, Prompt, Split

NEAR_SHARE = 0.85  # of the trigrams of two prompts: they are the same question
NEAR_TRIGRAMS = 12  # fewer trigrams, without the words that prompts share, tell nothing


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
    """Raise PalateError if a row to train on has a prompt of `test` or `eval`."""
    held_out = {normal(p.text): p for p in prompts if p.split != "train"}
    for row in rows:
        text = "\n\n".join(m["content"] for m in row.prompt)
        if prompt := held_out.get(normal(text)):
            raise PalateError(
                f"The {prompt.split} prompt {text[:80]!r} occurs in the training data:"
                " its results would mean nothing. Run `palate export` to rebuild the preferences."
            )


def check_evaluation(prompts: Iterable[Prompt], rows: Iterable[Preference]) -> None:
    """Raise PalateError if an `eval` prompt was trained on, exactly or nearly.

    Nearly means that the character trigrams of two prompts, without the words that most prompts
    share, are nearly the same (Jaccard index).
    """
    prompts = list(prompts)
    check_no_overlap(prompts)
    trained = {normal(p.text): p.text for p in prompts if p.split == "train"}
    for row in rows:
        text = "\n\n".join(m["content"] for m in row.prompt)
        trained[normal(text)] = text
    blind = {normal(p.text): p.text for p in prompts if p.split == "eval"}
    words = Counter(word for text in {*trained, *blind} for word in set(text.split()))
    common = {w for w, n in words.items() if n > max(2, len({*trained, *blind}) / 2)}
    known = [(_trigrams(text, common), shown) for text, shown in trained.items()]
    for text, shown in blind.items():
        own = _trigrams(text, common)
        for other, trained_text in known:
            if text == normal(trained_text) or (
                len(own) >= NEAR_TRIGRAMS and len(own & other) >= NEAR_SHARE * len(own | other)
            ):
                raise PalateError(
                    f"The eval prompt {shown[:80]!r} was trained on, or one much like it:"
                    f" {trained_text[:80]!r}. A verdict on it would mean nothing."
                    " Remove one of the two from the project's prompts, and train again."
                )


def _trigrams(text: str, common: Container[str]) -> set[str]:
    rest = " ".join(w for w in text.split() if w not in common)
    return {rest[i : i + 3] for i in range(len(rest) - 2)}


def normal(text: str) -> str:
    """Return the text as the checks compare it: without case, and with single spaces."""
    return " ".join(text.casefold().split())

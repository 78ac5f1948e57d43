"""Split by prompt, before the first label, and the guard that holds it. Pure: no I/O."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from palate.errors import PalateError
from palate.schema import Preference, Prompt, Split


def assign(
    new: Sequence[Prompt], existing: Sequence[Prompt], *, test: float, eval: float, seed: int
) -> list[Prompt]:
    """Return the prompts of `new` that `existing` lacks, each with its split.

    Fractions hold for all prompts together; prompts that have a split keep it for ever. From three
    prompts on every split gets at least one.
    """
    known = {p.id for p in existing}
    fresh = [p for p in {p.id: p for p in new}.values() if p.id not in known]
    total = len(fresh) + len(existing)
    have = Counter(p.split for p in existing)
    wanted: list[Split] = []
    for split, fraction in (("eval", eval), ("test", test)):
        target = max(round(fraction * total), 1 if total >= 3 else 0)
        wanted += [split] * max(0, target - have[split])
    wanted = wanted[: len(fresh)]
    order = sorted(range(len(fresh)), key=lambda i: fresh[i].id)
    random.Random(seed).shuffle(order)
    chosen = dict(zip(order, wanted, strict=False))
    return [replace(p, split=chosen.get(i, "train")) for i, p in enumerate(fresh)]


def check_no_overlap(prompts: Iterable[Prompt]) -> None:
    """Raise if a prompt, by its normalised text, stands in two splits."""
    seen: dict[str, Prompt] = {}
    for p in prompts:
        other = seen.setdefault(normal(p.text), p)
        if other.split != p.split:
            raise PalateError(
                f"The prompt {p.text[:80]!r} is in the splits {other.split} and {p.split}:"
                " a model would be tested on what it was trained on. Remove one of the two."
            )


def check_training(rows: Iterable[Preference], prompts: Iterable[Prompt]) -> None:
    """Raise if a row to train on has a prompt of `test` or `eval`."""
    held_out = {normal(p.text): p for p in prompts if p.split != "train"}
    for row in rows:
        text = "\n\n".join(m["content"] for m in row.prompt)
        if found := held_out.get(normal(text)):
            raise PalateError(
                f"The {found.split} prompt {text[:80]!r} occurs in the training data:"
                " its results would mean nothing. Run `palate export` to rebuild the preferences."
            )


def normal(text: str) -> str:
    """Return the text as the guard compares it: without case, and with single spaces."""
    return " ".join(text.casefold().split())

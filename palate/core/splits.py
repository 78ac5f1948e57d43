"""Splits by prompt, made before the first label, and the checks that hold them. Pure: no I/O."""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from palate.core.errors import PalateError
from palate.core.project import MOST_EVAL, Settings
from palate.core.schema import Preference, Prompt
from palate.core.similar import Similar, alike


def assign(
    new: Sequence[Prompt],
    existing: Sequence[Prompt],
    settings: Settings,
    labelled: Collection[str] = (),
) -> list[Prompt]:
    """Return the prompts of `new` that `existing` lacks, each with its split.

    The settings hold for all prompts together; a prompt keeps its split for ever. From three
    prompts on, every split gets at least one. The prompts whose ids are in `labelled` never become
    eval prompts, since nobody trains on labels of eval prompts. Prompts that come with the split
    test or eval keep it, and no others are drawn for it. Prompts that differ in case or spaces
    alone are in one split. One that is otherwise much like another is not drawn, since the other
    one may be trained on.
    """
    known = {p.id for p in existing}
    split_of = {normal(p.text): p.split for p in existing}
    distinct = [p for p in {p.id: p for p in new}.values() if p.id not in known]
    fresh = [p for p in distinct if normal(p.text) not in split_of]
    same: dict[str, list[Prompt]] = {}
    for p in fresh:
        same.setdefault(normal(p.text), []).append(p)
    twins = _twins([*split_of, *same])
    total = len(distinct) + len(existing)
    sizes = Counter(p.split for p in existing)
    given = Counter(p.split for p in fresh)
    order = sorted((p for p in fresh if p.split == "train"), key=lambda p: p.id)
    random.Random(settings.seed).shuffle(order)
    asked = {normal(p.text) for p in fresh if p.id in labelled}
    for split, target in (
        ("eval", eval_target(settings, total)),
        ("test", _share(settings.test, total)),
    ):
        if given[split]:
            continue
        for p in order:
            key = normal(p.text)
            if sizes[split] >= target:
                break
            if key not in split_of and key not in twins and (split == "test" or key not in asked):
                split_of[key] = split
                sizes[split] += len(same[key])
    return [replace(p, split=split_of.get(normal(p.text), p.split)) for p in distinct]


def eval_target(settings: Settings, total: int) -> int:
    """Return how many of `total` prompts are to be eval prompts."""
    if isinstance(settings.eval, float):
        return _share(settings.eval, total)
    return min(settings.eval, max(int(MOST_EVAL * total), 1 if total >= 3 else 0))


def eval_missing(settings: Settings, prompts: Iterable[Prompt]) -> int:
    """Return how many more eval prompts a verdict takes."""
    return max(0, settings.eval_wanted - sum(p.split == "eval" for p in prompts))


def more_prompts(project_id: str, number: int) -> str:
    """Return the commands that bring so many eval prompts."""
    return (
        f"palate prompts {project_id} --write {number}, or palate prompts {project_id} --add FILE"
    )


def _share(fraction: float, total: int) -> int:
    return max(round(fraction * total), 1 if total >= 3 else 0)


def _twins(texts: Iterable[str]) -> set[str]:
    """Return the texts that are much like another."""
    texts = list(dict.fromkeys(texts))
    index, twins = Similar(texts), set()
    for text in texts:
        if (other := index.like(text)) is not None:
            twins |= {text, other}
        index.add(text)
    return twins


def check_no_overlap(prompts: Iterable[Prompt]) -> None:
    """Raise PalateError if a prompt is in two splits, or an `eval` prompt like a `train` prompt."""
    prompts = list(prompts)
    _check_exact(prompts)
    train = [p.text for p in prompts if p.split == "train"]
    _check_eval(prompts, train, "is in the split train", "")


def _check_exact(prompts: Iterable[Prompt]) -> None:
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
    _check_exact(prompts)
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

"""`palate prompts`: the prompts of a project by split, and more of them, from a file or a model."""

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from palate.commands.common import Column, File, Id, console, show_plan, show_status
from palate.core.errors import PalateError, UsageError, printable
from palate.core.markdown import count
from palate.terminal.flags import Count, ModelRef, flag

if TYPE_CHECKING:
    from palate.core.project import Project
    from palate.core.schema import Prompt, Split
    from palate.generate.new_prompts import Added

EngineName = Annotated[str, tyro.conf.arg(metavar="transformers|vllm|URL")]


def prompts(
    project: Id,
    add: Annotated[str | None, flag("FILE")] = None,
    write: Count = None,
    offered: bool = False,
    split: Annotated[Literal["train", "test", "eval"] | None, flag("train|test|eval")] = None,
    column: Column = None,
    template: File = None,
    model: ModelRef = None,
    engine: EngineName = "transformers",
    seed: int = 0,
    yes: bool = False,
) -> None:
    """Show how many prompts a project has and lacks; add some from a file, or let a model write.

    The blind comparison needs about 60 eval prompts. They cost no labels: nobody labels them and no
    training sees them. Prompts of a file therefore become eval prompts until there are enough; the
    rest is split into train and test. Prompts that are much like one in the project, or
    like each other, are left out and counted. Without --add and --write, nothing changes.

    With --write, a model is shown eight prompts at a time and asked for one more. You see what it
    wrote before any is added. They become eval prompts, and stay marked as written by that model.

    With --offered, you see the prompts that people offered on the try page, and choose which to
    add.

    Example: palate prompts me/titles --add ideas.csv --column idea --template prompt.txt

    Example: palate prompts me/titles --write 60 --model Qwen/Qwen2.5-7B-Instruct

    Args:
        add: Text file (one prompt per line), CSV, JSON lines, Parquet, or a Hub dataset.
        write: How many prompts a model writes.
        offered: Show the prompts that people offered on the try page, and add those you approve.
        split: Split of all new prompts. Default: eval, but of a file only until there are enough.
        column: Column of --add with the prompt. Default: "prompt", or the only column.
        template: Text file that contains {column}, filled in for every row of --add.
        model: Model that writes. Default: the project's base model.
        engine: What computes: transformers, vllm, or an OpenAI-compatible server (key:
            SERVER_API_KEY).
        seed: Another seed gives other prompts.
        yes: Add what the model wrote, or people offered, without asking.
    """
    from palate.core.project import Project

    if bool(add) + (write is not None) + offered > 1:
        raise UsageError(
            "--add and --write do not go together, nor with --offered: run one after the other."
        )
    if not add and (column or template):
        raise UsageError("--column and --template say how to read the file of --add.")
    if write is None and (model or seed or engine != "transformers" or (yes and not offered)):
        raise UsageError("--model, --engine, --seed and --yes go with --write.")
    loaded = Project.load(project)
    if add:
        _add(loaded, _read(add, column, template), split, "")
    elif offered:
        _add_offered(loaded, split, yes=yes)
    elif write is not None:
        _write(loaded, write, split or "eval", model=model, engine=engine, seed=seed, yes=yes)
    else:
        _list(loaded)


def _read(source: str, column: str | None, template: File) -> "list[Prompt]":
    from palate.collect import importing, tables
    from palate.collect.columns import read_template

    table = tables.read(source)
    return importing.prompts_of(table, column, read_template(template, table))


def _list(project: "Project") -> None:
    """Print how many prompts each split has, and what the blind comparison takes."""
    sizes = Counter(p.split for p in project.prompts)
    written = Counter(p.split for p in project.prompts if p.model)
    console.print(f"{project.id}: {count(len(project.prompts), 'prompt')}")
    for name in ("train", "test", "eval"):
        by_model = f", {written[name]:,} of them written by a model" if written[name] else ""
        console.print(f"  {name:<5}  {sizes[name]:>6,}{by_model}")
    show_plan(project)


def _add_offered(project: "Project", split: "Split | None", *, yes: bool) -> None:
    from palate.core.rounds import offered

    prompts = offered(project)
    if not prompts:
        raise PalateError(f"Nobody offered a prompt that {project.id} lacks. Nothing was added.")
    _check_approval(yes=yes)
    for i, p in enumerate(prompts, 1):
        console.print(f"{i:>4}  {printable(' '.join(p.text.split()))}", markup=False)
    kept = range(len(prompts)) if yes else _approved(len(prompts))
    if not kept:
        raise PalateError("Nothing was added.")
    _add(project, [prompts[i] for i in kept], split, " that people offered")


def _check_approval(*, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "There is no terminal to show the prompts on for approval. Add --yes to take them all."
        )


def _write(
    project: "Project",
    number: int,
    split: "Split",
    *,
    model: str | None,
    engine: str,
    seed: int,
    yes: bool,
) -> None:
    from palate.generate import engines
    from palate.generate.prompts import Written, write_prompts

    if number < 1:
        raise UsageError(f"--write {number}: expected 1 or more.")
    _check_approval(yes=yes)
    writer = engines.find(engine, model or project.settings.base_model)
    written = Written()
    with console.status(f"{writer.named.repo} writes prompts") as line:
        for written in write_prompts(writer, project.prompts, number, seed):
            line.update(f"{writer.named.repo}: {len(written.prompts):,} of {number:,} prompts")
    spent, dropped = writer.close(), _reasons(written.dropped)
    if not written.prompts:
        raise PalateError(
            f"{writer.named.repo} wrote no prompt that fits: {dropped}. Nothing was added. Try a"
            f" larger --model, or your own: palate prompts {project.id} --add FILE"
        )
    console.print(
        f"{writer.named.repo} wrote {count(len(written.prompts), 'prompt')} of the {number:,} asked"
        f" for{f'; left out: {dropped}' if dropped else ''}"
    )
    for line in spent:
        console.print(f"  {line}")
    for i, part in enumerate(written.parts, 1):
        console.print(f"{i:>4}  {part}", markup=False)
    kept = range(len(written.prompts)) if yes else _approved(len(written.prompts))
    if not kept:
        raise PalateError("Nothing was added.")
    _add(project, [written.prompts[i] for i in kept], split, f" by {writer.named.repo}")


def _approved(number: int) -> list[int]:
    """Ask which of the prompts shown to add; return their places."""
    while True:
        try:
            answer = input("Add them? [Y/n, or the numbers to leave out, such as 3 8-10] ")
        except EOFError:
            return []
        if (kept := kept_places(answer, number)) is not None:
            return kept
        console.print(f"Expected y, n, or numbers from 1 to {number}.")


def kept_places(answer: str, number: int) -> list[int] | None:
    """Return the places, from 0, that an answer keeps; None where it says neither yes nor no."""
    word = answer.strip().casefold()
    if word in ("", "y", "yes"):
        return list(range(number))
    if word in ("n", "no"):
        return []
    out: set[int] = set()
    for item in re.split(r"[\s,]+", word):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", item, re.ASCII)
        if not match:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= number:
            return None
        out |= set(range(first - 1, last))
    return [i for i in range(number) if i not in out]


def _add(project: "Project", new: "Sequence[Prompt]", split: "Split | None", by: str) -> None:
    """Add the prompts, print what became of them and what comes next."""
    from palate.generate import new_prompts
    from palate.report.dataset_card import push_dataset_card

    result, added = new_prompts.add(project.id, new, split)
    if not added.prompts:
        raise PalateError(f"Nothing was added to {project.id}: {_left_out(added)}.")
    sizes = Counter(p.split for p in added.prompts)
    parts = ", ".join(
        f"{sizes[name]:,} {name}" for name in ("train", "test", "eval") if sizes[name]
    )
    console.print(f"{project.id}: {count(len(added.prompts), 'prompt')}{by} added: {parts}")
    if left_out := _left_out(added):
        console.print(f"  left out: {left_out}")
    if not split and sizes["eval"] < len(added.prompts):
        blind = sum(p.split == "eval" for p in result.prompts)
        console.print(
            f"  the verdict has its {blind:,} eval prompts, so the others are for training and"
            " testing; --split eval makes all of them eval prompts"
        )
    push_dataset_card(project.id)
    show_status(result)
    show_plan(result)


def _left_out(added: "Added") -> str:
    reasons = {"there already": added.known, "much like a prompt that is there": added.near}
    return _reasons(reasons)


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {reason}" for reason, n in reasons.items() if n)

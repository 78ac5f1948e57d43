"""Base and tuned model follow instructions and read plain text; what differs goes onto the card."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.check.config import CheckArguments
from palate.check.harness import TaskScores, check_tasks, run_tasks
from palate.check.losses import VERSION, Ability, CheckReport, ability
from palate.check.rules import Instruction, instructions
from palate.core import hub, typed
from palate.core.errors import BadInput, PalateError
from palate.core.ledger import now
from palate.core.project import Project
from palate.core.rounds import newest_model
from palate.core.schema import Message, Model
from palate.generate import models
from palate.generate.completions import trained
from palate.generate.generation import Sampling, complete, seed_of
from palate.terminal.progress import Progress

PLAIN = Path(__file__).with_name("plain.txt")
COLUMNS = (TextColumn("answering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
Advance = Callable[[int], object]
OWN = "check.jsonl"  # of the project, with lines like those of instructions.jsonl


@dataclass(frozen=True)
class Scores:
    """One model: whether it followed each instruction, and which tokens of a text it guessed."""

    followed: list[float]
    own: list[float]
    guessed: list[float]
    passages: list[str]  # of each token
    tasks: list[TaskScores]


def check(console: Console, args: CheckArguments) -> CheckReport:
    """Compare the tuned model with its base, with the same seeds."""
    check_tasks(args.task)
    project = Project.load(args.project)
    tuned, origin = trained(args.model or newest_model(project), project)
    base = models.find(f"{origin.base_model}@{origin.base_revision}")
    own = own_instructions(project)
    found = []
    for source in (base, tuned):
        n = len(instructions()) + len(own)
        names = ", ".join(["plain text", *args.task])
        console.print(f"{source.repo} at {source.revision[:7]}: {n:,} instructions, {names}")
        with Progress(*COLUMNS, console=console, transient=True) as bar:
            advance = partial(bar.advance, bar.add_task("", total=n))
            found.append(score(models.load(source), own, args, advance))
    return report(base, tuned, found, args)


def report(
    base: models.Source, tuned: models.Source, found: Sequence[Scores], args: CheckArguments
) -> CheckReport:
    """Return what the scores of base and tuned model, in this order, say."""
    one, other = found
    numbers = [str(i) for i in range(len(one.followed))]
    abilities: list[Ability] = [
        ability("Instructions", "instructions followed", one.followed, other.followed, numbers)
    ]
    if one.own:
        numbers = [str(i) for i in range(len(one.own))]
        name = "The project's own instructions"
        abilities.append(ability(name, "instructions followed", one.own, other.own, numbers))
    if one.passages != other.passages:
        raise PalateError(
            f"{tuned.repo} has another tokenizer than {base.repo}, so what they guess of a text"
            " cannot be compared."
        )
    abilities.append(
        ability("Plain text", "next tokens guessed", one.guessed, other.guessed, one.passages)
    )
    for x, y in zip(one.tasks, other.tasks, strict=True):
        abilities.append(task_ability(x, y))
    return CheckReport(
        version=VERSION,
        base=Model(base.repo, base.revision),
        tuned=Model(tuned.repo, tuned.revision),
        abilities=tuple(abilities),
        settings={"max_new_tokens": args.max_new_tokens, "seed": args.seed},
        time=now(),
    )


def task_ability(base: TaskScores, tuned: TaskScores) -> Ability:
    """Compare both models on the examples of a task."""
    if (base.metric, list(base.scores)) != (tuned.metric, list(tuned.scores)):
        raise PalateError(f"lm-eval scored other examples of {base.task} for the tuned model.")
    unit = f"examples, by {base.metric}"
    scores = [list(s.scores.values()) for s in (base, tuned)]
    return ability(f"{base.task} (lm-eval)", unit, scores[0], scores[1], list(base.scores))


def own_instructions(project: Project) -> list[Instruction]:
    """Return the instructions of the project's check.jsonl. Raises BadInput for a wrong one."""
    if OWN not in project.files:
        return []
    file = hub.fetch(project.id, "dataset", project.revision, [OWN])[0]
    source, found = f"{project.id}/{OWN}", []
    for row, line in enumerate(typed.read_text(file, source).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(source, f"not JSON: {error}", row=row) from None
        one = typed.read(Instruction, value, source, row=row)
        if wrong := one.problem():
            raise BadInput(source, wrong[1], row=row, field=wrong[0])
        found.append(one)
    return found


def score(
    loaded: models.Loaded, own: Sequence[Instruction], args: CheckArguments, advance: Advance
) -> Scores:
    # first: what a task lacks is known before the answers are written
    tasks = run_tasks(loaded, args.task, args.batch_size) if args.task else []
    passages, guessed = read_plain(loaded)
    return Scores(
        followed=follow(loaded, instructions(), args, advance),
        own=follow(loaded, own, args, advance),
        guessed=guessed,
        passages=passages,
        tasks=tasks,
    )


def follow(
    loaded: models.Loaded, asked: Sequence[Instruction], args: CheckArguments, advance: Advance
) -> list[float]:
    """Return 1 for each instruction whose answer follows its rule, 0 for the others.

    `advance` is called with the number of instructions that were just answered.
    """
    sampling = Sampling(0.7, 0.95, args.max_new_tokens)
    order = sorted(range(len(asked)), key=lambda i: len(asked[i].text))
    found = [0.0] * len(asked)
    for start in range(0, len(order), args.batch_size):
        batch = order[start:][: args.batch_size]
        prompts = [[Message(role="user", content=asked[i].text)] for i in batch]
        seeds = [seed_of(args.seed, asked[i].text, 0) for i in batch]
        for i, answer in zip(batch, complete(loaded, prompts, seeds, sampling), strict=True):
            found[i] = float(asked[i].follows(answer.text))
        advance(len(batch))
    return found


def read_plain(loaded: models.Loaded) -> tuple[list[str], list[float]]:
    """Return for each token of our text its passage, and 1 where the model guessed it."""
    import torch

    passages: list[str] = []
    guessed: list[float] = []
    for number, text in enumerate(PLAIN.read_text("utf-8").split("\n\n")):
        ids = loaded.tokenizer(text.strip(), return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logits = loaded.model(input_ids=ids.to(loaded.model.device)).logits[0, :-1]
        hits = logits.argmax(-1).cpu() == ids[0, 1:]
        guessed += hits.float().tolist()
        passages += [str(number)] * len(hits)
    return passages, guessed


def text_of(result: CheckReport) -> str:
    """Return the content of check.json."""
    return json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n"

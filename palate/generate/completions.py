"""Write what base and tuned model answer to the eval prompts, for the blind comparison."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console

from palate.core import hub, typed
from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.project import EVAL_PROMPTS, Project
from palate.core.rounds import fresh_eval, round_tag
from palate.core.schema import Candidate, Prompt
from palate.core.splits import check_training, eval_missing, more_prompts
from palate.generate import models
from palate.generate.config import CompletionsArguments
from palate.generate.generation import Completion, Sampling, complete, seed_of
from palate.generate.saving import Batch, save_batches
from palate.terminal.console import PlainConsole
from palate.terminal.ref import Ref

Plan = Callable[[Project], str]
SamplingRow = dict[str, int | float]  # a row's `sampling`: the fields of Sampling, and a seed


@dataclass(frozen=True)
class Origin:
    """What a model was trained from: those facts of its run.json, which every version has."""

    project: str
    data_revision: str
    base_model: str
    base_revision: str


@dataclass(frozen=True)
class Task:
    """One completion to write: number `number` of a prompt, with the sampling to record."""

    prompt: Prompt
    number: int
    sampling: SamplingRow


def write_completions(args: CompletionsArguments, plan: Plan) -> None:
    """Write the missing completions of both models, with the same sampling and seeds for both.

    `plan` says what the project's completions can show.
    """
    console = PlainConsole()
    project = Project.load(args.project)
    prompts = eval_prompts(project)
    # the tag, since commits to the card move main and leave the weights as they were
    newest = f"{project.model_repo}@{round_tag(project.settings.round)}"
    tuned, origin = trained(args.model or newest, project)
    base = models.find(f"{origin.base_model}@{origin.base_revision}")
    check_blind(origin, prompts)
    sampling = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    tasks = [
        Task(p, n, {**asdict(sampling), "seed": seed_of(args.seed, p.id, n)})
        for p in sorted(prompts, key=lambda p: len(p.text))
        for n in range(args.per_prompt)
    ]
    for source in (base, tuned):
        todo = missing(project, source, tasks)
        to_write = count(len(todo), "completion")
        console.print(f"{source.repo} at {source.revision[:7]}: {to_write} to write")
        if todo:
            write(console, project, source, todo, sampling, args.batch_size)
    report(console, Project.load(project.id), base, tuned, plan)


def trained(name: str, project: Project) -> tuple[models.Source, Origin]:
    """Return the tuned model `owner/name[@revision]` and what it was trained from."""
    repo = Ref.parse(name).repo
    if not hub.exists(repo, "model"):
        raise UsageError(f"There is no model {repo} yet. Train it with: palate train {project.id}")
    source = models.find(name)
    file = source.folder / "run.json"
    if not file.exists():
        raise UsageError(
            f"{name} holds no run.json, so its base model is unknown."
            f" Expected a model made by: palate train {project.id}"
        )
    return source, typed.read(Origin, json.loads(file.read_text("utf-8")), f"{repo}/run.json")


def eval_prompts(project: Project) -> list[Prompt]:
    """Return the prompts of this round's blind comparison; raises UsageError if there are none."""
    prompts = fresh_eval(project)
    if not prompts and any(p.split == "eval" for p in project.prompts):
        raise UsageError(
            f"All eval prompts of {project.id} have votes of earlier rounds, which led to this one."
            f" Get fresh ones with: palate prompts {project.id} --write {EVAL_PROMPTS} --split eval"
        )
    if not prompts:
        lacking = eval_missing(project.settings, ())
        raise UsageError(
            f"{project.id} has no eval prompts, so there is nothing for the two models to answer."
            f" The blind comparison takes about {lacking}, which nobody labels."
            f" Get them with: {more_prompts(project.id, lacking)}"
        )
    return prompts


def check_blind(origin: Origin, prompts: Sequence[Prompt]) -> None:
    """Raise if an eval prompt is among those that the model was trained on."""
    try:
        data = Project.load(origin.project, origin.data_revision)
    except UsageError:  # `palate forget` has removed the commit; no prompt ever changes its split
        data = Project.load(origin.project)
    check_training(data.preferences, prompts)


def missing(project: Project, source: models.Source, tasks: Sequence[Task]) -> list[Task]:
    """Return what this revision has not written yet; raise if it was sampled differently before."""
    prompts = {t.prompt.id for t in tasks}
    existing: dict[str, list[Candidate]] = {}
    for c in project.candidates:
        if (c.model, c.revision) == (source.repo, source.revision) and c.prompt_id in prompts:
            existing.setdefault(c.prompt_id, []).append(c)
    for t in tasks:
        rows = existing.get(t.prompt.id, [])
        if t.number < len(rows) and rows[t.number].sampling != t.sampling:
            raise UsageError(
                f"{source.repo} at {source.revision[:7]} has completions with other settings, and"
                " both models must be sampled alike."
                f" Run with: {flags(rows[t.number].sampling)}"
            )
    return [t for t in tasks if t.number >= len(existing.get(t.prompt.id, []))]


def flags(sampling: SamplingRow | None) -> str:
    """Return the flags that give this sampling; a row's seed does not tell the run's `--seed`."""
    values = {k.replace("_", "-"): v for k, v in (sampling or {}).items() if k != "seed"}
    return " ".join(f"--{k} {v}" for k, v in values.items()) + " and the same --seed as before"


def write(
    console: Console,
    project: Project,
    source: models.Source,
    tasks: Sequence[Task],
    sampling: Sampling,
    batch_size: int,
) -> None:
    """Write the completions and commit them as they come."""
    loaded = models.load(source)
    completions: list[Completion] = []

    def written() -> Iterator[Batch]:
        for batch in batches_of(tasks, batch_size):
            seeds = [int(t.sampling["seed"]) for t in batch]
            texts = complete(loaded, [t.prompt.prompt for t in batch], seeds, sampling)
            completions.extend(texts)
            rows = [
                Candidate.of(
                    task.prompt.id,
                    completion.text,
                    model=source.repo,
                    revision=source.revision,
                    sampling=task.sampling,
                    round=project.settings.round,
                )
                for task, completion in zip(batch, texts, strict=True)
            ]
            yield Batch(rows, len(rows))

    save_batches(console, project.id, written(), name="completions", unit="", total=len(tasks))
    cut = sum(not c.ended for c in completions)
    empty = sum(not c.text for c in completions)
    console.print(f"  {cut:,} cut at {sampling.max_new_tokens} tokens, {empty:,} empty")


def batches_of(tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    """Yield about `size` tasks at a time, never splitting those of one prompt."""
    batch: list[Task] = []
    for i, task in enumerate(tasks):
        if len(batch) >= size and task.prompt.id != tasks[i - 1].prompt.id:
            yield batch
            batch = []
        batch.append(task)
    yield batch


def report(
    console: Console, project: Project, base: models.Source, tuned: models.Source, plan: Plan
) -> None:
    """Print how many pairs there are to compare and what they can show; raise if there are none."""
    texts: dict[models.Source, dict[str, list[str]]] = {base: {}, tuned: {}}
    source_of = {(s.repo, s.revision): s for s in (base, tuned)}
    blind = {p.id for p in project.prompts if p.split == "eval"}
    for c in project.candidates:
        if c.prompt_id in blind and (source := source_of.get((c.model, c.revision))):
            texts[source].setdefault(c.prompt_id, []).append(c.text)
    pairs = [
        (x, y)
        for prompt in texts[base]
        for x, y in zip(texts[base][prompt], texts[tuned].get(prompt, []), strict=False)
    ]
    if not pairs:
        raise PalateError(
            f"{project.id} holds no completions of both models. Run the same command again."
        )
    identical = sum(x == y for x, y in pairs)
    console.print(
        f"{count(len(pairs), 'pair')} on {count(len(blind), 'eval prompt')},"
        f" {identical:,} of them identical."
        f" Next: palate evaluate {project.id}"
    )
    console.print(plan(project))

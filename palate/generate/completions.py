"""Write what base and tuned model answer to the eval prompts, for the blind comparison."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console

from palate.core import hub, typed
from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.project import EVAL_PROMPTS, Project
from palate.core.rounds import fresh_eval, newest_model
from palate.core.schema import CONTESTANT, Candidate, Prompt
from palate.core.splits import check_training, eval_missing, more_prompts
from palate.generate import engines, models, window
from palate.generate.config import CompletionsArguments
from palate.generate.engines import IN_PROCESS, Engine, about, served_by
from palate.generate.generation import Completion, Sampling, seed_of
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
    """One completion to write: number `number` of a prompt, how it is drawn, and its seed."""

    prompt: Prompt
    number: int
    drawn: Sampling
    seed: int

    @property
    def row(self) -> SamplingRow:
        """The sampling to record."""
        return {**asdict(self.drawn), "seed": self.seed}


@dataclass(frozen=True)
class Answerer:
    """A model that answers the eval prompts, and what computes it."""

    engine: Engine
    revision: str
    is_contestant: bool = False  # neither base nor tuned

    @property
    def repo(self) -> str:
        return self.engine.named.repo

    @classmethod
    def of(cls, engine: Engine, project: Project, *, is_contestant: bool = False) -> "Answerer":
        """Return it under the revision that its completions have: it may be of another day."""
        named = engine.named
        same = (
            c.revision
            for c in project.candidates
            if c.model == named.repo and served_by(c.revision) == served_by(named.revision)
        )
        return cls(engine, next(same, None) or named.revision, is_contestant)


def write_completions(args: CompletionsArguments, plan: Plan) -> None:
    """Write the missing completions of all models, with the same sampling and seeds for all.

    `plan` says what the project's completions can show.
    """
    console = PlainConsole()
    engines.check(args.engine, 1)
    samplings = Sampling.mix(args.temperature, args.top_p, args.max_new_tokens)
    project = Project.load(args.project)
    prompts = eval_prompts(project)
    name, others = divided(args, project)
    tuned, origin = trained(name, project)
    check_blind(origin, prompts)
    here = args.engine if args.engine in IN_PROCESS else "transformers"
    both = [
        Answerer.of(engines.find(here, at), project)
        for at in (
            f"{origin.base_model}@{origin.base_revision}",
            f"{tuned.repo}@{tuned.revision}",
        )
    ]
    rest = [
        Answerer.of(engines.find(args.engine, other), project, is_contestant=True)
        for other in others
    ]
    tasks = [
        Task(p, n, samplings[n % len(samplings)], seed_of(args.seed, p.id, n))
        for p in sorted(prompts, key=lambda p: len(p.text))
        for n in range(args.per_prompt)
    ]
    for model in (*both, *rest):
        todo = missing(project, model, tasks)
        to_write = count(len(todo), "completion")
        console.print(f"{about(model.repo, model.revision)}: {to_write} to write")
        if todo:
            write(console, project, model, todo, args.batch_size)
    if rest and project.settings.compare != "all":
        console.print('To compare all models blind, set compare = "all" in palate.toml.')
    report(console, Project.load(project.id), both[0], both[1], plan)


def divided(args: CompletionsArguments, project: Project) -> tuple[str, list[str]]:
    """Return the tuned model, and the other models of `--model`, which answer, too."""
    names = list(dict.fromkeys(args.model))
    ours = [n for n in names if not engines.is_remote(n, args.engine) and _is_tuned(n)]
    tuned = ours[0] if ours else newest_model(project)
    return tuned, [name for name in names if name != tuned]


def _is_tuned(name: str) -> bool:
    """Tell whether palate trained the model; a repo that does not exist is reported later."""
    ref = Ref.parse(name)
    if not hub.exists(ref.repo, "model"):
        return True
    return "run.json" in hub.describe(ref.repo, "model", ref.revision)[1]


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
    check_training(data.read("preferences"), prompts)


def missing(project: Project, model: Answerer, tasks: Sequence[Task]) -> list[Task]:
    """Return what this revision has not written yet; raise if it was sampled differently before."""
    prompts = {t.prompt.id for t in tasks}
    existing: dict[str, list[Candidate]] = {}
    for c in project.candidates:
        if (c.model, c.revision) == (model.repo, model.revision) and c.prompt_id in prompts:
            existing.setdefault(c.prompt_id, []).append(c)
    for t in tasks:
        rows = existing.get(t.prompt.id, [])
        if t.number < len(rows) and _drawn(rows[t.number]) != t.row:
            raise UsageError(
                f"{about(model.repo, model.revision)} has completions with other settings, and all"
                " models must be sampled alike."
                f" Run with: {flags([row.sampling or {} for row in rows])}"
            )
    return [t for t in tasks if t.number >= len(existing.get(t.prompt.id, []))]


def _drawn(row: Candidate) -> SamplingRow:
    return {k: v for k, v in (row.sampling or {}).items() if k != CONTESTANT}


def flags(rows: Sequence[SamplingRow]) -> str:
    """Return the flags that give a prompt's rows; their seeds do not tell the run's `--seed`."""
    values = {
        name.replace("_", "-"): " ".join(dict.fromkeys(str(row[name]) for row in rows))
        for name in rows[0]
        if name not in ("seed", CONTESTANT)
    }
    return " ".join(f"--{k} {v}" for k, v in values.items()) + " and the same --seed as before"


def write(
    console: Console,
    project: Project,
    model: Answerer,
    tasks: Sequence[Task],
    batch_size: int,
) -> None:
    """Write the completions and commit them as they come."""
    loaded, compute = model.engine.load()
    window.check(loaded, [t.prompt for t in tasks])
    completions: list[Completion] = []

    def computed(batch: Sequence[Task]) -> Iterator[tuple[tuple[str, int], Completion]]:
        for drawn in dict.fromkeys(t.drawn for t in batch):
            alike = [t for t in batch if t.drawn == drawn]
            prompts, seeds = [t.prompt.prompt for t in alike], [t.seed for t in alike]
            texts = compute(loaded, prompts, seeds, drawn)
            yield from zip([(t.prompt.id, t.number) for t in alike], texts, strict=True)

    def written() -> Iterator[Batch]:
        for batch in batches_of(tasks, batch_size):
            texts = dict(computed(batch))
            completions.extend(texts.values())
            rows = [_row(project, model, t, texts[t.prompt.id, t.number].text) for t in batch]
            yield Batch(rows, len(rows))

    save_batches(console, project.id, written(), name="completions", unit="", total=len(tasks))
    cut = sum(not c.ended for c in completions)
    empty = sum(not c.text for c in completions)
    limit = tasks[0].drawn.max_new_tokens
    console.print(
        f"  {cut:,} cut after {limit} tokens, or where the model's window ends; {empty:,} empty"
    )
    for line in model.engine.close():
        console.print(f"  {line}")


def _row(project: Project, model: Answerer, task: Task, text: str) -> Candidate:
    mark = {CONTESTANT: 1} if model.is_contestant else {}
    return Candidate.of(
        task.prompt.id,
        text,
        model=model.repo,
        revision=model.revision,
        sampling=task.row | mark,
        round=project.settings.round,
    )


def batches_of(tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    """Yield about `size` tasks at a time, never splitting those of one prompt."""
    batch: list[Task] = []
    for i, task in enumerate(tasks):
        if len(batch) >= size and task.prompt.id != tasks[i - 1].prompt.id:
            yield batch
            batch = []
        batch.append(task)
    yield batch


def report(console: Console, project: Project, base: Answerer, tuned: Answerer, plan: Plan) -> None:
    """Print how many pairs there are to compare and what they can show; raise if there are none."""
    texts: tuple[dict[str, list[str]], ...] = ({}, {})
    number = {(m.repo, m.revision): i for i, m in enumerate((base, tuned))}
    blind = {p.id for p in project.prompts if p.split == "eval"}
    for c in project.candidates:
        if (
            c.prompt_id in blind
            and (i := number.get((c.model or "", c.revision or ""))) is not None
        ):
            texts[i].setdefault(c.prompt_id, []).append(c.text)
    pairs = [
        (x, y)
        for prompt in texts[0]
        for x, y in zip(texts[0][prompt], texts[1].get(prompt, []), strict=False)
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

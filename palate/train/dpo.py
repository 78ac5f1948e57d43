"""DPO from a project to a saved model: read, audit, choose the recipe, train, measure, record.

Nothing is pushed here: the job does that with what `run` returns.
"""

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.console import Console

from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.schema import Preference
from palate.generate import models
from palate.terminal.ref import Ref
from palate.train import data, facts, job, record
from palate.train.config import DPOArguments
from palate.train.data import Rows, read_preferences
from palate.train.job import Job, RunDir, cache
from palate.train.packing import Positions
from palate.train.recipe import Machine, choose_recipe
from palate.train.record import DPORecord, SweepFacts
from palate.train.results import Sweep, dpo_alarms, dpo_results

if TYPE_CHECKING:
    from palate.train.callbacks import Start
    from palate.train.dpo_trainer import PackedDPOTrainer

DPOJob = Job[DPOArguments, Preference]


def run(console: Console, args: DPOArguments) -> list[DPOJob]:
    """Train, once per value with `--sweep`; return the trained jobs, the one to keep first."""
    if args.sweep:
        return sweep(console, args)
    prepared = prepare(console, args)
    job.train(console, prepared, train)
    return [prepared]


def sweep(console: Console, args: DPOArguments) -> list[DPOJob]:
    """Train once per value; return the jobs with the best first."""
    swept = Sweep.read(args)
    quiet = Console(quiet=True)  # what the audit finds is the same for each value
    jobs = [prepare(quiet if n else console, a) for n, a in enumerate(swept.arguments(args))]
    swept.check(len(jobs[0].rows.test))
    for prepared in jobs:
        console.rule(f"{swept.name} = {getattr(prepared.args, swept.name):g}")
        job.train(console, prepared, train)
    if not job.is_main_process():
        return jobs
    records = [record.load(j.run_dir.model) for j in jobs]
    best, table = swept.best([r.results for r in records if isinstance(r, DPORecord)])
    for line in sweep_lines(table, best):
        console.print(line)
    kept = jobs.pop(best)
    replace(records[best], sweep=table).save(kept.run_dir.model)
    return [kept, *jobs]


def sweep_lines(table: SweepFacts, best: int) -> list[str]:
    """Return a line for each run, with an arrow at the best."""
    return [
        f"{'→' if i == best else ' '} {table.name} {run.value:g}: test reward accuracy"
        f" {100 * run.test_reward_accuracy:.1f}%, loss {run.test_loss:.4f}"
        for i, run in enumerate(table.runs)
    ]


def prepare(console: Console, args: DPOArguments) -> DPOJob:
    """Read and audit the data; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    check_arguments(args)
    ref = Ref.parse(args.project)
    project = Project.load(ref.repo, ref.revision)
    rows = read_preferences(project, implied=not args.no_implied)
    findings = data.audit(console, project, rows, ignore=args.ignore_audit)
    base = models.find(args.base_model or project.settings.base_model)
    prompts = [r.prompt_id for r in rows.train]
    recipe = choose_recipe(args, base.parameters, prompts, Machine.here())
    if recipe.method != "full" and base.base is not None:
        raise UsageError(
            f"{base.repo} is an adapter itself, and an adapter on an adapter is not supported."
            " Use --method full, which merges it first."
        )
    decided = replace(
        args,
        project=f"{project.id}@{project.revision}",
        base_model=f"{base.repo}@{base.revision}",
        method=recipe.method,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        flip_rate=data.flip_rate(args, project),
        output=args.output or project.model_repo,
    )
    run_dir = RunDir(project.id, rows.key(), decided.identity())
    return Job(decided, recipe, project, rows, base, findings, run_dir)


def check_arguments(args: DPOArguments) -> None:
    """Raise UsageError for arguments that exclude each other or need a missing package."""
    if args.trackio and not find_spec("trackio"):
        raise UsageError("--trackio needs the package trackio: pip install trackio")
    if args.sft_weight and args.strength == "weight":
        raise UsageError(
            "--strength weight cannot weigh the answers' own likelihood, which --sft-weight adds."
            " Use --strength offset."
        )


def train(console: Console, prepared: DPOJob) -> None:
    """Train, and leave model and record in `run_dir.model`."""
    from palate.train.callbacks import run_trainer, start
    from palate.train.dpo_trainer import make_dpo_trainer

    begun = start(console, prepared)
    loaded, rows = job.load(console, prepared)
    with console.status("Computing the base model's log-probabilities"):
        trainer = make_dpo_trainer(
            prepared.args,
            prepared.recipe,
            loaded,
            rows,
            prepared.run_dir.path,
            begun.callbacks,
            begun.warn,
            cache() / "references",
        )
    positions = trainer.positions()
    console.print(f"  {positions.sentence()}")
    run_trainer(console, trainer, begun, ("rewards/accuracies", "reward accuracy"))
    finish(console, prepared, begun, trainer, loaded, rows, positions)


def finish(
    console: Console,
    prepared: DPOJob,
    begun: "Start",
    trainer: "PackedDPOTrainer",
    loaded: models.Loaded,
    rows: Rows[Preference],
    positions: Positions,
) -> None:
    """Measure the result, and write model and record; the record comes last."""
    step = begun.kept_step(trainer)
    margins = trainer.test_margins() if rows.test else []
    results = dpo_results(margins, step, data.baseline_accuracies(rows))
    trainer.save_model(str(prepared.run_dir.model))
    if not job.is_main_process():
        return
    with console.status("Base and tuned model answer test prompts"):
        samples = facts.compare_models(prepared, trainer, loaded)
    log = trainer.state.log_history
    run = DPORecord(
        **facts.common("dpo", prepared, begun.clock, facts.trainable_parameters(trainer)),
        data=facts.dpo_data(prepared.project, rows),
        history=facts.dpo_curve(log),
        results=results,
        samples=samples,
        positions=replace(positions, mode=trainer.mode),
        sweep=None,
        alarms=dpo_alarms(log, results, prepared.args.beta, begun.guard.failed_at, samples),
    )
    job.save(prepared, loaded, run)

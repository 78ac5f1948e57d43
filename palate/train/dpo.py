"""DPO from a project to a saved model: read, audit, choose the recipe, train, measure, record.

Nothing is pushed here: the job does that with what `run` returns.
"""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from rich.console import Console

from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.ref import Ref
from palate.generate import models
from palate.train import check, data, facts, record
from palate.train.alarms import dpo_alarms
from palate.train.config import DPOArguments
from palate.train.job import Beginning, Job, begin, go, is_main_process, leave, load, train
from palate.train.record import DPORecord
from palate.train.rewards import margins
from palate.train.sizes import Machine, choose
from palate.train.sweep import Sweep
from palate.train.sweep import lines as sweep_lines
from palate.train.view import Positions
from palate.train.workdir import WorkDir

DPOJob = Job[DPOArguments]


def run(console: Console, args: DPOArguments) -> list[DPOJob]:
    """Train, once per value with `--sweep`; return the trained jobs, the one to keep first."""
    return sweep(console, args) if args.sweep else [one(console, args)]


def one(console: Console, args: DPOArguments) -> DPOJob:
    job = prepare(console, args)
    train(console, job, steps)
    return job


def sweep(console: Console, args: DPOArguments) -> list[DPOJob]:
    """Train once per value; return the jobs with the best first."""
    swept = Sweep.read(args)
    quiet = Console(quiet=True)  # what the audit finds is the same for each value
    jobs = [prepare(quiet if n else console, a) for n, a in enumerate(swept.arguments(args))]
    swept.check(len(jobs[0].rows.test))
    for job in jobs:
        console.rule(f"{swept.name} = {getattr(job.args, swept.name):g}")
        train(console, job, steps)
    if not is_main_process():
        return jobs
    records = [record.load(job.work.model) for job in jobs]
    best, compared = swept.best([r.results for r in records if isinstance(r, DPORecord)])
    for line in sweep_lines(compared, best):
        console.print(line)
    kept = jobs.pop(best)
    replace(records[best], sweep=compared).save(kept.work.model)
    return [kept, *jobs]


def prepare(console: Console, args: DPOArguments) -> DPOJob:
    """Read and audit the data; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    check_arguments(args)
    ref = Ref.parse(args.project)
    project = Project.load(ref.repo, ref.revision)
    rows = data.read(project, implied=not args.no_implied)
    findings = check.audit(console, project, rows, ignore=args.ignore_audit)
    base = models.find(args.base_model or project.settings.base_model)
    sizes = choose(args, base.parameters, [r.prompt_id for r in rows.train], Machine.here())
    if sizes.method != "full" and base.base is not None:
        raise UsageError(
            f"{base.repo} is an adapter itself, and an adapter on an adapter is not supported."
            " Use --method full, which merges it first."
        )
    decided = replace(
        args,
        project=f"{project.id}@{project.revision}",
        base_model=f"{base.repo}@{base.revision}",
        method=sizes.method,
        learning_rate=sizes.learning_rate,
        batch_size=sizes.batch_size,
        flip_rate=check.flip_rate(args, project),
        output=args.output or project.model_repo,
    )
    work = WorkDir(project.id, rows.key(), decided.identity())
    return Job(decided, sizes, project, rows, base, findings, work)


def check_arguments(args: DPOArguments) -> None:
    """Raise UsageError for arguments that exclude each other or need a missing package."""
    if args.trackio and not find_spec("trackio"):
        raise UsageError("--trackio needs the package trackio: pip install trackio")
    if args.sft_weight and args.strength == "weight":
        raise UsageError(
            "--strength weight cannot weigh the texts' own likelihood, which --sft-weight adds."
            " Use --strength offset."
        )


def steps(console: Console, job: DPOJob) -> None:
    """Train, and leave model and record in `work.model`."""
    from palate.train.setup import make_trainer

    begun = begin(console, job)
    loaded, rows = load(console, job)
    with console.status("What the base model makes of every row"):
        trainer = make_trainer(
            job.args, job.sizes, loaded, rows, job.work, begun.callbacks, begun.say
        )
    positions = check.positions(trainer)
    console.print(f"  {positions.sentence()}")
    go(console, trainer, begun, ("rewards/accuracies", "reward accuracy"))
    finish(console, job, begun, trainer, loaded, rows, positions)


def finish(
    console: Console,
    job: DPOJob,
    begun: Beginning,
    trainer: Any,
    loaded: models.Loaded,
    rows: data.Rows,
    positions: Positions,
) -> None:
    """Measure the result, and write model and record; the record comes last."""
    args, guard = job.args, begun.guard
    step = check.kept_step(trainer, guard)
    results = facts.dpo_results(margins(trainer) if rows.test else [], step, check.to_beat(rows))
    trainer.save_model(str(job.work.model))
    if not is_main_process():
        return
    with console.status("What base and tuned model write on test prompts"):
        samples = check.compared(job.base, trainer, loaded, job)
    log = trainer.state.log_history
    trainable = facts.trainable_parameters(trainer.model)
    run = DPORecord(
        **facts.common("dpo", job, begun.clock, trainable),
        data=facts.dpo_data(job.project, rows),
        history=facts.dpo_curve(log),
        results=results,
        samples=samples,
        positions=replace(positions, mode=trainer.mode),
        sweep=None,
        alarms=dpo_alarms(log, results, args.beta, guard.failed_at, samples),
    )
    leave(job, loaded, run)

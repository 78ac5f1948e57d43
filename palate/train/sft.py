"""SFT from a project to a saved model: a warm start for DPO on the answers that people preferred.

Nothing is pushed here: the job does that with what `run` returns.
"""

from dataclasses import replace
from typing import Any

from rich.console import Console

from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.ref import Ref
from palate.generate import models
from palate.train import answers, check, data, facts
from palate.train.alarms import sft_alarms
from palate.train.config import SFTArguments
from palate.train.job import (
    Beginning,
    Job,
    begin,
    go,
    is_main_process,
    is_sharded,
    leave,
    load,
    train,
)
from palate.train.record import SFTRecord
from palate.train.sizes import Machine, choose_for_answers
from palate.train.workdir import WorkDir

SFTJob = Job[SFTArguments]


def run(console: Console, args: SFTArguments) -> SFTJob:
    """Train, and return the trained job."""
    job = prepare(console, args)
    train(console, job, steps)
    return job


def prepare(console: Console, args: SFTArguments) -> SFTJob:
    """Read and audit the data; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    ref = Ref.parse(args.project)
    project = Project.load(ref.repo, ref.revision)
    if args.output == project.model_repo:
        raise UsageError(
            f"{args.output} is where {project.id}'s DPO goes, which people compare blind. Leave"
            f" --output out: it is {project.sft_repo} then."
        )
    compared = data.read(project, implied=False)
    findings = check.audit(console, project, compared, ignore=args.ignore_audit)
    rows = answers.preferred(project.id, compared)
    base = models.find(args.base_model or project.settings.base_model)
    sizes = choose_for_answers(args, base.parameters, Machine.here())
    check.mergeable(sizes.method, is_sharded())
    decided = replace(
        args,
        project=f"{project.id}@{project.revision}",
        base_model=f"{base.repo}@{base.revision}",
        method=sizes.method,
        learning_rate=sizes.learning_rate,
        batch_size=sizes.batch_size,
        output=args.output or project.sft_repo,
    )
    work = WorkDir(project.id, rows.key(), "sft", decided.identity())
    return Job(decided, sizes, project, rows, base, findings, work)


def steps(console: Console, job: SFTJob) -> None:
    """Train, and leave model and record in `work.model`."""
    from palate.train.sft_trainer import make_trainer

    begun = begin(console, job)
    loaded, rows = load(console, job)
    trainer = make_trainer(
        job.args, job.sizes, loaded, rows, job.work, begun.callbacks, fresh=not begun.checkpoint
    )
    go(console, trainer, begun, ("mean_token_accuracy", "tokens guessed"))
    finish(console, job, begun, trainer, loaded, rows)


def finish(
    console: Console,
    job: SFTJob,
    begun: Beginning,
    trainer: Any,
    loaded: models.Loaded,
    rows: data.Rows,
) -> None:
    """Measure the result, and write model and record; the record comes last."""
    log, guard = trainer.state.log_history, begun.guard
    best = check.kept_step(trainer, guard)
    trainable = facts.trainable_parameters(trainer.model)  # before an adapter is merged
    trainer.merge()
    tuned = trainer.look() if rows.test else None
    results = facts.sft_results(facts.before_training(log), tuned, len(rows.test), best)
    trainer.save_model(str(job.work.model))
    if not is_main_process():
        return
    with console.status("What base and tuned model write on test prompts"):
        samples = check.compared(job.base, trainer, loaded, job)
    run = SFTRecord(
        **facts.common("sft", job, begun.clock, trainable),
        data=facts.sft_data(job.project, rows),
        history=facts.sft_curve(log),
        results=results,
        samples=samples,
        alarms=sft_alarms(results, guard.failed_at, samples),
    )
    leave(job, loaded, run)

"""SFT from a project to a saved model: a warm start for DPO on the answers that people preferred.

Nothing is pushed here: the job does that with what `run` returns.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from palate.core.schema import Preference
from palate.generate import models
from palate.generate.samples import NOTHING
from palate.train import job
from palate.train.config import SFTArguments
from palate.train.job import Job, RunDir
from palate.train.recipes.recipe import Machine, check_mergeable, choose_sft_recipe
from palate.train.records import facts
from palate.train.records.record import SFTRecord
from palate.train.records.results import sft_alarms, sft_results
from palate.train.rows import data, people
from palate.train.rows.data import Answer, Rows, preferred_answers, read_preferences
from palate.train.rows.hindsight import BETTER, hindsight_rows

if TYPE_CHECKING:
    from palate.train.trainers.callbacks import Start
    from palate.train.trainers.trainer import AnswerTrainer

SFTJob = Job[SFTArguments, Answer]


def run(console: Console, args: SFTArguments) -> SFTJob:
    """Train, and return the trained job."""
    prepared = prepare(console, args)
    job.train(console, prepared, train)
    return prepared


def prepare(console: Console, args: SFTArguments) -> SFTJob:
    """Read and audit the data; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    project, args = people.chosen(console, job.project_of(args), args)
    preferences = read_preferences(project, implied=False, together=not args.aspect)
    findings = data.audit(
        console, project, preferences, ignore=args.ignore_audit, together=not args.aspect
    )
    rows = rows_of(args, project.id, preferences)
    base = models.find(args.base_model or project.settings.base_model)
    recipe = choose_sft_recipe(args, base.parameters, Machine.here())
    check_mergeable(recipe.method, is_sharded=job.is_sharded())
    decided = job.decided(args, project, base, recipe, project.sft_repo)
    run_dir = RunDir(project.id, rows.key(), "sft", decided.identity())
    return Job(decided, recipe, project, rows, base, findings, run_dir)


def rows_of(args: SFTArguments, project: str, preferences: Rows[Preference]) -> Rows[Answer]:
    """Return the answers that are learned, each after its prompt."""
    learned = hindsight_rows if args.hindsight else preferred_answers
    return learned(project, preferences)


def train(
    console: Console,
    prepared: SFTJob,
    first: models.Source | None = None,
    *,
    is_last: bool = True,
) -> None:
    """Train, and leave model and record in `run_dir.model`.

    Of several rounds, `first` is the model that they began with. It is compared with the last one.
    """
    from palate.train.trainers.callbacks import run_trainer, start
    from palate.train.trainers.trainer import make_sft_trainer

    begun = start(console, prepared)
    loaded, rows = job.load(console, prepared)
    trainer = make_sft_trainer(
        prepared.args,
        prepared.recipe,
        loaded,
        rows,
        prepared.run_dir.path,
        begun.callbacks,
        fresh=not begun.checkpoint,
    )
    run_trainer(console, trainer, begun, ("mean_token_accuracy", "tokens guessed"))
    whole = replace(prepared, base=first or prepared.base)
    finish(console, whole, begun, trainer, loaded, rows, is_last=is_last)


def finish(
    console: Console,
    prepared: SFTJob,
    begun: "Start",
    trainer: "AnswerTrainer",
    loaded: models.Loaded,
    rows: Rows[Answer],
    *,
    is_last: bool,
) -> None:
    """Measure the result, and write model and record; the record comes last."""
    step = begun.kept_step(trainer)
    trainable = facts.trainable_parameters(trainer)  # before an adapter is merged
    trainer.merge()
    results = sft_results(trainer.state.log_history, [r.prompt_id for r in rows.test], step)
    trainer.save_model(str(prepared.run_dir.model))
    if not job.is_main_process():
        return
    samples, condition = NOTHING, BETTER if prepared.args.hindsight else ""
    if is_last:
        with console.status("Base and tuned model answer test prompts"):
            samples = facts.compare_models(prepared, trainer, loaded, condition)
    run = SFTRecord(
        **facts.common("sft", prepared, begun.clock, trainable),
        data=facts.sft_data(prepared.project, rows, prepared.args.aspect),
        history=facts.sft_curve(trainer.state.log_history),
        results=results,
        samples=samples,
        alarms=sft_alarms(results, begun.guard.failed_at, samples),
        condition=condition,
    )
    job.save(prepared, loaded, run)

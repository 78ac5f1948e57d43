"""DPO from a project to a saved model: read, audit, choose the recipe, train, measure, record.

Nothing is pushed here: the job does that with what `run` returns.
"""

from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.console import Console

from palate.core.errors import UsageError
from palate.core.ledger import standing_judgements
from palate.core.paths import cache
from palate.core.project import Project
from palate.core.rounds import check_aspect
from palate.core.schema import Preference
from palate.generate import models
from palate.label import agreement
from palate.train import job
from palate.train.config import DPOArguments
from palate.train.job import Job, RunDir
from palate.train.packed.packing import Positions
from palate.train.recipes import search
from palate.train.recipes.memory import Memory, Prediction, predict
from palate.train.recipes.recipe import Machine, choose_recipe
from palate.train.recipes.trials import Trial
from palate.train.records import facts
from palate.train.records.choice import KEEPS, read_run, right
from palate.train.records.record import DPORecord, load
from palate.train.records.results import dpo_alarms, dpo_results
from palate.train.rows import data, feedback, people
from palate.train.rows.data import Rows, read_preferences
from palate.train.rows.feedback import Panel
from palate.train.rows.wrong import flip_rate, implied_line
from palate.train.trainers import losses

if TYPE_CHECKING:
    from palate.train.trainers.callbacks import Start
    from palate.train.trainers.dpo_trainer import PackedDPOTrainer

DPOJob = Job[DPOArguments, Preference]


def run(console: Console, args: DPOArguments) -> tuple[DPOJob, list[RunDir]]:
    """Choose the recipe and train; return the trained job, and the folders of its search."""
    prepared = prepare(console, args)
    plan = search.planned(prepared, args)
    if isinstance(plan, str):
        if plan:
            console.print(f"  {plan}")
        train_once(console, prepared)
        return prepared, []
    facts, folder = search.run(console, prepared, plan)
    for line in facts.lines():
        console.print(f"  {line}")
    with suppress(OSError):  # it holds checkpoints where the usual recipe was begun before
        prepared.run_dir.path.rmdir()
    kept = with_recipe(prepared, facts.kept)
    train_once(console, kept)
    record = load(kept.run_dir.model)
    assert isinstance(record, DPORecord)
    replace(record, search=facts).save(kept.run_dir.model)
    return kept, [folder]


def train_once(console: Console, prepared: DPOJob) -> None:
    if not prepared.run_dir.finished():
        prepared.run_dir.check_logged(KEEPS)
    job.train(console, prepared, train)


def with_recipe(prepared: DPOJob, kept: Trial) -> DPOJob:
    """Return the training on all train prompts with the recipe that a search kept."""
    args = kept.applied(prepared.args)
    prompts = [r.prompt_id for r in prepared.rows.train]
    recipe = choose_recipe(args, prepared.base.parameters, prompts, Machine.here())
    chosen, batch = f"{kept.words()}: chosen on train prompts", prepared.recipe.reasons[1]
    reasons = (chosen, batch, *recipe.reasons[2:])
    recipe = replace(recipe, reasons=reasons, accumulate=prepared.recipe.accumulate)
    run_dir = RunDir(prepared.project.id, prepared.rows.key(), args.identity())
    return replace(prepared, args=args, recipe=recipe, run_dir=run_dir)


def prepare(console: Console, args: DPOArguments) -> DPOJob:
    """Read and audit the data; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    check_arguments(args)
    project, args = people.chosen(console, job.project_of(args), args)
    rows, judged = read(project, args)
    if judged:
        said = judged.sentences(standing_judgements(project.labels))
        for line in (*said, feedback.rows_line(rows, judged, args.ai_weight)):
            console.print(f"  {line}", markup=False)
    findings = data.audit(
        console, project, rows, ignore=args.ignore_audit, together=not args.aspect
    )
    report = agreement.report(project.labels, project.candidates)
    if line := implied_line(rows.train, report):
        console.print(f"  {line}")
    for note in losses.notes(args):
        console.print(f"  {note}")
    if name := losses.parse(args.loss).free:
        losses.trainer_of(name)  # or why there is none, before anything is computed
    base = models.find(args.base_model or project.settings.base_model)
    prompts = [r.prompt_id for r in rows.train]
    recipe = choose_recipe(args, base.parameters, prompts, Machine.here())
    if recipe.method != "full" and base.base is not None:
        raise UsageError(
            f"{base.repo} is an adapter itself, and an adapter on an adapter is not supported."
            " Use --method full, which merges it first."
        )
    decided = job.decided(args, project, base, recipe, project.model_repo)
    by_people = [r for r in rows.train if r.source != "ai"]
    rate, weight = flip_rate(args, by_people, report), losses.sft_weight(args)
    decided = replace(decided, flip_rate=rate, sft_weight=weight)
    if judged and args.ai_weight is None and len(judged.used) == 1:
        decided = replace(decided, ai_weight=judged.used[0].weight)
    run_dir = RunDir(project.id, rows.key(), decided.identity())
    return Job(decided, recipe, project, rows, base, findings, run_dir)


def read(project: Project, args: DPOArguments) -> tuple[Rows[Preference], Panel | None]:
    """Return the rows, and the judges whose answers are among the train rows, if asked for."""
    rows = read_preferences(project, implied=not args.no_implied, together=not args.aspect)
    if not args.ai:
        return rows, None
    check_aspect(project, args.aspect)  # a judge answers in one
    judged = feedback.usable(project)
    more = feedback.preferences(project, judged.used, judged.weights())
    known = {r.pair_id for r in rows.train}  # what people's answers imply counts as theirs
    more = [(r, weight) for r, weight in more if r.pair_id not in known]
    by_pair = {r.pair_id: weight for r, weight in more}
    weights = by_pair if len(judged.used) > 1 and args.ai_weight is None else {}
    return replace(rows, train=[*rows.train, *(r for r, _ in more)], weights=weights), judged


def check_arguments(args: DPOArguments) -> None:
    """Raise UsageError for arguments that exclude each other or need a missing package."""
    if args.trackio and not find_spec("trackio"):
        raise UsageError("--trackio needs the package trackio: pip install trackio")
    losses.check(args)
    if args.ai_weight is not None and not (args.ai and 0 < args.ai_weight <= 1):
        raise UsageError(
            "--ai-weight goes with --ai, and is above 0 and at most 1, what a person's answer"
            " counts."
        )
    if args.ai and args.recipe == "search":
        raise UsageError(
            "--recipe search measures recipes on pairs of people, and cannot hold out a judge's."
            " Leave --recipe out with --ai."
        )


def advice_to_end(args: DPOArguments) -> str:
    """Return what helps where the answers of a model that was trained so do not end."""
    if args.sft_weight:
        return f"Lower the learning rate, or raise --sft-weight to {3 * args.sft_weight:g}."
    try:
        losses.check(replace(args, sft_weight=losses.SFT_WEIGHT))
    except UsageError:
        return "Lower the learning rate."
    return f"Add --sft-weight {losses.SFT_WEIGHT:g}."


def train(console: Console, prepared: DPOJob) -> None:
    """Train, and leave model and record in `run_dir.model`."""
    from palate.train.trainers.callbacks import run_trainer, start
    from palate.train.trainers.dpo_trainer import make_dpo_trainer
    from palate.train.trainers.looks import SampleAnswer

    begun = start(console, prepared)
    loaded, rows = job.load(console, prepared)
    console.print("Computing the base model's log-probabilities")
    trainer = make_dpo_trainer(
        prepared.args,
        prepared.recipe,
        loaded,
        rows,
        prepared.run_dir.path,
        begun.callbacks,
        begun.warn,
        cache() / "references",
        console if job.is_main_process() else None,
    )
    if rows.test and trainer.accelerator.num_processes == 1:
        trainer.add_callback(SampleAnswer(console, loaded, rows.test[0].prompt))
    positions = trainer.positions()
    console.print(f"  {positions.sentence()}")
    predicted = predict_memory(console, prepared, trainer)
    run_trainer(console, trainer, begun, ("rewards/accuracies", "reward accuracy"))
    finish(console, prepared, begun, trainer, loaded, rows, positions)
    if predicted:
        console.print(f"  {predicted.outcome(facts.hardware().peak_memory_gb)}")


def predict_memory(
    console: Console, prepared: DPOJob, trainer: "PackedDPOTrainer"
) -> Prediction | None:
    """Print what memory the training will take, and advice where it may run out.

    None where processes train together: what each of them holds is decided later.
    """
    if trainer.accelerator.num_processes > 1 or job.is_sharded():
        return None
    predicted = predict(trainer, Memory.of_machine())
    console.print(f"  {predicted.sentence()}")
    if advice := predicted.advice(prepared.recipe):
        console.print(f"  {advice}", style="yellow")
    return predicted


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
    trainer.save_model(str(prepared.run_dir.model))
    if not job.is_main_process():
        return
    log = trainer.state.log_history
    margins, places = read_run(log)
    held = replace(prepared.rows, test=[prepared.rows.test[place] for place in places])
    results = dpo_results(margins, [r.prompt_id for r in held.test], step, data.test_rules(held))
    if held.test:
        by_annotator = people.accuracies(held.test, right(margins[max(margins)]))
        results = replace(results, by_annotator=by_annotator)
    with console.status("Base and tuned model answer test prompts"):
        samples = facts.compare_models(prepared, trainer, loaded)
    to_end = advice_to_end(prepared.args)
    run = DPORecord(
        **facts.common("dpo", prepared, begun.clock, facts.trainable_parameters(trainer)),
        data=facts.dpo_data(prepared.project, rows, prepared.args.aspect),
        history=facts.dpo_curve(log),
        results=results,
        samples=samples,
        positions=replace(positions, mode=trainer.mode),
        sweep=None,
        alarms=dpo_alarms(
            log, results, prepared.args.measured_beta, begun.guard.failed_at, samples, to_end
        ),
    )
    job.save(prepared, loaded, run)

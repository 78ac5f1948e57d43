"""KTO from a project to a saved model: read single answers, weigh, train, measure, record.

Nothing is pushed here: the job does that with what `run` returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

from rich.console import Console

from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.rounds import check_aspect
from palate.core.schema import Preference, Unpaired
from palate.generate import models
from palate.train import job
from palate.train.config import WHOLE, KTOArguments
from palate.train.job import Job, RunDir
from palate.train.recipes.recipe import Machine, choose_kto_recipe
from palate.train.records import facts
from palate.train.records.kto_results import answer_key, kto_alarms, kto_results
from palate.train.records.record import KTORecord
from palate.train.rows import data, people
from palate.train.rows.data import Rows
from palate.train.rows.unpaired import Weights, check_both, read_unpaired

if TYPE_CHECKING:
    from palate.train.trainers.callbacks import Start
    from palate.train.trainers.kto_trainer import AnswerKTOTrainer

KTOJob = Job[KTOArguments, Unpaired]
TRAINERS = ("KTOTrainer", "KTOConfig")


@dataclass(frozen=True)
class Held:
    """The held-out answers and comparisons, and the base model's log-probability of each answer."""

    test: Sequence[Unpaired]
    pairs: Sequence[Preference]
    base: Mapping[str, float]  # by `answer_key`


def run(console: Console, args: KTOArguments) -> KTOJob:
    """Train, and return the trained job."""
    import trl

    check_trl(trl)
    prepared = prepare(console, args)
    job.train(console, prepared, train)
    return prepared


def check_trl(trl: ModuleType) -> None:
    """Raise PalateError where this TRL has no KTO."""
    missing = [name for name in TRAINERS if name not in dir(trl)]
    if missing:
        raise PalateError(
            f"TRL {version('trl')} has no {missing[0]}, which `palate kto` trains with. Install one"
            " that has: pip install 'trl>=1.16,<2'"
        )


def check_arguments(args: KTOArguments) -> None:
    """Raise UsageError for arguments that cannot work on any machine."""
    if args.accelerate != WHOLE:
        raise UsageError(
            "KTO measures the base model before it trains, which needs the whole model in each"
            " process. Leave --accelerate out; --method lora takes less memory."
        )
    for name in ("good_weight", "bad_weight"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: expected more than 0.")


def prepare(console: Console, args: KTOArguments) -> KTOJob:
    """Read the answers; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    check_arguments(args)
    project, args = people.chosen(console, job.project_of(args), args)
    check_aspect(project, args.aspect)
    rows, sources = read_unpaired(project)
    findings = data.audit(
        console, project, Rows(as_compared(rows.train), []), ignore=args.ignore_audit
    )
    for source, n in sources.items():
        console.print(f"  {count(n, 'answer')} {source}")
    base = models.find(args.base_model or project.settings.base_model)
    recipe = choose_kto_recipe(args, base.parameters, Machine.here())
    if recipe.method != "full" and base.base is not None:
        raise UsageError(
            f"{base.repo} is an adapter itself, and an adapter on an adapter is not supported."
            " Use --method full, which merges it first."
        )
    decided = job.decided(args, project, base, recipe, project.kto_repo)
    run_dir = RunDir(project.id, rows.key(), "kto", decided.identity())
    return Job(decided, recipe, project, rows, base, findings, run_dir)


def as_compared(rows: Sequence[Unpaired]) -> list[Preference]:
    """Return the rows as the audit takes them, which looks at their prompts alone."""
    return [
        Preference(
            r.prompt,
            r.completion,
            r.completion,
            None,
            0.0,
            "human",
            r.annotator,
            "",
            r.prompt_id,
            1,
        )
        for r in rows
    ]


def weigh(args: KTOArguments, rows: Sequence[Unpaired]) -> tuple[Weights, str]:
    """Return the weights, from the counts where the arguments leave them open, and why."""
    good = sum(r.label for r in rows)
    bad = len(rows) - good
    usual = Weights.balanced(good, bad)
    if args.good_weight is None and args.bad_weight is None:
        weights, why = usual, "so that both kinds weigh alike"
    else:
        weights = Weights(args.good_weight or 1.0, args.bad_weight or 1.0)
        ratio = weights.good * good / (weights.bad * bad)
        why = f"as asked: good answers weigh {ratio:.2f} times as much as bad ones in all"
    return weights, (
        f"{count(good, 'good answer')} with weight {weights.good:g}, {count(bad, 'bad one')} with"
        f" weight {weights.bad:g}, {why}"
    )


def train(console: Console, prepared: KTOJob) -> None:
    """Train, and leave model and record in `run_dir.model`."""
    from palate.train.trainers.callbacks import run_trainer, start
    from palate.train.trainers.kto_trainer import make_kto_trainer

    if prepared.recipe.part < 2:
        raise PalateError(
            "Memory ran out on two answers, and KTO compares each with another. Lower --max-length,"
            " or use --method lora."
        )
    begun = start(console, prepared)
    loaded, rows = job.load(console, prepared)
    check_both(prepared.project.id, rows.train)
    weights, why = weigh(prepared.args, rows.train)
    console.print(f"  {why}")
    with console.status("Computing the base model's log-probabilities"):
        trainer = make_kto_trainer(
            prepared.args,
            prepared.recipe,
            loaded,
            rows,
            weights,
            prepared.run_dir.path,
            begun.callbacks,
        )
        held = held_out(prepared, rows, loaded, trainer)
    run_trainer(console, trainer, begun, None)
    finish(console, prepared, begun, trainer, loaded, rows, weights, held)


def held_out(
    prepared: KTOJob, rows: Rows[Unpaired], loaded: models.Loaded, trainer: "AnswerKTOTrainer"
) -> Held:
    """Return what the result is measured on, with the base model's log-probabilities."""
    project = prepared.project
    splits = {p.id: p.split for p in project.prompts}
    most = prepared.args.max_length
    most = min(most, models.window(prepared.base) or most)
    pairs = [
        p
        for p in project.preferences
        if p.source == "human"
        and splits.get(p.prompt_id) == "test"
        and data.tokens(p, loaded.tokenizer) <= most
    ]
    answers = answers_of(rows.test, pairs)
    logps = trainer.log_probs(list(answers.values()))
    return Held(rows.test, pairs, dict(zip(answers, logps, strict=True)))


def answers_of(test: Sequence[Unpaired], pairs: Sequence[Preference]) -> dict[str, tuple]:
    """Return prompt and answer of each distinct held-out answer, by `answer_key`."""
    both = [(r.prompt, r.completion) for r in test]
    both += [(p.prompt, side) for p in pairs for side in (p.chosen, p.rejected)]
    return {answer_key(prompt, completion): (prompt, completion) for prompt, completion in both}


def finish(
    console: Console,
    prepared: KTOJob,
    begun: "Start",
    trainer: "AnswerKTOTrainer",
    loaded: models.Loaded,
    rows: Rows[Unpaired],
    weights: Weights,
    held: Held,
) -> None:
    """Measure the result, and write model and record; the record comes last."""
    args, step = prepared.args, begun.kept_step(trainer)
    trainer.save_model(str(prepared.run_dir.model))
    if not job.is_main_process():
        return
    answers = answers_of(held.test, held.pairs)
    tuned = dict(zip(answers, trainer.log_probs(list(answers.values())), strict=True))
    rewards = {key: args.beta * (tuned[key] - held.base[key]) for key in answers}
    results = kto_results(rewards, held.test, held.pairs, step)
    with console.status("Base and tuned model answer test prompts"):
        samples = facts.compare_models(prepared, trainer, loaded)
    sources = read_unpaired(prepared.project)[1]
    run = KTORecord(
        **facts.common("kto", prepared, begun.clock, facts.trainable_parameters(trainer)),
        data=facts.kto_data(prepared.project, rows, weights, sources),
        history=facts.kto_curve(trainer.state.log_history),
        results=results,
        samples=samples,
        alarms=kto_alarms(results, begun.guard.failed_at, samples),
    )
    job.save(prepared, loaded, replace(run, why=(*run.why, weigh(args, rows.train)[1])))

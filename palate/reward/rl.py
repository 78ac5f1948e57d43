"""RL from a project to a saved model: prompts, rewards, train, measure, record.

TRL dropped PPO. RLOO, which `palate rl` uses, and GRPO are its successors: both compare a prompt's
answers with one another, and need no value model.
Nothing is pushed here: the job does that with what `run` returns. The run's folder has in addition:

rewards/       the held-out reward, where it was fitted for this run; with --halves, both
answers.jsonl  what the model wrote at each check, and both rewards
"""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.rounds import check_aspect
from palate.core.schema import Model, Prompt
from palate.generate import models
from palate.generate.generation import Sampling
from palate.generate.samples import BaseAndTuned
from palate.reward.best import Plan, say_other_base
from palate.reward.guards import repeated
from palate.reward.held_out import Rewards, find_rewards
from palate.reward.record import VERSION, RewardRecord, RLRecord
from palate.reward.scoring import find_reward, with_its_people
from palate.terminal.ref import Ref
from palate.train import job
from palate.train.config import RLArguments, check_rl
from palate.train.job import Job, RunDir
from palate.train.recipes.recipe import Machine, Recipe, choose_rl_recipe
from palate.train.records import facts
from palate.train.records.rl_results import Change, RLResults, checks, opened, rl_alarms
from palate.train.rows import data, people
from palate.train.rows.data import Rows, read_preferences

if TYPE_CHECKING:
    from palate.reward.rl_trainer import RewardRLOOTrainer
    from palate.train.trainers.callbacks import Start

RLJob = Job[RLArguments, Prompt]
TRAINERS = ("RLOOTrainer", "RLOOConfig")
MONITORED = 32  # train prompts that each check asks
WRITTEN = 64  # answers at once, at checks
ANSWERS = "answers.jsonl"


def run(console: Console, args: RLArguments) -> RLJob:
    """Train, and return the trained job."""
    import trl

    check_trl(trl)
    prepared, chosen = prepare(console, args)
    job.train(console, prepared, lambda c, j: train(c, j, chosen))
    return prepared


def check_trl(trl: ModuleType) -> None:
    """Raise PalateError where this TRL has no RLOO."""
    missing = [name for name in TRAINERS if name not in dir(trl)]
    if missing:
        raise PalateError(
            f"TRL {version('trl')} has no {missing[0]}, which `palate rl` trains with. Install one"
            " that has: pip install 'trl>=1.16,<2'"
        )


def check_arguments(args: RLArguments) -> None:
    """Raise UsageError for arguments that cannot work on this machine."""
    check_rl(replace(args, processes=max(args.processes, int(os.environ.get("WORLD_SIZE", "1")))))
    people.refuse(args)
    if args.engine == "vllm" and not find_spec("vllm"):
        raise UsageError(
            "--engine vllm needs the package vllm: pip install vllm. Or leave --engine out."
        )


def prepare(
    console: Console, args: RLArguments
) -> tuple[RLJob, tuple[RewardRecord, models.Source]]:
    """Read prompts and reward; decide what the arguments leave open.

    Raises UsageError for arguments that cannot work, PalateError for data that are not fit.
    """
    check_arguments(args)
    project = job.project_of(args)
    check_aspect(project, args.aspect)
    made, reward = find_reward(args.reward, project)
    project = with_its_people(console, project, made)
    labels = read_preferences(project, implied=False)
    findings = data.audit(console, project, labels, ignore=args.ignore_audit)
    base = models.find(args.base_model or project.settings.base_model)
    check_base(args, base)
    say_other_base(console, made, base)
    train, test = ([p for p in project.prompts if p.split == s] for s in ("train", "test"))
    recipe = choose_rl_recipe(args, base.parameters, len(train), Machine.here())
    held = models.find(args.held_out) if args.held_out else None
    decided = replace(
        job.decided(args, project, base, recipe, project.rl_repo),
        reward=None if args.halves else f"{reward.repo}@{reward.revision}",
        held_out=f"{held.repo}@{held.revision}" if held else None,
    )
    rows = Rows(train, test)
    # rewards of this run are fitted to these labels, on the model of the reward
    taught = labels.key(), made.base_model, made.base_revision
    run_dir = RunDir(project.id, rows.key(), "rl", decided.identity(), *taught)
    return Job(decided, recipe, project, rows, base, findings, run_dir), (made, reward)


def check_base(args: RLArguments, base: models.Source) -> None:
    """Raise UsageError for a model that cannot be trained this way."""
    if base.condition:
        raise UsageError(
            f"{base.repo} writes after the words of Chain of Hindsight, which RL does not add."
            " Choose another --base-model."
        )
    if base.base is not None and (args.method == "lora" or args.engine == "vllm"):
        raise UsageError(
            f"{base.repo} is an adapter. Use --method full and --engine transformers, which merge"
            " it first."
        )


def train(console: Console, prepared: RLJob, chosen: tuple[RewardRecord, models.Source]) -> None:
    """Train, and leave model and record in `run_dir.model`."""
    from palate.reward.rl_trainer import Monitor, make_rl_trainer
    from palate.train.trainers.callbacks import run_trainer, start
    from palate.train.trainers.trainer import weights_dtype

    args, folder = prepared.args, prepared.run_dir.path
    rewards = find_rewards(console, prepared.project, args, chosen, folder / "rewards")
    begun = start(console, prepared)
    loaded = models.load(prepared.base, dtype=weights_dtype(prepared.recipe))
    window = models.window(prepared.base)
    rows = usable(prepared.rows, loaded, args, prepared.recipe, window)
    tell(console, prepared, rows, rewards)
    monitor = Monitor(
        rows.train[:MONITORED],
        plan_of(args, prepared.recipe),
        rewards.reward,
        rewards.held_out,
        folder / ANSWERS,
        lambda line: console.print(line, markup=False, highlight=False),
        rewards.facts.decides,
    )
    trainer = make_rl_trainer(
        args,
        prepared.recipe,
        loaded,
        rows.train,
        monitor,
        folder,
        prepared.base.folder,
        begun.callbacks,
        fresh=not begun.checkpoint,
    )
    run_trainer(console, trainer, begun, None)
    finish(console, prepared, begun, trainer, loaded, rows, rewards)


def usable(
    rows: Rows[Prompt],
    loaded: models.Loaded,
    args: RLArguments,
    recipe: Recipe,
    window: int | None,
) -> Rows[Prompt]:
    """Return the prompts that leave room for an answer. UsageError where they fill no batch."""
    most = min(args.max_length, window or args.max_length) - args.max_new_tokens

    def fits(prompt: Prompt) -> bool:
        chat = loaded.tokenizer.apply_chat_template(
            prompt.prompt, add_generation_prompt=True, return_dict=True
        )
        return len(chat["input_ids"]) <= most

    train, test = ([p for p in part if fits(p)] for part in (rows.train, rows.test))
    left_out = len(rows.train) + len(rows.test) - len(train) - len(test)
    if not train:
        raise UsageError(
            f"All {len(rows.train):,} train prompts are longer than {most} tokens, so no answer of"
            f" {args.max_new_tokens} fits. Raise --max-length, or lower --max-new-tokens."
        )
    if recipe.batch_size > (answers := len(train) * args.n):
        raise UsageError(
            f"{len(train):,} of {count(len(rows.train), 'train prompt')} leave room for an answer,"
            f" and a batch of {recipe.batch_size} answers takes {recipe.batch_size // args.n:,}:"
            f" the others are longer than {most} tokens. Use --batch-size {answers} or less, raise"
            " --max-length, or lower --max-new-tokens."
        )
    return Rows(train, test, +Counter({f"prompts longer than {most} tokens": left_out}))


def plan_of(args: RLArguments, recipe: Recipe) -> Plan:
    """Return how answers are written at checks: as those that are learned from."""
    sampling = Sampling(temperature=1.0, max_new_tokens=args.max_new_tokens)
    return Plan(args.n, max(recipe.batch_size, WRITTEN), sampling, args.seed)


def tell(console: Console, prepared: RLJob, rows: Rows[Prompt], rewards: Rewards) -> None:
    """Print what is trained, on what, and what the held-out reward is worth."""
    base, args, held = prepared.base, prepared.args, rewards.facts
    for reason, n in rows.dropped.items():
        console.print(f"  left out: {n:,} {reason}")
    console.print(
        f"{base.repo} at {base.revision[:7]}, {base.parameters:,} parameters, {args.method}:"
        f" {count(len(rows.train), 'train prompt')}, {args.n} answers to each"
    )
    if raised := rewards.raised:
        console.print(f"  reward, from half of the labels: right on {raised.accuracy.words()}")
    where = held.reward.repo if held.reward else "test prompts" if not raised else "the others"
    console.print(f"  held-out reward, from {where}: right on {held.accuracy.words()}")
    if held.shares_labels:
        console.print(
            "  it may have learned from the same labels as the reward; a gap may then stay hidden",
            style="yellow",
        )
    if not held.decides:
        console.print(
            "  chance is not ruled out, so the held-out reward measures and does not stop the run"
            + ("" if args.halves or args.held_out else "; --halves divides the train labels"),
            style="yellow",
        )


def finish(
    console: Console,
    prepared: RLJob,
    begun: "Start",
    trainer: "RewardRLOOTrainer",
    loaded: models.Loaded,
    rows: Rows[Prompt],
    rewards: Rewards,
) -> None:
    """Measure the result, and write model and record; the record comes last."""
    model, step = prepared.run_dir.model, begun.kept_step(trainer)
    trainer.save_model(str(model))
    with console.status("Base and tuned model answer test prompts"):
        samples = facts.compare_models(prepared, trainer, loaded)
        results = measure(trainer, rows.test, trainer.monitor.plan, step, samples.kl)
    if (written := prepared.run_dir.path / ANSWERS).exists():
        shutil.copyfile(written, model / ANSWERS)
    common = facts.common("rl", prepared, begun.clock, facts.trainable_parameters(trainer))
    common |= {"version": VERSION}
    reward = Ref.parse(prepared.args.reward) if prepared.args.reward else None
    record = RLRecord(
        **common,
        data=facts.rl_data(prepared.project, rows),
        history=facts.rl_curve(trainer.state.log_history),
        results=results,
        samples=samples,
        reward=Model(reward.repo, reward.revision) if reward else None,
        held_out=rewards.facts,
        raised=rewards.raised,
        alarms=rl_alarms(results, rewards.facts, begun.guard.failed_at, samples),
    )
    job.save(prepared, loaded, record)


def measure(
    trainer: "RewardRLOOTrainer", test: Sequence[Prompt], plan: Plan, step: int, kl: float
) -> RLResults:
    """Return both rewards of base and tuned model on these prompts, with the same seeds."""
    from palate.reward.rl_trainer import answered

    made, monitor = checks(trainer.state.log_history), trainer.monitor
    gap = made[-1].step if monitor.stops and opened(made) else None
    results = RLResults(
        len(test), plan.n, None, None, kl, None, trainer.state.global_step, step, gap
    )
    if not test:
        return results
    tuned, tuned_held = answered(trainer.policy(), test, plan, monitor.reward, monitor.held_out)
    with trainer.reference() as reference:
        base, base_held = answered(reference, test, plan, monitor.reward, monitor.held_out)
    prompts = [w.prompt.id for w in base for _ in w.texts]
    ours = [np.concatenate([w.scores for w in part]).tolist() for part in (base, tuned)]
    others = [np.concatenate(part).tolist() for part in (base_held, tuned_held)]
    again = [float(np.mean([repeated(t) for w in part for t in w.texts])) for part in (base, tuned)]
    return replace(
        results,
        reward=Change.of(*ours, prompts),
        held_out=Change.of(*others, prompts),
        repeated=BaseAndTuned(*again),
    )

"""RL by a call: a model's folder, prompts and two rewards' folders, without a project or a Hub.

    from palate.reward.optimise import optimise
    from palate.train.config import RLArguments

    done = optimise(base, prompts, reward, held_out, folder, test=test, args=RLArguments("me/x"))
    print(done.results.held_out, done.results.kl, done.samples.length)

`palate rl` does the same with what it finds in a project. `fit_reward` of `palate.reward.held_out`
makes a reward's folder from preferences.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from palate.core.schema import Prompt
from palate.generate import models
from palate.generate.samples import Samples, compare
from palate.reward import rl
from palate.reward.scoring import Judge
from palate.terminal.console import PlainConsole
from palate.train.config import RLArguments, check_rl
from palate.train.job import METRICS, Clock, RunDir
from palate.train.recipes.recipe import Machine, choose_rl_recipe
from palate.train.records import facts
from palate.train.records.points import RLPoint
from palate.train.records.rl_results import RLResults
from palate.train.rows.data import Rows

if TYPE_CHECKING:
    from palate.reward.rl_trainer import RewardRLOOTrainer


@dataclass(frozen=True)
class Optimised:
    """The kept model, which plain transformers loads from `model`, and what is known of it."""

    model: Path
    results: RLResults
    samples: Samples
    history: tuple[RLPoint, ...]
    seconds: float


def optimise(
    base: Path,
    prompts: Sequence[Prompt],
    reward: Path,
    held_out: Path,
    folder: Path,
    *,
    test: Sequence[Prompt],
    args: RLArguments,
    console: Console | None = None,
    stops: bool = True,
) -> Optimised:
    """Train the model in `base` on these prompts, in `folder`; measure it on the test prompts.

    Without `stops`, all steps are taken and the last one is kept. The same call continues after an
    interruption. The `project` and `output` of the arguments are not used.
    """
    from transformers import TrainerCallback

    from palate.reward.rl_trainer import Monitor, make_rl_trainer
    from palate.train.trainers.callbacks import LossGuard, MetricsFile, Start, run_trainer
    from palate.train.trainers.trainer import weights_dtype

    check_rl(args)
    console, run_dir, began = console or PlainConsole(), RunDir.at(folder), time.monotonic()
    source = models.local(base)
    recipe = choose_rl_recipe(args, source.parameters, len(prompts), Machine.here())
    loaded = models.load(source, dtype=weights_dtype(recipe))
    rows = rl.usable(Rows(prompts, test), loaded, args, recipe, models.window(source))
    judges = Judge.load(models.local(reward)), Judge.load(models.local(held_out))
    tell, plan = partial(console.print, markup=False, highlight=False), rl.plan_of(args, recipe)
    monitor = Monitor(rows.train[: rl.MONITORED], plan, *judges, folder / rl.ANSWERS, tell, stops)
    guard, checkpoint = LossGuard(Clock(run_dir)), run_dir.checkpoint()
    callbacks: list[TrainerCallback] = [guard, MetricsFile(folder / METRICS)]
    trainer = make_rl_trainer(
        args, recipe, loaded, rows.train, monitor, folder, base, callbacks, fresh=not checkpoint
    )
    begun = Start(checkpoint, guard.clock, guard, callbacks, console.print)
    run_trainer(console, trainer, begun, None)
    step = begun.kept_step(trainer)
    trainer.save_model(str(run_dir.model))
    loaded.tokenizer.save_pretrained(run_dir.model)
    samples = _samples(trainer, rows, args)
    results = rl.measure(trainer, rows.test, monitor.plan, step, samples.kl)
    history = facts.rl_curve(trainer.state.log_history)
    return Optimised(run_dir.model, results, samples, history, time.monotonic() - began)


def _samples(trainer: "RewardRLOOTrainer", rows: Rows[Prompt], args: RLArguments) -> Samples:
    """Let the first model and the trained one answer the test prompts; compare the answers."""
    return compare(
        trainer.reference,
        trainer.policy(),
        [p.prompt for p in rows.test or rows.train],
        args.seed,
        held_out=bool(rows.test),
        longest=args.max_new_tokens,
    )

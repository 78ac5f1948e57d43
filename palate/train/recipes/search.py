"""Runs the trials of a recipe search; a search that was killed goes on after its last trial.

<cache>/training/<key>/search.json   the trials that ended
"""

import gc
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from palate.core import paths
from palate.core.errors import UsageError
from palate.core.paths import cache
from palate.core.schema import Preference
from palate.core.typed import read
from palate.generate import models
from palate.generate.chats import encode
from palate.terminal.console import PlainConsole
from palate.train import job
from palate.train.config import DPOArguments
from palate.train.job import Job, RunDir
from palate.train.packed import packing
from palate.train.recipes import halving, trials
from palate.train.recipes.halving import Plan
from palate.train.recipes.recipe import Machine, choose_recipe
from palate.train.recipes.trials import Trial, TrialResult
from palate.train.records.choice import read_run
from palate.train.rows.data import Rows, usable

if TYPE_CHECKING:
    from palate.train.trainers.dpo_trainer import PackedDPOTrainer

FILE = "search.json"
TRL_BATCH = 8  # pairs, by TRL's defaults
DPOJob = Job[DPOArguments, Preference]


def planned(prepared: DPOJob, asked: DPOArguments) -> Plan | str:
    """Return the search that the arguments as they were typed ask for, or why there is none.

    The reason is empty where the arguments decide it. Raises UsageError for a search that cannot
    be.
    """
    prompts = len({r.prompt_id for r in prepared.rows.train})
    forced = asked.recipe == "search"
    if forced and asked.learning_rate is not None:
        raise UsageError(
            "--recipe search chooses the learning rate. Leave --learning-rate out, or take"
            " --recipe fast."
        )
    why = halving.refusal(asked, prompts, prepared.recipe.processes)
    if why is not None:
        return why
    rows = fitting(prepared)
    if any(not trials.split(rows, number).test for number in (1, 2)):
        return "One training: too few train prompts have labels to choose a recipe by."
    both = asked.method is None and prepared.recipe.method == "full" and not prepared.base.base
    first = halving.first_trials(
        prepared.args, prepared.recipe.method, prepared.base.parameters, both=both
    )
    ours, theirs = positions(prepared, rows)
    return halving.plan(prepared.args, first, theirs / ours, forced=forced)


def fitting(prepared: DPOJob) -> Rows[Preference]:
    """Return the rows that fit the model's window, as the training takes them."""
    base, most = prepared.base, prepared.args.max_length
    tokenizer, window = models.tokenizer_of(base), models.window(base)
    return usable(prepared.rows, tokenizer, most, window)


def positions(prepared: DPOJob, rows: Rows[Preference]) -> tuple[int, int]:
    """Return the token positions of an epoch: in palate's batches, and in TRL's by default."""
    tokenizer = models.tokenizer_of(prepared.base)
    ids: dict[str, Sequence[int]] = {}

    def tokens(messages: list, *, ask: bool = False) -> Sequence[int]:
        key = json.dumps([messages, ask])
        if key not in ids:
            ids[key] = tuple(encode(tokenizer, messages, ask=ask))
        return ids[key]

    pairs = []
    for row in sorted(rows.train, key=lambda r: r.prompt_id):
        prompt = tokens(row.prompt, ask=True)
        chosen, rejected = (tokens(row.prompt + side) for side in (row.chosen, row.rejected))
        pairs.append((prompt, chosen[len(prompt) :], rejected[len(prompt) :]))
    theirs = packing.count_trl_positions(pairs, TRL_BATCH)
    if prepared.args.batches == "trl":
        return packing.count_trl_positions(pairs, prepared.recipe.batch_size), theirs
    shared = prepared.args.batches == "tree"
    return packing.count_positions(pairs, prepared.recipe.batch_size, shared), theirs


def run(console: Console, prepared: DPOJob, plan: Plan) -> tuple[trials.SearchFacts, RunDir]:
    """Run the trials that are left; return what they say, and the folder that kept them."""
    folder = RunDir(prepared.project.id, prepared.rows.key(), "search", prepared.args.identity())
    rows = fitting(prepared)
    results = load(folder)
    console.print(plan.sentence())
    if results:
        console.print(f"Continuing after {len(results)} of {plan.count} trainings")
    number = max((r.round for r in results), default=1)
    while True:
        done = [r for r in results if r.round < number]
        left = plan.next_round(done)
        if not left:
            return trials.facts(rows, results), folder
        tried = [r.trial for r in results if r.round == number]
        for trial in left:
            if trial not in tried:
                results.append(run_trial(prepared, rows, trial, number, folder))
                save(folder, results)
                console.print(
                    f"  {len(results)}/{plan.count} {results[-1].words()}{_left(plan, results)}"
                )
        number += 1


def _left(plan: Plan, results: Sequence[TrialResult]) -> str:
    """Return about how long the other trials take, by the seconds that an epoch took so far."""
    trained = sum(r.epochs for r in results)
    left = plan.trained - sum(r.trial.epochs for r in results)
    if not left or not trained:
        return ""
    minutes = left * sum(r.seconds for r in results) / trained / 60
    return f"; the search takes about {minutes:.0f} min more" if minutes >= 1 else ""


def load(folder: RunDir) -> list[TrialResult]:
    file = folder.path / FILE
    if not file.exists():
        return []
    return [read(TrialResult, value, file) for value in json.loads(file.read_text("utf-8"))]


def save(folder: RunDir, results: Sequence[TrialResult]) -> None:
    paths.replace(folder.path / FILE, json.dumps([asdict(r) for r in results]))


def run_trial(
    prepared: DPOJob, rows: Rows[Preference], trial: Trial, number: int, folder: RunDir
) -> TrialResult:
    """Train with the recipe on a round's part of the train prompts, and measure on the others."""
    start = time.monotonic()
    args = trial.applied(prepared.args)
    part = trials.split(rows, number)
    recipe = choose_recipe(
        args, prepared.base.parameters, [r.prompt_id for r in part.train], Machine.here()
    )
    recipe = replace(
        recipe, batch_size=prepared.recipe.batch_size, accumulate=prepared.recipe.accumulate
    )
    one = replace(prepared, args=args, recipe=recipe, rows=part, run_dir=folder)
    found: list[tuple[float, tuple[float, ...]]] = []

    def steps(console: Console, one: DPOJob) -> None:
        found.append(measured(console, one))

    job.train(PlainConsole(quiet=True), one, steps)
    prepared.recipe = replace(prepared.recipe, accumulate=one.recipe.accumulate)
    gc.collect()  # the trainer and its model refer to each other
    epochs, margins = found[-1]
    return TrialResult(trial, number, epochs, round(time.monotonic() - start, 1), margins)


def measured(console: Console, one: DPOJob) -> tuple[float, tuple[float, ...]]:
    """Return the epochs that were trained, and the margin of each held-out row after them.

    0 and zeros where the loss was not a number.
    """
    from palate.train.trainers.callbacks import NoLongerLearns
    from palate.train.trainers.dpo_trainer import make_dpo_trainer

    loaded, rows = job.load(console, one)
    watch = NoLongerLearns()
    trainer: PackedDPOTrainer = make_dpo_trainer(
        one.args,
        one.recipe,
        loaded,
        rows,
        one.run_dir.path,
        [watch],
        lambda text: None,
        cache() / "references",
    )
    options = trainer.args
    options.save_strategy = options.eval_strategy = "no"
    options.load_best_model_at_end = False
    trainer.train()
    evaluations, _ = read_run(trainer.state.log_history)
    if watch.failed:
        return 0.0, (0.0,) * len(rows.test)
    margins = np.round(evaluations[max(evaluations)], 5)
    state = trainer.state
    whole = state.global_step >= state.max_steps
    epochs = one.args.epochs if whole else round(state.epoch or 0.0, 2)
    return epochs, tuple(margins.tolist())

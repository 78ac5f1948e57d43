"""Five folds of the recorded title pairs by prompt, and trainings on them that log each row.

A training sees the train rows of its fold. A few of its prompts choose the checkpoint; the prompts
of the fold measure and choose nothing.
"""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from support import titles

from palate.core.schema import Preference, digest
from palate.generate import models
from palate.train.config import DPOArguments
from palate.train.job import Job, RunDir
from palate.train.recipes.recipe import Machine, Recipe, choose_recipe
from palate.train.rows.data import Rows

PROMPT = "Write one YouTube title for a video about: {idea}\nAnswer with the title only."
FOLDS = 5
CHOOSING = 8  # one prompt in so many of the train prompts chooses the checkpoint
WRITE = {"temperature": 0.9, "max_new_tokens": 48}
PARAMETERS = 134_515_008  # of SmolLM2-135M-Instruct


@dataclass(frozen=True)
class Fold:
    """Rows of a fold: `rows.test` holds the prompts that choose, then those that measure."""

    number: int
    rows: Rows[Preference]
    choosing: int  # the first of the test rows


def preferences(file: Path) -> list[Preference]:
    """Return the recorded pairs as rows of preferences, those of a prompt together."""
    rows = []
    for row in titles.read(file, PROMPT, system=None):
        prompt_id = digest(row["prompt"])
        pair = digest(prompt_id, row["chosen"], row["rejected"])
        sides = (row["prompt"], row["chosen"], row["rejected"])
        rows.append(Preference(*sides, None, 0.0, "human", "", pair, prompt_id, 1))
    return rows


def folds(rows: Sequence[Preference], seed: int = 0) -> list[Fold]:
    """Return the folds: every prompt measures in exactly one of them."""
    prompts = sorted({r.prompt_id for r in rows})
    random.Random(seed).shuffle(prompts)
    made = []
    for number in range(FOLDS):
        measuring = set(prompts[number::FOLDS])
        others = [p for p in prompts if p not in measuring]
        choosing = set(others[::CHOOSING])
        parts = ([r for r in rows if r.prompt_id in s] for s in (choosing, measuring))
        first, second = parts
        left = [r for r in rows if r.prompt_id not in measuring | choosing]
        test = [*first, *second]
        made.append(Fold(number, Rows(left, test, places=range(len(test))), len(first)))
    return made


def load(folder: Path, dtype: Any = None) -> models.Loaded:
    source = models.Source("me/smollm2", "0" * 40, folder, PARAMETERS)
    return models.load(source, dtype=dtype)


def job(folder: Path, args: Any, recipe: Recipe, rows: Rows[Preference]) -> Job:
    """Return a training as the commands prepare it, without a project on a Hub."""
    project: Any = SimpleNamespace(id="me/titles")
    base = models.Source("me/smollm2", "0" * 40, folder, PARAMETERS)
    return Job(args, recipe, project, rows, base, (), RunDir("benchmark", rows.key()))


def recipe_of(args: DPOArguments, rows: Sequence[Preference]) -> Recipe:
    return choose_recipe(args, PARAMETERS, [r.prompt_id for r in rows], Machine.here())


def by_palate(
    folder: Path, fold: Fold, args: DPOArguments, references: Path, *, looks: bool = True
) -> Any:
    """Train by palate's own trainer, and return it; the model is the one of the last step.

    It is tested four times an epoch; without `looks`, after the last step only.
    """
    from palate.train.trainers.dpo_trainer import make_dpo_trainer
    from palate.train.trainers.trainer import weights_dtype

    recipe = recipe_of(args, fold.rows.train)
    loaded = load(folder, weights_dtype(recipe))
    with tempfile.TemporaryDirectory() as out:
        trainer = make_dpo_trainer(
            args, recipe, loaded, fold.rows, Path(out), [], print, references
        )
        for callback in list(trainer.callback_handler.callbacks):
            if type(callback).__name__ == "EarlyStoppingCallback":
                trainer.remove_callback(callback)
        trainer.args.save_strategy, trainer.args.load_best_model_at_end = "no", False
        if not looks:
            trainer.args.eval_strategy = "no"
        trainer.train()
        if not looks:
            trainer.evaluate()
    return trainer


def answers(loaded: models.Loaded, prompts: Sequence[Any], seed: int) -> list[Any]:
    """Return one answer of the model to each prompt."""
    from palate.generate.generation import Sampling, complete

    seeds = range(1000 * seed, 1000 * seed + len(prompts))
    return complete(loaded, list(prompts), list(seeds), Sampling(**WRITE))


def whole(fold: Fold) -> Fold:
    """Return the fold with the prompts that would choose among those that train."""
    test = fold.rows.test[fold.choosing :]
    train = [*fold.rows.train, *fold.rows.test[: fold.choosing]]
    return Fold(fold.number, Rows(train, test, places=range(len(test))), 0)


def fewer(fold: Fold, pairs: int) -> Fold:
    """Return the fold with the train rows of its first prompts alone, `pairs` of them."""
    return replace(fold, rows=replace(fold.rows, train=fold.rows.train[:pairs]))


def by_trl(model: Path, fold: Fold, result: dict[str, Any], **flags: Any) -> models.Loaded:
    """Train by TRL's own DPOTrainer in its batches of 8; margins are those of the last step."""
    import torch
    from trl import DPOConfig, DPOTrainer

    from palate.train.rows.data import preference_dataset

    loaded = load(model, torch.float32)
    loaded.model.config._name_or_path = str(model)  # TRL may load the reference from there
    before = log_likelihoods(loaded, fold.rows.test)
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as out:
        trainer = DPOTrainer(
            model=loaded.model,
            args=DPOConfig(
                output_dir=out, report_to="none", save_strategy="no", disable_tqdm=True, bf16=cuda,
                use_cpu=not cuda, **flags,
            ),
            train_dataset=preference_dataset(fold.rows.train),
            processing_class=loaded.tokenizer,
        )  # fmt: skip
        trainer.train()
    after = log_likelihoods(loaded, fold.rows.test)
    ratios = 0.1 * (np.array(after) - np.array(before))
    result["margins"] = {trainer.state.global_step: (ratios[:, 0] - ratios[:, 1]).tolist()}
    result["train_seconds"] = trainer.state.log_history[-1].get("train_runtime")
    return loaded


def log_likelihoods(loaded: models.Loaded, rows: Sequence[Preference]) -> list[list[float]]:
    """Return log-probabilities of chosen and rejected, shape (rows, 2), and their tokens, (2)."""
    import torch

    tokenizer, model = loaded.tokenizer, loaded.model
    model.eval()
    sums: dict[str, float] = {}
    figures = []
    for row in rows:
        prompt = tokenizer.apply_chat_template(
            row.prompt, add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for side in (row.chosen, row.rejected):
            key = row.prompt_id + side[0]["content"]
            if key not in sums:
                ids = tokenizer.apply_chat_template(row.prompt + side, return_dict=True)[
                    "input_ids"
                ]
                tokens = torch.tensor([ids], device=model.device)
                with torch.no_grad():
                    logits = model(tokens).logits[0, len(prompt) - 1 : -1].float()
                picked = logits.log_softmax(-1).gather(1, tokens[0, len(prompt) :, None])
                sums[key] = float(picked.sum())
        figures.append([sums[row.prompt_id + s[0]["content"]] for s in (row.chosen, row.rejected)])
    return figures

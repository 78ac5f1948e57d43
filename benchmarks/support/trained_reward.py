"""Reward models that TRL's trainer trains, as `palate reward --method` does, on the same folds."""

from pathlib import Path
from typing import Any

import numpy as np
from support import folds

from palate.reward import classifier, features
from palate.reward.config import RewardArguments
from palate.reward.rows import Answers
from palate.terminal.console import PlainConsole
from palate.train.recipes.recipe import Machine, choose_reward_recipe


def leads(model: Path, fold: folds.Fold, **changes: Any) -> np.ndarray:
    """Train a reward on the fold; return the lead of each held-out row."""
    from palate.reward.trainer import train

    args = RewardArguments("me/titles", output="me/titles-reward", **changes)
    prompts = [r.prompt_id for r in fold.rows.train]
    recipe = choose_reward_recipe(args, folds.PARAMETERS, prompts, Machine.here())
    job = folds.job(model, args, recipe, fold.rows)
    train(PlainConsole(quiet=True), job)
    made, tokenizer = classifier.load(job.run_dir.model)
    answers = Answers.of(fold.rows.test)
    texts = features.chats(tokenizer, answers.chats)
    scores = classifier.scores(made, tokenizer.pad_token_id, texts)
    pairs = answers.pairs(fold.rows.test, "off")
    return scores[pairs.first] - scores[pairs.second]

"""Trainings of a local model by palate's own trainers, to the last step, all weights."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from support import folds, measured

from palate.core.schema import Preference, Prompt
from palate.generate.models import Loaded
from palate.reward import probe
from palate.reward.rows import Answers
from palate.train.config import DPOArguments, KTOArguments, RLArguments, SFTArguments
from palate.train.recipes.recipe import Machine, choose_kto_recipe, choose_sft_recipe
from palate.train.rows.data import Answer, Rows

PROJECT = "me/titles"


def start(model: Path, weights: Any = None) -> Loaded:
    """Return the model in memory, or with other weights."""
    import torch

    loaded = folds.load(model, torch.float32)
    if weights is not None:
        loaded.model.load_state_dict(weights)
    return loaded


def save(loaded: Loaded, folder: Path) -> Path:
    """Write the model to a folder, and return it."""
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def _taught(model: Path, trainer: Any) -> Loaded:
    """Train; return the weights as plain transformers computes with them."""
    trainer.args.save_strategy = "no"
    trainer.train()
    return start(model, trainer.model.state_dict())


def on_answers(model: Path, rows: Sequence[Answer], **changes: Any) -> Loaded:
    """Return what `palate sft` makes of the model with these arguments."""
    from palate.train.trainers.trainer import make_sft_trainer

    args = SFTArguments(PROJECT, method="full", **changes)
    recipe = choose_sft_recipe(args, folds.PARAMETERS, Machine.here())
    with tempfile.TemporaryDirectory() as out:
        trainer = make_sft_trainer(
            args, recipe, start(model), Rows(rows, []), Path(out), [], fresh=False
        )
        return _taught(model, trainer)


def on_pairs(
    model: Path, rows: Sequence[Preference], loaded: Loaded | None = None, **changes: Any
) -> Loaded:
    """Return what `palate train` makes of the model, or of these weights of it."""
    from palate.train.trainers.dpo_trainer import make_dpo_trainer

    args = DPOArguments(PROJECT, method="full", **({"sft_weight": 0.0} | changes))
    with tempfile.TemporaryDirectory() as out:
        trainer = make_dpo_trainer(
            args, folds.recipe_of(args, rows), loaded or start(model), Rows(rows, []), Path(out),
            [], print, Path(out) / "references",
        )  # fmt: skip
        return _taught(model, trainer)


def on_single_answers(model: Path, rows: Sequence[Preference]) -> Loaded:
    """Return what `palate kto` makes of the model, from pairs taken apart."""
    from palate.train.rows.unpaired import Weights, judged
    from palate.train.trainers.kto_trainer import make_kto_trainer

    args = KTOArguments(PROJECT, method="full")
    single = judged([], rows).rows
    good = sum(row.label for row in single)
    weights = Weights.balanced(good, len(single) - good)
    recipe = choose_kto_recipe(args, folds.PARAMETERS, Machine.here())
    with tempfile.TemporaryDirectory() as out:
        trainer = make_kto_trainer(
            args, recipe, start(model), Rows(single, []), weights, Path(out), []
        )
        return _taught(model, trainer)


def some(
    rows: Sequence[Preference], wanted: int, seed: int = 0
) -> tuple[list[Preference], list[Preference]]:
    """Return rows that a person with little time answers, and the others."""
    known = set(random.Random(seed).sample(range(len(rows)), min(wanted, len(rows) // 2)))
    parts: tuple[list[Preference], list[Preference]] = ([], [])
    for place, row in enumerate(rows):
        parts[place not in known].append(row)
    return parts


def with_judge(
    model: Path, base: Loaded, people: Sequence[Preference], others: Sequence[Preference]
) -> tuple[Loaded, dict[str, float]]:
    """Let a reward of people's rows answer the others, weighted as `palate train --ai` does.

    Also return its agreement with people on prompts that it has not seen, and how often it says
    what the other rows say.
    """
    answers = Answers.of([*people, *others])
    vectors = measured.vectors(base, answers.chats, answers.prompts)
    known, asked = answers.pairs(people, "off"), answers.pairs(others, "off")
    agrees = float((probe.held_out_scores(vectors, known, 1) > 0).mean())
    scores = measured.fitted(vectors, known).scores(vectors)
    same = scores[asked.first] > scores[asked.second]
    said = [
        replace(r, source="ai", annotator="judge")
        if agree
        else replace(r, source="ai", annotator="judge", chosen=r.rejected, rejected=r.chosen)
        for r, agree in zip(others, same, strict=True)
    ]
    weight = max(0.0, 2 * agrees - 1)
    loaded = on_pairs(model, [*people, *said], ai=True, ai_weight=weight)
    return loaded, {"agreement": agrees, "right": float(same.mean()), "weight": weight}


def against_reward(
    model: Path, base: Loaded, train: Sequence[Preference], **changes: Any
) -> tuple[Loaded, dict[str, float]]:
    """Return what `palate rl --halves` makes of the model with these arguments, and its steps."""
    from palate.reward.held_out import fit_reward
    from palate.reward.optimise import optimise

    args = RLArguments(PROJECT, max_new_tokens=measured.SAMPLING.max_new_tokens, **changes)
    prompts = {r.prompt_id: Prompt.of(r.prompt) for r in train}
    parts = probe.folds(list(prompts), args.seed, most=2)
    halves = [[r for r in train if r.prompt_id in part] for part in parts]
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out)
        made = [fit_reward(base, rows, folder / f"{i}") for i, rows in enumerate(halves)]
        reward, held_out = (fitted.folder for fitted in made)
        done = optimise(
            model, list(prompts.values()), reward, held_out, folder / "run", test=(), args=args,
            stops=made[1].accuracy.interval is not None and made[1].accuracy.interval[0] > 0.5,
        )  # fmt: skip
        facts = {"steps": done.results.steps, "kept_step": done.results.best_step}
        return folds.load(done.model, base.model.dtype), facts

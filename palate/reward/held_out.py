"""The held-out reward: a probe on labels that the reward which is raised has not seen.

The project's reward learned from all labels of train prompts, so this one learns from those of test
prompts; or each of the two learns from one half. No eval prompt and no vote is read.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from palate.core import paths
from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rates import Rate
from palate.core.schema import Model, Preference
from palate.core.typed import read
from palate.generate import models
from palate.reward import classifier, features, figures, probe
from palate.reward.config import MarginSize
from palate.reward.probe import FOLDS
from palate.reward.record import RewardRecord
from palate.reward.rows import Answers
from palate.reward.scoring import Judge, find_reward
from palate.train.config import RLArguments
from palate.train.records.rl_results import HeldOut
from palate.train.rows.data import read_preferences

FACTS = "held_out.json"


@dataclass(frozen=True)
class Fitted:
    """A probe that was saved as a classifier, and how often it is right on other prompts."""

    folder: Path
    pairs: int
    prompts: int
    accuracy: Rate  # each pair by a probe that has not seen its prompt


def fit_reward(
    loaded: models.Loaded,
    rows: Sequence[Preference],
    folder: Path,
    *,
    margin: MarginSize = "small",
    seed: int = 0,
) -> Fitted:
    """Fit a probe on these preferences as `palate reward` does, and save it in `folder`."""
    answers = Answers.of(rows)
    texts = features.chats(loaded.tokenizer, answers.chats)
    layer = features.middle(loaded.model.config.get_text_config())
    vectors = features.extract(loaded, texts, answers.prompts, [layer])
    pairs = answers.pairs(rows, margin)
    leads = probe.held_out_scores(vectors, pairs, seed)
    fitted = probe.fitted(vectors, pairs, probe.choose(vectors, pairs, seed))
    classifier.with_head(loaded, fitted).save_pretrained(folder)
    side, loaded.tokenizer.padding_side = loaded.tokenizer.padding_side, "right"
    loaded.tokenizer.save_pretrained(folder)
    loaded.tokenizer.padding_side = side
    classifier.check_saved(folder, answers.chats, fitted.scores(vectors))
    prompts = len({r.prompt_id for r in rows})
    return Fitted(folder, len(rows), prompts, figures.rates(rows, leads))


@dataclass(frozen=True)
class Rewards:
    """The reward that is raised and the held-out one, in memory, and what is known of them."""

    reward: Judge
    held_out: Judge
    facts: HeldOut
    raised: HeldOut | None = None  # where the first one was fitted for this run, too


def find_rewards(
    console: Console,
    project: Project,
    args: RLArguments,
    chosen: tuple[RewardRecord, models.Source],
    folder: Path,
) -> Rewards:
    """Load the reward, and load or fit the held-out one in `folder`; with --halves, fit both."""
    run, source = chosen
    if args.held_out:
        held, judge = named_held_out(args.held_out, source, project)
        return Rewards(Judge.load(source), judge, held)
    parts = halves(project, args.seed) if args.halves else [test_labels(project)]
    rewards = [
        fit_once(console, run, rows, folder / f"{i}", args.seed) for i, rows in enumerate(parts)
    ]
    judges = [
        Judge.load(replace(source, repo="a reward of this run", folder=folder / f"{i}"))
        for i in range(len(rewards))
    ]
    raised = rewards[0] if args.halves else None
    return Rewards(judges[0] if raised else Judge.load(source), judges[-1], rewards[-1], raised)


def fit_once(
    console: Console, run: RewardRecord, rows: Sequence[Preference], folder: Path, seed: int
) -> HeldOut:
    """Fit a reward in `folder` on the base model of `run`, unless it is there."""
    if (file := folder / FACTS).exists():
        return read(HeldOut, json.loads(file.read_text("utf-8")), FACTS)
    loaded = models.load(models.find(f"{run.base_model}@{run.base_revision}"))
    with console.status(f"Fitting a reward on {len(rows):,} pairs"):
        fitted = fit_reward(loaded, rows, folder, seed=seed)
    held = HeldOut(None, fitted.pairs, fitted.prompts, fitted.accuracy)
    text = {"reward": None, "pairs": held.pairs, "prompts": held.prompts, "shares_labels": False}
    paths.replace(file, json.dumps(text | {"accuracy": held.accuracy.to_json()}))
    return held


def halves(project: Project, seed: int) -> list[list[Preference]]:
    """Return people's preferences on one half of the train prompts, and on the other half.

    The second part also has those on test prompts. Raises UsageError where they are too few.
    """
    rows = read_preferences(project, implied=False)
    parts = probe.folds([r.prompt_id for r in rows.train], seed, most=2)
    if len(parts) < 2 or min(map(len, parts)) < FOLDS:
        raise UsageError(
            f"--halves needs labels on {2 * FOLDS} train prompts or more, and those of {project.id}"
            f" are on {sum(map(len, parts))}. Label more: palate label {project.id}"
        )
    first, second = ([r for r in rows.train if r.prompt_id in part] for part in parts)
    return [first, [*second, *rows.test]]


def test_labels(project: Project) -> Sequence[Preference]:
    """Return people's preferences on test prompts. Raises UsageError where they are too few."""
    rows = read_preferences(project, implied=False).test
    prompts = len({r.prompt_id for r in rows})
    if prompts < FOLDS:
        raise UsageError(
            f"The labels of {project.id} are on {count(prompts, 'test prompt')}, and a held-out"
            f" reward needs {FOLDS} or more. Label more: palate label {project.id}. Or"
            " divide the labels of train prompts: --halves"
        )
    return rows


def named_held_out(name: str, reward: models.Source, project: Project) -> tuple[HeldOut, Judge]:
    """Return the held-out reward with this name. UsageError where it is the one that is raised."""
    run, source = find_reward(name, project)
    if (source.repo, source.revision) == (reward.repo, reward.revision):
        raise UsageError(
            f"--held-out {name} is the reward that is raised, which cannot show what it gets wrong."
            " Leave --held-out out, or name a reward that learned from other labels."
        )
    raised = find_reward(f"{reward.repo}@{reward.revision}", project)[0]
    held = HeldOut(
        Model(source.repo, source.revision),
        run.data.train,
        run.data.prompts.train,
        run.results.accuracy,
        shares_labels=run.project == raised.project,
    )
    return held, Judge.load(source)

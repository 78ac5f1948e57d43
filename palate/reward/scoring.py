"""The reward that chooses among answers: one model, or those of a project's aspects together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.core.rounds import by_aspect, weights_of
from palate.core.schema import Message, digest
from palate.generate import models, tokenizers
from palate.reward import classifier, features, record
from palate.reward.record import RewardRecord
from palate.train.config import TrainArguments
from palate.train.rows import people

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AGAIN = "Make the reward again with: palate reward"


@dataclass(frozen=True)
class Judge:
    """A reward model in memory."""

    model: Any
    tokenizer: "PreTrainedTokenizerBase"

    @classmethod
    def load(cls, source: models.Source) -> "Judge":
        """Load it by plain transformers. Raises UsageError where its tokenizer is another's."""
        model, tokenizer = classifier.load(source.folder)
        tokenizers.check_tokens(source.repo, tokenizer, model, AGAIN)
        return cls(model, tokenizer)

    def scores(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> np.ndarray:
        chats = [
            [*prompt, Message(role="assistant", content=text)]
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        tokens = features.chats(self.tokenizer, chats)
        scores = classifier.scores(self.model, self.tokenizer.pad_token_id, tokens)
        if not np.isfinite(scores).all():
            raise PalateError(f"The reward model gives scores that are no numbers. {AGAIN}")
        return scores


@dataclass(frozen=True)
class Reward:
    """One reward model, or those of a project's aspects with what each weighs.

    Each score is in standard deviations of the answers that its model learned from, so that scores
    of several models can be added by the weights.
    """

    repo: str
    revision: str
    run: RewardRecord  # of the first one
    parts: tuple[tuple[models.Source, float], ...]

    def load(self) -> "Judges":
        return Judges(tuple((Judge.load(source), weight) for source, weight in self.parts))


@dataclass(frozen=True)
class Judges:
    """The models of a reward in memory."""

    parts: tuple[tuple[Judge, float], ...]

    def scores(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> np.ndarray:
        parts = [weight * judge.scores(prompts, texts) for judge, weight in self.parts]
        return np.sum(parts, axis=0)


def reward_name(named: str | None, project: Project) -> str:
    """Return the repo and revision of a reward, by default that in the project's aspect.

    Raises UsageError where there is no such repo.
    """
    name = named or f"{project.reward_repo}@round-{project.settings.round}"
    repo = name.partition("@")[0]
    if not hub.exists(repo, "model"):
        more = f" --aspect {project.aspect}" if project.aspect and not named else ""
        raise UsageError(
            f"There is no reward {repo} yet. Make it with: palate reward {project.id}{more}"
        )
    return name


def reward_names(named: str | None, project: Project) -> list[str]:
    """Return the reward that is named, or that of each aspect. Raises UsageError for a gap."""
    return [reward_name(named, one) for one in ([project] if named else by_aspect(project))]


def find_reward(named: str | None, project: Project) -> tuple[RewardRecord, models.Source]:
    """Return one reward and its record. Raises UsageError where there is none."""
    name = reward_name(named, project)
    source = models.find(name)
    file: Path = source.folder / "run.json"
    run = record.load(source.folder) if file.exists() else None
    if not isinstance(run, RewardRecord):
        raise UsageError(
            f"{name} is no reward that palate made. Make one with: palate reward {project.id}"
        )
    return run, source


def rewards_of(named: str | None, project: Project) -> Reward:
    """Return the reward that is named, or those of all aspects. Raises UsageError for a gap."""
    parts = [find_reward(name, project) for name in reward_names(named, project)]
    (run, first), *others = parts
    if not others:
        return Reward(first.repo, first.revision, run, ((first, 1.0),))
    if len({made.arguments.get("annotators") for made, _ in parts}) > 1:
        raise UsageError(
            f"The rewards of the aspects of {project.id} learned from different people. Make each"
            " again with the same --annotators, or without."
        )
    weights = weights_of(project.settings)
    revision = digest([source.revision for _, source in parts], weights)
    rewards = zip((source for _, source in parts), weights.values(), strict=True)
    return Reward(f"{project.id}-reward", revision, run, tuple(rewards))


def with_its_people(console: Console, project: Project, reward: RewardRecord) -> Project:
    """Return the project with the people whose labels its reward learned from, or as it is."""
    annotators = reward.arguments.get("annotators")
    if not isinstance(annotators, str) or reward.project != project.id:
        return project
    own = people.part(project, TrainArguments(project.id, annotators=annotators))
    assert isinstance(own, people.PartOfPeople)
    if len(own.only) < own.people_in_all:
        console.print(
            f"  The reward learned from the labels of {len(own.only)} of {own.people_in_all}"
            " people; only theirs are used here."
        )
    return own


def reward_lines(reward: Reward) -> list[str]:
    """Return what each of several rewards weighs."""
    if len(reward.parts) == 1:
        return []
    parts = (f"{100 * w:.0f}% {s.repo} at {s.revision[:7]}" for s, w in reward.parts)
    return [f"reward: {', '.join(parts)} (`weights` in palate.toml)"]

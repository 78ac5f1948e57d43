"""What the contestants of a comparison wrote to the eval prompts, measured alike.

The reward that measures is a probe of the labels on test prompts: no method trains on these, and no
other reward learns from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rates import Rate
from palate.core.schema import Candidate, Message, Preference
from palate.generate import models
from palate.generate.generation import Completion
from palate.reward import features, figures, probe
from palate.reward.divergence import answer_ids, divergences
from palate.reward.probe import FOLDS
from palate.reward.rows import Answers
from palate.train.records.best import Mean
from palate.train.rows.data import read_preferences

SEED = 0


@dataclass(frozen=True)
class Measure:
    """What is known of the reward that measures."""

    pairs: int
    prompts: int
    accuracy: Rate  # on prompts that such a probe has not seen

    def sentence(self) -> str:
        """Return what it learned from, and how often such a reward is right."""
        return (
            f"The held-out reward learned from {count(self.pairs, 'label')} on"
            f" {count(self.prompts, 'test prompt')}, which no method trained on. On prompts that it"
            f" has not seen, such a reward ranks {self.accuracy.words()} right."
        )


@dataclass(frozen=True)
class Figures:
    """What a contestant wrote: means over its answers, with intervals for other prompts."""

    answers: int
    reward: Mean | None
    change: Mean | None  # of the reward from the base model's, on the same prompts and seeds
    kl: Mean | None  # from the base model, in nats an answer; None where no one model wrote them
    characters: float
    ended: float  # share of answers that the model ended


def measuring_rows(project: Project) -> Sequence[Preference]:
    """Return people's preferences on test prompts, none where they are too few for a reward."""
    rows = read_preferences(project, implied=False).test
    return rows if len({r.prompt_id for r in rows}) >= FOLDS else []


class Ruler:
    """Measures answers by the base model's features, and by the base model itself."""

    def __init__(self, project: Project, base: models.Source):
        self._prompts = {p.id: p.prompt for p in project.prompts}
        self._rows = measuring_rows(project)
        self._base = models.load(base)
        self._layer = features.middle(self._base.model.config.get_text_config())

    @cached_property
    def _fitted(self) -> tuple[probe.Probe, Measure] | None:
        if not self._rows:
            return None
        answers = Answers.of(self._rows)
        vectors = self._vectors(answers.chats, answers.prompts)
        pairs = answers.pairs(self._rows, "off")
        leads = probe.held_out_scores(vectors, pairs, SEED)
        fitted = probe.fitted(vectors, pairs, probe.choose(vectors, pairs, SEED))
        prompts = len({r.prompt_id for r in self._rows})
        return fitted, Measure(len(self._rows), prompts, figures.rates(self._rows, leads))

    @property
    def measure(self) -> Measure | None:
        """What is known of the reward; None where test prompts have too few labels."""
        return self._fitted[1] if self._fitted else None

    def figures(
        self,
        answers: Sequence[Candidate],
        base_answers: Sequence[Candidate],
        source: models.Source | None,
    ) -> Figures:
        """Return the figures of what one contestant wrote; `source` is its model, if one wrote."""
        written = [self._completion(c) for c in answers]
        ids = [c.prompt_id for c in answers]
        rewards, before = self._rewards(answers), self._rewards(base_answers)
        change = None
        if rewards is not None and before is not None:
            change = Mean.of(*_paired(answers, rewards, base_answers, before))
        kl = None
        if source:
            loaded = models.load(source)
            asked = [self._prompts[p] for p in ids]
            kl = Mean.of(divergences(loaded, self._base, asked, written), ids)
        return Figures(
            len(answers),
            None if rewards is None else Mean.of(rewards.tolist(), ids),
            change,
            kl,
            float(np.mean([len(c.text) for c in answers])),
            float(np.mean([c.ended for c in written])),
        )

    def _rewards(self, answers: Sequence[Candidate]) -> np.ndarray | None:
        if not self._fitted:
            return None
        chats: list[list[Message]] = [
            [*self._prompts[c.prompt_id], Message(role="assistant", content=c.text)]
            for c in answers
        ]
        return self._fitted[0].scores(self._vectors(chats, [c.prompt_id for c in answers]))

    def _vectors(
        self, chats: Sequence[list[Message]], prompts: Sequence[str]
    ) -> Mapping[int, np.ndarray]:
        tokens = features.chats(self._base.tokenizer, chats)
        return features.extract(self._base, tokens, prompts, [self._layer])

    def _completion(self, c: Candidate) -> Completion:
        """Return the answer, and whether its tokens are fewer than those it was allowed."""
        limit = (c.sampling or {}).get("max_new_tokens", np.inf)
        tokens = answer_ids(self._base, self._prompts[c.prompt_id], c.text, ended=False)
        return Completion(c.text, len(tokens) < limit)


def _paired(
    answers: Sequence[Candidate], rewards: np.ndarray,
    base_answers: Sequence[Candidate], before: np.ndarray,
) -> tuple[list[float], list[str]]:  # fmt: skip
    """Return the differences of rewards, the n-th answer to a prompt from the n-th, and prompts."""
    of_base: dict[str, list[float]] = {}
    for c, reward in zip(base_answers, before, strict=True):
        of_base.setdefault(c.prompt_id, []).append(float(reward))
    numbers: dict[str, int] = {}
    differences, prompts = [], []
    for c, reward in zip(answers, rewards, strict=True):
        number = numbers[c.prompt_id] = numbers.get(c.prompt_id, -1) + 1
        if number < len(of_base.get(c.prompt_id, [])):
            differences.append(float(reward) - of_base[c.prompt_id][number])
            prompts.append(c.prompt_id)
    return differences, prompts

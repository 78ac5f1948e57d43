"""What all methods are measured by on a fold: its prompts and seeds, held-out pairs, two rewards.

Three of five folds by prompt train. The labels of the prompts that measure, and of one more fold,
fit a reward that no method knows; those that train fit another one, which methods may use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from support import folds

from palate.core.schema import Message, Preference
from palate.generate.generation import Completion, Sampling, complete, seed_of
from palate.generate.models import Loaded
from palate.reward import features, probe
from palate.reward.divergence import answer_ids, log_probs
from palate.reward.rows import Answers

ANSWERS = 4  # of each method to a prompt
SAMPLING = Sampling(1.0, 1.0, 48)  # the model's own distribution, of which the KL is
WRITTEN_AT_ONCE = {"cuda": 256, "cpu": 32}


@dataclass(frozen=True)
class Split:
    """The rows of a fold: what methods learn from, what they are tested on, what measures."""

    train: list[Preference]
    test: list[Preference]
    measuring: list[Preference]  # the test rows and those of another fold


@dataclass(frozen=True)
class World:
    """What all methods have in common on a fold."""

    model: Path
    split: Split
    base: Loaded
    own: probe.Probe  # of the train labels
    held: probe.Probe  # of labels that no method sees
    own_leads: np.ndarray  # of the test rows' preferred answers
    held_accuracy: float  # of such a probe on prompts it has not seen, among its labels

    @property
    def prompts(self) -> dict[str, list[Message]]:
        return {r.prompt_id: r.prompt for r in self.split.test}


def split(rows: Sequence[Preference], number: int, pairs: int | None) -> Split:
    """Return the rows of a fold; with `pairs`, methods learn from the first of them alone."""
    parts = [f.rows.test[f.choosing :] for f in folds.folds(rows)]
    turned = [parts[(number + k) % folds.FOLDS] for k in range(folds.FOLDS)]
    train = [row for part in turned[1:4] for row in part]
    return Split(train[:pairs], turned[0], [*turned[0], *turned[4]])


@lru_cache(maxsize=1)
def world(model: Path, data: Path, number: int, pairs: int | None) -> World:
    import torch

    parts = split(folds.preferences(data), number, pairs)
    base = folds.load(model, torch.float32)
    rows = [*parts.train, *parts.measuring]
    answers = Answers.of(rows)
    found = vectors(base, answers.chats, answers.prompts)
    places = answers.pairs(rows, "off")
    is_train = np.arange(len(rows)) < len(parts.train)
    known, measuring = places.part(is_train), places.part(~is_train)
    own, held = (fitted(found, part) for part in (known, measuring))
    scores = own.scores(found)
    leads = scores[measuring.first] - scores[measuring.second]
    right = probe.held_out_scores(found, measuring, 1) > 0
    return World(model, parts, base, own, held, leads[: len(parts.test)], float(right.mean()))


def vectors(base: Loaded, chats: Sequence[list[Message]], prompts: Sequence[str]) -> Any:
    """Return the base model's features of answers, on the layer that a reward reads."""
    layer = features.middle(base.model.config)
    return features.extract(base, features.chats(base.tokenizer, chats), prompts, [layer])


def fitted(found: probe.Features, pairs: probe.Pairs) -> probe.Probe:
    return probe.fitted(found, pairs, probe.choose(found, pairs, 1))


def scores(
    base: Loaded, reward: probe.Probe, prompts: Sequence[list[Message]], texts: Sequence[str]
) -> np.ndarray:
    """Return the reward of each answer."""
    chats = [
        [*prompt, Message(role="assistant", content=text)]
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    return reward.scores(vectors(base, chats, [str(prompt) for prompt in prompts]))


def write(loaded: Loaded, tasks: Sequence[tuple[str, int]], prompts: dict) -> list[Completion]:
    """Return an answer for each prompt id and number, whose seeds are the same for every model."""
    size = WRITTEN_AT_ONCE[loaded.model.device.type]
    found: list[Completion] = []
    for start in range(0, len(tasks), size):
        part = tasks[start:][:size]
        seeds = [seed_of(0, p, i) for p, i in part]
        found += complete(loaded, [prompts[p] for p, _ in part], seeds, SAMPLING)
    return found


def log_likelihoods(loaded: Loaded, rows: Sequence[Preference]) -> np.ndarray:
    """Return the log-probabilities of chosen and rejected answers, shape (rows, 2)."""
    keys = {(r.prompt_id, s[0]["content"]): r.prompt for r in rows for s in (r.chosen, r.rejected)}
    answers = [answer_ids(loaded, p, text, ended=True) for (_, text), p in keys.items()]
    found: dict[tuple[str, str], float] = {}
    for key, ids, logps in zip(
        keys, answers, log_probs(loaded, list(keys.values()), answers), strict=True
    ):
        found[key] = float(logps[range(len(ids)), ids].sum())
    return np.array(
        [[found[r.prompt_id, s[0]["content"]] for s in (r.chosen, r.rejected)] for r in rows]
    )

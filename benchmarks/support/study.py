"""A simulated person who labels and votes: prompts, candidates, a taste, and a scale of choices."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from support import folds, measured, trainings

from palate.core.schema import Candidate, Event, Message, Pair, Preference, Prompt
from palate.generate.generation import Sampling, complete, generate, groups_of, seed_of
from palate.generate.models import Loaded
from palate.label.assignment import Queue
from palate.label.preferences import rebuild
from palate.label.strategies import Strategy
from palate.reward import features, probe
from palate.reward.rows import Answers

EVAL = 50  # prompts that are voted on
CANDIDATES = 5  # to each of the other prompts
SELF_AGREEMENT = 0.85
LABELLED, VOTED = Sampling(0.9, 1.0, 48), Sampling(0.7, 0.95, 48)
PERSON = "p-1"


@dataclass(frozen=True)
class Taste:
    """What the person likes: a score of any answer."""

    base: Loaded
    layer: int
    reward: probe.Probe

    def scores(self, prompts: Sequence[list[Message]], texts: Sequence[str]) -> np.ndarray:
        chats = [
            [*p, Message(role="assistant", content=t)] for p, t in zip(prompts, texts, strict=True)
        ]
        tokens = features.chats(self.base.tokenizer, chats)
        groups = [str(p) for p in prompts]
        return self.reward.scores(features.extract(self.base, tokens, groups, [self.layer]))


@lru_cache(maxsize=1)
def taste_of(model: Path, data: Path) -> Taste:
    base, rows = trainings.start(model), folds.preferences(data)
    answers, layer = Answers.of(rows), last_layer(base.model.config)
    tokens = features.chats(base.tokenizer, answers.chats)
    found = features.extract(base, tokens, answers.prompts, [layer])
    return Taste(base, layer, measured.fitted(found, answers.pairs(rows, "off")))


def last_layer(config: Any) -> int:
    """Return the last layer that a reward could read."""
    return max(1, config.num_hidden_layers - 1)


@dataclass
class Study:
    """A seed's prompts, candidates and person, and what the person said."""

    taste: Taste
    seed: int
    train: list[Prompt]
    evals: list[Prompt]
    candidates: list[Candidate]
    scores: dict[str, float]  # of candidates
    scale: float
    random: random.Random
    events: list[Event] = field(default_factory=list)
    known: dict[Any, Any] = field(default_factory=dict)  # what all ways of a seed compute alike

    @property
    def pairs(self) -> list[Pair]:
        by_prompt: dict[str, list[str]] = {}
        for c in self.candidates:
            by_prompt.setdefault(c.prompt_id, []).append(c.id)
        return [
            Pair.between(p, a, b) for p, own in by_prompt.items() for a, b in combinations(own, 2)
        ]

    def prefers(self, first: float, second: float) -> bool:
        return self.random.random() < float(expit((first - second) / self.scale))

    def label(self, strategy: Strategy, wanted: int) -> None:
        """Let the person answer what the queue asks, until they have given so many labels."""
        queue = Queue(self.pairs, strategy, seed=self.seed)
        queue.add(self.events)
        while len(self.events) < wanted:
            asked = queue.next(PERSON, 1, (), float(len(self.events)))
            if not asked:
                return
            pair = asked[0].pair
            better = self.prefers(self.scores[pair.a], self.scores[pair.b])
            self.events.append(event(pair, pair.a if better else pair.b, len(self.events)))
            queue.add(self.events[-1:])

    def rows(self) -> list[Preference]:
        """Return the preferences of the labels, and those that they imply."""
        return rebuild(self.train, self.candidates, self.events).rows["train"]

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return what was computed for the key, in this seed's first way that needs it."""
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]

    def of_base(self, n: int) -> list[str]:
        """Return n answers of the base model to each eval prompt."""
        return self.once(n, lambda: complete_all(self.taste.base, self, n))

    def vectors(self) -> tuple[Answers, dict[int, np.ndarray]]:
        """Return the features that palate's rewards read, of all candidates."""
        return self.once("vectors", self._vectors)

    def _vectors(self) -> tuple[Answers, dict[int, np.ndarray]]:
        every = rebuild(self.train, self.candidates, [
            event(pair, pair.a, number) for number, pair in enumerate(self.pairs)
        ]).rows["train"]  # fmt: skip
        answers = Answers.of(every)
        return answers, measured.vectors(self.taste.base, answers.chats, answers.prompts)

    def reward(self) -> probe.Probe:
        answers, found = self.vectors()
        return measured.fitted(found, answers.pairs(self.rows(), "off"))


def event(pair: Pair, chosen: str, number: int) -> Event:
    at = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return Event(
        event_id=f"e{number}", kind="label", pair_id=pair.id, prompt_id=pair.prompt_id, left=pair.a,
        right=pair.b, chosen=chosen, strength=None, annotator=PERSON, milliseconds=None, time=at,
        round=1, via="ballot",
    )  # fmt: skip


def study(model: Path, data: Path, seed: int) -> Study:
    """Return the seed's study, of a person who has said nothing; its answers are written once."""
    made = _written(model, data, seed)
    return replace(made, events=[], random=random.Random(seed))


@lru_cache(maxsize=1)
def _written(model: Path, data: Path, seed: int) -> Study:
    taste = taste_of(model, data)
    messages = {r.prompt_id: r.prompt for r in folds.preferences(data)}
    prompts = [Prompt.of(m) for m in messages.values()]
    chance = random.Random(seed)
    chance.shuffle(prompts)
    evals, train = prompts[:EVAL], prompts[EVAL:]
    size = measured.WRITTEN_AT_ONCE[taste.base.model.device.type]
    groups = groups_of(train, CANDIDATES, size)
    parts = generate(taste.base, groups, CANDIDATES, [LABELLED], seed=seed, batch_size=size)
    written = [c for part in parts for own in part.values() for c in own]
    asked = {p.id: p.prompt for p in train}
    scores = taste.scores([asked[c.prompt_id] for c in written], [c.text for c in written])
    by_id = {c.id: float(s) for c, s in zip(written, scores, strict=True)}
    made = Study(taste, seed, train, evals, written, by_id, 1.0, chance)
    made.scale = scale_of([by_id[p.a] - by_id[p.b] for p in made.pairs])
    return made


def scale_of(leads: Sequence[float]) -> float:
    """Return the scale of choices with which a pair is answered alike twice in 85%."""

    def alike(scale: float) -> float:
        p = expit(np.array(leads) / scale)
        return float((p**2 + (1 - p) ** 2).mean()) - SELF_AGREEMENT

    return float(brentq(alike, 1e-4, 1e4))


def complete_all(loaded: Loaded, made: Study, n: int) -> list[str]:
    """Return n answers to each eval prompt, in order, with seeds that are equal for all models."""
    tasks = [(p, i) for p in made.evals for i in range(n)]
    size = measured.WRITTEN_AT_ONCE[loaded.model.device.type]
    texts: list[str] = []
    for start in range(0, len(tasks), size):
        part = tasks[start:][:size]
        seeds = [seed_of(made.seed, p.id, i) for p, i in part]
        found = complete(loaded, [p.prompt for p, _ in part], seeds, VOTED)
        texts += [c.text for c in found]
    return texts

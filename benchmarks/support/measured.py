"""What all methods are measured by on a fold: its prompts and seeds, held-out pairs, two rewards.

Three of five folds by prompt train. The labels of the prompts that measure, and of one more fold,
fit a reward that no method knows; those that train fit another one, which methods may use.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from support import folds

from palate.core.rounds import asked
from palate.core.schema import Message, Preference
from palate.generate.generation import Completion, Sampling, complete, end_tokens, seed_of
from palate.generate.models import Loaded
from palate.reward import features, probe
from palate.reward.rows import Answers

ANSWERS = 4  # of each method to a prompt
SAMPLING = Sampling(1.0, 1.0, 48)  # the model's own distribution, of which the KL is
WRITTEN_AT_ONCE = {"cuda": 256, "cpu": 32}
READ_AT_ONCE = {"cuda": 32, "cpu": 8}


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
    answers = [_answer_ids(loaded, p, text, ended=True) for (_, text), p in keys.items()]
    found: dict[tuple[str, str], float] = {}
    for key, ids, logps in zip(
        keys, answers, _log_probs(loaded, list(keys.values()), answers), strict=True
    ):
        found[key] = float(logps[range(len(ids)), ids].sum())
    return np.array(
        [[found[r.prompt_id, s[0]["content"]] for s in (r.chosen, r.rejected)] for r in rows]
    )


def divergences(
    loaded: Loaded, base: Loaded, prompts: Sequence[list[Message]], written: Sequence[Completion]
) -> list[float]:
    """Return the KL of the model from the base in nats, summed over the tokens of each answer.

    Each token's is that of the two whole distributions, given what was written before.
    """
    answers = [
        _answer_ids(base, p, c.text, ended=c.ended) for p, c in zip(prompts, written, strict=True)
    ]
    both = zip(
        _log_probs(loaded, prompts, answers), _log_probs(base, prompts, answers), strict=True
    )
    return [float((new.exp() * (new - old)).sum()) for new, old in both]


def _answer_ids(loaded: Loaded, prompt: list[Message], text: str, *, ended: bool) -> list[int]:
    """Return the tokens of an answer, up to and with its end, if the model ended it."""
    chat = [*prompt, Message(role="assistant", content=text)]
    tokens = loaded.tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
    answer = tokens[len(_prompt_ids(loaded, prompt)) :]
    ends = end_tokens(loaded)
    end = next((i for i, token in enumerate(answer) if token in ends), len(answer))
    return answer[: end + 1] if ended else answer[:end]


def _prompt_ids(loaded: Loaded, prompt: list[Message]) -> list[int]:
    return loaded.tokenizer.apply_chat_template(
        prompt, add_generation_prompt=True, return_dict=True
    )["input_ids"]


def _log_probs(
    loaded: Loaded, prompts: Sequence[list[Message]], answers: Sequence[list[int]]
) -> Iterator[Any]:
    """Yield the log-probabilities of all tokens at each place of an answer, (length, vocabulary).

    The model is asked as it is to be asked, with the words that it wants after a prompt.
    """
    import torch

    model, size = loaded.model.eval(), READ_AT_ONCE[loaded.model.device.type]
    before = [_prompt_ids(loaded, asked(p, loaded.condition)) for p in prompts]
    rows = [(a, b) for a, b in zip(before, answers, strict=True)]
    for start in range(0, len(rows), size):
        part = rows[start:][:size]
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(a + b) for a, b in part], batch_first=True
        )
        seen = torch.tensor([[1] * len(a + b) + [0] * (ids.shape[1] - len(a + b)) for a, b in part])
        with torch.no_grad():  # not around the yield: it would hold for the caller, too
            logits = model(ids.to(model.device), attention_mask=seen.to(model.device)).logits
        for row, (a, b) in zip(logits, part, strict=True):
            yield row[len(a) - 1 : len(a) - 1 + len(b)].float().log_softmax(-1)

"""Best of n on the try page: a model writes n answers at once, and the project's reward keeps one.

Like `ballot.gpu`, this module is imported before torch.
"""

import re
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from starlette.concurrency import iterate_in_threadpool

from palate.core import hub
from palate.core.project import Project
from palate.core.schema import BEST_OF, Message, Model
from palate.web.ballot import gpu

if TYPE_CHECKING:
    from starlette.requests import Request

N = 16  # answers, where the project has none that `palate best` chose
MOST = 64  # answers that are written while a visitor waits
SIZE = re.compile(rf"{BEST_OF}(\d{{1,4}})\.")


@dataclass(frozen=True)
class Contestant:
    """Who answers on the try page: a model, or the best of `n` of its answers by a reward."""

    model: Model  # as votes name it
    writing: gpu.Writing
    n: int = 1
    reward: Model | None = None

    @classmethod
    def of(cls, model: Model) -> "Contestant":
        return cls(model, gpu.Writing(model.repo, model.revision))


def best_of(project: Project, base: Model) -> Contestant | None:
    """Return the best of n by the project's reward, named as `palate best` does; None without.

    A project with aspects has a reward of each, which the page does not add up: it gets None.
    """
    if project.aspect or not hub.exists(project.reward_repo, "model"):
        return None
    sha, files = hub.describe(project.reward_repo, "model")
    if gpu.RUN not in files:
        return None
    chosen = [c.revision or "" for c in project.candidates if c.model == project.reward_repo]
    sizes = [int(size[1]) for revision in chosen if (size := SIZE.match(revision))]
    n = sizes[-1] if sizes and 1 < sizes[-1] <= MOST else N
    revision = f"{BEST_OF}{n}.{base.revision[:12]}.{sha[:12]}"
    reward = Model(project.reward_repo, sha)
    writing = gpu.Writing(base.repo, base.revision)
    return Contestant(Model(reward.repo, revision), writing, n, reward)


def streamed(
    request: "Request", sides: Sequence[Contestant], prompt: Sequence[Message], seed: int
) -> Iterator[tuple[int, str | int]]:
    """Yield pieces of the answers as they come, on the visitor's own quota.

    A number says how many answers of a best of n are written to their end; its text comes whole.
    """
    writings = [side.writing for side in sides]
    if all(side.reward is None for side in sides):
        yield from gpu.streamed(request, writings, prompt, seed)
        return
    with gpu.lent(request, writings):
        for side in sides:
            if side.reward:
                with gpu.LOADING:  # downloaded before the GPU is lent
                    _reward(side.reward)
        yield from _write(sides, prompt, seed)


@gpu.on_gpu
def _write(
    sides: Sequence[Contestant], prompt: Sequence[Message], seed: int
) -> Iterator[tuple[int, str | int]]:
    voices = [Choir(s, prompt, seed) if s.reward else gpu.Voice(s.writing, prompt, seed)
              for s in sides]  # fmt: skip
    while any(not voice.ended for voice in voices):
        for number, voice in enumerate(voices):
            if voice.ended:
                continue
            if not isinstance(voice, Choir):
                if text := voice.next():
                    yield number, text
                continue
            before = voice.written
            voice.step()
            if voice.written > before:
                yield number, voice.written
            if voice.ended:
                yield number, voice.best(prompt)


class Choir(gpu.Voice):
    """One model that writes n answers to a prompt, a token of each at a time."""

    def __init__(self, side: Contestant, prompt: Sequence[Message], seed: int):
        super().__init__(side.writing, prompt, seed)
        self.input = self.input.repeat(side.n, 1)
        self._side = side
        self._answers = [list[int]() for _ in range(side.n)]
        self._done = [False] * side.n

    @property
    def written(self) -> int:
        """How many answers are written to their end."""
        return sum(self._done)

    def step(self) -> None:
        for i, token in enumerate(self.draw()):
            if not self._done[i]:
                if token not in self.ends:
                    self._answers[i].append(token)
                self._done[i] = token in self.ends or len(self._answers[i]) >= self.most
        self.ended = all(self._done)

    def best(self, prompt: Sequence[Message]) -> str:
        """Return the answer that the reward gives the highest score."""
        texts = [self.text(tokens).strip() for tokens in self._answers]
        assert self._side.reward
        scores = scored(self._side.reward, prompt, texts)
        return texts[max(range(len(texts)), key=scores.__getitem__)]


def scored(reward: Model, prompt: Sequence[Message], texts: Sequence[str]) -> list[float]:
    """Return the reward of each answer."""
    import torch

    tokenizer, model = _reward(reward)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    chats = [[*prompt, Message(role="assistant", content=text)] for text in texts]
    inputs = tokenizer.apply_chat_template(
        chats, padding=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    with torch.inference_mode():
        logits = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).logits
    return logits[:, 0].float().tolist()


@lru_cache(1)
def _reward(reward: Model) -> tuple[Any, Any]:
    """Return tokenizer and classifier, from safetensors alone. No code of the repo is run."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    repo, revision = reward.repo, reward.revision
    tokenizer = AutoTokenizer.from_pretrained(
        repo, revision=revision, padding_side="right", trust_remote_code=False
    )
    model = AutoModelForSequenceClassification.from_pretrained(
        repo, revision=revision, use_safetensors=True, trust_remote_code=False
    )
    return tokenizer, model.eval()


async def closed(lines: Generator[str]) -> AsyncGenerator[str]:
    """Yield the lines; where the visitor leaves, end what makes them at once."""
    try:
        async for line in iterate_in_threadpool(lines):
            yield line
    finally:
        lines.close()

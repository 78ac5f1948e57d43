"""Completions: each is drawn from a random stream with its own seed.

A completion is therefore the same in any batch, an interrupted run continues as if it had not
stopped, and two models can be sampled with the same random numbers.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from palate.core.errors import UsageError
from palate.core.rounds import asked
from palate.core.schema import Candidate, Message, Prompt, digest
from palate.generate import window
from palate.generate.chats import encode_batch
from palate.generate.filters import Filters
from palate.generate.models import Loaded
from palate.generate.prefill import shared_prefill
from palate.generate.sampler import sampler

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, StoppingCriteria

Write = Callable[[Loaded, Sequence[list[Message]], Sequence[int], "Sampling"], list["Completion"]]
Rule = Callable[[str, str], str | None]  # prompt, text → why the text is left out
Checks = tuple[Filters, Rule | None]
T = TypeVar("T")
THINKS = re.compile(r"\s*<think(ing)?>", re.IGNORECASE)
# some chat templates open the thought in the prompt, so a reply may only close it
THOUGHT = re.compile(r"\A.*?</think(ing)?>", re.IGNORECASE | re.DOTALL)
FEW = "prompts left with too few"  # counted among the reasons why texts were dropped
MAX_TRIES = 4  # per prompt, to replace completions that were filtered out


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. Raises UsageError for values out of range."""

    temperature: float = 0.9
    top_p: float = 1.0
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and 0 < self.top_p <= 1 and self.max_new_tokens > 0):
            raise UsageError(
                f"Cannot sample with {self}: expected temperature > 0, 0 < top_p <= 1 and"
                " max_new_tokens > 0."
            )

    @classmethod
    def mix(cls, temperatures: Sequence[float], top_p: float, longest: int) -> "list[Sampling]":
        """Return what a prompt's completions take in turn."""
        if not temperatures:
            raise UsageError("--temperature needs a number, such as 0.7.")
        return [cls(t, top_p, longest) for t in temperatures]


@dataclass(frozen=True)
class OneLine(Sampling):
    """The same, up to the end of the first line that is not empty."""


@dataclass(frozen=True)
class Completion:
    """A text, and whether the model ended it (rather than `max_new_tokens`)."""

    text: str
    ended: bool

    @classmethod
    def of(cls, reply: str, *, ended: bool) -> Self:
        """Return what a model says after it has thought; nothing if it was cut off in thought."""
        said = THOUGHT.sub("", reply, count=1)
        if THINKS.match(said):
            return cls("", False)
        return cls(said.strip(), ended)


def complete(
    loaded: Loaded, prompts: Sequence[list[Message]], seeds: Sequence[int], sampling: Sampling
) -> list[Completion]:
    """Return one completion for each prompt and seed, computed as one batch.

    A model with a condition gets its words after each prompt. Where the model's window ends before
    `max_new_tokens`, a completion is cut there. Raises UsageError for a prompt that leaves no room.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    tokenizer, model = loaded.tokenizer, loaded.model
    chats = [asked(prompt, loaded.condition) for prompt in prompts]
    inputs = encode_batch(tokenizer, chats, model.device)
    left = window.rooms(loaded, prompts, inputs["attention_mask"].sum(1).tolist())
    parts = window.batches(left, sampling.max_new_tokens)
    if len(parts) > 1:
        done: dict[int, Completion] = {}
        for part in parts:
            some, theirs = [prompts[i] for i in part], [seeds[i] for i in part]
            done |= dict(zip(part, complete(loaded, some, theirs, sampling), strict=True))
        return [done[i] for i in range(len(prompts))]
    ends = end_tokens(loaded)
    # penalties in the repo's own generation settings would act unrecorded
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id
    )
    model.eval()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    start = ids.shape[1]
    stops = [_line_end(tokenizer, start)] if isinstance(sampling, OneLine) else []
    draw = sampler(sampling.temperature, sampling.top_p, sampling.max_new_tokens, seeds)
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=shared_prefill(model, ids, mask),
            max_new_tokens=min(sampling.max_new_tokens, *left),
            logits_processor=LogitsProcessorList([draw]),
            stopping_criteria=StoppingCriteriaList(stops),
        )
    rows = output[:, start:].tolist()
    return [_completion(tokenizer, row, ends, one_line=bool(stops)) for row in rows]


def end_tokens(loaded: Loaded) -> set[int]:
    """Return the ids that end a completion: the tokenizer's and those the model's repo names."""
    named = loaded.model.generation_config.eos_token_id
    ids = {loaded.tokenizer.eos_token_id}
    return (ids | ({named} if isinstance(named, int) else set(named or ()))) - {None}


def _completion(
    tokenizer: "PreTrainedTokenizerBase", row: list[int], ends: set[int], *, one_line: bool
) -> Completion:
    length = next((i for i, token in enumerate(row) if token in ends), len(row))
    text, end = str(tokenizer.decode(row[:length], skip_special_tokens=True)).lstrip(), ""
    if one_line:
        text, end, _ = text.partition("\n")
    return Completion.of(text, ended=length < len(row) or bool(end))


def _line_end(tokenizer: "PreTrainedTokenizerBase", start: int) -> "StoppingCriteria":
    """Return what ends each row at the first line break after a word."""
    import torch
    from transformers import StoppingCriteria

    class LineEnd(StoppingCriteria):
        def __call__(
            self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object
        ) -> torch.Tensor:
            texts = tokenizer.batch_decode(input_ids[:, start:], skip_special_tokens=True)
            return torch.tensor(["\n" in t.lstrip() for t in texts], device=input_ids.device)

    return LineEnd()


def seed_of(seed: int, prompt_id: str, index: int) -> int:
    """Return the seed of a prompt's completion number `index`; it is the same for every model."""
    return int(digest(seed, prompt_id, index), 16) >> 32


def groups_of(prompts: Sequence[Prompt], n: int, batch_size: int) -> list[list[Prompt]]:
    """Return the prompts in groups; the `n` completions of a group's prompts make one batch.

    The groups depend only on the run's prompts, not on what is already done or which job does it:
    in low precision a text may depend on its batch.
    """
    size = max(1, batch_size // n)
    # similar lengths in a batch need little padding
    order = sorted(prompts, key=lambda p: (len(p.text), p.id))
    return [order[start:][:size] for start in range(0, len(order), size)]


def generate(
    loaded: Loaded,
    groups: Sequence[Sequence[Prompt]],
    n: int,
    samplings: Sequence[Sampling],
    *,
    seed: int = 0,
    batch_size: int = 32,
    round_number: int = 1,
    existing: Mapping[str, Sequence[Candidate]] | None = None,
    dropped: Counter | None = None,
    write: Write | None = None,
    filters: Filters = Filters(),  # noqa: B008 - it is frozen
    rule: Rule | None = None,
) -> Iterator[dict[str, list[Candidate]]]:
    """Yield each group's new candidates by prompt id, until each has `n` different ones.

    Empty, repeated and overlong completions, and those that `filters` and `rule` leave out, are
    counted in `dropped` and replaced, in at most `MAX_TRIES` tries. Candidates in `existing`, by
    prompt id, count towards `n`. A prompt's completions take the `samplings` in turn. `write`
    computes a batch in place of `complete`.
    """
    dropped = Counter() if dropped is None else dropped
    existing = existing or {}
    for prompts in groups:
        group = [_Unfinished(p, existing.get(p.id, ()), n, seed, (filters, rule)) for p in prompts]
        group = [a for a in group if len(a.have) < n]
        for _ in range(MAX_TRIES):
            wanted = [(a, i) for a in group for i in a.take()]
            for sampling, batch in batches_of(wanted, samplings, batch_size):
                seeds = [seed_of(seed, a.prompt.id, i) for a, i in batch]
                messages = [a.prompt.prompt for a, _ in batch]
                texts = (write or complete)(loaded, messages, seeds, sampling)
                for (a, _), s, text in zip(batch, seeds, texts, strict=True):
                    candidate = _candidate(loaded, a.prompt, text, sampling, s, round_number)
                    if problem := a.add(candidate, text):
                        dropped[problem] += 1
        if short := sum(len(a.have) < n for a in group):
            dropped[FEW] += short
        yield {a.prompt.id: a.new for a in group}


def batches_of(
    wanted: Sequence[tuple[T, int]], samplings: Sequence[Sampling], size: int
) -> Iterator[tuple[Sampling, list[tuple[T, int]]]]:
    """Yield what is wanted, pairs with a completion's number, in batches that are sampled alike."""
    for k, sampling in enumerate(samplings):
        alike = [w for w in wanted if w[1] % len(samplings) == k]
        for start in range(0, len(alike), size):
            yield sampling, alike[start:][:size]


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


class _Unfinished:
    """A prompt while its completions are collected."""

    def __init__(
        self, prompt: Prompt, have: Sequence[Candidate], n: int, seed: int, checks: Checks
    ):
        self.prompt, self.have, self.n = prompt, list(have), n
        self._filters, self._rule = checks
        self._likeness = self._filters.likeness(c.text for c in have)
        self.new: list[Candidate] = []
        self._texts = {_normal(c.text) for c in have}
        # seeds that an earlier run used would only give the same texts again
        used = {c.sampling["seed"] for c in have if c.sampling}
        numbers = range(n * (MAX_TRIES + 1))
        self._next = 1 + max(
            (i for i in numbers if seed_of(seed, prompt.id, i) in used), default=-1
        )

    def take(self) -> range:
        """Return the numbers of the completions to write next."""
        first = self._next
        self._next += max(0, self.n - len(self.have))
        return range(first, self._next)

    def add(self, candidate: Candidate, completion: Completion) -> str | None:
        """Keep the candidate, or return why it is dropped."""
        normal = _normal(candidate.text)
        if not normal:
            return "empty"
        if not completion.ended:
            return "overlong"
        if normal in self._texts:
            return "duplicate"
        if problem := self._filters.problem(candidate.text):
            return problem
        if self._rule and (problem := self._rule(self.prompt.text, candidate.text)):
            return problem
        if self._likeness:
            if self._likeness.like(candidate.text):
                return "much like another"
            self._likeness.add(candidate.text)
        self._texts.add(normal)
        self.have.append(candidate)
        self.new.append(candidate)
        return None


def _candidate(
    loaded: Loaded,
    prompt: Prompt,
    completion: Completion,
    sampling: Sampling,
    seed: int,
    round_number: int,
) -> Candidate:
    return Candidate.of(
        prompt.id,
        completion.text,
        model=loaded.repo,
        revision=loaded.revision,
        sampling={**asdict(sampling), "seed": seed},
        round=round_number,
    )

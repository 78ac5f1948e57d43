"""Texts that a Space writes itself, where it has a GPU: its own, or one that ZeroGPU lends.

This module is imported before torch, as the package `spaces` demands. ZeroGPU ends a Space that
reports no GPU function before it serves.
"""

import inspect
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from palate.core import hub
from palate.core.errors import PalateError, is_out_of_memory
from palate.core.rounds import asked, condition_of
from palate.core.schema import Message
from palate.core.typed import read_object

if TYPE_CHECKING:
    from starlette.requests import Request

LENT_SECONDS = 60  # of a GPU for one call; a visitor has some minutes a day
MODELS = 2  # kept in memory: base and tuned
RUN = "run.json"
TOO_LONG = (
    "The prompt is too long for this machine: memory ran out. Use a shorter one, or a machine with"
    " more memory."
)
LOADING = threading.Lock()
_MODELS: dict[tuple[str, str], tuple[Any, Any, str]] = {}
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Writing:
    """A model at a commit, and how a token is drawn."""

    repo: str
    revision: str
    temperature: float = 0.7
    top_p: float = 0.95
    max_new_tokens: int = 256


def is_lent() -> bool:
    """Tell whether ZeroGPU lends this Space a GPU for each call."""
    return os.environ.get("SPACES_ZERO_GPU") == "true"


def on_gpu(function: F) -> F:
    """Let ZeroGPU run the function; elsewhere it is a plain one."""
    if not is_lent():
        return function
    import spaces

    return spaces.GPU(duration=LENT_SECONDS)(function)  # ty: ignore[missing-attribute]


@on_gpu
def write_texts(
    writing: Writing, prompts: Sequence[Sequence[Message]], seed: int
) -> list[tuple[str, bool]]:
    """Return the model's answer to each prompt, and whether the model ended it."""
    import torch
    from transformers import GenerationConfig

    tokenizer, model, condition = loaded(writing.repo, writing.revision)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    inputs = tokenizer.apply_chat_template(
        [asked(list(prompt), condition) for prompt in prompts],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    ).to(device)
    # penalties in the repo's own generation settings would act unrecorded
    settings = GenerationConfig(
        do_sample=True,
        temperature=writing.temperature,
        top_p=writing.top_p,
        top_k=0,
        max_new_tokens=writing.max_new_tokens,
        eos_token_id=model.generation_config.eos_token_id or tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    with torch.inference_mode():
        output = model.to(device).generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            generation_config=settings,
        )
    rows = output[:, inputs["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
    ends = torch.tensor(settings.eos_token_id, device=rows.device)
    ended = torch.isin(rows, ends).any(1).tolist()
    return [(text.strip(), end) for text, end in zip(texts, ended, strict=True)]


def loaded(repo: str, revision: str) -> tuple[Any, Any, str]:
    """Return tokenizer and model, from safetensors alone, and the words that it wants after each.

    No code of the repo is run. transformers cannot load two models at the same time.
    """
    key = (repo, revision)
    if entry := _MODELS.get(key):  # a process of ZeroGPU has them, and must not wait for a lock
        return entry
    with LOADING:
        if entry := _MODELS.get(key):
            return entry
        entry = _load(repo, revision)
        while len(_MODELS) >= MODELS:
            del _MODELS[next(iter(_MODELS))]
        _MODELS[key] = entry
        return entry


def _load(repo: str, revision: str) -> tuple[Any, Any, str]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(
        repo, revision=revision, padding_side="left", trust_remote_code=False
    )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    # of an adapter, transformers loads the base model that it names
    dtype = torch.bfloat16 if is_lent() or torch.cuda.is_available() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        repo, revision=revision, dtype=dtype, use_safetensors=True, trust_remote_code=False
    )
    sha, files = hub.describe(repo, "model", revision)
    condition = ""
    if RUN in files:
        (file,) = hub.fetch(repo, "model", sha, [RUN])
        condition = condition_of(read_object(file, f"{repo}/{RUN}"), f"{repo}/{RUN}")
    return tokenizer, model.eval(), condition


@on_gpu
def stream_texts(
    writings: Sequence[Writing], prompt: Sequence[Message], seed: int
) -> Iterator[tuple[int, str]]:
    """Yield pieces of the models' answers as they come: which model, and the text that follows.

    All models draw with the same random numbers.
    """
    voices = [Voice(writing, prompt, seed) for writing in writings]
    while any(not voice.ended for voice in voices):
        for number, voice in enumerate(voices):
            if not voice.ended and (text := voice.next()):
                yield number, text


class Voice:
    """One model that writes one answer, a token at a time."""

    def __init__(self, writing: Writing, prompt: Sequence[Message], seed: int):
        import torch
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self._tokenizer, model, condition = loaded(writing.repo, writing.revision)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(device)
        self.input = self._tokenizer.apply_chat_template(
            [asked(list(prompt), condition)],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"].to(device)
        self._warpers = (
            TemperatureLogitsWarper(writing.temperature),
            TopPLogitsWarper(writing.top_p),
        )
        # else a model computes scores for every token of the prompt, which take gigabytes
        takes = inspect.signature(model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._random = torch.Generator(device).manual_seed(seed)
        ends = model.generation_config.eos_token_id or self._tokenizer.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])
        self._cache, self._tokens, self._text = None, list[int](), ""
        self.most, self.ended = writing.max_new_tokens, False

    def next(self) -> str:
        """Draw a token; return the text that it brings, which may be none yet."""
        (token,) = self.draw()
        if token not in self.ends:
            self._tokens.append(token)
        self.ended = token in self.ends or len(self._tokens) >= self.most
        text = self.text(self._tokens)
        if text.endswith("\N{REPLACEMENT CHARACTER}") and not self.ended:
            return ""  # a part of a character
        piece, self._text = text[len(self._text) :], text
        return piece

    def text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    def draw(self) -> list[int]:
        """Return the next token of each answer: there are as many as the input has rows."""
        import torch

        with torch.inference_mode():  # belongs to a thread, and the next call may have another
            output = self._model(
                input_ids=self.input, past_key_values=self._cache, use_cache=True, **self._last
            )
            scores = output.logits[:, -1].float()
            for warper in self._warpers:
                scores = warper(self.input, scores)
            chances = torch.softmax(scores, -1)
            self.input = torch.multinomial(chances, 1, generator=self._random)
        self._cache = output.past_key_values
        return self.input[:, 0].tolist()


def missing() -> str | None:
    """Say why this Space cannot write texts; None if it can."""
    packages = all(find_spec(name) for name in ("torch", "transformers"))
    on_hub = os.environ.get("SYSTEM") == "spaces"
    if on_hub and not is_lent() and not (packages and _has_gpu()):
        return "This Space has no GPU. Deploy it with --hardware zero-a10g to have one lent."
    if not packages:
        return "This needs torch and transformers, which are not installed here."
    return None


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def written(
    request: "Request", writing: Writing, prompts: Sequence[Sequence[Message]], seed: int
) -> list[tuple[str, bool]]:
    """Return `write_texts`, on the visitor's own quota; PalateError where there is no GPU now."""
    with lent(request, [writing]):
        return write_texts(writing, prompts, seed)


def streamed(
    request: "Request", writings: Sequence[Writing], prompt: Sequence[Message], seed: int
) -> Iterator[tuple[int, str]]:
    """Yield `stream_texts`, on the visitor's own quota; PalateError where there is no GPU now."""
    with lent(request, writings):
        yield from stream_texts(writings, prompt, seed)


@contextmanager
def lent(request: "Request", writings: Sequence[Writing]) -> Generator[None]:
    """Prepare what writes on a GPU that may be lent, and say why none is."""
    if why := missing():
        raise PalateError(why)
    from gradio import Error
    from gradio.context import LocalContext

    for writing in writings:
        loaded(writing.repo, writing.revision)  # downloaded before the GPU is lent
    LocalContext.request.set(request)  # ty: ignore[invalid-argument-type] - for its quota's token
    try:
        yield
    except Error as error:  # of `spaces`: no GPU, or the quota is spent
        said = f"{getattr(error, 'title', '')}: {error.message}".removeprefix("Error: ")
        raise PalateError(TOO_LONG if "OutOfMemoryError" in said else said) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise PalateError(TOO_LONG) from error


def report_start() -> None:
    """Tell ZeroGPU that the Space has a GPU function.

    `spaces` does so when Gradio launches a page, and palate serves its page itself.
    """
    if is_lent():
        from spaces import zero  # ty: ignore[import-not-found]

        zero.startup()

"""What computes completions: transformers or vLLM here, a running server, or a provider.

Each engine gives a model (`Loaded`; only repo and revision are always known) and a function that
writes a batch as `generation.complete` does. Each completion has its own seed, so its text does not
depend on the rest of the batch. The same seed gives different texts in different engines.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import Protocol
from urllib.parse import urlsplit

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.rounds import asked
from palate.core.schema import Message
from palate.generate import models
from palate.generate.generation import Completion, OneLine, Sampling, Write, complete
from palate.generate.models import Loaded
from palate.generate.openai import ChatClient
from palate.generate.replies import Replies
from palate.terminal.ref import Ref

IN_PROCESS = ("transformers", "vllm")
CONNECTIONS = 16  # to a server at once
SERVED = "served by "  # begins the revision of a model that has none
REPO = re.compile(r"[\w.\-]+/[\w.\-]+(@\S+)?")


class Engine(Protocol):
    """`named` is set at once; `load` may take minutes."""

    kind: str
    named: Loaded
    batches: int  # that it writes at once

    def load(self) -> tuple[Loaded, Write]: ...

    def close(self) -> list[str]:
        """Forget what an interrupted run would need; return what is to be said of the run."""
        ...


def find(engine: str, model: str, gpus: int = 1) -> Engine:
    """Return what writes with the model: `--engine` for owner/name[@revision], or a provider.

    `provider:owner/name` names an Inference Provider and its model. Raises UsageError if there is
    no such engine or model, or vLLM is not installed.
    """
    check(engine, gpus)
    if engine in IN_PROCESS and (provided := provider_of(model)):
        return Remote(ChatClient(provided[1], provider=provided[0]))
    if engine == "transformers":
        return Transformers(model)
    return Vllm(model, gpus) if engine == "vllm" else Remote(ChatClient(model, engine.rstrip("/")))


def provider_of(model: str) -> tuple[str, str] | None:
    """Split `provider:owner/name`; None for a repo. UsageError if there is no such provider."""
    from huggingface_hub.inference._providers import PROVIDERS

    provider, colon, name = model.partition(":")
    if not colon or "/" in provider:
        return None
    known = ["auto", *PROVIDERS]
    if provider not in known:
        raise UsageError(
            f"There is no Inference Provider {provider!r}; expected one of {', '.join(known)}."
            " A model of a server of yours needs its address: --engine http://…/v1"
        )
    return provider, name


def is_remote(model: str, engine: str) -> bool:
    """Tell whether the model runs on somebody else's machine."""
    return engine not in IN_PROCESS or provider_of(model) is not None


def check(engine: str, gpus: int) -> None:
    """Raise UsageError for an unknown engine, or a number of GPUs that it cannot use."""
    if engine not in IN_PROCESS and not _is_address(engine):
        raise UsageError(
            f"There is no engine {engine!r}; expected transformers, vllm, or the URL of an"
            " OpenAI-compatible server, such as http://127.0.0.1:8000/v1."
        )
    if gpus != 1 and engine != "vllm":
        raise UsageError("--tensor-parallel needs --engine vllm.")
    if gpus < 1:
        raise UsageError(f"--tensor-parallel {gpus}: expected 1 or more.")


def _is_address(text: str) -> bool:
    """Tell whether the text is the URL of a server."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        return False


class Local:
    """A model in this process, which writes a batch at a time."""

    batches = 1

    def close(self) -> list[str]:
        return []


class Transformers(Local):
    kind = "transformers"

    def __init__(self, model: str):
        self._source = models.find(model)
        self.named = Loaded(self._source.repo, self._source.revision, None, None)

    def load(self) -> tuple[Loaded, Write]:
        return models.load(self._source), complete


class Vllm(Local):
    """vLLM in this process, with safetensors only and no code from the repo."""

    kind = "vllm"

    def __init__(self, model: str, gpus: int):
        if not find_spec("vllm"):
            raise UsageError(
                "--engine vllm needs the package vllm: pip install vllm. Or give the URL of a"
                " server that runs elsewhere."
            )
        self._source, self._gpus = models.find(model), gpus
        if self._source.base is not None:
            raise UsageError(
                f"{self._source.repo} is an adapter, which --engine vllm does not merge."
                " Use --engine transformers."
            )
        source = self._source
        self.named = Loaded(source.repo, source.revision, None, None, source.condition)

    def load(self) -> tuple[Loaded, Write]:
        from vllm import LLM, SamplingParams  # ty: ignore

        engine = LLM(
            model=str(self._source.folder),  # the downloaded files, at their commit
            tensor_parallel_size=self._gpus,
            load_format="safetensors",
            trust_remote_code=False,
            generation_config="vllm",  # the repo's own penalties would act unrecorded
            seed=0,
        )

        def write(
            loaded: Loaded,
            prompts: Sequence[list[Message]],
            seeds: Sequence[int],
            sampling: Sampling,
        ) -> list[Completion]:
            parameters = [
                SamplingParams(
                    n=1,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_new_tokens,
                    seed=seed,
                )
                for seed in seeds
            ]
            chats = [asked(prompt, loaded.condition) for prompt in prompts]
            replies = engine.chat(chats, parameters, use_tqdm=False)
            outputs = [reply.outputs[0] for reply in replies]
            return [Completion.of(o.text, ended=o.finish_reason == "stop") for o in outputs]

        return self.named, write


class Remote:
    """A server with OpenAI's protocol, such as `vllm serve`, llama.cpp or Ollama, or a provider.

    The protocol does not say which revision was loaded. What is recorded is, for a server whose
    model has the name of a repo on the Hub, that repo's revision; else who served it, and when.
    """

    kind = "server"
    batches = 8

    def __init__(self, client: ChatClient):
        self.named = named(client)
        # at a server, a repo's revision is no part of its name
        self.client = (
            replace(client, model=client.model.partition("@")[0]) if client.url else client
        )
        self._replies = Replies(self.named.repo, client.host)
        self._pool = ThreadPoolExecutor(CONNECTIONS)

    def load(self) -> tuple[Loaded, Write]:
        client = self.client
        if client.url and client.model not in (served := client.models()):
            raise UsageError(
                f"The {client.where} runs {', '.join(served) or 'nothing'}, not {client.model}."
                " Name one that it runs with --model, or serve this one under its name (vLLM:"
                f" --served-model-name {client.model})."
            )
        return self.named, self._write

    def close(self) -> list[str]:
        self._pool.shutdown()
        self._replies.forget()
        return self.client.notes()

    def _write(
        self,
        loaded: Loaded,
        prompts: Sequence[list[Message]],
        seeds: Sequence[int],
        sampling: Sampling,
    ) -> list[Completion]:
        """Return the replies; those of an interrupted run are not asked for again."""

        def ask(prompt: list[Message], seed: int) -> Completion:
            if reply := self._replies.get(prompt, sampling, seed):
                return reply
            call = partial(
                self.client.ask,
                prompt,
                max_tokens=sampling.max_new_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=seed,
            )
            reply = call(stop="\n") if isinstance(sampling, OneLine) else call()
            # some models begin with a line break, or think aloud first
            if isinstance(sampling, OneLine) and not reply.text:
                reply = call()
            self._replies.keep(prompt, sampling, seed, reply)
            return reply

        asked = [self._pool.submit(ask, p, s) for p, s in zip(prompts, seeds, strict=True)]
        try:
            return [future.result() for future in asked]
        finally:
            for future in asked:  # after an error, ask for no more
                future.cancel()


def named(client: ChatClient) -> Loaded:
    """Return the name and the revision that are recorded of a model elsewhere."""
    name = client.model
    if client.url and REPO.fullmatch(name):
        ref = Ref.parse(name)
        if hub.exists(ref.repo, "model"):
            sha = hub.describe(ref.repo, "model", ref.revision)[0]
            return Loaded(ref.repo, sha, None, None)
    if name.startswith("/"):  # llama.cpp names a file, and its folder is nobody's business
        name = name.rpartition("/")[2]
    return Loaded(name, f"{SERVED}{client.host} on {datetime.now(UTC).date()}", None, None)


def served_by(revision: str | None) -> str | None:
    """Return what stays the same from day to day of a revision that says who served a model."""
    return revision.rpartition(" on ")[0] if revision and revision.startswith(SERVED) else revision


def about(repo: str, revision: str) -> str:
    """Return the model and its commit, or who serves it."""
    return f"{repo}, {revision}" if revision.startswith(SERVED) else f"{repo} at {revision[:7]}"

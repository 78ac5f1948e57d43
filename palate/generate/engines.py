"""Who computes completions: transformers in this process, vLLM in it, or a server that runs.

Each is a model (`Loaded`, of which only repo and revision are always known) and a function that
writes a batch as `generation.complete` does. Seeds are of each completion, so that one does not
depend on what else is asked; the same seed gives different texts in different engines.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, Protocol

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.schema import Message
from palate.generate import models
from palate.generate.generation import Completion, Sampling, Write, complete
from palate.generate.models import Loaded

SECONDS = 600  # that a server may take for one completion
HERE = ("transformers", "vllm")


class Engine(Protocol):
    """What writes: `named` is cheap, `load` may take minutes."""

    kind: str
    named: Loaded

    def load(self) -> tuple[Loaded, Write]: ...


def find(engine: str, model: str, gpus: int = 1) -> Engine:
    """Return what `--engine` names, for a model `owner/name[@revision]`.

    Raises UsageError for what is not installed, not there, or no engine.
    """
    check(engine, gpus)
    if engine == "transformers":
        return Transformers(model)
    return Vllm(model, gpus) if engine == "vllm" else Server(model, engine)


def check(engine: str, gpus: int) -> None:
    """Raise UsageError for what no machine could run."""
    if engine not in HERE and not engine.startswith(("http://", "https://")):
        raise UsageError(
            f"There is no engine {engine!r}; expected transformers, vllm, or the address of an"
            " OpenAI-compatible server, such as http://127.0.0.1:8000/v1."
        )
    if gpus != 1 and engine != "vllm":
        raise UsageError("--tensor-parallel spreads a model of --engine vllm, and of no other.")
    if gpus < 1:
        raise UsageError(f"--tensor-parallel {gpus} is none; expected 1 or more.")


class Transformers:
    kind = "transformers"

    def __init__(self, model: str):
        self._source = models.find(model)
        self.named = Loaded(self._source.repo, self._source.revision, None, None)

    def load(self) -> tuple[Loaded, Write]:
        return models.load(self._source), complete


class Vllm:
    """vLLM in this process, with safetensors alone and no code of the repo's."""

    kind = "vllm"

    def __init__(self, model: str, gpus: int):
        if not find_spec("vllm"):
            raise UsageError(
                "--engine vllm needs the package vllm: pip install vllm. Or name the address of a"
                " server that runs elsewhere."
            )
        self._source, self._gpus = models.find(model), gpus
        if self._source.base is not None:
            raise UsageError(
                f"{self._source.repo} is an adapter, which --engine vllm does not merge."
                " Use --engine transformers."
            )
        self.named = Loaded(self._source.repo, self._source.revision, None, None)

    def load(self) -> tuple[Loaded, Write]:
        from vllm import LLM, SamplingParams  # ty: ignore

        engine = LLM(
            model=str(self._source.folder),  # as it was downloaded, at its commit
            tensor_parallel_size=self._gpus,
            load_format="safetensors",
            trust_remote_code=False,
            generation_config="vllm",  # penalties of the repo's would act unrecorded
            seed=0,
        )

        def write(
            loaded: Loaded,
            prompts: Sequence[list[Message]],
            seeds: Sequence[int],
            sampling: Sampling,
        ) -> list[Completion]:
            each = [
                SamplingParams(
                    n=1,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_new_tokens,
                    seed=seed,
                )
                for seed in seeds
            ]
            said = [o.outputs[0] for o in engine.chat(list(prompts), each, use_tqdm=False)]
            return [Completion(o.text.strip(), o.finish_reason == "stop") for o in said]

        return self.named, write


class Server:
    """A server that speaks OpenAI's protocol, such as `vllm serve`; its key is in SERVER_API_KEY.

    The revision that is recorded is the repo's: the protocol does not tell what the server loaded.
    """

    kind = "server"

    def __init__(self, model: str, url: str):
        repo, _, revision = model.partition("@")
        self._url, self._key = url.rstrip("/"), os.environ.get("SERVER_API_KEY") or "none"
        self.named = Loaded(repo, hub.describe(repo, "model", revision or "main")[0], None, None)

    def load(self) -> tuple[Loaded, Write]:
        served = self._served()
        if self.named.repo not in served:
            raise UsageError(
                f"The server at {self._url} runs {', '.join(served) or 'nothing'}, not"
                f" {self.named.repo}. Name its model with --model, or start it with that one."
            )
        return self.named, self._write

    def _served(self) -> list[str]:
        from huggingface_hub.utils import get_session, httpx

        try:
            headers = {"Authorization": f"Bearer {self._key}"}
            answer = get_session().get(f"{self._url}/models", headers=headers, timeout=30)
            answer.raise_for_status()
            return [m["id"] for m in answer.json()["data"]]
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise self._silent(error) from error

    def _write(
        self,
        loaded: Loaded,
        prompts: Sequence[list[Message]],
        seeds: Sequence[int],
        sampling: Sampling,
    ) -> list[Completion]:
        with ThreadPoolExecutor(len(seeds)) as pool:
            return list(pool.map(lambda p, s: self._ask(p, s, sampling), prompts, seeds))

    def _ask(self, prompt: list[Message], seed: int, sampling: Sampling) -> Completion:
        from huggingface_hub import InferenceClient
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError
        from huggingface_hub.utils import httpx

        client = InferenceClient(base_url=self._url, api_key=self._key, timeout=SECONDS)
        try:
            reply = hub.retry(
                lambda: client.chat_completion(
                    list(prompt),
                    model=self.named.repo,
                    max_tokens=sampling.max_new_tokens,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    seed=seed,
                ),
                tries=3,
            )
        except (HfHubHTTPError, InferenceTimeoutError, httpx.HTTPError, OSError) as error:
            raise self._silent(error) from error
        said = reply.choices[0]
        return Completion((said.message.content or "").strip(), said.finish_reason == "stop")

    def _silent(self, error: Any) -> PalateError:
        return PalateError(
            f"The server at {self._url} does not answer: {str(error)[:300]}. What it wrote so far"
            " is kept; run the same command again to continue."
        )

"""What computes completions: transformers or vLLM in this process, or a running server.

Each engine gives a model (`Loaded`; only repo and revision are always known) and a function that
writes a batch as `generation.complete` does. Each completion has its own seed, so its text does not
depend on the rest of the batch. The same seed gives different texts in different engines.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Protocol

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.schema import Message
from palate.generate import models
from palate.generate.config import SERVER_KEY
from palate.generate.generation import Completion, Sampling, Write, complete
from palate.generate.models import Loaded
from palate.generate.openai import ChatClient
from palate.terminal.ref import Ref

IN_PROCESS = ("transformers", "vllm")


class Engine(Protocol):
    """`named` is set at once; `load` may take minutes."""

    kind: str
    named: Loaded

    def load(self) -> tuple[Loaded, Write]: ...


def find(engine: str, model: str, gpus: int = 1) -> Engine:
    """Return the engine that `--engine` names, for a model `owner/name[@revision]`.

    Raises UsageError if there is no such engine or model, or vLLM is not installed.
    """
    check(engine, gpus)
    if engine == "transformers":
        return Transformers(model)
    return Vllm(model, gpus) if engine == "vllm" else Server(model, engine)


def check(engine: str, gpus: int) -> None:
    """Raise UsageError for an unknown engine, or a number of GPUs that it cannot use."""
    if engine not in IN_PROCESS and not engine.startswith(("http://", "https://")):
        raise UsageError(
            f"There is no engine {engine!r}; expected transformers, vllm, or the URL of an"
            " OpenAI-compatible server, such as http://127.0.0.1:8000/v1."
        )
    if gpus != 1 and engine != "vllm":
        raise UsageError("--tensor-parallel needs --engine vllm.")
    if gpus < 1:
        raise UsageError(f"--tensor-parallel {gpus}: expected 1 or more.")


class Transformers:
    kind = "transformers"

    def __init__(self, model: str):
        self._source = models.find(model)
        self.named = Loaded(self._source.repo, self._source.revision, None, None)

    def load(self) -> tuple[Loaded, Write]:
        return models.load(self._source), complete


class Vllm:
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
        self.named = Loaded(self._source.repo, self._source.revision, None, None)

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
            replies = engine.chat(list(prompts), parameters, use_tqdm=False)
            outputs = [reply.outputs[0] for reply in replies]
            return [Completion(o.text.strip(), o.finish_reason == "stop") for o in outputs]

        return self.named, write


class Server:
    """A server with OpenAI's protocol, such as `vllm serve`; its key is in SERVER_API_KEY.

    The revision recorded is the repo's: the protocol does not say which one the server loaded.
    """

    kind = "server"

    def __init__(self, model: str, url: str):
        ref = Ref.parse(model)
        self._client = ChatClient(ref.repo, url.rstrip("/"), SERVER_KEY)
        self.named = Loaded(ref.repo, hub.describe(ref.repo, "model", ref.revision)[0], None, None)

    def load(self) -> tuple[Loaded, Write]:
        served = self._client.models()
        if self.named.repo not in served:
            raise UsageError(
                f"The {self._client.where} runs {', '.join(served) or 'nothing'}, not"
                f" {self.named.repo}. Serve the model under the name of its repo (vLLM:"
                f" --served-model-name {self.named.repo}), or choose another repo with --model."
            )
        return self.named, self._write

    def _write(
        self,
        loaded: Loaded,
        prompts: Sequence[list[Message]],
        seeds: Sequence[int],
        sampling: Sampling,
    ) -> list[Completion]:
        def ask(prompt: list[Message], seed: int) -> Completion:
            return self._client.ask(
                prompt,
                max_tokens=sampling.max_new_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=seed,
            )

        with ThreadPoolExecutor(len(seeds)) as pool:
            return list(pool.map(ask, prompts, seeds))

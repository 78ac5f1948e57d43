"""The client for servers with OpenAI's chat protocol and for Hugging Face's Inference Providers."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from palate.core import hub
from palate.core.errors import PalateError
from palate.core.schema import Message
from palate.generate.generation import Completion

if TYPE_CHECKING:
    from huggingface_hub import InferenceClient

TIMEOUT_SECONDS = 600  # for one completion
MAX_TRIES = 3
ERROR_CHARACTERS = 300  # of a server's own message


@dataclass(frozen=True)
class ChatClient:
    """Asks one model, at `url` or at an Inference Provider.

    A server's key is in the environment variable `key_variable`; a provider takes the Hub's token.
    """

    model: str
    url: str | None = None
    key_variable: str | None = None
    provider: str | None = None
    _refused: set[str] = field(default_factory=set, compare=False)  # parameters it does not take

    @property
    def where(self) -> str:
        return f"server at {self.url}" if self.url else f"provider {self.provider}"

    def models(self) -> list[str]:
        """Return the names of the models that the server runs."""
        from huggingface_hub.utils import get_session, httpx

        try:
            headers = {"Authorization": f"Bearer {self._key()}"}
            reply = get_session().get(f"{self.url}/models", headers=headers, timeout=30)
            reply.raise_for_status()
            return [m["id"] for m in reply.json()["data"]]
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise self._failure(error) from error

    def ask(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float | None = None,
        seed: int = 0,
    ) -> Completion:
        """Return the model's reply; raise PalateError if there is none after `MAX_TRIES` tries.

        Servers of reasoning models want `max_completion_tokens` and take no temperature; what a
        server refuses once is not sent again.
        """
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError
        from huggingface_hub.utils import httpx

        client, sent = self._client(), [dict(message) for message in messages]
        given = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
        while True:
            named: dict[str, Any] = {k: v for k, v in given.items() if k not in self._refused}
            if "max_tokens" in self._refused:
                named["extra_body"] = {"max_completion_tokens": max_tokens}
            call = partial(client.chat_completion, sent, model=self.model, **named)
            try:
                reply: Any = hub.retry(call, tries=MAX_TRIES)
                break
            except (HfHubHTTPError, InferenceTimeoutError, httpx.HTTPError, OSError) as error:
                refused = _refused_parameter(error, named)
                if refused is None:
                    raise self._failure(error) from error
                self._refused.add(refused)
        choice = reply.choices[0]
        return Completion((choice.message.content or "").strip(), choice.finish_reason == "stop")

    def _client(self) -> "InferenceClient":
        from huggingface_hub import InferenceClient

        if self.url:
            return InferenceClient(base_url=self.url, api_key=self._key(), timeout=TIMEOUT_SECONDS)
        return InferenceClient(provider=self.provider, timeout=TIMEOUT_SECONDS)  # ty: ignore

    def _key(self) -> str:
        # a server without keys ignores it, and without one InferenceClient sends the Hub's token
        return os.environ.get(self.key_variable or "") or "none"

    def _failure(self, error: Exception) -> PalateError:
        response = getattr(error, "response", None)
        if self.url and response is not None and response.status_code in (401, 403):
            return PalateError(
                f"The {self.where} refuses the key ({response.status_code})."
                f" Put a valid one in {self.key_variable} and run the same command again."
            )
        return PalateError(
            f"The {self.where} does not answer: {str(error)[:ERROR_CHARACTERS]}. What it wrote so"
            " far is kept; run the same command again to continue."
        )


def _refused_parameter(error: Exception, sent: Iterable[str]) -> str | None:
    """Return the parameter that a server says it does not support, None for another error."""
    response = getattr(error, "response", None)
    if response is None or response.status_code not in (400, 422):
        return None
    text = f"{error} {response.text}".casefold()
    if not re.search(r"unsupported|not supported|unrecognized|does not support", text):
        return None
    return next((name for name in sent if re.search(rf"[\'\"`]{name}[\'\"`]", text)), None)

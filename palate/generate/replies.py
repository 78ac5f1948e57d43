"""Replies of a server, kept on this machine until what came of them is on the Hub.

So an interrupted run asks for nothing twice: some replies are paid for.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict

from palate.core.paths import cache
from palate.core.schema import Message, digest
from palate.generate.generation import Completion, Sampling


class Replies:
    """The replies of one model at one server."""

    def __init__(self, model: str, where: str):
        folder = cache() / "replies"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = folder / f"{digest(model, where)}.jsonl"
        self._lock = threading.Lock()
        self._known: dict[str, Completion] = {}
        if self._file.exists():
            for line in self._file.read_text("utf-8").split("\n"):
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            key, text, ended = json.loads(line)
        except ValueError:  # the last line of a run that was killed while it wrote
            return
        self._known[key] = Completion(text, ended)

    def get(self, messages: Sequence[Message], sampling: Sampling, seed: int) -> Completion | None:
        return self._known.get(_key(messages, sampling, seed))

    def keep(
        self, messages: Sequence[Message], sampling: Sampling, seed: int, reply: Completion
    ) -> None:
        key = _key(messages, sampling, seed)
        line = json.dumps([key, reply.text, reply.ended]) + "\n"
        with self._lock, self._file.open("a", encoding="utf-8") as out:
            out.write(line)
            self._known[key] = reply

    def forget(self) -> None:
        """Delete the replies: what came of them is on the Hub."""
        with self._lock:
            self._file.unlink(missing_ok=True)
            self._known.clear()


def _key(messages: Sequence[Message], sampling: Sampling, seed: int) -> str:
    return digest([dict(m) for m in messages], asdict(sampling), seed)

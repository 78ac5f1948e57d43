"""A server that speaks as much of OpenAI's protocol as palate asks for."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class OpenAIServer(ThreadingHTTPServer):
    """Override `answer`. `asked` keeps the requests; from number `fails_from` on it answers 500."""

    fails_from: float = float("inf")
    refused: tuple[str, ...] = ()  # parameters that get a 400
    answers_as: str | None = None  # the model's name in its replies; the name asked for without
    changes: dict[str, Any] | None = None  # fields of a reply that are not what they should be
    sends: tuple[int, dict[str, str], bytes] | None = None  # whatever it is asked
    request_queue_size = 128  # connections that wait at once

    def __init__(self, *models: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models, self.asked = models, []
        self.keys: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def answer(self, body: dict[str, Any]) -> tuple[str, str]:
        """Return the text and the finish reason."""
        raise NotImplementedError

    def trouble(self, body: dict[str, Any]) -> tuple[int, dict[str, str]] | None:
        """Return the status and headers of a refusal; None to answer."""
        return None

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: OpenAIServer

    def do_GET(self):
        if self.server.sends:
            self._send_this()
            return
        self._send(200, {"object": "list", "data": [{"id": m} for m in self.server.models]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.sends:
            self._send_this()
            return
        if found := next((name for name in self.server.refused if name in body), None):
            problem = f"Unsupported parameter: '{found}' is not supported with this model."
            self._send(400, {"error": {"message": problem, "type": "invalid_request_error"}})
            return
        if trouble := self.server.trouble(body):
            status, headers = trouble
            self._send(status, {"error": {"message": "Try again", "type": "server"}}, headers)
            return
        self.server.asked.append(body)
        self.server.keys.add(self.headers["authorization"])
        text, reason = self.server.answer(body)
        message = {"role": "assistant", "content": text}
        reply = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": self.server.answers_as or body["model"],
            "choices": [{"index": 0, "finish_reason": reason, "message": message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        reply |= self.server.changes or {}
        self._send(500 if len(self.server.asked) > self.server.fails_from else 200, reply)

    def _send_this(self) -> None:
        status, headers, content = self.server.sends
        self.server.keys.add(self.headers["authorization"])
        self.send_response(status)
        for name, value in ({"content-length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _send(self, status: int, reply: dict, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *args):
        pass

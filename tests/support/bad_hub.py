"""A proxy in front of a Hub that gives bad answers, and what palate does with each kind of them.

    python bad_hub.py ENDPOINT OWNER/NAME

Prints, for each kind, a line of JSON: `kind`, the exit `code` and the output of `palate status`
after one bad answer, and whether an event was published `once` after another.
"""

import contextlib
import gzip
import http.client
import io
import json
import os
import sys
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HTML = b"<!doctype html><title>Sign in to the Wi-Fi</title>"
JSON = {"Content-Type": "application/json"}
# status, headers and body of each kind
ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "a page": (200, {"Content-Type": "text/html"}, HTML),
    "nothing": (200, JSON, b""),
    "no content": (204, {}, b""),
    "null": (200, JSON, b"null"),
    "a list": (200, JSON, b"[]"),
    "a list of lists": (200, JSON, b"[[]]"),
    "an object": (200, JSON, b"{}"),
    "a number": (200, JSON, b"1"),
    "a text": (200, JSON, b'"ok"'),
    "half of the JSON": (200, JSON, b'{"sha": "12'),
    "deep JSON": (200, JSON, b"[" * 100_000),
    "other types": (200, JSON, b'{"sha": 1, "siblings": 2, "commitOid": [], "files": 3}'),
    "not UTF-8": (200, JSON, b'{"sha": "\xff\xfe"}'),
    "not gzip": (200, JSON | {"Content-Encoding": "gzip"}, b"plain"),
    "half of the gzip": (200, JSON | {"Content-Encoding": "gzip"}, gzip.compress(HTML)[:12]),
    "half of the body": (200, JSON | {"Content-Length": "1000"}, b"{"),
    "a redirect to itself": (302, {"Location": ""}, b""),
    "a redirect to a page": (302, {"Location": "/page"}, b""),
    "a teapot": (418, {}, b"short and stout"),
    "the past": (412, JSON, b"[]"),
    "too many, by a date": (429, {"Retry-After": formatdate(usegmt=True)}, b""),
    "too many, by a word": (429, {"Retry-After": "abc"}, b""),
    "an error": (500, {}, HTML),
    "a gateway's page": (502, {"Content-Type": "text/html"}, HTML),
}


class BadHub(ThreadingHTTPServer):
    """Forwards to `endpoint`, except the next `left` requests, which get an answer of `kind`."""

    daemon_threads = True

    def __init__(self, endpoint: str):
        super().__init__(("127.0.0.1", 0), Handler)
        self.real = urlsplit(endpoint).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.kind, self.left = "", 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def spoil(self, kind: str, requests: int) -> None:
        with self.lock:
            self.kind, self.left = kind, requests


class Handler(BaseHTTPRequestHandler):
    server: BadHub

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            bad = self.server.left > 0
            self.server.left -= bad
        if self.path == "/page":
            self.send(200, {"Content-Type": "text/html"}, HTML)
        elif bad:
            status, headers, content = ANSWERS[self.server.kind]
            own = {"Location": self.path} if headers.get("Location") == "" else {}
            self.send(status, headers | own, b"" if self.command == "HEAD" else content)
        else:
            self.send(*self.forward(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = dict(self.headers.items()) | {"Host": self.server.real}
        with contextlib.closing(http.client.HTTPConnection(self.server.real)) as connection:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() != "transfer-encoding"}
            return answer.status, kept, answer.read()

    def send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        lower = {name.lower(): value for name, value in headers.items()}
        for name, value in ({"content-length": str(len(content))} | lower).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def status_of(project: str) -> tuple[object, str]:
    """Return the exit code and the output of `palate status`."""
    from palate.cli import main

    output = io.StringIO()
    sys.argv = ["palate", "status", project]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code: object = main()
        except SystemExit as end:
            code = end.code
    return code, output.getvalue()


def main(endpoint: str, project: str) -> None:
    proxy = BadHub(endpoint)
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{proxy.server_port}"
    from palate.core.ledger import Publisher, now
    from palate.core.project import Project
    from palate.core.schema import Candidate, Event, Pair, Prompt

    published = threading.Event()
    publisher = Publisher(
        project, "labels", interval=0.05, on_publish=lambda events: published.set()
    )
    prompt = Prompt.of("A prompt")
    x, y = Candidate.of(prompt.id, "x"), Candidate.of(prompt.id, "y")
    for number, kind in enumerate(ANSWERS):
        proxy.spoil(kind, 1)
        code, output = status_of(project)
        pair = Pair.of(x, y).id
        event = Event(
            f"e{number}",
            "label",
            pair,
            prompt.id,
            x.id,
            y.id,
            x.id,
            3,
            "p-a",
            800,
            now(),
            1,
            "ballot",
        )
        published.clear()
        proxy.spoil(kind, 1)
        publisher.add([event])
        came = published.wait(60)
        proxy.spoil("", 0)
        rows = [e.event_id for e in Project.load(project).labels]
        once = came and publisher.problem() is None and rows.count(event.event_id) == 1
        print(json.dumps({"kind": kind, "code": code, "output": output, "once": once}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

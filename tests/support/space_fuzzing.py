"""Requests to a Space that no page would send, generated from a seed."""

import json
import random

from fuzzing import HEADERS, HOSTILE, HOSTS, JUNK, RAW, Fuzzer

NAMES = ["Bo", "%C3%A9", "x" * 9000, "%00", "%ff", "a%0d%0ab", "", " "]
ROUTES = [
    ("GET", path.split("/"))
    for path in (
        "", "api/me", "healthz", "ballot/{file}", "owner", "owner.json", "owner/argilla", "verdict",
        "verdict.json", "argilla/{path}", "argilla/api/v1/{path}", "config", "theme.css",
        "assets/{file}", "static/{file}", "gradio_api/{path}", "login/huggingface",
        "login/callback", "logout", "favicon.ico",
    )
] + [
    ("POST", path.split("/"))
    for path in (
        *["api/next", "api/events"] * 4, *["api/figures", "api/stop"] * 2, "gradio_api/upload",
        "argilla/api/v1/{path}", "argilla/{path}",
    )
]  # fmt: skip
QUERY = ("key", "as", "_target_url", "code", "state", "error", "token", "x")
KINDS = ["label", "tie", "both_bad", "rewrite", "skip", "undo", "flag", "gold"]


class SpaceFuzzer(Fuzzer):
    """Mixes what a page sends, made from `items` that it was handed, with nonsense."""

    parameters = QUERY

    def __init__(self, seed: int, port: int, items: list[dict], keys: list[str]):
        self.random, self.port, self.items, self.keys = random.Random(seed), port, items, keys
        self.routes, self.tickets, self.calm, self.sent = ROUTES, {}, True, []

    def _segment(self, part: str) -> str:
        if not self.calm and self.some(0.2 if part.startswith("{") else 0.05):
            return self.random.choice(HOSTILE)
        known = {
            "file": ["ballot.js", "index.html", "vendor", "inter.woff2", "%2e%2e%2fapp.py", "x"],
            "path": ["me", "users", "datasets", "x", "info", "file=/etc/passwd", "..%2f..%2fme"],
        }
        return self.random.choice(known[part.strip("{}")]) if part.startswith("{") else part

    def _query(self, key: str) -> str:
        if key == "key" and self.some(0.5):
            return self.random.choice(self.keys)
        return str(self.random.choice(JUNK))

    def _body(self, route: str) -> bytes:
        if self.some(0.1):
            return self.random.choice(RAW)
        value: object = {"n": 3, "have": [], "waiting": self.sent[-3:], "device": "d"}
        if route == "api/events":
            value = {"events": [self._event() for _ in range(self.random.randrange(4))]}
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            value = self._mutate(value)
        raw = json.dumps(value).encode()
        return raw[: self.random.randrange(len(raw) + 1)] if self.some(0.05) else raw

    def _event(self) -> dict[str, object]:
        self.sent.append(f"event-{self.random.randrange(10**9)}")
        return {
            "event_id": self.random.choice(self.sent), "kind": self.random.choice(KINDS),
            "assignment_id": self.random.choice(self.items)["id"], "milliseconds": 900,
            "choice": self.random.choice(["left", "right"]), "strength": 3, "comment": "c",
            "target": self.random.choice(self.sent), "text": "better",
        }  # fmt: skip

    def _headers(self, body: bytes) -> list[str]:
        lines = [f"Host: 127.0.0.1:{self.port}", "Connection: close"]
        if self.some(0.05):
            lines[0] = f"Host: {self.random.choice(HOSTS)}"
        if self.some(0.9):
            who = "Ada" if self.some(0.8) else self.random.choice(NAMES)
            lines.append(f"X-Annotator: {who}")
        if self.some(0.9):
            lines.append("Content-Type: application/json")
        length: object = len(body)
        if self.some(0.05):
            length = self.random.choice([len(body) + 5, max(0, len(body) - 3), 10**12, -1, "x"])
        if body or self.some(0.2):
            lines.append(f"Content-Length: {length}")
        for name, values in HEADERS.items():
            if self.some(0.08):
                lines.append(f"{name}: {self.random.choice(values)}")
        return lines

"""Requests to the local Hub that no client would send, generated from a seed."""

import hashlib
import json
import random
import re
import socket
from urllib.parse import urlencode

from palate.localhub.accounts import Signer

HOSTILE = [
    *("..", ".", "", "%2e%2e", "%2e%2e%2f%2e%2e%2fcanary", "..%2Fcanary", "%00", "a%00b", "%ff%fe"),
    *("x" * 300, "x" * 9000, "refs%2Fheads%2Fmain", "refs%2Fpr%2F1", "%0d%0aX:%20y", "%C2%B2"),
    *("9" * 30, "9" * 5000, "-1", "a%5Cb", "%20", "%2Fetc%2Fpasswd", "HEAD", "0000000", "%7B%7D"),
    *("a%3Fb", "a%23b", "main.lock", "%D9%A3", "%ED%A0%80", "~", "main%2Fmain", "*", "%25"),
]
JUNK = [
    *(None, True, 0, -1, 10**18, 10**30, 1.5, 1e308, [], {}, [[]], [None], {"a": {"b": []}}),
    *("", " ", "\0", "a\0b", "../../canary", "/etc/passwd", "x" * 5000, "é\u2028", "\ud800"),
    *("refs/heads/main", "refs/pr/1", "main", "main/x", "a..b", ".git/config", "-", "\n", "%2e%2e"),
    *("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n",),
    *("---\na: !!bool x\n---\n", "---\na: !!int ''\n---\n", "---\n? {a: b}\n: c\n---\n", "💥"),
    *("[x](//[) ![x](//u℀@example.org/p.png) <a href='http://[x'>", "0" * 64, "---\n- a\n---\n"),
]
RAW = [
    *(b"", b"{", b"[]", b"null", b'{"a":1e999}', b'{"a":NaN}', b"\xff\xfe\0", b"[" * 9000),
    *(b'{"size":' + b"9" * 5000 + b"}", b"\x1f\x8b\x08\0junk", b"a=b&a=%00"),
    *(b'{"key":"header","value":{"summary":"x"}}\n{', b"--x--"),
]
OID = hashlib.sha256(b"\0weights").hexdigest()


def templates(name: str, tickets: dict[str, str]) -> list[tuple[str, object]]:
    """Return what a client sends, by the end of the route."""
    repo, text = f"me/{name}", {"path": "a.txt", "content": "aGk=", "encoding": "base64"}
    header = {"key": "header", "value": {"summary": "s", "description": "d", "parentCommit": None}}
    changes = [
        {"key": "file", "value": text},
        {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": OID, "size": 8}},
        {"key": "deletedFile", "value": {"path": "b.txt"}},
        {"key": "deletedFolder", "value": {"path": "d/"}},
    ]
    space = {"sdk": "gradio", "secrets": [{"key": "A", "value": "b"}], "hardware": "cpu-basic"}
    return [
        ("repos/create", {"name": name, "type": "space", "private": True, **space}),
        ("repos/create", {"name": name, "type": "dataset", "organization": "my-org"}),
        ("repos/delete", {"name": name, "type": "model", "organization": "me"}),
        ("repos/move", {"fromRepo": repo, "toRepo": f"{repo}-2", "type": "model"}),
        ("validate-yaml", {"content": "---\nlicense: mit\ntags: [a]\n---\n# x"}),
        ("commit/{rev}", [header, *changes[:1]]),
        ("commit/{rev}", [header, *changes[:2]]),
        ("commit/{rev}", [header, *changes]),
        ("commit/{rev}", [header, {"key": "file", "value": text | {"path": "README.md"}}]),
        ("preupload/{rev}", {"files": [{"path": "a.txt", "size": 3, "sample": "aGk="}]}),
        ("paths-info/{rev}", {"paths": ["a.txt", "d"], "expand": True}),
        ("branch/{branch}", {"startingPoint": "main"}),
        ("tag/{rev}", {"tag": "v2", "message": "m"}),
        ("settings", {"private": True, "gated": "auto", "visibility": "private"}),
        ("batch", {"operation": "upload", "transfers": ["basic", "multipart"],
                   "objects": [{"oid": OID, "size": 8}, {"oid": "1" * 64, "size": 10**8}]}),
        ("batch", {"operation": "download", "objects": [{"oid": OID, "size": 8}]}),
        ("jobs/{ns}", {"command": ["true"], "environment": {"A": "b"}, "secrets": {"C": "d"},
                       "timeoutSeconds": 5, "flavor": "cpu-basic", "labels": {"a": "b"}}),
        ("secrets", {"key": "A", "value": "b", "description": "c"}),
        ("variables", {"key": "A", "value": "b"}),
        ("hardware", {"flavor": "cpu-basic", "sleepTimeSeconds": 3}),
        ("sleeptime", {"seconds": 5}),
        ("login", {"token": "x", "next": "/"}),
        ("oauth/authorize", {"signed": tickets["consent"], "answer": "allow"}),
        ("oauth/token", {"grant_type": "authorization_code", "code": tickets["code"]}),
    ]  # fmt: skip


QUERY = (
    *("limit", "cursor", "p", "page", "search", "author", "filter", "full", "expand", "recursive"),
    *("create_pr", "blobs", "tail", "ticket", "next", "include_prs"),
    *("client_id", "redirect_uri", "response_type", "state"),
)


class Fuzzer:
    """Generates requests from a seed; every other one has a URL that a client would send."""

    parameters = QUERY

    def __init__(self, seed: int, hub, routes: list[tuple[str, list[str]]], job: str):
        self.random, self.hub, self.job, self.calm = random.Random(seed), hub, job, True
        frequent = {"commit", "batch", "preupload", "branch"}
        self.routes = [r for r in routes for _ in range(3 if frequent & set(r[1]) else 1)]
        claims = {"oid": OID, "size": 8, "user": "me", "upload": "f" * 24, "repo": 1}
        signer = Signer(hub.root / "key")
        self.tickets = {p: signer.sign(p, 3600, **claims) for p in ("lfs-put", "lfs-get")}
        for purpose in ("consent", "code"):
            sent = {"client_id": "x", "redirect_uri": "/", "code_challenge": "", "state": ""}
            self.tickets[purpose] = signer.sign(purpose, 3600, user="me", request=sent)

    def some(self, chance: float) -> bool:
        return self.random.random() < chance

    def request(self) -> tuple[bytes, bool]:
        """Return the bytes to send, and whether the server can tell where they end."""
        method, pattern = self.random.choice(self.routes)
        self.calm = self.some(0.5)
        path = "/" + "/".join(filter(None, map(self._segment, pattern)))
        if not self.calm and self.some(0.2):
            method = self.random.choice(METHODS)
        query = [(k, self._query(k)) for k in self.parameters if self.some(0.08)]
        if "_lfs" in pattern:
            query.append(("ticket", self.tickets[self.random.choice(["lfs-put", "lfs-get"])]))
        if query:
            path += "?" + urlencode(query, errors="replace")
        sends = method not in ("GET", "HEAD") or self.some(0.1)
        body = self._body("/".join(pattern)) if sends else b""
        headers = self._headers(body)
        whole = f"Content-Length: {len(body)}" in headers or not (body or "Length" in str(headers))
        head = [f"{method} {path} HTTP/1.1", *headers]
        raw = "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + body
        if self.some(0.05):
            return self._bend(raw), False
        return raw, whole and "Transfer-Encoding" not in str(headers)

    def _segment(self, part: str) -> str:
        if not self.calm and self.some(0.2 if part.startswith("{") else 0.05):
            return self.random.choice(HOSTILE)
        if not part.startswith("{"):
            return part
        known = {
            "kind": ["models", "datasets", "spaces"], "ns": ["me", "me", "me", "me", "you"],
            "name": ["fuzz", "fuzz", "fuzz", "open"], "git": ["fuzz.git"],
            "rev": ["main", "main", "v1", "refs%2Fheads%2Fb"], "branch": ["main", "b", "main%2Fx"],
            "path...": ["a.txt", "w.bin", "README.md", "d/c.txt", "rows.jsonl", "d"],
            "tag": ["v1", "v2"], "oid": [OID], "number": ["1", "2"], "which": ["build", "run"],
            "job": [self.job], "file": ["hub.css"],
        }  # fmt: skip
        return self.random.choice(known.get(part.strip("{}"), ["x"]))

    def _query(self, key: str) -> str:
        if self.some(0.5):
            return str(self.random.choice(["1", "true", "main", "me", "0", "2", "50"]))
        return str(self.random.choice(JUNK))

    def _body(self, route: str) -> bytes:
        if self.some(0.1):
            return self.random.choice(RAW)
        if "_lfs" in route:
            return self.random.choice([b"\0weights", b"\0weightz", b"\0", b"", b"x" * 100_000])
        named = [t for end, t in templates("fuzz", self.tickets) if route.endswith(end)]
        value = self.random.choice(named or [{"a": 1}])
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            value = self._mutate(value)
        if route.endswith(("login", "oauth/authorize", "oauth/token")) and isinstance(value, dict):
            return urlencode({k: str(v) for k, v in value.items()}, errors="replace").encode()
        lines = value if route.endswith("commit/{rev}") and isinstance(value, list) else [value]
        raw = b"\n".join(json.dumps(line).encode() for line in lines)
        return raw[: self.random.randrange(len(raw) + 1)] if self.some(0.05) else raw

    def _mutate(self, value: object) -> object:
        if isinstance(value, dict) and value and self.some(0.85):
            key = self.random.choice(sorted(value, key=str))
            if self.some(0.1):
                return {k: v for k, v in value.items() if k != key}
            return value | {key: self._mutate(value[key])}
        if isinstance(value, list) and value and self.some(0.85):
            i = self.random.randrange(len(value))
            return [*value[:i], self._mutate(value[i]), *value[i + 1 :]]
        # a job runs its command: only harmless ones
        return "true" if value in ("true", ["true"]) else self.random.choice(JUNK)

    def _headers(self, body: bytes) -> list[str]:
        tokens = [*self.hub.tokens.values()]
        lines = [f"Host: 127.0.0.1:{self.hub.port}", "Connection: close"]
        if self.some(0.05):
            lines[0] = f"Host: {self.random.choice(HOSTS)}"
        if self.some(0.9):
            who = tokens[0] if self.some(0.8) else self.random.choice([tokens[1], "hf_x", "é", ""])
            lines.append(f"Authorization: Bearer {who}")
        length = len(body)
        if self.some(0.05):
            length = self.random.choice([length + 5, max(0, length - 3), 10**12, -1, "x", 10**40])
        if body or self.some(0.2):
            lines.append(f"Content-Length: {length}")
        for name, values in HEADERS.items():
            if self.some(0.08):
                lines.append(f"{name}: {self.random.choice(values)}")
        return lines

    def _bend(self, raw: bytes) -> bytes:
        """Return the request with bytes changed or cut off."""
        at = self.random.randrange(len(raw))
        if self.some(0.5):
            return raw[:at]
        return raw[:at] + self.random.randbytes(self.random.randrange(1, 9)) + raw[at + 1 :]


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
HOSTS = ["", "[", "[::1", "a b", "evil.example", "localhost", "é", "x:99999999999", "127.0.0.1:0"]
HEADERS = {
    "Range": ["bytes=0-1", "bytes=-", "bytes=9-1", "bytes=-" + "9" * 5000, "x=1", "bytes=1-2,0-0"],
    "Accept": ["text/html", "*/*", "x" * 9000],
    "Content-Type": ["application/json", "application/x-www-form-urlencoded", "x/y; charset=é"],
    "Content-Encoding": ["gzip", "br"],
    "Transfer-Encoding": ["chunked", "x"],
    "If-Range": ["x"],
    "Cookie": ["palate_hub=x.y", "a=b; c", "é=\x80"],
    "Origin": ["http://evil.example", "null"],
    "Expect": ["100-continue", "x"],
    "Upgrade": ["websocket", "h2c"],
    "X-HTTP-Method-Override": ["DELETE"],
}  # fmt: skip


def exchange(port: int, request: bytes, whole: bool) -> int:
    """Send bytes, and hang up if they are not a whole request; return the status, 0 for none."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        answer = b""
        try:
            s.sendall(request)
            if not whole:
                s.shutdown(socket.SHUT_WR)
            while data := s.recv(1 << 16):
                answer += data
        except OSError:  # the server may hang up on what it does not want to read
            pass
    # a provisional answer may come first
    statuses = re.findall(rb"(?:\A|\r\n\r\n)HTTP/1\.1 (\d{3})", answer)
    return int(statuses[-1]) if statuses else 0

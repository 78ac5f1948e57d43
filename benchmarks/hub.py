"""A local Hub that is killed, lied to and filled: what is lost, what breaks, what it costs.

    python benchmarks/hub.py writers [--writers 8] [--kills 5] [--commits 25]
    python benchmarks/hub.py fuzz [--requests 10000] [--seed 1]
    python benchmarks/hub.py large [--megabytes 5120]

All three without a name. Each prints what it counted, as JSON with --json; the end is 1 if
anything was wrong.

  writers  clients commit to shared repos and to one of their own, and try again, while `kill -9`
           stops the Hub between two of them; then every acknowledged commit is looked for
  fuzz     requests that no client would send, over raw sockets, to every route
  large    one file up and down through huggingface_hub, and the server's peak memory
"""

import argparse
import filecmp
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    measures = {"writers": writers, "fuzz": fuzz, "large": large}
    parser.add_argument("what", nargs="?", choices=measures)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--commits", type=int, default=25, help="of each writer")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=5120)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not given.what:  # each in a process of its own: clients read their settings once
        again = [[sys.executable, __file__, name, *sys.argv[1:]] for name in measures]
        sys.exit(max(map(subprocess.call, again)))
    os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with tempfile.TemporaryDirectory(prefix="palate-hub-") as folder:
        os.environ["HF_HOME"] = str(Path(folder) / "hf")
        seen = measures[given.what](Path(folder), given)
    print(json.dumps(seen) if given.json else "\n".join(f"{k:<26}{v}" for k, v in seen.items()))
    sys.exit(any(seen.get(wrong) for wrong in WRONG))


WRONG = ("lost", "fsck", "server_errors", "in_log", "outside", "left_over", "differs")


def fsck(root: Path) -> list[str]:
    """What git finds wrong in the repos of a Hub."""
    said = []
    for folder in (root / "git").iterdir():
        command = ["git", "--git-dir", folder, "fsck", "--full", "--strict", "--no-dangling"]
        done = subprocess.run(command, capture_output=True, text=True)
        said += [f"{folder.name}: {line}" for line in (done.stdout + done.stderr).splitlines()]
    return said


def log_lines(root: Path) -> list[str]:
    """The lines of the server's output that tell of an error that it did not foresee."""
    lines = (root / "hub.log").read_text(errors="replace").splitlines()
    return [line for line in lines if re.search(r"Traceback|ERROR|Error:|Exception", line)]


def left_over(root: Path) -> list[str]:
    """Files that only an upload or a commit under way may have."""
    found = [*(root / "incoming").iterdir(), *root.glob("git/**/*.lock")]
    found += [f for f in root.glob("git/*/objects/**/*") if "tmp" in f.name]
    return [str(f.relative_to(root)) for f in found]


def writers(root: Path, given: argparse.Namespace) -> dict:
    from huggingface_hub import HfApi

    from palate.localhub import LocalHub

    hub = LocalHub(root / "hub").start()
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    repos = ["me/shared-a", "me/shared-b"]
    for repo in [*repos, *(f"me/own-{i}" for i in range(given.writers))]:
        api.create_repo(repo)
    crowd = Crowd(api, repos, given)
    began = time.monotonic()
    for n in range(1, given.kills + 1):
        crowd.wait_for(given.writers * given.commits * n // (given.kills + 1))
        hub.process.kill()
        hub.process.wait()
        hub.stop()
        hub = LocalHub(root / "hub", port=hub.port).start()
    crowd.join()
    seconds = time.monotonic() - began
    history = {
        repo: {commit.commit_id for commit in api.list_repo_commits(repo)}
        for repo in {repo for repo, _, _ in crowd.acknowledged}
    }
    lost = [
        (repo, path)
        for repo, path, oid in crowd.acknowledged
        if oid not in history[repo] or not _is_there(hub, repo, path)
    ]
    peak = _memory(hub.process.pid)
    hub.stop()
    return {
        "acknowledged": len(crowd.acknowledged),
        "tried_again": crowd.tried_again,
        "kills": given.kills,
        "lost": len(lost),
        "fsck": fsck(hub.root),
        "in_log": log_lines(hub.root),
        "left_over": left_over(hub.root),
        "seconds": round(seconds, 1),
        "peak_memory_mb": peak,
    }


class Crowd:
    """Threads that commit, each its share; `acknowledged` is what the Hub said it has."""

    def __init__(self, api, repos: list[str], given: argparse.Namespace):
        self.api, self.repos, self.count = api, repos, given.commits
        self.acknowledged: list[tuple[str, str, str]] = []
        self.tried_again = 0
        self._more = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=[i]) for i in range(given.writers)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int) -> None:
        with self._more:
            if not self._more.wait_for(lambda: len(self.acknowledged) >= count, 300):
                raise TimeoutError(f"{len(self.acknowledged)} of {count} commits after 300 s")

    def join(self) -> None:
        for thread in self._threads:
            thread.join(600)

    def _work(self, writer: int) -> None:
        for n in range(self.count):
            repo = (*self.repos, f"me/own-{writer}")[n % 3]
            path = f"{writer}/{n}"
            oid = self._commit(repo, path)
            with self._more:
                self.acknowledged.append((repo, path, oid))
                self._more.notify_all()

    def _commit(self, repo: str, path: str) -> str:
        from huggingface_hub import CommitOperationAdd
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import httpx

        while True:
            files = [CommitOperationAdd(f"{path}.txt", path.encode())]
            files.append(CommitOperationAdd(f"{path}.bin", f"\0{path}".encode()))
            try:
                return self.api.create_commit(repo, files, commit_message=path).oid
            except (HfHubHTTPError, httpx.HTTPError, RuntimeError, OSError):
                self.tried_again += 1
                time.sleep(0.05)


def _is_there(hub, repo: str, path: str) -> bool:
    """Whether both files of a commit are on main as they were sent."""
    from huggingface_hub.utils import get_session

    headers = {"Authorization": f"Bearer {hub.token}"}
    for end, content in ((".txt", path.encode()), (".bin", f"\0{path}".encode())):
        address = f"{hub.endpoint}/{repo}/resolve/main/{path}{end}"
        if get_session().get(address, headers=headers).content != content:
            return False
    return True


def _memory(pid: int) -> int:
    """The most memory that a process has ever had, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1e3)


def large(root: Path, given: argparse.Namespace) -> dict:
    from huggingface_hub import HfApi, hf_hub_download

    from palate.localhub import LocalHub

    source = root / "large.bin"
    with source.open("wb") as f:  # sparse, with another mark in every megabyte
        for n in range(given.megabytes):
            f.seek(n << 20)
            f.write(b"%20d" % n)
        f.truncate(given.megabytes << 20)
    with LocalHub(root / "hub") as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        api.create_repo("me/large")
        api.upload_file(path_or_fileobj=b"\0", path_in_repo="small.bin", repo_id="me/large")
        before, began = _memory(hub.process.pid), time.monotonic()
        api.upload_file(path_or_fileobj=source, path_in_repo="large.bin", repo_id="me/large")
        up, sent = _memory(hub.process.pid), time.monotonic()
        copy = hf_hub_download(
            "me/large", "large.bin", endpoint=hub.endpoint, token=hub.token, local_dir=root / "copy"
        )
        down, received = _memory(hub.process.pid), time.monotonic()
        return {
            "megabytes": given.megabytes,
            "up_seconds": round(sent - began, 1),
            "down_seconds": round(received - sent, 1),
            "memory_before_mb": before,
            "memory_after_up_mb": up,
            "memory_after_down_mb": down,
            "differs": not filecmp.cmp(source, copy, shallow=False),
            "in_log": log_lines(hub.root),
            "left_over": left_over(hub.root),
        }


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
    *(b'{"size":' + b"9" * 5000 + b"}", b"0000", b"0032want ", b"\x1f\x8b\x08\0junk", b"a=b&a=%00"),
    *(b'{"key":"header","value":{"summary":"x"}}\n{', b"--x--", b"0014command=ls-refs\n"),
]
OID = hashlib.sha256(b"\0weights").hexdigest()


def templates(name: str, tickets: dict[str, str]) -> list[tuple[str, object]]:
    """For a route that ends so, what a client sends."""
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
        ("duplicate", {"repository": f"{repo}-3", "private": True}),
        ("validate-yaml", {"content": "---\nlicense: mit\ntags: [a]\n---\n# x"}),
        ("commit/{rev}", [header, *changes[:1]]),
        ("commit/{rev}", [header, *changes[:2]]),
        ("commit/{rev}", [header, *changes]),
        ("commit/{rev}", [header, {"key": "file", "value": text | {"path": "README.md"}}]),
        ("preupload/{rev}", {"files": [{"path": "a.txt", "size": 3, "sample": "aGk="}]}),
        ("paths-info/{rev}", {"paths": ["a.txt", "d"], "expand": True}),
        ("branch/{branch}", {"startingPoint": "main"}),
        ("tag/{rev}", {"tag": "v2", "message": "m"}),
        ("super-squash/{rev}", {"message": "m"}),
        ("settings", {"private": True, "gated": "auto", "visibility": "private"}),
        ("discussions", {"title": "t", "description": "d", "pullRequest": True}),
        ("{num}/{action}", {"comment": "c", "title": "t", "status": "closed"}),
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


class Fuzzer:
    """Makes requests from a seed; the address of every other one is what a client would send."""

    def __init__(self, seed: int, hub, routes: list[tuple[str, list[str]]], job: str):
        from palate.localhub.accounts import Signer

        self.random, self.hub, self.job, self.calm = random.Random(seed), hub, job, True
        much = {"commit", "batch", "preupload", "super-squash", "branch", "discussions"}
        self.routes = [r for r in routes for _ in range(3 if much & set(r[1]) else 1)]
        claims = {"oid": OID, "size": 8, "user": "me", "upload": "f" * 24, "repo": 1}
        signer = Signer(hub.root / "key")
        self.tickets = {p: signer.sign(p, 3600, **claims) for p in ("lfs-put", "lfs-get")}
        for purpose in ("consent", "code"):
            asked = {"client_id": "x", "redirect_uri": "/", "code_challenge": "", "state": ""}
            self.tickets[purpose] = signer.sign(purpose, 3600, user="me", asked=asked)

    def some(self, chance: float) -> bool:
        return self.random.random() < chance

    def request(self) -> tuple[bytes, bool]:
        """The bytes to send, and whether the server can know where they end."""
        method, pattern = self.random.choice(self.routes)
        self.calm = self.some(0.5)
        path = "/" + "/".join(filter(None, map(self._segment, pattern)))
        if not self.calm and self.some(0.2):
            method = self.random.choice(METHODS)
        query = [(k, self._query(k)) for k in QUERY if self.some(0.08)]
        if "_lfs" in pattern:
            query.append(("ticket", self.tickets[self.random.choice(["lfs-put", "lfs-get"])]))
        if "info" in pattern and "refs" in pattern:
            query.append(("service", "git-upload-pack"))
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
            "rev": ["main", "main", "v1", "refs%2Fpr%2F2"], "branch": ["main", "b", "main%2Fx"],
            "path...": ["a.txt", "w.bin", "README.md", "d/c.txt", "rows.jsonl", "d"],
            "tag": ["v1", "v2"], "num": ["1", "2"], "oid": [OID], "number": ["1", "2"],
            "action": ["comment", "title", "status", "merge"], "which": ["build", "run"],
            "id": [self.job], "file": ["hub.css"],
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

    def _mutate(self, value):
        if isinstance(value, dict) and value and self.some(0.85):
            key = self.random.choice(sorted(value, key=str))
            if self.some(0.1):
                return {k: v for k, v in value.items() if k != key}
            return value | {key: self._mutate(value[key])}
        if isinstance(value, list) and value and self.some(0.85):
            i = self.random.randrange(len(value))
            return [*value[:i], self._mutate(value[i]), *value[i + 1 :]]
        # a job runs what it is told to: only what nobody can be hurt by
        return "true" if value in ("true", ["true"]) else self.random.choice(JUNK)

    def _headers(self, body: bytes) -> list[str]:
        tokens = [*self.hub.tokens.values()]
        found = [f"Host: 127.0.0.1:{self.hub.port}", "Connection: close"]
        if self.some(0.05):
            found[0] = f"Host: {self.random.choice(HOSTS)}"
        if self.some(0.9):
            who = tokens[0] if self.some(0.8) else self.random.choice([tokens[1], "hf_x", "é", ""])
            found.append(f"Authorization: Bearer {who}")
        length = len(body)
        if self.some(0.05):
            length = self.random.choice([length + 5, max(0, length - 3), 10**12, -1, "x", 10**40])
        if body or self.some(0.2):
            found.append(f"Content-Length: {length}")
        for name, values in HEADERS.items():
            if self.some(0.08):
                found.append(f"{name}: {self.random.choice(values)}")
        return found

    def _bend(self, raw: bytes) -> bytes:
        """The request with bytes changed or cut off."""
        at = self.random.randrange(len(raw))
        if self.some(0.5):
            return raw[:at]
        return raw[:at] + self.random.randbytes(self.random.randrange(1, 9)) + raw[at + 1 :]


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
QUERY = (
    *("limit", "cursor", "p", "page", "search", "author", "filter", "full", "expand", "recursive"),
    *("create_pr", "diff", "type", "status", "blobs", "tail", "ticket", "next", "include_prs"),
    *("client_id", "redirect_uri", "response_type", "state", "service"),
)
HOSTS = ["", "[", "[::1", "a b", "evil.example", "localhost", "é", "x:99999999999", "127.0.0.1:0"]
HEADERS = {
    "Range": ["bytes=0-1", "bytes=-", "bytes=9-1", "bytes=-" + "9" * 5000, "x=1", "bytes=1-2,0-0"],
    "Accept": ["text/html", "*/*", "x" * 9000],
    "Content-Type": ["application/json", "application/x-www-form-urlencoded", "x/y; charset=é",
                     "application/x-git-upload-pack-request"],
    "Content-Encoding": ["gzip", "br"],
    "Transfer-Encoding": ["chunked", "x"],
    "Git-Protocol": ["version=2", "version=9:x=é"],
    "If-Range": ["x"],
    "Cookie": ["palate_hub=x.y", "a=b; c", "é=\x80"],
    "Origin": ["http://evil.example", "null"],
    "Expect": ["100-continue", "x"],
    "Upgrade": ["websocket", "h2c"],
    "X-HTTP-Method-Override": ["DELETE"],
}  # fmt: skip


def fuzz(root: Path, given: argparse.Namespace) -> dict:
    from palate.localhub import LocalHub
    from palate.localhub.app import router

    for folder in ("work", "tmp"):
        (root / folder).mkdir()
    for canary in ("canary", "work/canary", "hub.db", "users.json"):
        (root / canary).write_text("untouched")
    os.chdir(root / "work")
    os.environ["TMPDIR"] = str(root / "tmp")
    routes = [(route.method, route.pattern) for route in router.routes]
    began, before = time.monotonic(), _around(root)
    with LocalHub(root / "hub") as hub:
        fuzzer = Fuzzer(given.seed, hub, routes, _start_job(hub))
        counts, errors = Counter(), []
        for n in range(given.requests):
            if n % 100 == 0:
                _furnish(hub)
            request, whole = fuzzer.request()
            status = exchange(hub.port, request, whole)
            counts[f"{status // 100}xx" if status else "no answer"] += 1
            if status >= 500:
                errors.append(f"{status} to {request[:3000]!r}")
        peak = _memory(hub.process.pid)
        _furnish(hub)  # it still serves
    return {
        "requests": given.requests,
        "answers": dict(sorted(counts.items())),
        "server_errors": errors,
        "in_log": log_lines(hub.root),
        "outside": sorted(map(str, before.items() ^ _around(root).items())),
        "fsck": fsck(hub.root),
        "peak_memory_mb": peak,
        "seconds": round(time.monotonic() - began, 1),
    }


def _around(root: Path) -> dict[str, bytes]:
    """Every file that is not the Hub's, with its content."""
    inside = (root / "hub", root / "hf")
    files = [f for f in root.rglob("*") if not any(f.is_relative_to(i) for i in inside)]
    return {str(f): f.read_bytes() if f.is_file() else b"" for f in files}


def _furnish(hub) -> None:
    """See to it that there is something to be found: me's repos and an open one of you."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    for owner, name, private in (("me", "fuzz", True), ("you", "open", False)):
        api = HfApi(endpoint=hub.endpoint, token=hub.tokens[owner])
        for kind in ("model", "dataset", "space"):
            where = {"repo_id": f"{owner}/{name}", "repo_type": kind}
            if api.repo_exists(**where):
                continue
            sdk = {"space_sdk": "gradio"} if kind == "space" else {}
            api.create_repo(**where, private=private, **sdk)
            files = {
                "a.txt": b"hello", "b.txt": b"b", "d/c.txt": b"c", "w.bin": b"\0weights",
                "README.md": b"---\nlicense: mit\n---\n# x", "rows.jsonl": b'{"a": 1}\n',
            }  # fmt: skip
            add = [CommitOperationAdd(path, content) for path, content in files.items()]
            api.create_commit(**where, operations=add, commit_message="furnish")
            api.create_discussion(**where, title="one")
            add = [CommitOperationAdd("pr.txt", b"pr")]
            api.create_commit(**where, operations=add, commit_message="pr", create_pr=True)
            try:
                api.create_tag(**where, tag="v1")
            except HfHubHTTPError as e:
                raise AssertionError(f"{where}: {e}") from e


def _start_job(hub) -> str:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    return api.run_job(image="x", command=["true"]).id


def exchange(port: int, request: bytes, whole: bool) -> int:
    """Send bytes, and hang up if they are no whole request; return the status, 0 if none came."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        answer = b""
        try:
            s.sendall(request)
            if not whole:
                s.shutdown(socket.SHUT_WR)
            while data := s.recv(1 << 16):
                answer += data
        except OSError:  # it may hang up on what it does not want to read
            pass
    # a provisional answer may come first
    found = re.findall(rb"(?:\A|\r\n\r\n)HTTP/1\.1 (\d{3})", answer)
    return int(found[-1]) if found else 0


if __name__ == "__main__":
    main()

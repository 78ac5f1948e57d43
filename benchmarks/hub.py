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
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

from fuzzing import Fuzzer, exchange


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


if __name__ == "__main__":
    main()

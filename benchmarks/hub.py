"""What the local Hub loses, breaks and costs when it is killed, attacked and filled.

    python benchmarks/hub.py writers [--writers 8] [--kills 5] [--commits 25]
    python benchmarks/hub.py fuzz [--requests 10000] [--seed 1]
    python benchmarks/hub.py large [--megabytes 5120]

Without a name all three run. Each prints its counts, with --json as JSON, and exits with 1 if
anything is wrong.

  writers  clients commit to shared repos and to their own, and retry, while `kill -9` stops the
           Hub; afterwards every acknowledged commit is looked up
  fuzz     requests that no client would send, over raw sockets, to every route
  large    one file uploaded and downloaded with huggingface_hub, and the server's peak memory
"""

import argparse
import filecmp
import json
import os
import re
import subprocess
import sys
import tempfile
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
    parser.add_argument("--commits", type=int, default=25, help="per writer")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=5120)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.what:  # one process each: clients read their settings once
        commands = [[sys.executable, __file__, name, *sys.argv[1:]] for name in measures]
        sys.exit(max(map(subprocess.call, commands)))
    os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with tempfile.TemporaryDirectory(prefix="palate-hub-") as folder:
        os.environ["HF_HOME"] = str(Path(folder) / "hf")
        counts = measures[arguments.what](Path(folder), arguments)
    print(
        json.dumps(counts)
        if arguments.json
        else "\n".join(f"{k:<26}{v}" for k, v in counts.items())
    )
    sys.exit(any(counts.get(wrong) for wrong in WRONG))


WRONG = ("lost", "fsck", "server_errors", "in_log", "outside", "left_over", "differs")


def fsck(root: Path) -> list[str]:
    """Return what git finds wrong in the repos of a Hub."""
    problems = []
    for folder in (root / "git").iterdir():
        command = ["git", "--git-dir", folder, "fsck", "--full", "--strict", "--no-dangling"]
        run = subprocess.run(command, capture_output=True, text=True)
        problems += [f"{folder.name}: {line}" for line in (run.stdout + run.stderr).splitlines()]
    return problems


def log_lines(root: Path) -> list[str]:
    """Return the lines of the server's output that report an unexpected error."""
    lines = (root / "hub.log").read_text(errors="replace").splitlines()
    return [line for line in lines if re.search(r"Traceback|ERROR|Error:|Exception", line)]


def left_over(root: Path) -> list[str]:
    """Return files that should exist only during an upload or a commit."""
    files = [*(root / "incoming").iterdir(), *root.glob("git/**/*.lock")]
    files += [f for f in root.glob("git/*/objects/**/*") if "tmp" in f.name]
    return [str(f.relative_to(root)) for f in files]


def writers(root: Path, arguments: argparse.Namespace) -> dict[str, object]:
    from hub_crowd import Crowd
    from huggingface_hub import HfApi

    from palate.localhub import LocalHub

    hub = LocalHub(root / "hub").start()
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    repos = ["me/shared-a", "me/shared-b"]
    for repo in [*repos, *(f"me/own-{i}" for i in range(arguments.writers))]:
        api.create_repo(repo)
    crowd = Crowd(api, repos, arguments.writers, arguments.commits)
    began = time.monotonic()
    for n in range(1, arguments.kills + 1):
        crowd.wait_for(arguments.writers * arguments.commits * n // (arguments.kills + 1))
        hub.process.kill()
        hub.process.wait()
        hub.stop()
        hub = LocalHub(root / "hub", port=hub.port).start()
    crowd.join()
    seconds = time.monotonic() - began
    lost, peak = crowd.lost(hub), _memory(hub.process.pid)
    hub.stop()
    return {
        "acknowledged": len(crowd.acknowledged),
        "tried_again": crowd.tried_again,
        "kills": arguments.kills,
        "lost": len(lost),
        "fsck": fsck(hub.root),
        "in_log": log_lines(hub.root),
        "left_over": left_over(hub.root),
        "seconds": round(seconds, 1),
        "peak_memory_mb": peak,
    }


def _memory(pid: int) -> int:
    """Return the peak memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1e3)


def large(root: Path, arguments: argparse.Namespace) -> dict[str, object]:
    from huggingface_hub import HfApi, hf_hub_download

    from palate.localhub import LocalHub

    source = root / "large.bin"
    with source.open("wb") as f:  # sparse, with a different mark in every megabyte
        for n in range(arguments.megabytes):
            f.seek(n << 20)
            f.write(b"%20d" % n)
        f.truncate(arguments.megabytes << 20)
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
            "megabytes": arguments.megabytes,
            "up_seconds": round(sent - began, 1),
            "down_seconds": round(received - sent, 1),
            "memory_before_mb": before,
            "memory_after_up_mb": up,
            "memory_after_down_mb": down,
            "differs": not filecmp.cmp(source, copy, shallow=False),
            "in_log": log_lines(hub.root),
            "left_over": left_over(hub.root),
        }


def fuzz(root: Path, arguments: argparse.Namespace) -> dict[str, object]:
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
        fuzzer = Fuzzer(arguments.seed, hub, routes, _start_job(hub))
        counts, errors = Counter(), []
        for n in range(arguments.requests):
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
        "requests": arguments.requests,
        "answers": dict(sorted(counts.items())),
        "server_errors": errors,
        "in_log": log_lines(hub.root),
        "outside": sorted(map(str, before.items() ^ _around(root).items())),
        "fsck": fsck(hub.root),
        "peak_memory_mb": peak,
        "seconds": round(time.monotonic() - began, 1),
    }


def _around(root: Path) -> dict[str, bytes]:
    """Return every file outside the Hub's folder, with its content."""
    inside = (root / "hub", root / "hf")
    files = [f for f in root.rglob("*") if not any(f.is_relative_to(i) for i in inside)]
    return {str(f): f.read_bytes() if f.is_file() else b"" for f in files}


def _furnish(hub) -> None:
    """Restore what requests can reach: private repos of `me` and public ones of `you`."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    for owner, name, private in (("me", "fuzz", True), ("you", "open", False)):
        api = HfApi(endpoint=hub.endpoint, token=hub.tokens[owner])
        for kind in ("model", "dataset", "space"):
            where = {"repo_id": f"{owner}/{name}", "repo_type": kind}
            if api.repo_exists(**where):
                continue
            sdk = {"space_sdk": "gradio", "space_hardware": "zero-a10g"} if kind == "space" else {}
            api.create_repo(**where, private=private, **sdk)
            files = {
                "a.txt": b"hello", "b.txt": b"b", "d/c.txt": b"c", "w.bin": b"\0weights",
                "README.md": b"---\nlicense: mit\n---\n# x", "rows.jsonl": b'{"a": 1}\n',
            }  # fmt: skip
            add = [CommitOperationAdd(path, content) for path, content in files.items()]
            api.create_commit(**where, operations=add, commit_message="furnish")
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

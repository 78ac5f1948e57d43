"""How long 500 candidates take from a slow server that fails, and what is paid twice.

    python benchmarks/candidates.py [--seconds 1]

The server takes 1 s for an answer. One request in ten gets a 500, and one in 23 a 429 that asks to
wait for a second; both come at once and cost nothing. `palate candidates` runs as a person would
run it, on 125 prompts (60 more are kept for the blind comparison). Then again on another project,
killed by SIGKILL halfway, after which the same command is typed once more. The ideal is 16
connections that are never idle, and no failures. *Asking* is from the first request to the last
reply, without the start of Python and the commits.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from support.local import use_hub

from palate.localhub import LocalHub

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))
from openai_server import OpenAIServer

PROMPTS, EACH, CONNECTIONS = 185, 4, 16
CALL = "from palate.cli import main; main()"


class SlowServer(OpenAIServer):
    """Answers after `seconds`, another text for each prompt and seed; counts what it sold."""

    def __init__(self, seconds: float):
        super().__init__("slow")
        self.seconds = seconds
        self.sold: Counter[tuple[str, int]] = Counter()
        self.requests = self.failures = 0
        self.first = self.last = 0.0
        self._lock = threading.Lock()

    def trouble(self, body: dict) -> tuple[int, dict[str, str]] | None:
        with self._lock:
            self.first = self.first or time.perf_counter()
            self.requests += 1
            if failing := self.requests % 10 == 0 or self.requests % 23 == 0:
                self.failures += 1
            busy = self.requests % 23 == 0
        if not failing:
            return None
        return (429, {"Retry-After": "1"}) if busy else (500, {})

    def answer(self, body: dict) -> tuple[str, str]:
        asked = body["messages"][-1]["content"], body["seed"]
        with self._lock:
            self.sold[asked] += 1
        time.sleep(self.seconds)
        self.last = time.perf_counter()
        return f"{asked[0]}, told as number {asked[1]}", "stop"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the process that asked was killed


def palate(*words: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CALL, *words], stdout=subprocess.DEVNULL)


def start(project: str, folder: Path) -> None:
    ideas = folder / "ideas.csv"
    with ideas.open("w", newline="") as file:
        csv.writer(file).writerows([["idea"], *([f"A title about {n}"] for n in range(PROMPTS))])
    words = ["init", project, "--prompts", str(ideas), "--column", "idea"]
    assert palate(*words).wait() == 0


def wanted(project: str) -> int:
    from palate.core.project import Project

    return EACH * sum(p.split != "eval" for p in Project.load(project).prompts)


def written(project: str) -> int:
    from palate.core.project import Project

    return len(Project.load(project).candidates)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, LocalHub(Path(folder) / "hub") as hub:
        use_hub(hub, Path(folder), PALATE_CACHE=str(Path(folder) / "cache"))
        print("| run | candidates | failures | ideal | asking | command | paid twice |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for killed in (False, True):
            project = "me/killed" if killed else "me/slow"
            start(project, Path(folder))
            with SlowServer(seconds) as server:
                words = ["candidates", project, "--model", "slow", "--engine", server.url]
                begin = time.perf_counter()
                running = palate(*words, "--per-prompt", str(EACH))
                if killed:
                    while sum(server.sold.values()) < wanted(project) / 2:
                        time.sleep(0.05)
                    running.kill()
                    running.wait()
                    running = palate(*words, "--per-prompt", str(EACH))
                assert running.wait() == 0
                took = time.perf_counter() - begin
            asking = server.last - server.first
            ideal = wanted(project) / CONNECTIONS * seconds
            twice = sum(n - 1 for n in server.sold.values())
            name = "killed halfway, and again" if killed else "one run"
            print(
                f"| {name} | {written(project)} | {server.failures} | {ideal:.1f} s |"
                f" {asking:.1f} s ({asking / ideal:.2f} ×) | {took:.1f} s ({took / ideal:.2f} ×) |"
                f" {twice} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

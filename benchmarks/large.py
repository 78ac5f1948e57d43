"""A project of 50,000 pairs and 200,000 events: start of the Space, its answers, and export.

    python benchmarks/large.py [--pairs 50000] [--events 200000] [--requests 50] [--json]

The Space is served over a local Hub, without an Argilla, so that the processor time is that of
handing out pairs. Filling Argilla goes on in the background after the start.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from support.local import post, use_hub

ANSWERS = 5  # to a prompt, so ten pairs
PEOPLE = 8
FILE_EVENTS = 500  # as a Space commits them
EXPORT = """
import resource, sys
from palate.cli import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
"""


def rows(pairs: int, events: int) -> Iterator[tuple[str, str]]:
    """Yield the files of a project: prompts, candidates and events of eight people."""
    from palate.core import ledger
    from palate.core.schema import Candidate, Event, Pair, Prompt, pairs_of

    chance = random.Random(1)
    prompts = [Prompt.of(f"Write a title about subject {i}") for i in range(pairs // 10)]
    yield "prompts/p.jsonl", ledger.jsonl(prompts)
    candidates = [
        Candidate.of(p.id, f"Title {n} about {p.text[27:]}: " + "words and more words " * 5)
        for p in prompts
        for n in range(ANSWERS)
    ]
    yield "candidates/c.jsonl", ledger.jsonl(candidates)
    questions = pairs_of(candidates)

    def judged(n: int) -> Event:
        pair: Pair = questions[chance.randrange(len(questions))]
        return Event(
            f"event-{n:08}", "label", pair.id, pair.prompt_id, pair.a, pair.b,
            chance.choice((pair.a, pair.b)), 3, f"p-{n % PEOPLE:010}", 2500,
            f"2026-{1 + n // 20000:02}-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.000Z",
            1, "ballot", sequence=n + 1,
        )  # fmt: skip

    for start in range(0, events, FILE_EVENTS):
        numbers = range(start, min(start + FILE_EVENTS, events))
        yield f"labels/{start:08}.jsonl", ledger.jsonl(map(judged, numbers))


def measure(folder: Path, pairs: int, events: int, requests: int) -> dict[str, object]:
    from palate.collect import importing
    from palate.core import hub
    from palate.core.project import Settings
    from palate.web.serving import Space

    importing.start_project("me/large", [], Settings())
    settings = Settings(strategy="exhaustive", annotators_per_pair=9)
    files = {"palate.toml": settings.dump()} | dict(rows(pairs, events))
    hub.commit("me/large", "dataset", files, "Fill it")
    subprocess.run(
        [sys.executable, "-m", "palate", "status", "me/large"],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip  downloads what a Space had before
    env = {"ARGILLA_API_URL": "http://127.0.0.1:9", "ARGILLA_API_KEY": "none"}
    began = time.monotonic()
    with Space("label", "me/large", env=env, log=folder / "label.log") as space:
        post(space.url + "/api/next", {"n": 8, "device": "first"}, "Ada", seconds=600)
        start = time.monotonic() - began
        server = psutil.Process(space.process.pid)

        def processor() -> float:
            return sum(sum(p.cpu_times()[:2]) for p in (server, *server.children(True)))

        names = [f"Person {i}" for i in range(PEOPLE)]
        for name in names:  # the first time, everything that a person can be asked is looked up
            post(space.url + "/api/next", {"n": 8, "device": name}, name, seconds=600)
        before, sent = processor(), 0
        for i in range(requests):
            name = names[i % PEOPLE]
            items = post(space.url + "/api/next", {"n": 8, "device": name}, name)["items"]
            sent += len(items) == 8
        each = 1000 * (processor() - before) / requests
        memory = server.memory_info().rss
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", EXPORT, "export", "me/large"], check=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    export = time.monotonic() - began
    export_cpu, kilobytes = map(float, done.stderr.split()[-2:])
    return {
        "pairs": pairs, "events": events, "start_seconds": round(start, 1),
        "next_cpu_ms": round(each, 1), "full_answers": f"{sent} of {requests}",
        "space_mb": memory // 2**20, "export_seconds": round(export, 1),
        "export_cpu_seconds": round(export_cpu, 1), "export_mb": int(kilobytes) // 1024,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        from palate.localhub import LocalHub

        with LocalHub(Path(folder) / "hub") as hub:
            use_hub(hub, Path(folder), PALATE_SECRET="key")
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
            given = arguments.pairs, arguments.events, arguments.requests
            result = measure(Path(folder), *given)
    rows = (f"{name:<16}{value}" for name, value in result.items())
    print(json.dumps(result) if arguments.json else "\n".join(rows))


if __name__ == "__main__":
    main()

"""The blind comparison with 5,000 votes: opening the verdict, and voting while others vote.

    python benchmarks/verdict_page.py [--votes 5000] [--presses 60] [--json]

A real evaluate Space with a local Hub, 100 eval prompts with twelve pairs each, five voters. The
owner's link is opened in Chromium as soon as the Space answers, after another vote (which makes it
count all votes again), and once more. Keypresses are measured as in keypress.py.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from keypress import OTHERS, crowd, politely, press, visitor
from support.local import chromium, use_hub

if TYPE_CHECKING:
    from palate.core.schema import Candidate, Event

PROMPTS, EACH = 100, 12
BASE, TUNED = ("me/base", "b" * 40), ("me/votes-dpo", "c" * 40)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--votes", type=int, default=5000)
    parser.add_argument("--presses", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        politely(serve(Path(folder), arguments.votes)) as space,
    ):
        figures = {"votes": arguments.votes} | open_page(space)
        for others in (0, OTHERS):
            with crowd(visitor(space.url), others):
                times = press(space.url, arguments.presses, 0)
            figures[f"p95_ms_with_{others}_others"] = round(
                statistics.quantiles(times, n=100)[94], 1
            )
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<22}{value}" for name, value in figures.items()))


@contextmanager
def serve(root: Path, votes: int) -> Iterator:
    """Serve an evaluate Space that has so many votes."""
    from palate.localhub import LocalHub

    with LocalHub(root / "hub") as hub:
        use_hub(hub, root)
        from palate.collect import importing
        from palate.core import hub as calls
        from palate.core import ledger
        from palate.core.project import Project, Settings
        from palate.core.schema import Prompt
        from palate.web.serving import Space

        prompts = [Prompt.of(f"Explain number {i}.") for i in range(2 * PROMPTS)]
        importing.start_project("me/votes", prompts, Settings(eval=0.5))
        draw = Random(0)
        blind = [p.id for p in Project.load("me/votes").prompts if p.split == "eval"]
        pairs = completions(blind, draw)
        files = {
            "candidates/z.jsonl": ledger.jsonl(c for pair in pairs for c in pair),
            "evaluations/z.jsonl": ledger.jsonl(vote(n, pairs, draw) for n in range(votes)),
        }
        calls.commit("me/votes", "dataset", files, "Votes")
        with Space("evaluate", "me/votes", log=root / "log") as space:
            yield space


def completions(prompt_ids: list[str], draw: Random) -> list[tuple["Candidate", "Candidate"]]:
    """Return pairs of a base and a tuned completion, as many for each prompt."""
    from palate.core.schema import Candidate

    def write(prompt_id: str, text: str, model: str, revision: str) -> Candidate:
        text += "words " * draw.randint(20, 80)
        return Candidate.of(prompt_id, text, model=model, revision=revision)

    return [
        (write(prompt_id, f"One {i} ", *BASE), write(prompt_id, f"Two {i} ", *TUNED))
        for i, prompt_id in enumerate(prompt_ids * EACH)
    ]


def vote(n: int, pairs: list[tuple["Candidate", "Candidate"]], draw: Random) -> "Event":
    """Return the n-th vote; 55% prefer the tuned completion."""
    from palate.core.schema import Event, Pair

    base, tuned = pairs[n % len(pairs)]
    left, right = draw.sample((base, tuned), 2)
    chosen = tuned if draw.random() < 0.55 else base
    return Event(
        event_id=f"vote-{n:06}", kind="label", pair_id=Pair.of(base, tuned).id,
        prompt_id=base.prompt_id, left=left.id, right=right.id, chosen=chosen.id,
        strength=draw.randint(1, 4), annotator=f"p-{n // len(pairs)}",
        milliseconds=900, round=1, via="ballot",
        time=f"2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.000Z",
    )  # fmt: skip


def open_page(space: Any) -> dict[str, float]:
    """Return the seconds until the page has loaded."""
    from playwright.sync_api import sync_playwright

    seconds, answer = {}, visitor(space.url)
    with sync_playwright() as p:
        browser = chromium(p)
        for name in ("opened_at_start_s", "opened_after_a_vote_s", "opened_again_s"):
            if name == "opened_after_a_vote_s":
                answer(99, 0)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            start = time.perf_counter()
            page.goto(space.owner_url, wait_until="load")
            seconds[name] = round(time.perf_counter() - start, 2)
            assert "so far, it won" in page.inner_text("body")
        browser.close()
    return seconds


if __name__ == "__main__":
    main()

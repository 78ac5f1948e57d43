"""The page of a Space over given texts, in the order given, without a Hub and without Argilla.

It is served by a process, this file: Gradio leaves event loops behind where it is imported.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# prompt (or its messages), left and right
Pairs = Sequence[tuple[str | list[dict[str, str]], str, str]]


@dataclass
class Served:
    """The page at `url`. While `deaf`, it takes nothing: events stay in the browser."""

    url: str

    def tell(self, **what: object) -> dict:
        """Change what the server does, and return the events that it took, by name."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}/still", json.dumps(what).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    @property
    def sent(self) -> dict[str, list[dict]]:
        return self.tell()


@contextmanager
def served(pairs: Pairs, port: int = 0) -> Iterator[Served]:
    """Serve the pairs as a label Space serves its own."""
    from palate.web.serving import free_port

    port = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.json"
        file.write_text(json.dumps(pairs))
        log = Path(folder) / "log"
        with log.open("w") as out:
            command = [sys.executable, __file__, str(port), str(file)]
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            page = Served(f"http://127.0.0.1:{port}")
            while True:
                assert process.poll() is None, log.read_text()
                with suppress(OSError):
                    page.tell()
                    break
                time.sleep(0.05)
            yield page
        finally:
            process.terminate()
            process.wait()


def main(port: int, pairs: Pairs) -> None:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from palate.web.ballot import people
    from palate.web.ballot.app import create_app
    from palate.web.ballot.event_parsing import Receipt
    from palate.web.ballot.people import Access, Person
    from palate.web.ballot.render import shown_pair

    def asked(prompt: str | list) -> list:
        return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt

    class StillBallot:
        question, guidelines, steps, aspects = "Which answer is better?", "", 3, ()
        access = Access("me")
        budgets = people.Budgets()
        sent: dict[str, list[dict]] = {}  # noqa: RUF012
        deaf = False

        def problem(self) -> None:
            return None

        def browser_key(self) -> str:
            return "still"

        def may_answer(self, person: Person) -> bool:
            return True

        def arrive(self, person: Person, cookies: object) -> bool:
            return False

        def next(self, person: Person, n: int, have: list[str], *_: object) -> dict[str, object]:
            answered = {e["assignment_id"] for e in self.sent.get(person.name, [])}
            items = [
                {"id": f"{person.name}-{i}"} | shown_pair(asked(prompt), left, right)
                for i, (prompt, left, right) in enumerate(pairs)
                if f"{person.name}-{i}" not in answered | set(have)
            ]
            counts = {"done": len(answered), "total": len(pairs), "later": 0, "unknown": []}
            return counts | {"items": items[:n]}

        def submit(self, person: Person, events: list[dict]) -> list[Receipt]:
            if self.deaf:
                raise ValueError("not now")
            self.sent.setdefault(person.name, []).extend(events)
            return [Receipt(e["event_id"], "published") for e in events]

        def figures(self, person: Person) -> dict[str, object]:
            return dict.fromkeys(("judged", "prompts", "implied", "repeats", "same"), 0) | {
                "seconds": None
            }

    ballot = StillBallot()

    async def still(request: Request) -> JSONResponse:
        what = await request.json()
        ballot.deaf = what.get("deaf", ballot.deaf)
        os.environ.update(what.get("env", {}))
        if what.get("later"):  # minutes have passed
            people._organisations.cache_clear()
            people._ended.cache_clear()
        return JSONResponse(ballot.sent)

    app = create_app(ballot, [Route("/still", still, methods=["POST"])], kind="label")
    uvicorn.run(app, port=port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))

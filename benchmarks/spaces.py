"""Requests that no page would send, over raw sockets, to a served Space.

    python benchmarks/spaces.py [label | evaluate] [--requests 10000] [--seed 1] [--json]

Both Spaces run as they do on this machine, over a project in a local Hub. Afterwards the Space must
still hand out pairs and take an answer.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

from forking import SPACE, FastPython
from fuzzing import exchange
from space_fuzzing import SpaceFuzzer

KINDS = ("label", "evaluate")
PROMPTS = 60


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.kind:  # one process each: clients read their settings once
        commands = [[sys.executable, __file__, kind, *sys.argv[1:]] for kind in KINDS]
        sys.exit(max(map(subprocess.call, commands)))
    os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with tempfile.TemporaryDirectory(prefix="palate-spaces-") as folder:
        os.environ |= {"HF_HOME": f"{folder}/hf", "PALATE_DATA": f"{folder}/data"}
        seen = fuzzed(Path(folder), arguments)
    rows = (f"{name:<16}{value}" for name, value in seen.items())
    print(json.dumps(seen) if arguments.json else "\n".join(rows))
    sys.exit(bool(seen["server_errors"] or seen["in_log"] or not seen["serves"]))


def fuzzed(root: Path, arguments: argparse.Namespace) -> dict[str, object]:
    from palate.localhub import LocalHub

    with LocalHub(root / "hub") as hub:
        os.environ |= {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token}
        from palate.web.serving import Space

        project_id = _project()
        folder = Path(os.environ.get("FAST_PYTHON", root / "python"))  # tests have one
        with (
            FastPython(folder, SPACE, dict(os.environ)) as python,
            python.instead(),
            Space(arguments.kind, project_id, show=lambda line: None) as space,
        ):
            while not _is_ready(space.url):
                time.sleep(0.2)
            items = _post(space.url, "next", {"n": 20})["items"]
            keys = [space.owner_url.partition("=")[2], "x"]
            fuzzer = SpaceFuzzer(arguments.seed, space.port, items, keys)
            began, answers, errors = time.monotonic(), Counter(), []
            for _ in range(arguments.requests):
                request, whole = fuzzer.request()
                status = exchange(space.port, request, whole)
                answers[f"{status // 100}xx" if status else "no answer"] += 1
                if status >= 500:
                    errors.append(f"{status} to {request[:3000]!r}")
            seconds = round(time.monotonic() - began, 1)
            serves = _takes_an_answer(space.url)
        log = space.printed()
    return {
        "requests": arguments.requests,
        "answers": dict(sorted(answers.items())),
        "server_errors": errors,
        "in_log": sorted(set(re.findall(r".*(?:Traceback|Error).*", log))),
        "serves": serves,
        "seconds": seconds,
    }


def _project() -> str:
    """Make a project with pairs to label, and completions of a base and a tuned model."""
    from palate.collect import importing
    from palate.core import hub, ledger
    from palate.core.project import Project, Settings
    from palate.core.schema import Candidate, Prompt

    prompts = [Prompt.of(f"Prompt number {i}") for i in range(PROMPTS)]
    importing.start_project("me/fuzz", prompts, Settings(eval=0.3, repeats=0.2))
    project = Project.load("me/fuzz")
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in project.prompts for n in "ab"]
    for p in project.prompts:
        if p.split == "eval":
            rows.append(Candidate.of(p.id, "plain", model="me/base", revision="b" * 40))
            rows.append(Candidate.of(p.id, "fine", model=project.model_repo, revision="t" * 40))
    gold = {"prompt": "Warm up", "chosen": "Good", "rejected": "Bad", "why": "Clear"}
    files = {"candidates/z.jsonl": ledger.jsonl(rows), "gold.jsonl": json.dumps(gold) + "\n"}
    hub.commit(project.id, "dataset", files, "Add")
    return project.id


def _is_ready(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=60):
        return True
    return False


def _post(url: str, call: str, body: dict, name: str = "Ada") -> dict:
    headers = {"content-type": "application/json", "x-annotator": name}
    request = urllib.request.Request(f"{url}/api/{call}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _takes_an_answer(url: str) -> bool:
    (item, *_) = _post(url, "next", {"n": 3}, "Zoe")["items"]
    event = {"event_id": "the-last-one", "assignment_id": item["id"], "kind": "tie"}
    (receipt,) = _post(url, "events", {"events": [event]}, "Zoe")["results"]
    return receipt["state"] != "rejected"


if __name__ == "__main__":
    main()

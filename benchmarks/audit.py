"""Time and memory of an audit and an import of many pairs, and of an audit of long texts.

    python benchmarks/audit.py [--pairs 100000] [--json]

Runs `palate audit FILE --json` and `palate import me/pairs FILE` into a local Hub, each as a
process, on ten pairs of five made-up texts per prompt; and the audit of 300 pairs of texts of 500
words. `cpu` is user and system time, which other work on the machine changes less than the time
that passes. `alike_seconds` is the search for prompts alike: 10,000 held out among 10,000 others,
half of them random words and half one form with two words that differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from random import Random
from typing import NamedTuple

from palate.core.similar import alike
from palate.demo.titles import titles
from palate.localhub import LocalHub

LONG_ROWS, LONG_WORDS = 300, 500


class Run(NamedTuple):
    """A command that has ended."""

    output: str
    seconds: float
    cpu: float
    megabytes: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, long_file = Path(folder) / "pairs.jsonl", Path(folder) / "long.jsonl"
        write(file, arguments.pairs)
        write_long(long_file)
        audit = palate("audit", str(file), "--json", HF_HUB_OFFLINE="1")
        long = palate("audit", str(long_file), "--json", HF_HUB_OFFLINE="1")
        with LocalHub(Path(folder) / "hub") as hub:
            place = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "HF_HOME": folder}
            imported = palate("import", "me/pairs", str(file), HF_HUB_DISABLE_XET="1", **place)
        size = file.stat().st_size
    report = json.loads(audit.output)
    figures = {
        "pairs": report["rows"],
        "prompts": report["prompts"],
        "file_mb": round(size / 2**20, 1),
        "seconds": round(audit.seconds, 1),
        "cpu": round(audit.cpu, 1),
        "memory_mb": audit.megabytes,
        "baseline_accuracy": round(report["baseline_accuracy"], 3),
        "long_seconds": round(long.seconds, 1),
        "long_cpu": round(long.cpu, 1),
        "import_seconds": round(imported.seconds, 1),
        "import_cpu": round(imported.cpu, 1),
        "import_memory_mb": imported.megabytes,
        "alike_seconds": round(seconds_alike(), 1),
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<20}{value}" for name, value in figures.items()))


def palate(*words: str, **environment: str) -> Run:
    """Run a command of palate as a process; its memory is its own."""
    start = time.perf_counter()
    command = [sys.executable, "-c", "from palate.cli import main; main()", *words]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert child.stdout
    output = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"palate {words[0]} ended with {child.returncode}: {output}")
    return Run(
        output,
        time.perf_counter() - start,
        used.ru_utime + used.ru_stime,
        round(used.ru_maxrss / 2**10),
    )


def seconds_alike() -> float:
    draw = Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(3, 9))) for _ in range(5_000)]
    prompts = [" ".join(draw.choices(words, k=15)) for _ in range(10_000)]
    for _ in range(10_000):
        one, other = draw.sample(words, 2)
        prompts.append(f"Explain in simple words what {one} has to do with {other} and why")
    draw.shuffle(prompts)
    start = time.process_time()
    alike(prompts[:10_000], prompts[10_000:])
    return time.process_time() - start


def write(file: Path, pairs: int) -> None:
    """Write rows of prompt, chosen and rejected; the annotator prefers short texts, with noise."""
    draw = Random(0)
    words = sorted({w for _, title in titles() for w in title.split()})
    with file.open("w", encoding="utf-8") as out:
        for prompt in range(pairs // 10):
            texts = [" ".join(draw.choices(words, k=draw.randint(6, 40))) for _ in range(5)]
            for pair in combinations(texts, 2):
                better, worse = sorted(pair, key=lambda t: len(t) + draw.gauss(0, 60))
                row = {"prompt": f"Idea {prompt}", "chosen": better, "rejected": worse}
                out.write(json.dumps(row) + "\n")


def write_long(file: Path) -> None:
    """Write pairs of long texts, two of each prompt."""
    draw = Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(3, 9))) for _ in range(5_000)]
    with file.open("w", encoding="utf-8") as out:
        for row in range(LONG_ROWS):
            better, worse = (" ".join(draw.choices(words, k=LONG_WORDS)) for _ in range(2))
            texts = {"prompt": f"Idea {row // 2}", "chosen": better, "rejected": worse}
            out.write(json.dumps(texts) + "\n")


if __name__ == "__main__":
    main()

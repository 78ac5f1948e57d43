"""Time and memory of an audit of many pairs.

    python benchmarks/audit.py [--pairs 100000] [--json]

Runs `palate audit FILE --json` as a process, on ten pairs of five made-up texts per prompt.
`alike_seconds` is the search for prompts alike: 10,000 held out among 10,000 others, half of them
random words and half one form with two words that differ.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from random import Random

from palate.core.similar import alike
from palate.demo.titles import titles


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.jsonl"
        write(file, arguments.pairs)
        start = time.perf_counter()
        code = "from palate.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "audit", str(file), "--json"],
            check=True,
            capture_output=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        seconds = time.perf_counter() - start
        size = file.stat().st_size
    report = json.loads(done.stdout)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    figures = {
        "pairs": report["rows"],
        "prompts": report["prompts"],
        "file_mb": round(size / 2**20, 1),
        "seconds": round(seconds, 1),
        "memory_mb": round(memory),
        "baseline_accuracy": round(report["baseline_accuracy"], 3),
        "alike_seconds": round(seconds_alike(), 1),
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<20}{value}" for name, value in figures.items()))


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


if __name__ == "__main__":
    main()

"""The command line of the benchmarks that simulate: how many runs, and as a table or as JSON."""

import argparse
import json
from collections.abc import Callable
from typing import Any


def main(
    doc: str | None, runs: int, measure: Callable[[int], Any], table: Callable[[Any], str]
) -> None:
    """Measure with `--runs` runs, by default `runs`, and print the figures."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.runs)
    print(json.dumps(figures) if arguments.json else table(figures))

"""How often `palate check` raises an alarm about a model that lost nothing, and about one that did.

    python benchmarks/check.py [--runs 2000]
    python benchmarks/check.py --model FOLDER [--data pairs.csv] [--workers N] [--minutes M]
                               [--seeds 21] [--folds 0,1,2,3,4] [--out FILE]

Simulated without --model: two models follow each of 200 instructions with the same probability,
independently of each other, as if they wrote with other seeds. (`palate check` takes the same seeds
for both: a model against itself differs in nothing.) The comparison is palate's own. A ruined model
follows a share of the instructions that the base model follows.

With --model, on a real one (SmolLM2-135M-Instruct): the base model is compared with itself under
every two of the seeds; models tuned by DPO on each fold of the recorded pairs, with the usual
recipe and with a hundred times its rate, are compared with the base model as `palate check` does.
Appends to --out, and continues from what it holds.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from support import real_check, titles

from palate.check.losses import ability
from palate.core.rates import Rate

INSTRUCTIONS = 200
KEPT = (1.0, 0.9, 0.8, 0.7, 0.5, 0.25)  # of the base model's probability to follow each
Draw = Callable[[np.random.Generator], np.ndarray]
ABILITIES: dict[str, Draw] = {
    "each with 50%": lambda chance: np.full(INSTRUCTIONS, 0.5),
    "each with 20%": lambda chance: np.full(INSTRUCTIONS, 0.2),
    "half always, half never": lambda chance: np.repeat([1.0, 0.0], INSTRUCTIONS // 2),
    "uniform": lambda chance: chance.random(INSTRUCTIONS),
    "most always or never": lambda chance: chance.beta(0.3, 0.5, INSTRUCTIONS),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seeds", type=int, default=21)
    parser.add_argument("--folds", default="0,1,2,3,4")
    parser.add_argument("--out", type=Path, default=Path("check.jsonl"))
    arguments = parser.parse_args()
    if arguments.model:
        real_check.run_missing(arguments)
        print(real_check.table(arguments.out))
    else:
        simulated(arguments.runs)


def simulated(runs: int) -> None:
    print(f"{runs:,} runs a cell\n")
    print("| base model follows | " + " | ".join(f"keeps {100 * k:.0f}%" for k in KEPT) + " |")
    print("|---|" + "---:|" * len(KEPT))
    for name, draw in ABILITIES.items():
        cells = [alarms(draw, kept, runs) for kept in KEPT]
        print(f"| {name} | " + " | ".join(cells) + " |")


def alarms(draw: Draw, kept: float, runs: int) -> str:
    """Return the share of runs with an alarm, and its 95% interval where nothing was lost."""
    raised = [alarm(draw, kept, np.random.default_rng([run, 18])) for run in range(runs)]
    rate = Rate.of(raised, range(runs))
    assert rate.rate is not None
    assert rate.interval is not None
    low, high = rate.interval
    doubt = f" ({100 * low:.1f}–{100 * high:.1f}%)" if kept == 1 else ""
    return f"{100 * rate.rate:.1f}%{doubt}"


def alarm(draw: Draw, kept: float, chance: np.random.Generator) -> bool:
    follows = draw(chance)
    base = chance.random(INSTRUCTIONS) < follows
    tuned = chance.random(INSTRUCTIONS) < kept * follows
    numbers = [str(i) for i in range(INSTRUCTIONS)]
    found = ability(
        "Instructions", "instructions", base.astype(float), tuned.astype(float), numbers
    )
    return found.known == "lost"


if __name__ == "__main__":
    main()

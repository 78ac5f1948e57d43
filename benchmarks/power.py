"""How soon the rule decides where votes share prompts, and how soon an oracle does; fixed seeds.

    python benchmarks/power.py [--runs 1000] [--json]

The oracle is the same rule with the correlation within a prompt known, which the rule has to
estimate. *Half* and *4 in 5*: the votes within which so many evaluations decide; *found*: those
that call tuned better. The rule may take `ORACLE` more votes than the oracle in every cell; a cell
in which the oracle decides and the rule does not fails.
"""

from typing import Any

import numpy as np
from support.simulation import main
from votes import RATES, Cell, simulate, vote_at

ORACLE = 0.25  # more votes than the oracle takes, at most


def excess(at: dict[str, float | None]) -> float:
    """Return how many more votes than the oracle the rule takes, relative, for half or most.

    Infinite where the oracle decides within the votes there are and the rule does not.
    """
    both = ((at["median"], at["oracle"]), (at["most"], at["oracle_most"]))
    ratios = [(np.inf if rule is None else rule / known) - 1 for rule, known in both if known]
    return max(ratios, default=0.0)


def measure(runs: int) -> list[dict[str, Any]]:
    """Return how soon the rule and the oracle decide."""
    power = []
    for p, v in ((20, 10), (50, 10), (60, 5), (100, 5)):
        for c in (0.1, 0.3):
            for rate in RATES:
                cell = Cell(p, v, c, rate=rate)
                rule, _ = simulate(cell, runs, 3)
                known, _ = simulate(cell, runs, 3, oracle=True)
                at = {"median": vote_at(rule, 0.5), "oracle": vote_at(known, 0.5)}
                at |= {"most": vote_at(rule, 0.8), "oracle_most": vote_at(known, 0.8)}
                found = {"found": float((rule > 0).mean())}
                found["oracle_found"] = float((known > 0).mean())
                size = {"prompts": p, "voters": v, "correlation": c, "rate": rate}
                power.append(size | at | found | {"within": excess(at) <= ORACLE})
    return power


def table(power: list[dict[str, Any]]) -> str:
    lines = [
        "| prompts | voters | correlation | rate | half | oracle | 4 in 5 | oracle | found"
        " | oracle |",
        "|" + "---:|" * 10,
    ]
    for p in power:
        votes = (p[k] for k in ("median", "oracle", "most", "oracle_most"))
        shown = " | ".join("not all" if v is None else f"{v:.0f}" for v in votes)
        found = f"{100 * p['found']:.0f}% | {100 * p['oracle_found']:.0f}%"
        size = f"{p['prompts']} | {p['voters']} | {p['correlation']} | {100 * p['rate']:.0f}%"
        lines.append(f"| {size} | {shown} | {found} |{'' if p['within'] else ' FAILED'}")
    within, worst = sum(p["within"] for p in power), max(excess(p) for p in power)
    passed = f"{'passed' if worst <= ORACLE else 'failed'}"
    most = f"At most {100 * ORACLE:.0f}% more votes than the oracle"
    found = f"{most} in {within} of {len(power)} cells; worst {100 * worst:+.0f}%: {passed}."
    return "\n".join([*lines, "", found])


if __name__ == "__main__":
    main(__doc__, 1_000, measure, table)

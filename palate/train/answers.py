"""The answers that people preferred, which SFT imitates, and what is recorded of a run on them.

All but `facts` is pure: no I/O.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.schema import Message, Preference, digest
from palate.train import data, record

SPLITS = ("train", "test")
IMPLIED = "comparisons that nobody was asked about, which other answers imply"
NOT_WON = "won no more comparisons than they lost"
KEYS = {  # of TRL's log → of run.json
    "loss": "loss",
    "mean_token_accuracy": "token_accuracy",
    "eval_loss": "test_loss",
    "eval_mean_token_accuracy": "test_token_accuracy",
}


@dataclass(frozen=True)
class Answer:
    """One answer to a prompt, and how many comparisons it won and lost."""

    prompt: list[Message]
    completion: list[Message]
    prompt_id: str
    won: int
    lost: int


def judged(rows: Sequence[Preference]) -> list[Answer]:
    """Return every distinct answer of the rows, in their order, with what people said of it."""
    found: dict[str, Answer] = {}
    won, lost = Counter[str](), Counter[str]()
    for row in rows:
        for side, count in ((row.chosen, won), (row.rejected, lost)):
            key = digest(row.prompt, side)
            found.setdefault(key, Answer(row.prompt, side, row.prompt_id, 0, 0))
            count[key] += 1
    return [
        Answer(a.prompt, a.completion, a.prompt_id, won[key], lost[key]) for key, a in found.items()
    ]


def preferred(project: str, said: data.Rows) -> data.Rows:
    """Return the answers that won more comparisons than they lost, of what people said.

    Raises UsageError where no answer did in the training split.
    """
    sides = [judged(rows) for rows in (said.train, said.test)]
    train, test = ([a for a in answers if a.won > a.lost] for answers in sides)
    if not train:
        raise UsageError(
            f"Of the {len(sides[0]):,} answers that people compared in {project} none won more"
            f" comparisons than it lost. Collect more labels with: palate label {project}, then:"
            f" palate export {project}"
        )
    left = sum(map(len, sides)) - len(train) - len(test)
    dropped = Counter({IMPLIED: said.dropped.total(), NOT_WON: left})
    return data.Rows(train, test, +dropped)


def dataset(rows: Sequence[Answer]) -> Any:
    """Return a `datasets.Dataset` with `prompt` and `completion` as chat messages."""
    from datasets import Dataset

    return Dataset.from_list([{"prompt": r.prompt, "completion": r.completion} for r in rows])


def facts(project: Project, rows: data.Rows) -> dict[str, Any]:
    """Return what the record says about the data: answers, and the comparisons behind them."""
    said = data.read(project, implied=False)
    known = data.facts(project, said)
    prompts = {split: len({r.prompt_id for r in getattr(rows, split)}) for split in SPLITS}
    return known | {
        "comparisons": {split: known[split] for split in SPLITS},
        "train": len(rows.train),
        "test": len(rows.test),
        "prompts": known["prompts"] | prompts,
        "dropped": dict(rows.dropped),
    }


def result(
    base: dict[str, float] | None, tuned: dict[str, float] | None, rows: int, best_step: int
) -> dict[str, Any]:
    """Return the figures of the kept model on the test rows, beside those of the base model."""
    figures = _figures("test", tuned) | _figures("base_test", base)
    return figures | {"test_rows": rows, "best_step": best_step}


def _figures(prefix: str, found: dict[str, float] | None) -> dict[str, float | None]:
    loss, accuracy = (found["loss"], found["accuracy"]) if found else (None, None)
    return {
        f"{prefix}_loss": loss,
        f"{prefix}_perplexity": None if loss is None else math.exp(loss),
        f"{prefix}_token_accuracy": accuracy,
    }


def before(log: Sequence[dict]) -> dict[str, float] | None:
    """Return what the test rows were to the base model: the look before the first step."""
    for entry in log:
        if entry["step"] == 0 and "eval_loss" in entry:
            return {"loss": entry["eval_loss"], "accuracy": entry["eval_mean_token_accuracy"]}
    return None


def alarms(result: dict[str, Any], failed_at: int | None, samples: dict[str, Any]) -> Iterator[str]:
    """Yield what in a run is worth a second look, in sentences."""
    yield from record.stopped(failed_at, result)
    tuned, base = result["test_loss"], result["base_test_loss"]
    if tuned is not None and tuned >= base:
        yield (
            f"The test loss never fell below the base model's {base:.4f} (best: {tuned:.4f}): what"
            " it learned holds for these answers alone. Lower the learning rate, or start DPO from"
            " the base model itself."
        )
    yield from record.written(samples, "Lower the learning rate, or take fewer epochs.")


def sentence(run: dict[str, Any]) -> str:
    """Return a run's result in one line."""
    r = run["results"]
    if not r["test_rows"]:
        return "No preferred answer was held out, so nothing is known about the result."
    return (
        f"test loss {r['base_test_loss']:.4f} → {r['test_loss']:.4f} a token (perplexity"
        f" {r['base_test_perplexity']:.1f} → {r['test_perplexity']:.1f}) on {r['test_rows']:,}"
        f" answers, best at step {r['best_step']}, {run['seconds']:.0f} s"
    )

"""Tasks of EleutherAI's lm-eval by name, where it is installed: each example with its score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec

import numpy as np

from palate.core.errors import PalateError, UsageError
from palate.generate.models import Loaded

PACKAGE = "lm-eval>=0.4.9"


@dataclass(frozen=True)
class TaskScores:
    """A model's score between 0 and 1 on each example of a task, by the example's name."""

    task: str
    metric: str  # as lm-eval calls it, such as "acc"
    scores: dict[str, float]


def check_tasks(tasks: Sequence[str]) -> None:
    """Raise UsageError, which says what to type, if lm-eval or a task of that name is missing."""
    if not tasks:
        return
    if not find_spec("lm_eval"):
        raise UsageError(
            "--task needs lm-eval, which is not installed here. Install it with: pip install"
            f' "{PACKAGE}"'
        )
    from lm_eval.tasks import TaskManager  # ty: ignore[import-not-found]

    known = TaskManager().all_tasks
    for task in tasks:
        if task not in known:
            like = get_close_matches(task, known, 3)
            meant = f" Did you mean {' or '.join(like)}?" if like else ""
            raise UsageError(
                f"lm-eval has no task {task!r}.{meant} List them with: lm-eval ls tasks"
            )


def run_tasks(loaded: Loaded, tasks: Sequence[str], batch_size: int) -> list[TaskScores]:
    """Let a model do the tasks, without a chat template, as lm-eval does by default."""
    from lm_eval import simple_evaluate  # ty: ignore[import-not-found]
    from lm_eval.models.huggingface import HFLM  # ty: ignore[import-not-found]

    model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_size)
    results = []
    for task in tasks:
        try:
            result = simple_evaluate(model, tasks=[task], bootstrap_iters=0, log_samples=True)
        except Exception as error:  # of lm-eval, its task's code, or the data that it loads
            raise PalateError(
                f"lm-eval cannot run {task} with {loaded.repo}. It says:"
                f" {type(error).__name__}: {str(error)[:300]}"
            ) from error
        results.append(scores_of(task, result["samples"], result["higher_is_better"]))
    return results


def scores_of(
    task: str,
    samples: Mapping[str, Sequence[Mapping[str, object]]],
    higher_is_better: Mapping[str, Mapping[str, bool]],
) -> TaskScores:
    """Return the scores in lm-eval's samples, which may be of several tasks. Pure.

    Where answers are read in several ways (`filter`), the first one counts; of several metrics, the
    first that is between 0 and 1 on every example, unless lower is better.
    """
    first: dict[str, Mapping[str, object]] = {}
    for part, rows in samples.items():
        for row in rows:
            first.setdefault(f"{part}/{row['doc_id']}", row)
    metrics = next(iter(first.values()), {}).get("metrics")
    lower = {m for part in samples for m, up in higher_is_better[part].items() if up is False}
    for metric in (m for m in metrics if m not in lower) if isinstance(metrics, list) else ():
        shares = {name: _share(row.get(metric)) for name, row in first.items()}
        scores = {name: share for name, share in shares.items() if share is not None}
        if len(scores) == len(first):
            return TaskScores(task, metric, scores)
    raise PalateError(
        f"{task} gives no example a score between 0 and 1 where higher is better, so palate cannot"
        " compare the models on it. Leave it out of --task."
    )


def _share(value: object) -> float | None:
    """Return a number between 0 and 1; None for anything else."""
    if not isinstance(value, int | float | np.floating | np.integer | np.bool):
        return None
    number = float(value)
    return number if 0 <= number <= 1 else None

"""`python -m palate.material FOLDER` makes the tiny model there, behind a progress bar."""

import sys
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from palate.material.tiny import make_model

columns = (TextColumn("learning to write"), BarColumn(), TimeRemainingColumn())
now = TextColumn("loss {task.fields[loss]:.2f}")
with Progress(*columns, now) as bar:
    task = bar.add_task("", loss=float("nan"))
    make_model(
        Path(sys.argv[1]),
        progress=lambda step, steps, loss: bar.update(task, completed=step, total=steps, loss=loss),
    )

"""`python -m palate.demo FOLDER [STEPS]` makes the tiny model there, behind a progress bar."""

import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers.utils import logging

from palate.demo.writer import STEPS, make_model

logging.disable_progress_bar()
torch.set_num_threads(1)  # of more a model this small makes no use, least where others work, too
console = Console(highlight=False)
steps = int(sys.argv[2]) if len(sys.argv) > 2 else STEPS
columns = (TextColumn("learning to write"), BarColumn(), TimeRemainingColumn())
now = TextColumn("loss {task.fields[loss]:.2f}")
with Progress(*columns, now, console=console, transient=True) as bar:
    task = bar.add_task("", total=steps, loss=float("nan"))
    made = make_model(
        Path(sys.argv[1]),
        steps=steps,
        progress=lambda step, _, loss: bar.update(task, completed=step, loss=loss),
    )
console.print(
    f"{made['parameters']:,} parameters, {made['steps']} steps in {made['seconds']:.0f} s,"
    f" loss {made['loss']:.2f}"
)

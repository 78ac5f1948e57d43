"""`python -m palate.demo FOLDER [STEPS]` trains the tiny model into a folder."""

import sys
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers.utils import logging

from palate.demo.writer import STEPS, make_model
from palate.terminal.console import PlainConsole

logging.disable_progress_bar()
torch.set_num_threads(1)  # a model this small is slower on more, above all on a busy machine
console = PlainConsole()
steps = int(sys.argv[2]) if len(sys.argv) > 2 else STEPS
columns = (TextColumn("training"), BarColumn(), TimeRemainingColumn())
loss_column = TextColumn("loss {task.fields[loss]:.2f}")
with Progress(*columns, loss_column, console=console, transient=True) as bar:
    task = bar.add_task("", total=steps, loss=float("nan"))
    training = make_model(
        Path(sys.argv[1]),
        steps=steps,
        progress=lambda step, _, loss: bar.update(task, completed=step, loss=loss),
    )
console.print(
    f"{training.parameters:,} parameters, {training.steps} steps in {training.seconds:.0f} s,"
    f" loss {training.loss:.2f}"
)

"""What a training shows while it runs: a bar, the test loss so far as a curve, and an answer."""

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback
from transformers import TrainerControl as Control
from transformers import TrainerState as State
from transformers import TrainingArguments as Args

from palate.core.schema import Message
from palate.generate.generation import Sampling, complete
from palate.generate.models import Loaded
from palate.terminal.progress import Progress

T = TypeVar("T")
HEIGHTS = "▁▂▃▄▅▆▇█"
CURVE_POINTS = 40  # the last ones, in a line
ANSWER_TOKENS = 32
SHOWN = 60  # characters of a prompt; of an answer twice as many


def curve(values: Sequence[float]) -> str:
    """Return a line that rises and falls as the last values do; nothing for fewer than two."""
    last = values[-CURVE_POINTS:]
    if len(last) < 2:
        return ""
    low, range_ = min(last), max(last) - min(last)
    top = len(HEIGHTS) - 1
    return "".join(HEIGHTS[round(top * (v - low) / range_) if range_ else 0] for v in last)


def watched(batches: Collection[T], name: str, console: Console | None) -> Iterator[T]:
    """Yield the batches behind a progress bar of this name, of one word; without, in silence."""
    if console is None:
        yield from batches
        return
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(batches))
        for batch in batches:
            yield batch
            bar.advance(task)


class ProgressBar(TrainerCallback):
    """Draws the progress, and prints a line for every evaluation on the test split.

    `accuracy` is the key of one in the log, and the name that it is printed with.
    """

    def __init__(self, console: Console, accuracy: tuple[str, str] | None):
        self._console, self._accuracy = console, accuracy
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
        now = TextColumn("{task.fields[now]}")
        self._bar = Progress(*columns, TimeRemainingColumn(), now, console=console)

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        self._task = self._bar.add_task("", total=None, now="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_step_end(self, args: Args, state: State, control: Control, **_: object) -> None:
        self._bar.update(self._task, completed=state.global_step, total=state.max_steps)

    def on_log(self, args: Args, state: State, control: Control, **_: object) -> None:
        logs = state.log_history[-1]
        if "loss" in logs:
            now = f"loss {logs['loss']:.4f}"
            if "reward" in logs:  # the loss of RL is about 0, whatever it learns
                now = f"reward {logs['reward']:+.2f}"
            if self._accuracy:
                now += f", accuracy {100 * logs[self._accuracy[0]]:.0f}%"
            self._bar.update(self._task, now=now)

    def on_evaluate(self, args: Args, state: State, control: Control, **_: object) -> None:
        metrics, right = state.log_history[-1], ""
        if "eval_loss" not in metrics:
            return  # RL prints its own
        if self._accuracy:
            key, name = self._accuracy
            right = f", {name} {100 * metrics[f'eval_{key}']:.1f}%"
        losses = [e["eval_loss"] for e in state.log_history if "eval_loss" in e]
        self._console.print(
            f"  step {state.global_step:>4}/{state.max_steps}: test loss"
            f" {metrics['eval_loss']:.4f}{right} {curve(losses)}".rstrip()
        )


class SampleAnswer(TrainerCallback):
    """Prints what the model answers to one prompt after each evaluation, drawn with one seed."""

    def __init__(self, console: Console, loaded: Loaded, prompt: list[Message]):
        self._console, self._loaded, self._prompt = console, loaded, prompt

    def on_evaluate(self, args: Args, state: State, control: Control, **_: object) -> None:
        model = self._loaded.model
        settings = model.generation_config
        try:
            (answer,) = complete(
                self._loaded, [self._prompt], [args.seed], Sampling(max_new_tokens=ANSWER_TOKENS)
            )
        finally:
            model.generation_config = settings  # which is saved with the model
        asked, text = (" ".join(t.split()) for t in (self._prompt[-1]["content"], answer.text))
        more = "" if answer.ended else " …"
        self._console.print(
            f"    {shortened(asked, SHOWN)} → {shortened(text, 2 * SHOWN)}{more}", markup=False
        )


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"

"""The arguments of `palate reward`: command line and part of the record at once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from palate.core.errors import UsageError
from palate.terminal.flags import Count, Number, Repo, flag
from palate.train.config import WHOLE, TrainArguments

Method = Literal["probe", "full", "lora"]
MarginSize = Literal["off", "small", "large"]


@dataclass(frozen=True)
class RewardArguments(TrainArguments):
    """The arguments of `palate reward`."""

    NAME = "reward"

    method: Annotated[Method, flag("probe|full|lora")] = "probe"
    """A head on frozen features (minutes on a CPU), or train all weights or an adapter by TRL."""
    margin: MarginSize = "small"
    """Lead asked of a better answer by strength, as in Llama 2: up to 1 (small) or 3 (large)."""
    learning_rate: Number = None
    """Peak learning rate of full and lora. Default: 1e-5 for full, 1e-4 for an adapter."""
    epochs: float = 1.0
    """Passes over the training rows, of full and lora."""
    batch_size: Count = None
    """Pairs per optimizer step, of full and lora. Default: those of four prompts."""
    output: Repo = None
    """Model repo to push to. Default: me/titles-reward for me/titles."""


def check(args: RewardArguments) -> None:
    """Raise UsageError for arguments that cannot work on any machine."""
    if args.method == "probe":
        if args.processes > 1 or args.accelerate != WHOLE:
            raise UsageError(
                "The probe is fitted in one process. Leave out --processes and --accelerate, or"
                " train all weights with --method full."
            )
        for name in ("learning_rate", "batch_size"):
            if getattr(args, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for --method full and lora: the probe is"
                    " fitted to its optimum."
                )

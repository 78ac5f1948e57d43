"""The arguments of `palate reward`, part of its record at once, and of `palate best`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from palate.core.errors import UsageError
from palate.terminal.flags import Count, ModelRef, Number, ProjectId, Repo, flag
from palate.train.config import WHOLE, TrainArguments

Method = Literal["probe", "full", "lora"]
MOST = 1024  # answers to a prompt
MarginSize = Literal["off", "small", "large"]


@dataclass(frozen=True)
class RewardArguments(TrainArguments):
    """The arguments of `palate reward`."""

    NAME = "reward"

    method: Annotated[Method, flag("probe|full|lora")] = "probe"
    """A head on frozen features, in minutes; or train the layers below it by TRL, or an adapter."""
    margin: MarginSize = "small"
    """Lead asked of a better answer by strength, as in Llama 2: up to 1 (small) or 3 (large)."""
    learning_rate: Number = None
    """Peak learning rate of full and lora. Default: that of `palate train`."""
    epochs: float = 3.0
    """Passes over the training rows, of full and lora."""
    batch_size: Count = None
    """Pairs per optimizer step, of full and lora. Default: those of four prompts."""
    output: Repo = None
    """Model repo to push to. Default: me/titles-reward for me/titles."""


@dataclass(frozen=True)
class BestArguments:
    """The arguments of `palate best`."""

    project: ProjectId
    """Project, such as me/titles."""
    n: int = 16
    """Answers per prompt, of which the reward chooses one."""
    model: ModelRef = None
    """Model that writes. Default: the project's base model."""
    reward: ModelRef = None
    """Reward model that chooses. Default: the project's newest."""
    temperature: float = 0.7
    """Sampling temperature. Higher is more varied."""
    top_p: float = 0.95
    """Sample from the likeliest tokens that together have this probability."""
    max_new_tokens: int = 256
    """Longest answer, in tokens. Longer answers are cut, and counted."""
    batch_size: int = 32
    """Answers written at once, however large n is. Lower it when memory runs out."""
    seed: int = 0
    """Another seed gives other answers."""


def check_n(n: int) -> None:
    """Raise UsageError for a number of answers that leaves no choice, or too much."""
    if n < 2:
        raise UsageError(f"--n {n} leaves nothing to choose. Expected 2 or more, such as 16.")
    if n > MOST:
        raise UsageError(
            f"--n {n}: expected {MOST:,} or fewer. Of so many answers, the highest score is likely"
            " to be the reward's own error."
        )


def check_best(args: BestArguments) -> None:
    """Raise UsageError for arguments that cannot work on any machine."""
    check_n(args.n)
    if args.batch_size < 1:
        raise UsageError(f"--batch-size {args.batch_size}: expected 1 or more.")


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

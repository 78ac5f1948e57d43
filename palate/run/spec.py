"""What palate knows about a job: how it is called, what it needs, and what it leaves."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from palate.core.paths import shipped
from palate.terminal.flags import parse
from palate.train.config import TrainArguments

if TYPE_CHECKING:
    from palate.core.project import Project
    from palate.run.forecast import Flavor, Load
    from palate.train.records.record import JobRecord


class JobArguments(Protocol):
    """What the arguments of every job have."""

    @property
    def project(self) -> str: ...


A = TypeVar("A", bound=JobArguments)
T = TypeVar("T", bound=TrainArguments)
R = TypeVar("R", bound="JobRecord")


@dataclass(frozen=True)
class Training(Generic[T, R]):
    """What only a training has: it exports the labels first, keeps checkpoints, pushes a model."""

    preflight: "Callable[[T, Project, Flavor], None]"
    """Raises what the training would raise after its machine was paid for."""
    suffix: str
    """Of the model's repo: me/titles-dpo for me/titles."""
    result: "Callable[[R], str]"
    """What `palate jobs` shows of a finished training, such as "accuracy 61.2%"."""
    load: "Callable[[T, Project], Load]"


def _no_packages(args: JobArguments) -> list[str]:
    return []


def _goes_anywhere(args: JobArguments) -> str | None:
    return None


def _anything(args: JobArguments) -> None:
    pass


@dataclass(frozen=True)
class JobSpec(Generic[A]):
    """One job. The command line, HF Jobs and Slurm ask nothing else about it."""

    name: str
    """As it is typed: train."""
    script: str
    """Its file in jobs/, without .py: dpo."""
    arguments: type[A]
    help: str
    """Its line in `palate --help`."""
    load: "Callable[[A, Project], Load]"
    """What it needs of a machine."""
    check: Callable[[A], None] = _anything
    """Raises UsageError for arguments that cannot work on any machine."""
    packages: Callable[[A], Sequence[str]] = _no_packages
    """Packages that these arguments need, in addition to those in the script's header."""
    only_here: Callable[[A], str | None] = _goes_anywhere
    """The flag that keeps a job with these arguments on this machine."""
    key_variable: str | None = None
    """The environment variable with the key of a server that the job asks."""
    training: Callable[[], Training] | None = None

    @property
    def file(self) -> Path:
        return shipped("jobs") / f"{self.script}.py"

    def parse(self, argv: Sequence[str]) -> A:
        """Return the arguments, checked; print `--help` or what is wrong, and exit."""
        args = parse(self.arguments, argv, f"palate {self.name}", self._about())
        self.check(args)
        return args

    def _about(self) -> str:
        """Return the docstring of the script, its examples as `palate` commands."""
        text = ast.get_docstring(ast.parse(self.file.read_text("utf-8"))) or ""
        text = text.replace(f"python jobs/{self.script}.py", f"palate {self.name}")
        text = text.replace("\n\n    palate ", "\n\nExamples:\n    palate ", 1)
        lines = [line for line in text.splitlines() if not line.startswith("    uv run ")]
        return "\n".join(lines)

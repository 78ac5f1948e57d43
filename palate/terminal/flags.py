"""Types of command-line flags: what `--help` calls a value, for commands and jobs alike.

A flag whose default is None uses one of the optional types below; its help text says what happens
without it. `parse` turns words into a dataclass or a call.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from palate.core.errors import UsageError

T = TypeVar("T")
COUNTS = ("batch_size", "per_prompt", "max_new_tokens")
SEEDS = 2**32  # NumPy takes no other
APPENDED = get_args(tyro.conf.UseAppendAction[int])[1]  # marks a flag that may be repeated


def flag(metavar: str) -> object:
    """Return how `--help` shows a flag whose default its help text explains."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


ProjectId = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
Repo = Annotated[str | None, flag("OWNER/NAME")]
ModelRef = Annotated[str | None, flag("OWNER/NAME[@REVISION]")]
Writers = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], flag("[PROVIDER:]OWNER/NAME[@REVISION]")
]
Words = Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("TEXT")]
Tasks = Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], flag("TASK")]
Count = Annotated[int | None, flag("N")]
Number = Annotated[float | None, flag("X")]
Text = Annotated[str | None, flag("TEXT")]
Switch = Annotated[bool | None, flag("True|False")]


def parse(kind: Callable[..., T], words: Sequence[str], prog: str, about: str | None = None) -> T:
    """Return `kind` called with what `words` say; exit with 2 where they are wrong.

    `--help` prints `about`, or else the docstring of `kind`, and exits with 0.
    """
    flags = (tyro.conf.FlagCreatePairsOff,)
    _refuse_repeated(kind, words)
    with _registry():
        made = tyro.cli(kind, args=list(words), description=about, prog=prog, config=flags)
    for name, value in vars(made).items() if is_dataclass(made) else ():
        check_whole(name, value)
    return made


def check_whole(name: str, value: object) -> None:
    """Raise UsageError for a number below what any command can work with, or a seed beyond."""
    flag_name = f"--{name.replace('_', '-')}"
    if name in COUNTS and isinstance(value, int) and value < 1:
        raise UsageError(f"{flag_name} {value}: expected 1 or more.")
    if name == "seed" and isinstance(value, int) and not 0 <= value < SEEDS:
        raise UsageError(f"{flag_name} {value}: expected 0 to {SEEDS - 1}.")


def _refuse_repeated(kind: Callable[..., object], words: Sequence[str]) -> None:
    """Raise UsageError where a flag occurs twice, of which the last value alone would count."""
    for name in repeated(words):
        hint = get_type_hints(kind, include_extras=True).get(name[2:].replace("-", "_"))
        if APPENDED in getattr(hint, "__metadata__", ()):
            continue
        several = get_origin(getattr(hint, "__origin__", None)) is tuple
        raise UsageError(
            f"{name} is given more than once. Give "
            + (f"its values after one: {name} VALUE VALUE" if several else "it once.")
        )


def repeated(words: Sequence[str]) -> list[str]:
    """Return the names of the flags that occur more than once."""
    given = Counter(w.partition("=")[0].replace("_", "-") for w in words if w.startswith("--"))
    return [name for name, times in given.items() if times > 1]


@cache
def _registry() -> ConstructorRegistry:
    """Return the rules by which a value is called N, X or a|b|c rather than by its Python type."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        if info.type is int:
            return _number(int, "N")
        return _number(float, "X") if info.type is float else None

    @registry.primitive_rule
    def choice(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        choices = get_args(info.type)
        if get_origin(info.type) is not Literal or not all(isinstance(c, str) for c in choices):
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="|".join(choices),
            instance_from_str=lambda words: words[0],
            is_instance=lambda value: value in choices,
            str_from_instance=lambda value: [value],
            choices=choices,
        )

    return registry


def _number(kind: type[int] | type[float], metavar: str) -> PrimitiveConstructorSpec:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: kind(words[0]),
        is_instance=lambda value: isinstance(value, (int, kind)),
        str_from_instance=lambda value: [str(value)],
    )

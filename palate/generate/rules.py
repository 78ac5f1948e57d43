"""A rule of the user's: a Python function that keeps a completion or leaves it out.

It is code, so it runs in commands on this machine alone: no job elsewhere and no Space gets it.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from palate.core.errors import UsageError
from palate.generate.generation import Rule

EXPECTED = "expected FILE.py:FUNCTION, such as rules.py:is_short"
REASON_CHARACTERS = 80


def load(name: str) -> Rule:
    """Return the function that `rules.py:is_short` names, as a rule.

    It gets prompt and text, and returns True to keep the text, False to leave it out, or the reason
    in words. Raises UsageError where there is no such function, or it fails.
    """
    path, file = _file(name)
    module_name = f"palate_rule_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"--rule {name}: {EXPECTED}.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{file} cannot be loaded: {type(error).__name__}: {error}") from error
    function = getattr(module, path, None)
    if not callable(function):
        raise UsageError(f"{file} has no function {path!r}; {EXPECTED}.")
    return _checked(name, function)


def fingerprint(name: str) -> str:
    """Return what tells this rule from the same one after a change of its file."""
    path, file = _file(name)
    return f"{path} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _file(name: str) -> tuple[str, Path]:
    """Return the function's name and the file. Raises UsageError if there is none."""
    text, _, function = name.rpartition(":")
    file = Path(text)
    if not function.isidentifier() or file.suffix != ".py":
        raise UsageError(f"--rule {name}: {EXPECTED}.")
    if not file.is_file():
        raise UsageError(f"--rule {name}: there is no file {file}.")
    return function, file


def _checked(name: str, function: Callable[[str, str], object]) -> Rule:
    def rule(prompt: str, text: str) -> str | None:
        try:
            answer = function(prompt, text)
        except Exception as error:
            raise UsageError(
                f"--rule {name} fails on {text[:60]!r}: {type(error).__name__}: {error}"
            ) from error
        if isinstance(answer, str) and answer.strip():
            return " ".join(answer.split())[:REASON_CHARACTERS]
        if isinstance(answer, bool):
            return None if answer else f"by {name}"
        raise UsageError(
            f"--rule {name} returned {answer!r:.60}; expected True, False or a reason in words."
        )

    return rule

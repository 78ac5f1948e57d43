"""palate: teach a language model your taste, and prove it blind.

The names in `__all__` are the Python API; docs/python.md shows how they are used. Each is imported
when it is first asked for, which keeps `palate --help` quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palate.core.errors import BadInput, PalateError, Unreachable, UsageError
    from palate.core.project import Project, Settings
    from palate.core.schema import Candidate, Event, Gold, Model, Pair, Preference, Prompt
    from palate.evaluate.verdict import Verdict
    from palate.label.questions import Questions, compare, open  # noqa: A004
    from palate.localhub import LocalHub

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "Candidate",
    "Event",
    "Gold",
    "LocalHub",
    "Model",
    "Pair",
    "PalateError",
    "Preference",
    "Project",
    "Prompt",
    "Questions",
    "Settings",
    "Unreachable",
    "UsageError",
    "Verdict",
    "compare",
    "open",
]
_MODULES = {
    "core.errors": ("BadInput", "PalateError", "Unreachable", "UsageError"),
    "core.project": ("Project", "Settings"),
    "core.schema": ("Candidate", "Event", "Gold", "Model", "Pair", "Preference", "Prompt"),
    "evaluate.verdict": ("Verdict",),
    "label.questions": ("Questions", "compare", "open"),
    "localhub": ("LocalHub",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"palate.{module}"), name)
    raise AttributeError(f"module 'palate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

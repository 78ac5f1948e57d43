"""The preferences that follow from a project's labels, computed once for the same rows."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from palate.core.project import Project
from palate.label.preferences import Preferences, rebuild


@dataclass(frozen=True)
class _Judged:
    """A project, equal to the same one at another revision with the same rows and people."""

    project: Project = field(compare=False)
    files: tuple[tuple[Path, ...], ...]
    uncounted: frozenset[str]


def of_project(project: Project) -> Preferences:
    """Return the preferences that follow from a project's labels."""
    files = tuple(project.contents(config) for config in ("prompts", "candidates", "labels"))
    return _of_project(_Judged(project, files, project.people.uncounted))


@lru_cache(1)  # an export, the card and the status ask at three revisions that differ in neither
def _of_project(judged: _Judged) -> Preferences:
    project = judged.project
    return rebuild(project.prompts, project.candidates, project.labels)

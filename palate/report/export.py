"""Rebuild preferences and dataset card from the labels, and commit what differs."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

from palate.core import hub
from palate.core.project import Project, check_id
from palate.label.preferences import Preferences, of_aspects, preference_files
from palate.report.dataset_card import push_dataset_card


def export(project_id: str) -> tuple[Project, Preferences]:
    """Rebuild preferences and dataset card from the labels; commit what differs.

    Returns the project with what was committed. Events that arrive in the meantime are part of the
    next export. Raises UsageError for what is no project's name, and Conflict if others keep
    writing, so that nothing could be committed.
    """

    check_id(project_id)

    def build(sha: str, paths: list[str]) -> hub.Change[Preferences]:
        project = Project.at(project_id, sha, paths)
        preferences = of_aspects(project)
        files = preference_files(preferences)
        stale = [p for p in project.paths("preferences") if p not in files]
        if not stale and not hub.differ(project_id, "dataset", sha, paths, files):
            return hub.Change(preferences)
        message = f"Rebuild {len(preferences.all())} preferences"
        return hub.Change(preferences, message, files, stale)

    with _uncollected():
        sha, preferences = hub.update(project_id, "dataset", build)
        push_dataset_card(project_id, {sha: preferences.in_files()})
    return Project.load(project_id), preferences


@contextmanager
def _uncollected() -> Generator[None]:
    """Keep Python from looking for garbage among rows that all stay: a quarter of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()

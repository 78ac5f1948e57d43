"""Preferences and dataset card, rebuilt from the ledger and committed where they differ."""

from palate.core import hub
from palate.core.project import Project
from palate.label.preferences import Preferences, preference_files, rebuild
from palate.report import cards


def export(project_id: str) -> tuple[Project, Preferences]:
    """Rebuild preferences and dataset card from the ledger; commit what differs.

    Returns the project with what was committed. Another writer's commit is no conflict: events
    that arrive meanwhile are in the next export.
    """
    for _ in range(5):
        project = Project.load(project_id)
        result = rebuild(project.prompts, project.candidates, project.labels)
        files = preference_files(result)
        stale = [p for p in project.paths("preferences") if p not in files]
        if not stale and _same(project, files):
            break
        try:
            count = sum(map(len, result.rows.values()))
            hub.commit(
                project_id,
                "dataset",
                files,
                f"Rebuild {count} preferences",
                delete=stale,
                parent=project.revision,
            )
            break
        except hub.Conflict:
            continue
    cards.push_dataset_card(project_id)
    return Project.load(project_id), result


def _same(project: Project, files: dict[str, str]) -> bool:
    if not set(files) <= set(project.files):
        return False
    local = hub.fetch(project.id, "dataset", project.revision, list(files)) if files else []
    return all(f.read_text("utf-8") == files[p] for p, f in zip(files, local, strict=True))

"""A project whose model was trained three times, all of whose rounds meet."""

from palate.collect import importing
from palate.core import hub, ledger
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Model, Prompt


def rounds(repo_id: str) -> tuple[Project, list[Model]]:
    """Return the project and its models: base, the round between, tuned.

    On each of three eval prompts they wrote the same once, and once "round 1", "2" or "3".
    """
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    settings = Settings(repeats=0.0, eval=0.25, compare="all")
    project = importing.start_project(repo_id, prompts, settings)
    models = [Model(project.model_repo, str(n) * 40) for n in (1, 2, 3)]
    rows = [
        Candidate.of(p.id, text, model=m.repo, revision=m.revision)
        for p in project.prompts
        if p.split == "eval"
        for n, m in enumerate(models, 1)
        for text in ("same", f"round {n} of {p.text}")
    ]
    hub.commit(repo_id, "dataset", {"candidates/z.jsonl": ledger.jsonl(rows)}, "Add")
    return Project.load(repo_id), models

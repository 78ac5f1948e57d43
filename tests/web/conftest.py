import pytest

from palate.argilla.store import LabelStore
from palate.collect import importing
from palate.collect.importing import Imported
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt


@pytest.fixture
def project(hub, repo_id) -> Project:
    prompts = [Prompt.of(f"Prompt {i}") for i in range(12)]
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in prompts for n in "ab"]
    importing.start_project(repo_id, prompts, Settings(repeats=0.0, eval=0.1))
    importing.add(repo_id, Imported([], rows, []), "Add")
    return Project.load(repo_id)


@pytest.fixture
def connect(argilla):
    """Makes stores of the Argilla of the test run, and closes them in the end."""
    stores = []

    def connect() -> LabelStore:
        stores.append(LabelStore(argilla.url, argilla.api_key))
        return stores[-1]

    yield connect
    for store in stores:
        store.close()

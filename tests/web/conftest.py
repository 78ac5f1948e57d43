"""A project in a real Argilla, and a label Space that serves one."""

import time
import uuid
from collections.abc import Iterator

import pytest
from huggingface_hub.utils import httpx
from served_space import PNG, QUESTION

from palate.argilla.store import LabelStore
from palate.collect import importing
from palate.collect.importing import Imported
from palate.core import hub as hub_calls
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt
from palate.web.ballot.walls import FILE_BYTES
from palate.web.labelling.ballot import LabelBallot
from palate.web.serving import Space


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


@pytest.fixture
def ballot(project, connect) -> Iterator[LabelBallot]:
    ballot = LabelBallot(project, connect, "key", pause=0.1)
    ballot.prepared()
    yield ballot
    ballot.close()


@pytest.fixture(scope="module")
def space(hub, argilla, space_python, tmp_path_factory) -> Iterator[Space]:
    """A label Space in a separate process, as `palate label` serves it."""
    id = f"me/t{uuid.uuid4().hex[:10]}"
    prompts = [Prompt.of(f"Prompt {i}") for i in range(60)]
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in prompts for n in "ab"]
    importing.start_project(id, prompts, Settings(question=QUESTION, eval=0.1))
    importing.add(id, Imported([], rows, []), "Add")
    large = PNG.ljust(FILE_BYTES + 1, b"x")
    images = {"images/a b.png": PNG, "images/odd.png": b"<svg/>", "images/large.png": large}
    hub_calls.commit(id, "dataset", images, "Images")
    folder = tmp_path_factory.mktemp("space")
    env = {
        "ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key,
        "PALATE_HOME": str(folder), "PALATE_SECRET": "key",
    }  # fmt: skip
    with (
        space_python.instead(),
        Space("label", id, env=env, log=folder / "label.log") as space,
    ):
        with httpx.Client(base_url=space.url, timeout=60) as client:
            while client.get("/healthz").status_code != 200:
                time.sleep(0.1)
        yield space


@pytest.fixture
def client(space):
    with httpx.Client(base_url=space.url, timeout=60) as client:
        yield client

"""A Space as a process: it shows why it waits, follows the project, and publishes at its end."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from bad_hub import BadHub
from huggingface_hub.utils import httpx

from palate.argilla.store import LabelStore
from palate.collect import importing
from palate.collect.importing import Imported
from palate.core.errors import PalateError
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt
from palate.demo import api_annotator
from palate.demo.person import SimulatedAnnotator
from palate.web.serving import Space, free_port

pytestmark = pytest.mark.slow
ADA = {"x-annotator": "Ada"}


@pytest.fixture
def project(hub, repo_id) -> Project:
    return importing.start_project(
        repo_id, [Prompt.of(f"Prompt {i}") for i in range(12)], Settings(repeats=0.0, eval=0.1)
    )


@pytest.fixture
def lines() -> list[str]:
    """What the Spaces show while they start."""
    return []


@pytest.fixture
def serve(
    project, argilla, space_python, tmp_path, monkeypatch, lines
) -> Iterator[Callable[..., Space]]:
    """Makes Spaces with the given variables, and stops them in the end."""
    monkeypatch.setenv("PALATE_DATA", str(tmp_path / "data"))
    env = {"ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key}

    with space_python.instead(), ExitStack() as ends:

        def make(kind: str, port: int = 0, **more: str) -> Space:
            space = Space(kind, project.id, port=port, env=env | more, show=lines.append)
            ends.callback(space.stop)
            return space

        yield make


def on_the_hub(port: int) -> dict[str, str]:
    """Return what tells an app that it runs on the Hub, and where it listens."""
    address = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    return {"SYSTEM": "spaces", **address}


def answer_all(space: Space) -> int:
    """Answer every pair that is left as Ada; return how many there were."""
    annotator = SimulatedAnnotator(seed=0)
    return api_annotator.answer(space.url, "Ada", annotator, None, lambda done, total: None)


def health(space: Space, status: int) -> dict:
    """Wait until the Space's health has this status; return what it says."""
    while True:
        answer = httpx.get(f"{space.url}/healthz", timeout=30)
        if answer.status_code == status:
            return answer.json()
        time.sleep(0.1)


def add_candidates(project: Project) -> None:
    rows = [Candidate.of(p.id, f"{n} {p.text}") for p in project.prompts for n in "ab"]
    importing.add(project.id, Imported([], rows, []), "Add")


def post(space: Space, path: str, body: dict) -> dict:
    answer = httpx.post(f"{space.url}{path}", json=body, headers=ADA, timeout=30)
    answer.raise_for_status()
    return answer.json()


def label_one(space: Space) -> dict:
    """Label a pair; return the event once Argilla has it."""
    (item,) = post(space, "/api/next", {"n": 1})["items"]
    event = {
        "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
        "choice": "left", "strength": 3, "milliseconds": 900,
    }  # fmt: skip
    while post(space, "/api/events", {"events": [event]})["results"][0]["state"] == "waiting":
        pass  # Argilla is being filled
    return event


def total(space: Space) -> int:
    """Return how many pairs there are; none while the Space restarts."""
    try:
        return post(space, "/api/next", {"n": 0})["total"]
    except httpx.HTTPError:
        return 0


def read(space: Space, path: str) -> tuple[int, str]:
    """Return status and text; status 0 while the Space restarts."""
    try:
        answer = httpx.get(f"{space.url}{path}", timeout=30)
    except httpx.HTTPError:
        return 0, ""
    return answer.status_code, answer.text


def test_new_candidates_are_asked_about(project, serve):
    with serve("label") as space:
        assert post(space, "/api/next", {"n": 8})["total"] == 0
        add_candidates(project)
        goal = len([p for p in project.prompts if p.split != "eval"])
        deadline = time.monotonic() + 60
        while not (pairs := total(space)):
            assert time.monotonic() < deadline, "new candidates were not noticed"
        assert pairs == goal
        assert answer_all(space) == goal
    assert len(Project.load(project.id).labels) == goal


def test_two_spaces_of_a_project_see_each_others_labels(project, serve, argilla):
    add_candidates(project)
    with serve("label") as one, serve("label") as two:
        event = label_one(one)
        goal = 1 + answer_all(one)
        deadline = time.monotonic() + 60
        while (state := post(two, "/api/next", {"n": 8}))["done"] < goal:
            assert time.monotonic() < deadline, "labels of the other Space were not noticed"
        assert state["items"] == []
        undo = event | {"event_id": str(uuid.uuid4()), "kind": "undo", "target": event["event_id"]}
        assert post(two, "/api/events", {"events": [undo]})["results"][0]["state"] == "saved"
    assert len(Project.load(project.id).labels) == goal + 1
    with closing(LabelStore(argilla.url, argilla.api_key)) as store:
        store.open(project.id, question="")
        assert {event["event_id"], undo["event_id"]} < {e.event_id for e in store.events()}


def test_a_space_publishes_what_is_waiting_when_it_is_stopped(project, serve):
    add_candidates(project)
    with serve("label", PALATE_PUBLISH_SECONDS="600") as space:
        event = label_one(space)
        assert Project.load(project.id).labels == ()
    (label,) = Project.load(project.id).labels
    assert label.event_id == event["event_id"]


def test_a_start_that_takes_long_shows_its_log_and_can_be_stopped(serve, lines):
    with socket.create_server(("127.0.0.1", 0)) as stalled, ThreadPoolExecutor(1) as pool:
        endpoint, port = f"http://127.0.0.1:{stalled.getsockname()[1]}", free_port()
        space = serve("label", port, HF_ENDPOINT=endpoint, **on_the_hub(port))
        starting = pool.submit(space.start)
        stalled.settimeout(120)
        connection, _ = stalled.accept()  # a Hub that does not answer
        while not lines:
            time.sleep(0.1)
        space.process.terminate()
        stalled.close()
        connection.close()
        with pytest.raises(PalateError, match="ended with code 0"):
            starting.result()
    assert lines == [f"Waiting for the label Space to start. Its log: {space.log}"]


def test_a_start_that_fails_shows_the_cause_and_the_log(serve):
    space = serve("label", PALATE_PROJECT="me/no-such-project")
    with pytest.raises(PalateError) as error:
        space.start()
    assert "The label Space ended with code 2" in str(error.value)
    assert "no repo me/no-such-project" in str(error.value)
    assert str(space.log) in str(error.value)
    assert space.log.stat().st_mode & 0o777 == 0o600


def test_on_the_hub_the_page_says_what_is_missing_until_it_is_there(project, serve, hub):
    port = free_port()
    with serve("evaluate", port, HF_TOKEN=hub.token, **on_the_hub(port)) as space:
        assert "no completions" in read(space, "/")[1]
        assert read(space, "/api/me")[0] == 503
        rows = [
            Candidate.of(p.id, f"{name} {p.text}", model=model, revision=sha)
            for p in project.prompts
            if p.split == "eval"
            for name, model, sha in (
                ("plain", "me/base", "b" * 40),
                ("fine", project.model_repo, "t" * 40),
            )
        ]
        importing.add(project.id, Imported([], rows, []), "Add")
        deadline = time.monotonic() + 60
        while read(space, "/healthz")[0] != 200:
            assert time.monotonic() < deadline, "it did not go on"
        assert "Which answer is better?" in read(space, "/api/me")[1]


def test_an_empty_answer_of_the_hub_ends_no_space(serve, hub, project):
    add_candidates(project)
    proxy = BadHub(hub.endpoint)
    with closing(proxy), serve("label", HF_ENDPOINT=proxy.url) as space:
        health(space, 200)
        proxy.spoil("a list", 10**9)  # of files, so that there seem to be none
        assert "lists no palate.toml" in health(space, 503)["problem"]
        proxy.spoil("", 0)
        health(space, 200)
        assert space.process.poll() is None
        label_one(space)


def test_what_is_not_on_the_hub_at_the_end_is_said_with_where_it_is(serve, hub, project):
    add_candidates(project)
    proxy = BadHub(hub.endpoint)
    with closing(proxy), serve("label", HF_ENDPOINT=proxy.url) as space:
        health(space, 200)
        proxy.spoil("a page", 10**9)
        label_one(space)
        assert health(space, 503)["problem"]
        space.stop()
        assert "1 event is not on the Hub: " in space.printed()
        assert "in Argilla, and go to the Hub when the Space starts again" in space.printed()
    assert Project.load(project.id).labels == ()

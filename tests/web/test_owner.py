"""What owners do on their page: find, correct and review labels; change what may change."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import httpx
import pytest
from labelling import ADA, BO, label
from starlette.applications import Starlette

from palate.core.errors import BadInput
from palate.core.ledger import standing_judgements
from palate.core.project import Project
from palate.label.preferences import of_project
from palate.web.labelling.ballot import LabelBallot
from palate.web.labelling.home import Changed, Home
from palate.web.labelling.labels import Labels, Refused
from palate.web.labelling.owner import _proxy


def answer(ballot, person, **changes) -> str:
    """Answer the person's next pair; return the event's id."""
    (item,) = ballot.next(person, 1, [])["items"]
    event = label(item, **changes)
    assert ballot.submit(person, [event])[0].state == "saved"
    return event["event_id"]


def test_labels_are_found_by_what_is_said_of_them(ballot):
    labels = Labels(ballot)
    fast = answer(ballot, ADA, milliseconds=5)
    slow = answer(ballot, ADA, milliseconds=60_000, comment="so")
    tie = answer(ballot, BO, kind="tie", choice=None, strength=None)

    def found(**query) -> list:
        page = labels.find(query)
        assert page["all"] == 3
        return [row["id"] for row in page["rows"]]

    assert set(found()) == {fast, slow, tie}
    assert found(who=ballot.pseudonym(BO)) == found(kind="tie") == [tie]
    assert found(fast=True) == [fast]
    assert found(differs=True) == found(flagged=True) == found(page=1) == []
    prompt = labels.show({"id": tie})["written"]["prompt"]
    assert tie in found(prompt=f"  {prompt.upper()} ")
    assert found(prompt="no such prompt") == []
    with pytest.raises(Refused):
        labels.show({"id": "nothing"})


def test_a_correction_is_a_new_event_that_the_person_can_change(ballot, project, connect):
    labels = Labels(ballot)
    first = answer(ballot, ADA, choice="left", comment="a note")
    corrected = labels.correct({"id": first, "kind": "label", "side": "right", "strength": 2})["id"]
    (stands,) = standing_judgements(ballot.events())
    assert (stands.event_id, stands.chosen, stands.via) == (corrected, stands.right, "owner")
    assert stands.annotator == ballot.pseudonym(ADA)
    with pytest.raises(Refused, match="changed in the meantime"):
        labels.correct({"id": first, "kind": "tie"})
    for wrong in ({"kind": "flag"}, {"kind": "label"}, {"kind": "tie", "side": "left"},
                  {"kind": "label", "side": "left", "strength": 9}, {"kind": "label", "side": {}},
                  {"kind": "label", "side": "left", "strength": True}, {"kind": []}):  # fmt: skip
        with pytest.raises(Refused):
            labels.correct({"id": corrected} | wrong)
    assert ballot.close()
    events = Project.load(project.id).labels
    assert {first, corrected} <= {e.event_id for e in events}
    (preference,) = of_project(Project.load(project.id)).all()
    assert preference.strength == 2
    again = LabelBallot(Project.load(project.id), connect, "key", pause=0.1)  # Argilla agrees
    again.prepared()
    assert [e.event_id for e in standing_judgements(again.events())] == [corrected]
    again.close()
    assert len(Project.load(project.id).labels) == len(events)


def test_flags_and_notes_wait_until_an_owner_is_done_with_them(ballot):
    labels = Labels(ballot)
    noted = answer(ballot, ADA, comment="<b>odd</b>")
    assert labels.remarks({})["open"] == 1
    labels.review({"id": noted, "done": True})
    (row,) = labels.remarks({})["rows"]
    assert (row["done"], row["comment"]) == (True, "<b>odd</b>")
    labels.review({"id": noted, "done": False})
    assert labels.remarks({})["open"] == 1
    with pytest.raises(Refused):
        labels.review({"id": "nothing", "done": True})


def test_the_second_of_two_owners_is_told(ballot, project):
    one, other = Home(ballot), Home(ballot)
    base = one.guidelines({})["base"]
    one.write_guidelines({"text": "ours", "base": base})
    with pytest.raises(Changed) as told:
        other.write_guidelines({"text": "theirs", "base": base})
    assert (told.value.now, Project.load(project.id).guidelines) == ("ours", "ours")
    other.write_guidelines({"text": "theirs", "base": other.guidelines({})["base"]})
    assert Project.load(project.id).guidelines == "theirs"
    one.write_settings({"before": {"annotators": "anyone"}, "after": {"annotators": ["you"]}})
    with pytest.raises(Changed, match="annotators"):
        other.write_settings({"before": {"annotators": "anyone"}, "after": {"annotators": ["me"]}})
    assert Project.load(project.id).settings.annotators == ("you",)


def test_only_settings_that_are_safe_may_change(ballot, project):
    home = Home(ballot)
    for after in ({"question": "?"}, {"seed": 1}, {"strategy": "random"}, [], None):
        with pytest.raises(Refused):
            home.write_settings({"before": {}, "after": after})
    for before, after in ((1, 0), (1, "2"), (1, {}), (1, float("nan"))):
        sent = {"before": {"annotators_per_pair": before}, "after": {"annotators_per_pair": after}}
        with pytest.raises(BadInput):
            home.write_settings(sent)
    assert Project.load(project.id).settings == project.settings


def test_a_paused_project_asks_nothing_and_takes_what_was_answered(ballot, project, connect):
    (item,) = ballot.next(ADA, 1, [])["items"]
    Home(ballot).write_settings({"before": {"paused": False}, "after": {"paused": True}})
    assert Home(ballot).taken_over({}) == {"done": False}
    paused = LabelBallot(Project.load(project.id), connect, "key", pause=0.1)
    paused.prepared()
    asked = paused.next(ADA, 8, [])
    assert (asked["items"], asked["paused"]) == ([], True)
    assert paused.submit(ADA, [label(item)])[0].state == "saved"
    paused.close()


def test_the_next_step_of_the_home_is_that_of_palate_status(ballot, project):
    state = Home(ballot).state({})
    assert (state["next"], state["command"]) == ("labels", f"palate label {project.id}")
    assert state["button"] == {"does": "open", "what": "/"}
    assert [step["name"] for step in state["steps"] if step["done"]] == ["prompts", "candidates"]


def test_only_named_commands_and_jobs_run(ballot):
    home = Home(ballot)
    for name in ("train --on", "demo", "", None, ["export"]):
        with pytest.raises(Refused):
            home.run({"command": name})
        with pytest.raises(Refused):
            home.plan({"job": name})
    with pytest.raises(Refused, match="no such job"):
        home.job({"id": "x"})


def test_a_second_click_starts_no_second_job(ballot, monkeypatch):
    started = []

    def palate(name: str, *words: str) -> str:
        started.append({"job": name, "ended": False})
        return "started"

    home = Home(ballot)
    monkeypatch.setattr("palate.web.labelling.home.palate", palate)
    monkeypatch.setattr(home, "_jobs", lambda: [dict(job) for job in started])

    def click(_: int) -> str:
        try:
            return str(home.start({"job": "train"})["text"])
        except Refused as refused:
            return str(refused.status)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(click, range(4))) == ["409", "409", "409", "started"]
    started[0]["ended"] = True
    assert click(0) == "started"


def test_a_line_of_a_log_is_cut(ballot, monkeypatch):
    home = Home(ballot)
    lines = ["\x1b[31m\u202e" + "x" * 10**6] * 3
    monkeypatch.setattr(home, "_jobs", lambda: [{"id": "x", "ended": True}])
    api = SimpleNamespace(fetch_job_logs=lambda **_: lines)
    monkeypatch.setattr("palate.web.labelling.home.hub.api", lambda: api)
    log = home.job({"id": "x"})["log"]
    assert [len(line) for line in log] == [2000] * 3
    assert "\x1b" not in log[0]


def test_argilla_gets_no_header_of_a_browser_but_what_it_needs():
    seen: dict[str, str] = {}

    class Argilla(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.update({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Argilla) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = SimpleNamespace(
            url=f"http://127.0.0.1:{server.server_port}",
            headers=lambda: {"x-argilla-api-key": "the Space's"},
        )
        access = SimpleNamespace(owns=lambda person: True)
        app = Starlette(routes=[_proxy(SimpleNamespace(access=access, store=lambda: store))])
        headers = {
            "x-annotator": "Ada", "range": "bytes=0-,0-,0-", "x-argilla-api-key": "mine",
            "authorization": "Bearer mine", "cookie": "palate=1", "accept-language": "fr",
        }  # fmt: skip
        transport = httpx.ASGITransport(app)

        async def visit() -> int:
            async with httpx.AsyncClient(transport=transport, base_url="http://space") as client:
                return (await client.get("/argilla/api/v1/me", headers=headers)).status_code

        with ThreadPoolExecutor(1) as thread:  # a browser test may have left a loop in this one
            assert thread.submit(lambda: asyncio.run(visit())).result() == 200
        server.shutdown()
    assert seen["x-argilla-api-key"] == "the Space's"
    assert seen["accept-language"] == "fr"
    assert not {"range", "authorization", "cookie", "x-annotator"} & set(seen)

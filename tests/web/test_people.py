"""Questions that are one person's alone, and budgets that no number of devices stretches."""

import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from palate.core.errors import Unreachable
from palate.core.schema import PURPOSES, Candidate, Event, Pair, Prompt, to_json
from palate.label.assignment import BY_PERSON, Queue
from palate.label.strategies import STRATEGIES
from palate.web.ballot import people
from palate.web.ballot.people import (
    BURST_BYTES,
    BYTES_A_SECOND,
    EVENTS_ON_A_PAIR,
    Budgets,
    OverBudget,
    person_of,
    seal,
    unseal,
)
from palate.web.serving import secret_of

PROMPT = Prompt.of("A prompt")
X, Y = Candidate.of(PROMPT.id, "x"), Candidate.of(PROMPT.id, "y")


def event(number: int, annotator: str = "p-a", comment: str | None = None) -> Event:
    return Event(
        f"event-{number}", "label", Pair.of(X, Y).id, PROMPT.id, X.id, Y.id, X.id, 3, annotator,
        800, "2026-01-01T00:00:00.000Z", 1, "ballot", comment=comment,
    )  # fmt: skip


def test_a_key_that_was_half_written_is_replaced(tmp_path, monkeypatch):
    monkeypatch.delenv("PALATE_SECRET", raising=False)
    monkeypatch.setenv("PALATE_DATA", str(tmp_path))
    folder = tmp_path / "me--titles"
    folder.mkdir()
    (folder / "secret").touch()  # a kill came before the key
    key = secret_of("me/titles")
    assert len(key) == 64
    assert secret_of("me/titles") == key
    assert [file.name for file in folder.iterdir()] == ["secret"]
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600


def test_a_name_steers_no_terminal(monkeypatch):
    monkeypatch.delenv("OAUTH_CLIENT_ID", raising=False)
    header = quote("\x1b]0;owned\x07 Ada\u202e\n").encode()
    request = Request({"type": "http", "headers": [(b"x-annotator", header)]})
    assert person_of(request).name == "\ufffd]0;owned\ufffd Ada\ufffd"


@given(st.binary(min_size=1), st.text(), st.sampled_from(PURPOSES), st.text("0123456789abcdef"))
def test_a_sealed_question_opens_for_its_person_and_key_alone(key, who, purpose, pair_id):
    sealed = seal(key, who, purpose, pair_id)
    assert unseal(key, who, sealed) == (purpose, pair_id)
    assert unseal(key, who + "x", sealed) is None
    assert unseal(key + b"x", who, sealed) is None


@given(st.text())
def test_nothing_else_opens(text):
    assert unseal(b"key", "p-a", text) is None


def test_a_changed_id_does_not_open_and_shows_neither_pair_nor_purpose():
    pair = Pair.of(X, Y).id
    sealed = {purpose: seal(b"key", "p-a", purpose, pair) for purpose in PURPOSES}
    assert len({len(s) for s in sealed.values()}) == 1
    for s in sealed.values():
        assert pair not in s
        for at in range(0, len(s), 7):
            other = s[:at] + ("0" if s[at] != "0" else "1") + s[at + 1 :]
            assert unseal(b"key", "p-a", other) is None


@pytest.mark.parametrize("letter", ["x", "\N{GREEK SMALL LETTER ALPHA}", "\N{GRINNING FACE}"])
def test_a_flood_is_stopped_and_ordinary_work_is_not(letter):
    budgets, flood = Budgets(), [event(i, comment=letter * 1900) for i in range(50)]
    written = 0
    for i in range(3000):  # ten requests a second for five minutes
        with suppress(OverBudget):
            budgets.spend("p-a", flood, i / 10)
            written += sum(len(to_json(e).encode()) for e in flood)
    assert written < BURST_BYTES + 300 * BYTES_A_SECOND < 1_000_000
    for i in range(3000):
        budgets.spend("p-b", [event(i, "p-b")], i)  # an answer a second
    for i in range(25):
        budgets.spend("p-c", [event(i, "p-c")] * 20, 0)  # what piled up offline


def test_what_does_not_fit_takes_nothing_and_fits_later():
    budgets, many = Budgets(), [event(i, comment="x" * 1900) for i in range(100)]
    budgets.spend("p-a", many, 0)
    with pytest.raises(OverBudget):
        budgets.spend("p-a", many, 1)
    budgets.spend("p-a", [event(0)], 1)
    budgets.spend("p-a", many, 300)


def test_a_pair_takes_so_many_events_of_a_person():
    budgets = Budgets()
    budgets.note(event(i) for i in range(EVENTS_ON_A_PAIR - 1))
    assert not budgets.is_full(event(98), [])
    assert budgets.is_full(event(98), [event(99)])
    assert not budgets.is_full(event(98, "p-b"), [event(99)])


def test_aspects_of_a_pair_do_not_fill_each_other():
    budgets, names = Budgets(), ("helpful", "safe", "kind", "short")
    for number in range(EVENTS_ON_A_PAIR):
        answers = [replace(event(number), aspect=name) for name in names]
        assert not any(budgets.is_full(e, answers[:i]) for i, e in enumerate(answers))
        budgets.note(answers)
    assert all(budgets.is_full(e, []) for e in answers)


def test_one_person_with_60_devices_leaves_pairs_for_another():
    prompts = [Prompt.of(f"Prompt {i}") for i in range(200)]
    pairs = [Pair.of(Candidate.of(p.id, "x"), Candidate.of(p.id, "y")) for p in prompts]
    queue = Queue(pairs, STRATEGIES["random"]())
    held = [q for i in range(60) for q in queue.next("eve", 8, (), 0.0, f"device {i}")]
    assert len(held) <= max(BY_PERSON, 100)
    assert len(queue.next("bob", 8, (), 1.0, "phone")) == 8


def test_an_organization_is_asked_again_and_an_outage_gives_no_rights(monkeypatch):
    member = b'{"orgs": [{"preferred_username": "team", "roleInOrg": "write"}]}'
    answers = [(200, member), (200, b'{"orgs": []}'), (502, b"?"), (200, b"<html>"), (200, b"[]")]

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENID_PROVIDER_URL", f"http://127.0.0.1:{server.server_port}")
        assert people._organisations("token", 1) == {"team": "write"}
        assert people._organisations("token", 1) == {"team": "write"}  # not asked again at once
        assert people._organisations("token", 2) == {}
        for _ in range(3):
            with pytest.raises(Unreachable, match="which organizations you belong to"):
                people._organisations("token", 3)
        assert answers == []
        server.shutdown()

"""Attacks on both Spaces as `palate deploy` runs them: by a stranger, and by one who may label.

`me` owns the project, `you` may label, and the stranger has no account.
"""

import gzip
import json
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from environments import lay_environments
from huggingface_hub.utils import httpx
from rich.console import Console
from signing import allowed, set_cookie, signed_in

from palate.collect import importing
from palate.core import hub as calls
from palate.core.ledger import jsonl, standing_judgements
from palate.core.project import Project, Settings
from palate.core.schema import Candidate, Prompt
from palate.web import deploy
from palate.web.deploy_plan import KINDS, SpaceOptions, space_of
from palate.web.labelling.owner import OWNER_CALLS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x03\0\0\0\x02\x08\x02"
JSON = {"content-type": "application/json"}
SECRET = "the key of pseudonyms"
PRIVATE = ("a secret prompt", "a secret answer", "a secret rule", "a secret note")
PATHS = [
    "/", "/api/me", "/api/next", "/healthz", "/owner", "/owner.json", "/owner?key=",
    "/owner?key=x", "/owner/argilla", "/owner/people", "/owner/find", "/owner/state",
    "/argilla/", "/argilla/api/v1/me",
    "/argilla/api/v1/users", "/argilla//127.0.0.1:1/", "/argilla/%2e%2e/owner.json",
    "/argilla/..%2fowner.json", "/verdict", "/verdict?key=x", "/verdict.json", "/config",
    "/gradio_api/info", "/gradio_api/file=/etc/passwd", "/gradio_api/heartbeat/x",
    "/gradio_api/queue/data?session_hash=x", "/queue/join", "/openapi.json", "/ballot/../app.py",
    "/ballot/%2e%2e/service.py", "/ballot/..%2f..%2fapp.py", "/ballot//etc/passwd",
    "/static/../../etc/passwd", "/assets/%2e%2e/%2e%2e/main.py", "/file=/proc/self/environ",
    "/picture/secret.png", "/picture/..%2f..%2fetc%2fpasswd.png", "/picture/%2fetc%2fpasswd",
    "/picture/palate.toml", "/picture/labels%2fx.jsonl%00.png",
    "/proxy=http://127.0.0.1:1/", "/login/callback?code=x&state=y", "/.env", "/palate/__init__.py",
]  # fmt: skip


@dataclass
class World:
    """A project, its two deployed Spaces by kind, and the cookies of two people there."""

    project_id: str
    urls: dict[str, str]
    cookies: dict[tuple[str, str], dict[str, str]]

    def ask(self, kind: str, call: str, who: str, body: object, **headers: str) -> httpx.Response:
        url, cookie = self.urls[kind], self.cookies[kind, who]
        return httpx.post(f"{url}/api/{call}", json=body, headers=cookie | JSON | headers)

    def answer(self, kind: str, who: str, **more: object) -> dict[str, object]:
        """Return an event on the person's next pair, as the page sends it."""
        body = {"n": 1, "device": who}
        (item,) = self.ask(kind, "next", who, body).json()["items"]
        return {
            "event_id": str(uuid.uuid4()), "assignment_id": item["id"], "kind": "label",
            "choice": "left", "strength": 3, "milliseconds": 900, "comment": PRIVATE[3],
        } | more  # fmt: skip


@pytest.fixture(scope="module")
def world(hub, argilla, space_python, tmp_path_factory) -> Iterator[World]:
    project_id = f"me/a{uuid.uuid4().hex[:10]}"
    prompts = [Prompt.of(f"{PRIVATE[0]} {i}") for i in range(30)]
    importing.start_project(project_id, prompts, Settings(eval=0.3))
    project = Project.load(project_id)
    rows = [Candidate.of(p.id, f"{PRIVATE[1]} {n} {p.text}") for p in prompts for n in "ab"]
    for p in project.prompts:
        if p.split == "eval":
            rows.append(Candidate.of(p.id, PRIVATE[1], model="me/base", revision="b" * 40))
            rows.append(Candidate.of(p.id, "it", model=project.model_repo, revision="t" * 40))
    files = {"candidates/z.jsonl": jsonl(rows), "guidelines.md": PRIVATE[2], "secret.png": PNG}
    calls.commit(project_id, "dataset", files, "Add")
    lay_environments(hub.root, space_python)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "PALATE_DATA": str(tmp_path_factory.mktemp("data")), "PALATE_SECRET": SECRET,
            "ARGILLA_API_URL": argilla.url, "ARGILLA_API_KEY": argilla.api_key,
        }.items():  # fmt: skip
            environment.setenv(name, value)
        project = Project.load(project_id)
        try:
            deploy.deploy(project, SpaceOptions(visibility="protected"), Console(quiet=True))
            info = {k: calls.api().space_info(space_of(project_id, k)) for k in KINDS}
            urls = {kind: i.host for kind, i in info.items()}
            people = [(kind, who) for kind in KINDS for who in ("me", "you")]
            yield World(
                project_id, urls, {(k, who): signed_in(hub, urls[k], who) for k, who in people}
            )
        finally:
            deploy.delete(project)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_and_another_person_read_nothing_of_the_project(world, kind):
    url = world.urls[kind]
    sent = world.ask("label", "events", "me", {"events": [world.answer("label", "me")]})
    assert sent.json()["results"][0]["state"] in ("saved", "published", "waiting")
    other = "evaluate" if kind == "label" else "label"
    for cookie in ({}, world.cookies[kind, "you"], world.cookies[other, "me"]):
        for path in PATHS:
            answer = httpx.get(url + path, headers=cookie)
            assert answer.status_code < 500, path
            text = (
                answer.text.replace(PRIVATE[2], "") if cookie and path == "/api/me" else answer.text
            )
            assert not [p for p in (*PRIVATE, SECRET, "hf_", "root:x") if p in text], path
        for call in OWNER_CALLS:
            sent = httpx.post(f"{url}/owner/{call}", json={}, headers=cookie | JSON)
            assert sent.status_code == (403 if kind == "label" else 404), call
    for call in ("next", "events", "figures"):
        assert httpx.post(f"{url}/api/{call}", json={}, headers=JSON).status_code == 401


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_for_those_who_may_answer_on_this_page_alone(world, kind):
    url, other = f"{world.urls[kind]}/picture/secret.png", KINDS[kind == KINDS[0]]
    assert httpx.get(url).status_code == 403
    assert httpx.get(url, headers=world.cookies[other, "me"]).status_code == 403
    image = httpx.get(url, headers=world.cookies[kind, "you"])
    assert (image.content, image.headers["content-type"]) == (PNG, "image/png")
    assert image.headers["cross-origin-resource-policy"] == "same-origin"
    assert "private" in image.headers["cache-control"]


def test_another_account_of_the_hub_reads_no_labels(world, hub):
    for path in ("resolve/main/palate.toml", "raw/main/README.md", "tree/main", ""):
        for token in ({}, {"authorization": f"Bearer {hub.tokens['you']}"}):
            for where in ("datasets", "api/datasets"):
                url = f"{hub.endpoint}/{where}/{world.project_id}/{path}"
                assert httpx.get(url, headers=token).status_code in (401, 403, 404), url


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"},
        {"origin": "http://127.0.0.1.evil.example"}, {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
    ],
)  # fmt: skip
def test_no_other_site_acts_for_somebody(world, kind, headers):
    given = world.cookies[kind, "me"] | JSON | headers
    for path in ("/api/next", "/api/events", "/api/stop", "/owner/people", "/owner/correct",
                 "/owner/start", "/argilla/api/v1/users"):  # fmt: skip
        answer = httpx.post(world.urls[kind] + path, content=b"{}", headers=given)
        missing = path.startswith(("/owner", "/argilla")) and kind == "evaluate"
        missing |= path == "/api/stop" and kind == "label"
        expected = (403, 404, 405, 415) if missing or "content-type" in headers else (403,)
        if path.startswith("/argilla") and "content-type" in headers:
            continue  # Argilla itself judges the body
        assert answer.status_code in expected, path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1%25x]", "x@y", ""])
def test_no_other_name_leads_here(world, kind, host):
    for path in ("/", "/api/me", "/owner", "/ballot/ballot.js"):
        answer = httpx.get(world.urls[kind] + path, headers={"host": host})
        assert answer.status_code in (400, 421), path


def test_a_code_and_a_state_are_used_once_and_by_one_browser(world, hub):
    url = world.urls["label"]
    begin = httpx.get(f"{url}/login/huggingface")
    back = allowed(hub, begin.headers["location"], "you")
    stranger = httpx.get(f"{url}/login/huggingface")
    for cookie in ({}, set_cookie(stranger), world.cookies["label", "me"]):
        assert httpx.get(back, headers=cookie).headers["location"] == "/?sign-in=failed"
    first, second = (httpx.get(back, headers=set_cookie(begin)) for _ in range(2))
    assert (first.headers["location"], second.headers["location"]) == ("/", "/?sign-in=failed")
    fixed = httpx.get(f"{url}/login/huggingface", headers=world.cookies["label", "me"])
    assert httpx.get(f"{url}/api/me", headers=set_cookie(fixed)).json()["name"] is None


def test_votes_at_once_count_once_and_receipts_prove_nothing(world):
    event = world.answer("label", "you")
    rival = event | {"event_id": str(uuid.uuid4()), "choice": "right"}

    def send(number: int) -> list[dict]:
        body = {"events": [(event, rival)[number % 2]]}
        return world.ask("label", "events", "you", body).json()["results"]

    with ThreadPoolExecutor(12) as pool:
        receipts = [r for results in pool.map(send, range(24)) for r in results]
    assert {r["state"] for r in receipts} <= {"saved", "published"}
    stolen = world.ask("label", "events", "me", {"events": [event]}).json()["results"][0]
    assert (stolen["state"], stolen["reason"]) == ("rejected", "this event id is taken")
    done = world.ask("label", "next", "you", {"n": 0}).json()["done"]
    assert done == 1
    while send(0)[0]["state"] != "published" or send(1)[0]["state"] != "published":
        pass
    events = [e for e in Project.load(world.project_id).labels if e.event_id in
              (event["event_id"], rival["event_id"])]  # fmt: skip
    assert len(events) == 2
    assert len(standing_judgements(events)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_stream_no_socket_and_no_packed_body(world, kind):
    address = httpx.URL(world.urls[kind])
    for path in ("/", "/api/next", "/gradio_api/queue/join", "/argilla/"):
        lines = [
            f"GET {path} HTTP/1.1", f"Host: {address.host}:{address.port}", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAA" + "A" * 20,
        ]  # fmt: skip
        with socket.create_connection((address.host, address.port), timeout=30) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            assert b" 101 " not in connection.recv(100)
    bomb = gzip.compress(b'{"events": []}' + b" " * 10_000_000)
    headers = world.cookies[kind, "me"] | JSON | {"content-encoding": "gzip"}
    for path in ("/api/events", "/api/next"):
        answer = httpx.post(world.urls[kind] + path, content=bomb, headers=headers)
        assert answer.status_code == 400, path


def test_nothing_of_a_request_and_no_secret_is_in_a_log(world, hub):
    for kind in KINDS:
        url = world.urls[kind]
        for path in ("/x%0d%0aERROR: forged", "/%1b]0;owned%07", "/?a=%0aforged"):
            assert httpx.get(url + path).status_code in (200, 404)
        name = {"x-annotator": "a%0d%0aforged%1b", "cookie": "palate-x=forged"}
        httpx.post(f"{url}/api/next", content=b"forged", headers=JSON | name)
        httpx.get(f"{url}/login/callback?error=forged&error_description=forged")
        log = "".join(calls.api().fetch_space_logs(space_of(world.project_id, kind)))
        wrong = ("forged", "owned", SECRET, hub.token, *hub.tokens.values(), "Traceback", *PRIVATE)
        assert not [word for word in wrong if word in log], log
    assert json.loads(httpx.get(f"{world.urls['label']}/healthz").text)["problem"] in (
        None,
        "Argilla is starting",
    )

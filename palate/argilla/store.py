"""The Argilla side of a project: pairs are records, annotators are users, events are in responses.

Knows nothing of embedded or full. A response holds what a person says of a pair in Argilla's own
terms (choice, strength, comment), so its UI shows it, and in addition every event as it was made,
so that nothing of the ledger is lost if the process dies before publishing.
"""

import threading
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from palate.core.errors import PalateError, Unreachable
from palate.core.ledger import standing_judgements
from palate.core.schema import Candidate, Event, Pair, Prompt, to_json
from palate.core.typed import read_line

NAMESPACE = uuid.UUID("5d3f5d0e-6d0a-4c3c-9f5a-3a2b6a1c7e10")
WORKSPACE = "palate"
BATCH = 250  # records in a request
RESPONSES = 100  # Argilla takes no more in one
CHOICES = {"a": "A", "b": "B", "tie": "Tie", "both_bad": "Both bad", "rewrite": "Neither"}
Row = tuple[Pair, Prompt, Candidate, Candidate]


@dataclass(frozen=True)
class Annotator:
    """A person as Argilla knows them. Their key stays inside the store."""

    id: str
    pseudonym: str  # their user name there, and the annotator of their events


@dataclass(frozen=True)
class Response:
    """What Argilla holds of one person's answer to one pair."""

    id: str
    pair_id: str
    annotator: str  # a pseudonym; the Argilla user's id where somebody answered in its own UI
    status: str  # "draft", "submitted", "discarded"
    values: dict[str, Any]  # question → answer
    updated: str


class LabelStore:
    """One project's dataset in the Argilla at `api_url`; connects at the first call."""

    def __init__(self, api_url: str, api_key: str):
        self.url = api_url.rstrip("/")
        self._key = api_key
        self._client: Any = None
        self._dataset: Any = None
        self._records: dict[str, str] = {}  # pair id → record id
        self._clients: dict[str, Any] = {}  # annotator id → HTTP client with their key
        self._events: dict[tuple[str, str], list[Event]] = {}  # (annotator id, pair id)
        self._names: dict[str, str] = {}  # pseudonym → the name that Argilla was told
        self._loaded = False  # whether what was there before this process is in `_events`
        self._loading = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def headers(self) -> dict[str, str]:
        """Return what opens Argilla to a request; it must not leave this machine."""
        return {"X-Argilla-Api-Key": self._key}

    def __repr__(self) -> str:
        return f"LabelStore({self.url!r})"

    def ready(self) -> bool:
        """Tell whether Argilla answers and accepts the key."""
        try:
            self._get(self._owner(), "/api/v1/me")
        except PalateError:
            return False
        return True

    def open(self, project_id: str, *, question: str, guidelines: str = "") -> None:
        """Get or create the project's dataset. Two that start at once end at the same one."""
        import argilla
        from argilla._exceptions import ConflictError  # the SDK exports it nowhere else

        rg: Any = argilla  # its classes look abstract to a type checker
        self._owner()
        name = project_id.replace("/", "__")
        with _readable(self.url):
            if all(w.name != WORKSPACE for w in self._client.workspaces):
                with suppress(ConflictError):
                    rg.Workspace(name=WORKSPACE, client=self._client).create()
            workspace = self._client.workspaces(WORKSPACE)
            if all(d.name != name for d in workspace.datasets):
                settings = _settings(rg, question, guidelines)
                made = rg.Dataset(name, WORKSPACE, settings=settings, client=self._client)
                with suppress(ConflictError):
                    made.create()
            self._dataset = self._client.datasets(name, workspace=WORKSPACE)
            self._workspace = str(workspace.id)
        self._records = {r["external_id"]: r["id"] for r in self._pages("")}

    def add_pairs(
        self, rows: Sequence[Row], progress: Callable[[int, int], None] = lambda done, all: None
    ) -> int:
        """Add the pairs that Argilla lacks, in batches; return how many those were."""
        new = [row for row in rows if row[0].id not in self._records]
        for start in range(0, len(new), BATCH):
            items = [_record(*row) for row in new[start : start + BATCH]]
            path = f"/api/v1/datasets/{self._dataset.id}/records/bulk"
            answer = self._send(self._owner(), "PUT", path, {"items": items})
            self._records |= {item["external_id"]: item["id"] for item in answer["items"]}
            progress(min(start + BATCH, len(new)), len(new))
        return len(new)

    def annotator(self, pseudonym: str, name: str = "") -> Annotator:
        """Return the Argilla user of a person, made if need be; the name stays in Argilla.

        Without a name one that is known already is kept: a ledger knows pseudonyms alone.
        """
        id = str(uuid.uuid5(NAMESPACE, pseudonym))
        with self._lock:
            if id in self._clients and self._names.get(pseudonym) in (name, name or None):
                return Annotator(id, pseudonym)
        owner = self._owner()
        first_name = plain(name)[:80] or pseudonym
        user = {"id": id, "first_name": first_name, "username": pseudonym, "role": "annotator"}
        made = self._send(
            owner, "POST", "/api/v1/users", user | {"password": uuid.uuid4().hex * 2}, accept=409
        )
        known = made or self._get(owner, f"/api/v1/users/{id}")
        if name and known["first_name"] != first_name:
            self._send(owner, "PATCH", f"/api/v1/users/{id}", {"first_name": first_name})
        path = f"/api/v1/workspaces/{self._workspace}/users"
        self._send(owner, "POST", path, {"user_id": id}, accept=409)
        with self._lock:
            self._names[pseudonym] = name
            self._clients.setdefault(id, _client(self.url, known["api_key"]))
        return Annotator(id, pseudonym)

    def names(self) -> dict[str, str]:
        """Return the names of all annotators by pseudonym."""
        users = self._get(self._owner(), "/api/v1/users")["items"]
        return {u["username"]: u["first_name"] for u in users if _is_ours(u)}

    def responses(self) -> Iterator[Response]:
        """Yield every response in Argilla, of all people and in all datasets."""
        users = self._get(self._owner(), "/api/v1/users")["items"]
        ours = {u["id"]: u["username"] for u in users if _is_ours(u)}
        for record in self._pages("include=responses"):
            for r in record.get("responses") or []:
                values = {name: v["value"] for name, v in (r["values"] or {}).items()}
                who = ours.get(r["user_id"], r["user_id"])
                pair = record["external_id"]
                yield Response(r["id"], pair, who, r["status"], values, r["updated_at"])

    def save(self, annotator: Annotator, events: Sequence[Event]) -> None:
        """Commit the events in Argilla, in one request; what is there already changes nothing."""
        with self._lock:
            lock = self._locks.setdefault(annotator.id, threading.Lock())
        with lock:
            self._load()
            changed: dict[str, list[Event]] = {}
            for event in events:
                key = (annotator.id, event.pair_id)
                known = changed.get(event.pair_id) or self._events.get(key, [])
                if all(event.event_id != e.event_id for e in known):
                    changed[event.pair_id] = [*known, event]
            if not changed:
                return
            items = [self._response(pair_id, said) for pair_id, said in changed.items()]
            client = self._clients[annotator.id]
            for start in range(0, len(items), RESPONSES):
                body = {"items": items[start : start + RESPONSES]}
                answer = self._send(client, "POST", "/api/v1/me/responses/bulk", body)
                failed = [i["error"]["detail"] for i in answer["items"] if i.get("error")]
                if failed:
                    raise PalateError(f"Argilla refused {len(failed)} responses: {failed[0]}")
            for pair_id, said in changed.items():
                self._events[annotator.id, pair_id] = said

    def events(self) -> list[Event]:
        """Return every event in Argilla, of all annotators."""
        found = []
        for response in self.responses():
            said = list(events_of(response))
            found += said
            id = str(uuid.uuid5(NAMESPACE, response.annotator))
            self._events.setdefault((id, response.pair_id), said)
        self._loaded = True
        return found

    def learn(self, events: Iterable[Event]) -> None:
        """Note events that another process has saved: a response is written as a whole."""
        for event in events:
            id = str(uuid.uuid5(NAMESPACE, event.annotator))
            with self._lock:
                lock = self._locks.setdefault(id, threading.Lock())
            with lock:
                said = self._events.get((id, event.pair_id), [])
                if all(event.event_id != e.event_id for e in said):
                    self._events[id, event.pair_id] = [*said, event]

    def close(self) -> None:
        """Close the connections; the store opens new ones if it is used again."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
            if self._client is not None:
                clients.append(self._client.api.http_client)
                self._client = None
        for client in clients:
            client.close()

    def _response(self, pair_id: str, said: list[Event]) -> dict:
        if pair_id not in self._records:
            raise PalateError(f"Argilla has no record of the pair {pair_id}.")
        status, answers = answers_of(said)
        answers["events"] = "".join(to_json(e) + "\n" for e in said)
        values = {name: {"value": value} for name, value in answers.items()}
        return {"record_id": self._records[pair_id], "values": values, "status": status}

    def _load(self) -> None:
        """Read once the responses from before this process, so that none is overwritten."""
        with self._loading:
            if not self._loaded:
                self.events()

    def _pages(self, query: str) -> Iterator[dict]:
        offset, size = 0, 500
        while True:
            path = f"/api/v1/datasets/{self._dataset.id}/records"
            page = self._get(self._owner(), f"{path}?limit={size}&offset={offset}&{query}")
            yield from page["items"]
            offset += size
            if offset >= page["total"]:
                return

    def _owner(self) -> Any:
        import argilla as rg

        with self._lock:
            if self._client is None:
                with _readable(self.url):
                    # the SDK leaves its connection open where it refuses a key
                    with closing(_client(self.url, self._key)) as first:
                        first.get("/api/v1/me").raise_for_status()
                    self._client = rg.Argilla(api_url=self.url, api_key=self._key)
            return self._client.api.http_client

    def _get(self, client: Any, path: str) -> Any:
        with _readable(self.url):
            answer = client.get(path)
            answer.raise_for_status()
            return answer.json()

    def _send(self, client: Any, method: str, path: str, body: dict, accept: int = 0) -> Any:
        with _readable(self.url):
            answer = client.request(method, path, json=body)
            if answer.status_code == accept:
                return None
            answer.raise_for_status()
            return answer.json()


def answers_of(said: Sequence[Event]) -> tuple[str, dict[str, Any]]:
    """Return a response's status and the answers to Argilla's own questions after these events."""
    standing = standing_judgements(said)
    last = standing[-1] if standing else None
    values: dict[str, Any] = {}
    if last is not None and last.kind in ("tie", "both_bad", "rewrite"):
        values["choice"] = last.kind
    elif last is not None and last.kind == "label":
        values["choice"] = "a" if last.chosen == min(last.left, last.right) else "b"
    if last is not None and last.strength:
        values["strength"] = last.strength
    if last is not None and last.text:
        values["rewrite"] = plain(last.text)
    if comment := next((e.comment for e in reversed(said) if e.comment), None):
        values["comment"] = comment
    status = "draft" if last is None else "discarded" if last.kind == "skip" else "submitted"
    return status, values


def plain(text: str) -> str:
    """Return the text without what a database or an encoding cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _is_ours(user: dict) -> bool:
    return user["id"] == str(uuid.uuid5(NAMESPACE, user["username"]))


def _settings(rg: Any, question: str, guidelines: str) -> Any:
    return rg.Settings(
        guidelines=guidelines or question,
        fields=[
            rg.TextField(name="prompt", title="Prompt"),
            rg.TextField(name="a", title="A"),
            rg.TextField(name="b", title="B"),
        ],
        questions=[
            rg.LabelQuestion(name="choice", title=question, labels=CHOICES),
            rg.RatingQuestion(
                name="strength", title="How much better?", values=[1, 2, 3, 4], required=False
            ),
            rg.TextQuestion(name="comment", title="A remark", required=False),
            rg.TextQuestion(name="rewrite", title="A better one", required=False),
            rg.TextQuestion(name="events", title="The record (leave as it is)", required=False),
        ],
        metadata=[
            rg.TermsMetadataProperty(name="prompt_id", title="Prompt"),
            rg.IntegerMetadataProperty(name="round", title="Round"),
        ],
        distribution=rg.TaskDistribution(min_submitted=1),
    )


def _record(pair: Pair, prompt: Prompt, x: Candidate, y: Candidate) -> dict:
    text = {x.id: x.text, y.id: y.text}
    return {
        "external_id": pair.id,
        "fields": {
            "prompt": plain(prompt.text),
            "a": plain(text[pair.a]),
            "b": plain(text[pair.b]),
        },
        "metadata": {"prompt_id": pair.prompt_id, "round": max(x.round, y.round)},
    }


def events_of(response: Response) -> Iterator[Event]:
    """Yield the events that the response carries, as they were made."""
    text = response.values.get("events") or ""
    source = f"Argilla's response {response.id}"
    for number, line in enumerate(text.splitlines(), 1):
        yield read_line(Event, line, source, number)


def _client(url: str, key: str) -> Any:
    from argilla._api import create_http_client

    return create_http_client(api_url=url, api_key=key, timeout=30, retries=0)


@contextmanager
def _readable(url: str) -> Generator[None]:
    """Turn the SDK's and its client's errors into palate's, each ending in what to do."""
    import httpx  # argilla's own client
    from argilla._exceptions import (
        ArgillaAPIError,
        ArgillaCredentialsError,
        ArgillaError,
        UnauthorizedError,
    )

    try:
        yield
    except httpx.TransportError as error:
        raise Unreachable(
            f"Argilla at {url} does not answer ({error or type(error).__name__}). Start one with"
            " `palate argilla serve`, or set ARGILLA_API_URL."
        ) from None
    except httpx.HTTPStatusError as error:
        raise _refused(url, error.response.status_code, error.response.text) from None
    except (ArgillaCredentialsError, UnauthorizedError):
        raise _refused(url, 401, "") from None
    except ArgillaAPIError as error:
        raise _refused(url, error.status_code, str(error.message)) from None
    except ArgillaError as error:
        raise PalateError(f"Argilla at {url}: {error}") from None


def _refused(url: str, status: int, text: str) -> PalateError:
    if status in (401, 403):
        return Unreachable(
            f"Argilla at {url} does not accept the key. Set ARGILLA_API_KEY to an owner's key."
        )
    if status >= 500:
        return Unreachable(f"Argilla at {url} answered {status}: {text[:200]}")
    return PalateError(f"Argilla at {url} refused ({status}): {text[:300]}")

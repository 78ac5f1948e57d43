"""A project in Argilla: pairs are records, annotators are users, events are in the responses.

Argilla runs here or anywhere else. A response holds every event of a person on a pair in addition
to the answers that Argilla's pages show, so no label is lost if this process ends before the ledger
has it.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from palate.argilla.connection import Connection, create, readable_errors
from palate.argilla.responses import Response, plain, record_of, settings_of, values_of
from palate.core.errors import BadInput, PalateError
from palate.core.schema import Candidate, Event, Pair, Prompt

if TYPE_CHECKING:
    import argilla
    import httpx  # argilla's own client

NAMESPACE = uuid.UUID("5d3f5d0e-6d0a-4c3c-9f5a-3a2b6a1c7e10")
WORKSPACE = "palate"
MAX_RECORDS = 250  # in a request
MAX_RESPONSES = 100  # Argilla accepts no more in a request
NAME_CHARACTERS = 80  # of a person's name
FullPair = tuple[Pair, Prompt, Candidate, Candidate]


class User(TypedDict):
    """A user as Argilla returns them; the name is the person's, the user name a pseudonym."""

    id: str
    username: str
    first_name: str
    api_key: str


@dataclass(frozen=True)
class Annotator:
    """A person who is a user in Argilla. The key that they have there stays inside the store."""

    id: str
    pseudonym: str  # their user name there, and the annotator of their events


class LabelStore:
    """A project's dataset in the Argilla at `api_url`; connects at the first call."""

    def __init__(self, api_url: str, api_key: str):
        self._argilla = Connection(api_url, api_key)
        self._dataset = self._workspace = ""  # ids, once `open` has run
        self._records: dict[str, str] = {}  # pair id → record id
        self._clients: dict[str, httpx.Client] = {}  # annotator id → client with their key
        self._events: dict[tuple[str, str], list[Event]] = {}  # (annotator id, pair id)
        self._names: dict[str, str] = {}  # pseudonym → the name that was sent to Argilla
        self._loaded = False  # whether `_events` has what Argilla held before this process
        self.aspect: str | None = None  # of the project, about which Argilla's pages ask
        self.unreadable: dict[str, str] = {}  # response id → what is wrong with it
        self._loading = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}  # annotator id → lock of their responses
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._argilla.url

    def headers(self) -> dict[str, str]:
        """Return the headers that open Argilla to a request; they must not leave this machine."""
        return self._argilla.headers()

    def __repr__(self) -> str:
        return f"LabelStore({self.url!r})"

    def open(self, project_id: str, *, question: str, guidelines: str = "") -> None:
        """Get the project's dataset, or create it. Processes that start together get the same."""
        import argilla as rg

        sdk, name = self._argilla.sdk(), project_id.replace("/", "__")
        with readable_errors(self.url):
            if all(w.name != WORKSPACE for w in sdk.workspaces):
                new = rg.Workspace(name=WORKSPACE, client=sdk)  # ty: ignore[abstract-class-instantiation]
                create(new.create, self.url)
            workspace = next(w for w in sdk.workspaces if w.name == WORKSPACE)
            self._workspace, settings = str(workspace.id), settings_of(question, guidelines)
            if all(d.name != name for d in workspace.datasets):
                self._argilla.create("/api/v1/datasets", self._new(name, settings))
            dataset = next(d for d in workspace.datasets if d.name == name)
            self._dataset = str(dataset.id)
            if not self._is_published():
                self._complete(dataset, settings)
        for page in self._argilla.pages(self._path("records")):
            self._records |= {r["external_id"]: r["id"] for r in page.json()["items"]}

    def add_pairs(self, pairs: Sequence[FullPair]) -> int:
        """Add the pairs that Argilla lacks; return how many those were."""
        new = [pair for pair in pairs if pair[0].id not in self._records]
        for start in range(0, len(new), MAX_RECORDS):
            items = [record_of(*pair) for pair in new[start : start + MAX_RECORDS]]
            answer = self._argilla.send("PUT", self._path("records/bulk"), {"items": items})
            self._records |= {r["external_id"]: r["id"] for r in answer.json()["items"]}
        return len(new)

    def annotator(self, pseudonym: str, name: str = "") -> Annotator:
        """Return the person's Argilla user, created if need be; their name stays in Argilla.

        Without `name`, a name that Argilla has is kept: the ledger knows only pseudonyms.
        """
        annotator = Annotator(_user_id(pseudonym), pseudonym)
        with self._lock:
            current = self._names.get(pseudonym)
            if annotator.id in self._clients and current in (name, name or None):
                return annotator
        user = self._user(annotator, plain(name)[:NAME_CHARACTERS])
        path = f"/api/v1/workspaces/{self._workspace}/users"
        self._argilla.create(path, {"user_id": annotator.id})
        with self._lock:
            self._names[pseudonym] = name
            self._clients.setdefault(annotator.id, self._argilla.client(user["api_key"]))
        return annotator

    def names(self) -> dict[str, str]:
        """Return the names of all annotators by pseudonym."""
        return {u["username"]: u["first_name"] for u in self._users()}

    def responses(self) -> Iterator[Response]:
        """Yield every response in the project's dataset, of all people."""
        pseudonyms = {u["id"]: u["username"] for u in self._users()}
        for page in self._argilla.pages(self._path("records"), "include=responses"):
            for record in page.json()["items"]:
                for saved in record.get("responses") or []:
                    yield Response.of(record["external_id"], saved, pseudonyms)

    def forget(self, is_forgotten: Callable[[str], bool]) -> int:
        """Delete the responses of the annotators for whom `is_forgotten`; return how many.

        Of those who are annotators of ours, delete the user and thereby the name. A user that the
        owner of Argilla made stays.
        """
        responses = [r for r in self.responses() if is_forgotten(r.annotator)]
        for response in responses:
            self._argilla.send("DELETE", f"/api/v1/responses/{response.id}", accept=404)
        for user in self._users():
            if is_forgotten(user["username"]):
                self._argilla.send("DELETE", f"/api/v1/users/{user['id']}", accept=404)
        return len(responses)

    def save(self, annotator: Annotator, events: Sequence[Event]) -> None:
        """Save the events in the person's responses; events that are there change nothing."""
        with self._lock_of(annotator.id):
            self._load()
            changed: dict[str, list[Event]] = {}  # pair id → all events of its response
            for event in events:
                earlier = self._events.get((annotator.id, event.pair_id), [])
                if all(event.event_id != e.event_id for e in changed.get(event.pair_id, earlier)):
                    changed.setdefault(event.pair_id, [*earlier]).append(event)
            items = [self._item(pair_id, all_events) for pair_id, all_events in changed.items()]
            for start in range(0, len(items), MAX_RESPONSES):
                self._save(annotator, items[start : start + MAX_RESPONSES])
            for pair_id, all_events in changed.items():
                self._events[annotator.id, pair_id] = all_events

    def events(self) -> list[Event]:
        """Return every event in the project's dataset, of all annotators.

        A response that cannot be read is set aside in `unreadable`, so that it stops nobody else.
        """
        events: list[Event] = []
        for response in self.responses():
            try:
                held = response.events()
            except BadInput as error:
                self.unreadable[response.id] = str(error)
                continue
            events += held
            self._events.setdefault((_user_id(response.annotator), response.pair_id), held)
        self._loaded = True
        return events

    def learn(self, events: Iterable[Event]) -> None:
        """Note events that another process saved, so that saving a response does not drop them."""
        for event in events:
            key = _user_id(event.annotator), event.pair_id
            with self._lock_of(key[0]):
                known = self._events.get(key, [])
                if all(event.event_id != e.event_id for e in known):
                    self._events[key] = [*known, event]

    def close(self) -> None:
        """Close the connections; the store opens new ones if it is used again."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
        self._argilla.close()

    def _new(self, name: str, settings: "argilla.Settings") -> dict[str, object]:
        return {
            "name": name,
            "workspace_id": self._workspace,
            "guidelines": settings.guidelines,
            "allow_extra_metadata": settings.allow_extra_metadata,
            "distribution": settings.distribution.to_dict(),
        }

    def _is_published(self) -> bool:
        return self._argilla.get(f"/api/v1/datasets/{self._dataset}").json()["status"] == "ready"

    def _complete(self, dataset: "argilla.Dataset", settings: "argilla.Settings") -> None:
        """Create what the dataset lacks, and publish it: a process that began may have been killed.

        Another one may do the same at the same time.
        """
        from argilla._exceptions import UnprocessableEntityError

        try:
            for item in (*settings.fields, *settings.questions, *settings.metadata):
                item.dataset = dataset
                create(item.create, self.url)
            self._argilla.send("PUT", self._path("publish"))
        except (UnprocessableEntityError, PalateError):
            if not self._is_published():
                raise

    def _path(self, what: str) -> str:
        return f"/api/v1/datasets/{self._dataset}/{what}"

    def _users(self) -> list[User]:
        """Return the users that are annotators of ours."""
        users: list[User] = self._argilla.get("/api/v1/users").json()["items"]
        return [u for u in users if u["id"] == _user_id(u["username"])]

    def _user(self, annotator: Annotator, name: str) -> User:
        """Return the annotator's user, created or renamed if need be."""
        first_name = name or annotator.pseudonym
        new = {
            "id": annotator.id,
            "first_name": first_name,
            "username": annotator.pseudonym,
            "role": "annotator",
            "password": uuid.uuid4().hex * 2,
        }
        path = f"/api/v1/users/{annotator.id}"
        answer = self._argilla.create("/api/v1/users", new)
        exists = answer.status_code == 409
        user: User = (self._argilla.get(path) if exists else answer).json()
        if name and user["first_name"] != name:
            self._argilla.send("PATCH", path, {"first_name": name})
        return user

    def _lock_of(self, annotator_id: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(annotator_id, threading.Lock())

    def _load(self) -> None:
        """Read once the responses from before this process, so that none is overwritten."""
        with self._loading:
            if not self._loaded:
                self.events()

    def _item(self, pair_id: str, events: Sequence[Event]) -> dict[str, object]:
        """Return a response as Argilla's API takes it."""
        if pair_id not in self._records:
            raise PalateError(f"Argilla has no record of the pair {pair_id}.")
        status, values = values_of(events, self.aspect)
        answers = {name: {"value": value} for name, value in values.items()}
        return {"record_id": self._records[pair_id], "values": answers, "status": status}

    def _save(self, annotator: Annotator, items: Sequence[Mapping[str, object]]) -> None:
        path, client = "/api/v1/me/responses/bulk", self._clients[annotator.id]
        answer = self._argilla.send("POST", path, {"items": items}, client=client)
        errors = [item.get("error") for item in answer.json()["items"]]
        refused = [error["detail"] for error in errors if error]
        if refused:
            raise PalateError(f"Argilla refused {len(refused)} responses: {refused[0]}")


def _user_id(pseudonym: str) -> str:
    return str(uuid.uuid5(NAMESPACE, pseudonym))

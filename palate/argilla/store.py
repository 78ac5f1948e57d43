"""The Argilla side of a project: pairs are records, annotators are users, events lie in responses.

Knows nothing of embedded or full. A response holds what a person says of a pair in Argilla's own
terms (choice, strength, comment), so its UI shows it, and beside that every event as it was made,
so that nothing of the ledger is lost if the process dies before publishing.
"""

import json
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from palate.errors import BadInput, PalateError, Unreachable
from palate.ledger import live
from palate.schema import Candidate, Event, Pair, Prompt, from_json, to_json

NAMESPACE = uuid.UUID("5d3f5d0e-6d0a-4c3c-9f5a-3a2b6a1c7e10")
WORKSPACE = "palate"
BATCH = 250  # records in a request
RESPONSES = 100  # Argilla takes no more in one
Row = tuple[Pair, Prompt, Candidate, Candidate]


@dataclass(frozen=True)
class Annotator:
    """A person as Argilla knows them. Their key stays inside the store."""

    id: str
    name: str


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
        self._loaded: set[str] = set()  # annotators whose earlier events are in `_events`
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

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

    def annotator(self, subject: str, name: str) -> Annotator:
        """Return the Argilla user of a person, made if need be; `subject` is who they are."""
        id = str(uuid.uuid5(NAMESPACE, subject))
        annotator = Annotator(id, name)
        with self._lock:
            if id in self._clients:
                return annotator
        owner = self._owner()
        users = {u["id"]: u for u in self._get(owner, "/api/v1/users")["items"]}
        if id not in users:
            user = {
                "id": id,
                "first_name": name[:80] or "?",
                "username": f"p-{id[:13]}",
                "role": "annotator",
                "password": uuid.uuid4().hex + uuid.uuid4().hex,
            }
            users[id] = self._send(owner, "POST", "/api/v1/users", user, accept=409) or next(
                u for u in self._get(owner, "/api/v1/users")["items"] if u["id"] == id
            )
        path = f"/api/v1/workspaces/{self._workspace}/users"
        self._send(owner, "POST", path, {"user_id": id}, accept=409)
        with self._lock:
            self._clients[id] = _client(self.url, users[id]["api_key"])
        return annotator

    def save(self, annotator: Annotator, events: Sequence[Event]) -> None:
        """Commit the events in Argilla, in one request; what is there already changes nothing."""
        with self._lock:
            lock = self._locks.setdefault(annotator.id, threading.Lock())
        with lock:
            self._load(annotator)
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

    def events(self) -> Iterator[Event]:
        """Yield every event in Argilla, of all annotators."""
        for record in self._pages("include=responses"):
            for response in record.get("responses") or []:
                yield from _events_of(response)

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
        values: dict[str, Any] = {"events": {"value": "".join(to_json(e) + "\n" for e in said)}}
        standing = live(said)
        last = standing[-1] if standing else None
        if last is not None and last.kind in ("label", "tie"):
            a = min(last.left, last.right)
            choice = "tie" if last.kind == "tie" else "a" if last.chosen == a else "b"
            values["choice"] = {"value": choice}
            if last.strength:
                values["strength"] = {"value": last.strength}
        comment = next((e.comment for e in reversed(said) if e.comment), None)
        if comment:
            values["comment"] = {"value": comment}
        status = "draft" if last is None else "discarded" if last.kind == "skip" else "submitted"
        return {"record_id": self._records[pair_id], "values": values, "status": status}

    def _load(self, annotator: Annotator) -> None:
        """Read what the person said before this process, so that nothing of it is overwritten."""
        if annotator.id in self._loaded:
            return
        for record in self._pages("include=responses"):
            for response in record.get("responses") or []:
                if response["user_id"] == annotator.id:
                    key = (annotator.id, record["external_id"])
                    self._events[key] = list(_events_of(response))
        self._loaded.add(annotator.id)

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


def _settings(rg: Any, question: str, guidelines: str) -> Any:
    return rg.Settings(
        guidelines=guidelines or question,
        fields=[
            rg.TextField(name="prompt", title="Prompt"),
            rg.TextField(name="a", title="A"),
            rg.TextField(name="b", title="B"),
        ],
        questions=[
            rg.LabelQuestion(
                name="choice", title=question, labels={"a": "A", "b": "B", "tie": "Tie"}
            ),
            rg.RatingQuestion(
                name="strength", title="How much better?", values=[1, 2, 3, 4], required=False
            ),
            rg.TextQuestion(name="comment", title="A remark", required=False),
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
        "fields": {"prompt": prompt.text, "a": text[pair.a], "b": text[pair.b]},
        "metadata": {"prompt_id": pair.prompt_id, "round": max(x.round, y.round)},
    }


def _events_of(response: dict) -> Iterator[Event]:
    text = ((response.get("values") or {}).get("events") or {}).get("value") or ""
    source = f"Argilla's response {response['id']}"
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInput(source, f"not JSON: {error}", row=number, field="events") from None
        yield from_json("labels", row, source, number)


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

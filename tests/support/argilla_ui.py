"""What people do in Argilla's own interface, through the API that it uses."""

from huggingface_hub.utils import httpx

from palate.argilla.server import EmbeddedArgilla
from palate.argilla.store import LabelStore


def client(argilla: EmbeddedArgilla, key: str = "") -> httpx.Client:
    """Return a client of Argilla's API, by default as its owner."""
    headers = {"X-Argilla-Api-Key": key or argilla.api_key}
    return httpx.Client(base_url=argilla.url, headers=headers)


def dataset_id(argilla: EmbeddedArgilla, project_id: str) -> str:
    """Return the id of the project's dataset."""
    with client(argilla) as owner:
        datasets = owner.get("/api/v1/me/datasets").json()["items"]
    return next(d["id"] for d in datasets if d["name"] == project_id.replace("/", "__"))


def records(argilla: EmbeddedArgilla, project_id: str) -> list[dict]:
    """Return the project's records with their responses."""
    path = f"/api/v1/datasets/{dataset_id(argilla, project_id)}/records"
    with client(argilla) as owner:
        return owner.get(path, params={"limit": 1000, "include": "responses"}).json()["items"]


def change_response(
    argilla: EmbeddedArgilla, store: LabelStore, status: str = "submitted", **answers
) -> None:
    """Change the project's only response, with the key of the person who gave it."""
    (response,) = store.responses()
    with client(argilla) as owner:
        person = owner.get(f"/api/v1/users/{store.annotator(response.annotator).id}").json()
    values = {name: {"value": value} for name, value in (response.values | answers).items()}
    with client(argilla, person["api_key"]) as theirs:
        body = {"values": values, "status": status}
        theirs.put(f"/api/v1/responses/{response.id}", json=body).raise_for_status()


def respond_as_owner(
    argilla: EmbeddedArgilla, project_id: str, pair_id: str | None = None, **answers
) -> None:
    """Answer a pair, by default any, as the owner of Argilla."""
    record = next(r for r in records(argilla, project_id) if pair_id in (None, r["external_id"]))
    values = {name: {"value": value} for name, value in answers.items()}
    item = {"record_id": record["id"], "values": values, "status": "submitted"}
    with client(argilla) as owner:
        owner.post("/api/v1/me/responses/bulk", json={"items": [item]}).raise_for_status()

"""Webhooks that start jobs: the API that clients call, and their delivery after a commit.

As on huggingface.co, each delivery is a new job like the source job, with the webhook's secrets and
the event in its environment. Webhooks to addresses are refused: this Hub calls nobody.
"""

import json
import secrets
import traceback

from palate.localhub.accounts import User
from palate.localhub.body import Body
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.hub import Hub
from palate.localhub.job_routes import own_scripts
from palate.localhub.repos import Repo

WEBHOOKS = "/api/settings/webhooks"
DOMAINS = ("repo", "discussion")
KINDS = ("dataset", "model", "space", "user", "org")
MOST = 50  # of one user
JOB_FIELDS = ("dockerImage", "spaceId", "command", "arguments", "environment", "flavor", "labels")


@router.route("GET", WEBHOOKS)
def listing(call: Call) -> list[dict]:
    return [_shown(doc) for doc in _of_user(call)]


@router.route("POST", WEBHOOKS)
def create(call: Call) -> dict:
    user = call.need_user()
    if len(_of_user(call)) >= MOST:
        raise HubError(400, f"A user of this Hub may have {MOST} webhooks")
    doc = {"id": secrets.token_hex(12), "disabled": False} | _settings(call, user)
    query = "INSERT INTO webhook VALUES(?,?,?)"
    call.hub.db.run(query, doc["id"], user.name, json.dumps(doc))
    return {"webhook": _shown(doc)}


@router.route("GET", WEBHOOKS + "/{webhook}")
def details(call: Call) -> dict:
    return {"webhook": _shown(_one(call))}


@router.route("POST", WEBHOOKS + "/{webhook}")
def update(call: Call) -> dict:
    return _changed(call, _settings(call, call.need_user(), _one(call)))


@router.route("POST", WEBHOOKS + "/{webhook}/{action}")
def switch(call: Call) -> dict:
    if call.params["action"] not in ("enable", "disable"):
        raise HubError(404, "Not found")
    return _changed(call, {"disabled": call.params["action"] == "disable"})


@router.route("DELETE", WEBHOOKS + "/{webhook}")
def delete(call: Call) -> dict:
    call.hub.db.run("DELETE FROM webhook WHERE id=?", _one(call)["id"])
    return {"success": True}


def deliver(hub: Hub, repo: Repo, ref: str, old: str, new: str) -> None:
    """Start the job of every webhook that watches the repo; a failure is the webhook's alone.

    Its jobs get this Hub's own address: one that the commit's request gave would get their token.
    """
    for row in hub.db.all("SELECT user, doc FROM webhook"):
        doc, user = json.loads(row["doc"]), hub.accounts.users().get(row["user"])
        if user is None or doc["disabled"] or "repo" not in doc["domains"]:
            continue
        if not any(_watches(item, repo) for item in doc["watched"]):
            continue
        # also where they have left the organization since
        if not user.owns(doc["ns"]) or (repo.private and not user.owns(repo.ns)):
            continue
        try:
            _start(hub, user, doc, repo, (ref, old, new))
        except Exception:  # such as no credit or a full disk: the commit has happened
            traceback.print_exc()


def _start(hub: Hub, user: User, doc: dict, repo: Repo, change: tuple[str, str, str]) -> None:
    ref, old, new = change
    payload = {
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {
            "type": repo.kind,
            "name": repo.full_name,
            "id": str(repo.id),
            "private": repo.private,
            "headSha": new,
            "url": {"web": f"{hub.address}{repo.path}"},
        },
        "updatedRefs": [{"ref": ref, "oldSha": old, "newSha": new}],
        "webhook": {"id": doc["id"], "version": 3},
    }
    job = doc["job"]
    environment = job["environment"] | {
        "WEBHOOK_PAYLOAD": json.dumps(payload),
        "WEBHOOK_REPO_ID": repo.full_name,
        "WEBHOOK_REPO_TYPE": repo.kind,
        "WEBHOOK_SECRET": doc["secret"] or "",
    }
    spec = {**job, "environment": environment, "secrets": doc["secrets"]}
    spec |= {"timeoutSeconds": doc["timeout"]}
    created, hidden = hub.jobs.create(user, doc["ns"], Body(spec))
    hub.jobs.start(created, doc["words"], hidden, hub.address)


def _watches(item: dict, repo: Repo) -> bool:
    if item["type"] in ("user", "org"):
        return item["name"].lower() == repo.ns.lower()
    return (item["type"], item["name"].lower()) == (repo.kind, repo.full_name.lower())


def _of_user(call: Call) -> list[dict]:
    query = "SELECT doc FROM webhook WHERE user=? ORDER BY rowid"
    return [json.loads(row["doc"]) for row in call.hub.db.all(query, call.need_user().name)]


def _one(call: Call) -> dict:
    for doc in _of_user(call):
        if doc["id"] == call.params["webhook"]:
            return doc
    raise HubError(404, "Webhook not found")


def _changed(call: Call, fields: dict) -> dict:
    doc = _one(call) | fields
    call.hub.db.run("UPDATE webhook SET doc=? WHERE id=?", json.dumps(doc), doc["id"])
    return {"webhook": _shown(doc)}


def _settings(call: Call, user: User, known: dict | None = None) -> dict:
    """Return what the request says about a webhook; what it leaves out stays as it was."""
    spec = call.json
    settings: dict = dict(known or {"secret": None, "secrets": {}, "domains": [*DOMAINS]})
    if spec.optional_text("url"):
        raise HubError(400, "This Hub calls no address: give a webhook the id of a job")
    watched = [{"type": i.text("type"), "name": i.text("name")} for i in spec.objects("watched")]
    if not watched or not all(item["type"] in KINDS for item in watched):
        raise HubError(400, f'"watched" must name items of the types {", ".join(KINDS)}')
    domains = spec.texts("domains", settings["domains"])
    if not set(domains) <= set(DOMAINS):
        raise HubError(400, f'"domains" may have {" and ".join(DOMAINS)}')
    settings |= {"watched": watched, "domains": domains}
    settings["secret"] = spec.optional_text("secret") or settings["secret"]
    if spec.value.get("secrets") is not None:
        settings["secrets"] = spec.mapping("secrets")
    source = spec.optional_text("jobSourceId")
    if source is None and known is None:
        raise HubError(400, '"jobSourceId" is required, of type str')
    return settings | (_source(call, user, source) if source else {})


def _source(call: Call, user: User, job: str) -> dict:
    """Return what the new jobs take from the source job."""
    for ns in (user.name, *user.orgs):
        docs = [doc for doc in call.hub.jobs.of_namespace(ns) if doc["id"] == job]
        if docs:
            (doc,) = docs
            words = [*doc["command"], *doc["arguments"]]
            return {
                "ns": ns,
                "job": {name: doc[name] for name in JOB_FIELDS},
                "timeout": doc["timeoutSeconds"],
                # the scripts as they are for the owner, who may read them
                "words": own_scripts(call, words),
            }
    raise HubError(404, f"Job {job[:40]} not found")


def _shown(doc: dict) -> dict:
    """Return the webhook as clients see it: without the values of its secrets."""
    names = ("id", "watched", "domains", "disabled", "secret")
    job = doc["job"] | {"secrets": dict.fromkeys(doc["secrets"]), "timeout": doc["timeout"]}
    return {name: doc[name] for name in names} | {"job": job}

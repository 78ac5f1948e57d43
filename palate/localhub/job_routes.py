"""The addresses of jobs: start, look at, follow and cancel."""

from urllib.parse import unquote, urlsplit

import pygit2
from starlette.responses import JSONResponse, Response, StreamingResponse

from palate.localhub.calls import KINDS, Call, router
from palate.localhub.errors import HubError
from palate.localhub.files import content
from palate.localhub.git import commit_at, lookup
from palate.localhub.hardware import listing as hardware_listing
from palate.localhub.jobs import ENDED
from palate.localhub.lfs import check_gate
from palate.localhub.processes import events

HERE = "/api/jobs/{ns}"


def _namespace(call: Call) -> str:
    user, ns = call.need_user(), call.params["ns"]
    if not user.owns(ns):
        raise HubError(403, f"You don't have the rights to the jobs of {ns!r}")
    return ns


@router.route("GET", "/api/jobs/hardware")
def hardware(call: Call) -> Response:
    return JSONResponse(hardware_listing())


@router.route("POST", HERE)
def start(call: Call) -> dict:
    ns, spec = _namespace(call), call.json
    if spec.value.get("volumes"):
        raise HubError(400, "This Hub mounts no volumes: let the job download what it needs")
    words = [*spec.texts("command"), *spec.texts("arguments", [])]
    scripts = _own_scripts(call, words)
    doc, hidden = call.hub.jobs.create(call.need_user(), ns, spec)
    for i, script in scripts.items():
        file = call.hub.jobs.folder(doc["id"]) / words[i].rsplit("/", 1)[-1]
        file.write_bytes(script)
        words[i] = str(file)
    call.hub.jobs.start(doc, words, hidden, call.base)
    return doc


def _own_scripts(call: Call, words: list[str]) -> dict[int, bytes]:
    """The files of this Hub among the arguments of `uv run`, by position.

    uv sends no token to a Hub other than huggingface.co, so it could not load a private script:
    the job gets it as a file, if its owner may read it.
    """
    found = {}
    for i, word in enumerate(words if words[:2] == ["uv", "run"] else []):
        parts = [unquote(p) for p in urlsplit(word).path.strip("/").split("/")]
        if word.startswith(f"{call.base}/") and "resolve" in parts:
            found[i] = _content(call, parts)
        if word.endswith(".py"):
            break  # what follows the script are its own arguments
    return found


def _content(call: Call, parts: list[str]) -> bytes:
    plural = parts.pop(0) if parts[0] in KINDS else "models"
    if len(parts) < 5:
        raise HubError(400, "A script's address has the form …/namespace/name/resolve/main/file.py")
    ns, name, _, rev, *path = parts
    repo = call.hub.repos.find(KINDS[plural], ns, name, call.user)
    check_gate(call, repo)
    blob = lookup(commit_at(repo.git(), rev).tree, "/".join(path))
    if not isinstance(blob, pygit2.Blob) or path[-1] == "log.jsonl":
        raise HubError(404, f"There is no script {'/'.join(path)} in {repo.full_name}")
    return content(call, blob)


@router.route("GET", HERE)
def listing(call: Call) -> Response:
    stages, labels = call.many("stage"), [word.partition("=") for word in call.many("label")]
    found = [
        job
        for job in call.hub.jobs.all_of(_namespace(call))
        if (not stages or job["status"]["stage"] in stages)
        and all((job["labels"] or {}).get(key) == value for key, _, value in labels)
    ]
    return call.page(found)


@router.route("GET", HERE + "/{id}")
def details(call: Call) -> dict:
    return call.hub.jobs.get(_namespace(call), call.params["id"])


@router.route("POST", HERE + "/{id}/cancel")
def cancel(call: Call) -> dict:
    job = call.hub.jobs.get(_namespace(call), call.params["id"])
    call.hub.jobs.cancel(job["id"])
    return call.hub.jobs.get(call.params["ns"], job["id"])


@router.route("GET", HERE + "/{id}/logs")
def logs(call: Call) -> StreamingResponse:
    """Server-sent events, one for each line, until the job has ended."""
    ns, job = _namespace(call), call.params["id"]
    call.hub.jobs.get(ns, job)

    def ended() -> bool:
        return call.hub.stopping or call.hub.jobs.get(ns, job)["status"]["stage"] in ENDED

    lines = events(call.hub.jobs.log(job), ended, tail=call.number("tail", 0))
    return StreamingResponse(lines, media_type="text/event-stream")

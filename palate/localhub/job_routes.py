"""The API of jobs: start, inspect, follow and cancel."""

from urllib.parse import unquote, urlsplit

import pygit2
from starlette.responses import JSONResponse, Response, StreamingResponse

from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.files import content
from palate.localhub.git import commit_at, lookup
from palate.localhub.hardware import listing as hardware_listing
from palate.localhub.jobs import ENDED, keep_script
from palate.localhub.lfs import check_gate
from palate.localhub.processes import events
from palate.localhub.routing import KINDS

JOBS = "/api/jobs/{ns}"


def _namespace(call: Call) -> str:
    user, ns = call.need_user(), call.params["ns"]
    if not user.owns(ns):
        raise HubError(403, f"You don't have the rights to the jobs of {ns!r}")
    return ns


@router.route("GET", "/api/jobs/hardware")
def hardware(call: Call) -> Response:
    return JSONResponse(hardware_listing())


@router.route("POST", JOBS)
def start(call: Call) -> dict:
    ns, spec = _namespace(call), call.json
    if spec.value.get("volumes"):
        raise HubError(400, "This Hub mounts no volumes: the job must download what it needs")
    words = [*spec.texts("command"), *spec.texts("arguments", [])]
    words = own_scripts(call, words)
    doc, hidden = call.hub.jobs.create(call.need_user(), ns, spec)
    call.hub.jobs.start(doc, words, hidden, call.base)
    return doc


def own_scripts(call: Call, words: list[str]) -> list[str]:
    """Return the words with this Hub's files among the arguments of `uv run` as local files.

    uv sends its token to huggingface.co only, so it cannot load a private script from here. The job
    gets the script as a file instead, if the job's owner may read it.
    """
    words = list(words)
    for i, word in enumerate(words if words[:2] == ["uv", "run"] else []):
        parts = [unquote(p) for p in urlsplit(word).path.strip("/").split("/")]
        if word.startswith(f"{call.base}/") and "resolve" in parts:
            words[i] = str(keep_script(word.rsplit("/", 1)[-1], _content(call, parts)))
        if word.endswith(".py"):
            break  # the script's own arguments follow
    return words


def _content(call: Call, parts: list[str]) -> bytes:
    plural = parts.pop(0) if parts[0] in KINDS else "models"
    if len(parts) < 5:
        raise HubError(
            400, "The URL of a script must look like …/namespace/name/resolve/main/file.py"
        )
    ns, name, _, rev, *path = parts
    repo = call.hub.repos.find(KINDS[plural], ns, name, call.user)
    check_gate(call, repo)
    blob = lookup(commit_at(repo.git(), rev).tree, "/".join(path))
    if not isinstance(blob, pygit2.Blob) or path[-1] == "log.jsonl":
        raise HubError(404, f"There is no script {'/'.join(path)} in {repo.full_name}")
    return content(call, blob)


@router.route("GET", JOBS)
def listing(call: Call) -> Response:
    stages, labels = call.many("stage"), [word.partition("=") for word in call.many("label")]
    jobs = [
        job
        for job in call.hub.jobs.of_namespace(_namespace(call))
        if (not stages or job["status"]["stage"] in stages)
        and all((job["labels"] or {}).get(key) == value for key, _, value in labels)
    ]
    return call.page(jobs)


@router.route("GET", JOBS + "/{job}")
def details(call: Call) -> dict:
    return call.hub.jobs.get(_namespace(call), call.params["job"])


@router.route("POST", JOBS + "/{job}/cancel")
def cancel(call: Call) -> dict:
    job = call.hub.jobs.get(_namespace(call), call.params["job"])
    call.hub.jobs.cancel(job["id"])
    return call.hub.jobs.get(call.params["ns"], job["id"])


@router.route("GET", JOBS + "/{job}/logs")
def logs(call: Call) -> StreamingResponse:
    """Stream the log as server-sent events until the job ends."""
    ns, job = _namespace(call), call.params["job"]
    call.hub.jobs.get(ns, job)

    def ended() -> bool:
        return call.hub.stopping or call.hub.jobs.get(ns, job)["status"]["stage"] in ENDED

    lines = events(call.hub.jobs.log(job), ended, tail=call.number("tail", 0))
    return StreamingResponse(lines, media_type="text/event-stream")

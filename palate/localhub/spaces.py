"""The addresses of Spaces: what they are set to, their state and their logs."""

from starlette.responses import StreamingResponse

from palate.localhub.calls import Body, Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import now
from palate.localhub.hardware import FLAVORS
from palate.localhub.hosting import ALIVE
from palate.localhub.processes import events
from palate.localhub.repos import Repo

HERE = "/api/spaces/{ns}/{name}"


def settings_from(body: Body) -> dict:
    """The settings that may come with the creation of a Space."""
    found: dict = {}
    if hardware := body.text("hardware", None):
        found["hardware"] = hardware
    if "sleepTimeSeconds" in body.value:
        found["sleep"] = body.integer("sleepTimeSeconds")
    for key in ("secrets", "variables"):
        found[key] = dict(map(_setting, body.objects(key, [])))
    return found


def _setting(body: Body) -> tuple[str, dict]:
    key = body.text("key")
    if not key.isidentifier():
        raise HubError(400, f"{key[:40]!r} cannot be the name of a variable")
    value, about = body.text("value"), body.text("description", None)
    return key, {"key": key, "value": value, "description": about, "updatedAt": now()}


def runtime(settings: dict) -> dict:
    """The state that clients call SpaceRuntime."""
    stage, wanted = settings.get("stage", "NO_APP_FILE"), settings.get("hardware", "cpu-basic")
    port, running = settings.get("port"), stage.startswith("RUNNING")
    found = {
        "stage": stage,
        "hardware": {"current": wanted if running else None, "requested": wanted},
        "gcTimeout": settings.get("sleep", 172800),
        "storage": None,
        "replicas": {"current": int(running), "requested": 1},
        "sha": settings.get("sha"),
        "pid": settings.get("pid") if running else None,  # the real Hub has none to tell
    }
    if settings.get("error"):
        found["errorMessage"] = settings["error"]
    if port:
        found["domains"] = [{"domain": f"127.0.0.1:{port}", "stage": "READY"}]
    return found


@router.route("GET POST DELETE", HERE + "/secrets", HERE + "/variables")
def settings(call: Call) -> dict:
    """List, set or delete; the values of secrets never leave the Hub."""
    repo = _space(call)
    which = call.request.url.path.rsplit("/", 1)[-1]
    with call.hub.repos.lock(repo):
        found = _space(call).settings.get(which, {})
        if call.method == "POST":
            key, setting = _setting(call.json)
            found[key] = setting
        elif call.method == "DELETE":
            found.pop(call.json.text("key"), None)
        if call.method != "GET":
            settings = call.hub.repos.configure(repo, **{which: found})
            if settings.get("stage") in ALIVE:
                call.hub.hosting.deploy(repo)  # a Space sees its settings when it starts
    if which == "secrets":
        found = {k: {n: v for n, v in s.items() if n != "value"} for k, s in found.items()}
    return found


def _space(call: Call) -> Repo:
    call.params["kind"] = "spaces"
    return call.repo(write=True)


@router.route("GET", HERE + "/runtime")
def get_runtime(call: Call) -> dict:
    call.params["kind"] = "spaces"
    return runtime(call.repo().settings)


@router.route("POST", *(f"{HERE}/{do}" for do in ("hardware", "sleeptime", "pause", "restart")))
def act(call: Call) -> dict:
    repo, body, changes = _space(call), call.json, {}
    match call.request.url.path.rsplit("/", 1)[-1]:
        case "hardware":
            changes = {"hardware": _hardware(call, body.text("flavor"))}
            if "sleepTimeSeconds" in body.value:
                changes["sleep"] = body.integer("sleepTimeSeconds")
        case "sleeptime":
            changes = {"sleep": body.integer("seconds")}
        case "pause":
            call.hub.hosting.stop(repo, "PAUSED")
        case _:
            call.hub.hosting.deploy(repo)
    return runtime(call.hub.repos.configure(repo, **changes))


def _hardware(call: Call, flavor: str) -> str:
    if flavor not in FLAVORS:
        raise HubError(400, f"There is no flavor {flavor[:40]!r}; expected {', '.join(FLAVORS)}")
    if flavor != "cpu-basic" and not call.need_user().credit:
        raise HubError(402, "A payment method is needed for this hardware")
    return flavor


@router.route("PUT", HERE + "/volumes")
def volumes(call: Call) -> dict:
    _space(call)
    raise HubError(400, "This Hub mounts no volumes: a Space starts with an empty disk here")


@router.route("GET", HERE + "/logs/{which}")
def logs(call: Call) -> StreamingResponse:
    """Server-sent events, one for each line, for as long as the Space is built or runs."""
    repo, which = _space(call), call.params["which"]
    if which not in ("build", "run"):
        raise HubError(404, "There are the logs build and run")
    hosting = call.hub.hosting
    lines = events(hosting.log(repo, which), lambda: call.hub.stopping or hosting.ended(repo))
    return StreamingResponse(lines, media_type="text/event-stream")

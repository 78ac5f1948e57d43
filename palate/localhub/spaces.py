"""What a Space is set to; starting Spaces is not done here, so `stage` is what was asked for."""

import json

from starlette.responses import Response

from palate.localhub.calls import Body, Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import now
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
    current = wanted if stage == "RUNNING" else None
    return {
        "stage": stage,
        "hardware": {"current": current, "requested": wanted},
        "gcTimeout": settings.get("sleep", 172800),
        "storage": None,
        "replicas": {"requested": 1},
    }


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
            call.hub.repos.configure(repo, **{which: found})
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
    repo, body = _space(call), call.json
    match call.request.url.path.rsplit("/", 1)[-1]:
        case "hardware":
            changes: dict = {"hardware": body.text("flavor")}
            if "sleepTimeSeconds" in body.value:
                changes["sleep"] = body.integer("sleepTimeSeconds")
        case "sleeptime":
            changes = {"sleep": body.integer("seconds")}
        case "pause":
            changes = {"stage": "PAUSED"}
        case _:
            changes = {"stage": "RUNNING"}
    return runtime(call.hub.repos.configure(repo, **changes))


@router.route("GET", HERE + "/logs/{which}")
def logs(call: Call) -> Response:
    _space(call)
    line = {"data": "The local Hub keeps this Space but does not run it.", "timestamp": now()}
    return Response(f"data: {json.dumps(line)}\n\n", media_type="text/event-stream")

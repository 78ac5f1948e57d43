"""The API of Spaces: settings, state and logs."""

from starlette.responses import Response, StreamingResponse

from palate.localhub.body import Body
from palate.localhub.calls import Call, router
from palate.localhub.errors import HubError
from palate.localhub.git import now
from palate.localhub.hosting import ALIVE
from palate.localhub.plans import check_hardware
from palate.localhub.processes import events
from palate.localhub.repos import Repo
from palate.localhub.zero import HERE as ZERO_GPU

SPACE = "/api/spaces/{ns}/{name}"
DEFAULT_SLEEP = 172_800  # seconds, which the Hub gives for a machine that is free


def settings_from(body: Body) -> dict:
    """Return the settings that may come with the creation of a Space."""
    settings: dict = {}
    if hardware := body.optional_text("hardware"):
        settings["hardware"] = hardware
    if "sleepTimeSeconds" in body.value:
        settings["sleep"] = body.integer("sleepTimeSeconds")
    for key in ("secrets", "variables"):
        settings[key] = dict(map(_setting, body.objects(key, [])))
    return settings


def _setting(body: Body) -> tuple[str, dict]:
    key = body.text("key")
    if not key.isidentifier():
        raise HubError(400, f"{key[:40]!r} cannot be the name of a variable")
    value, description = body.text("value"), body.optional_text("description")
    return key, {"key": key, "value": value, "description": description, "updatedAt": now()}


def runtime(settings: dict) -> dict:
    """Return the state of a Space, a SpaceRuntime for clients."""
    stage, hardware = settings.get("stage", "NO_APP_FILE"), settings.get("hardware", "cpu-basic")
    port, running = settings.get("port"), stage.startswith("RUNNING")
    state = {
        "stage": stage,
        "hardware": {"current": hardware if running else None, "requested": hardware},
        "gcTimeout": settings.get("sleep", DEFAULT_SLEEP),
        "storage": None,
        "replicas": {"current": int(running), "requested": 1},
        "sha": settings.get("sha"),
        "pid": settings.get("pid") if running else None,  # huggingface.co has no such field
    }
    if settings.get("error"):
        state["errorMessage"] = settings["error"]
    if port:
        state["domains"] = [{"domain": f"127.0.0.1:{port}", "stage": "READY"}]
    return state


@router.route("GET POST DELETE", SPACE + "/secrets", SPACE + "/variables")
def edit_settings(call: Call) -> dict:
    """List, set or delete settings; the values of secrets never leave the Hub."""
    repo = _space(call)
    which = call.request.url.path.rsplit("/", 1)[-1]
    with call.hub.repos.lock(repo):
        settings = _space(call).settings.get(which, {})
        if call.method == "POST":
            key, setting = _setting(call.json)
            settings[key] = setting
        elif call.method == "DELETE":
            settings.pop(call.json.text("key"), None)
        if call.method != "GET":
            stage = call.hub.repos.configure(repo, **{which: settings}).get("stage")
            if stage in ALIVE:
                call.hub.hosting.deploy(repo)  # a Space reads its settings when it starts
    if which == "secrets":
        return {k: {n: v for n, v in s.items() if n != "value"} for k, s in settings.items()}
    return settings


def _space(call: Call) -> Repo:
    call.params["kind"] = "spaces"
    return call.repo(write=True)


@router.route("GET", SPACE + "/runtime")
def get_runtime(call: Call) -> dict:
    call.params["kind"] = "spaces"
    return runtime(call.repo().settings)


@router.route("POST", *(f"{SPACE}/{do}" for do in ("hardware", "sleeptime", "pause", "restart")))
def act(call: Call) -> dict:
    repo, body, changes = _space(call), call.json, {}
    match call.request.url.path.rsplit("/", 1)[-1]:
        case "hardware":
            flavor, user = body.text("flavor"), call.need_user()
            check_hardware(user, repo.ns, call.hub.repos, repo.sdk, flavor, repo)
            changes = {"hardware": flavor}
            if "sleepTimeSeconds" in body.value:
                changes["sleep"] = body.integer("sleepTimeSeconds")
        case "sleeptime":
            changes = {"sleep": body.integer("seconds")}
        case "pause":
            call.hub.hosting.stop(repo, "PAUSED")
        case _:
            call.hub.hosting.deploy(repo)
    return runtime(call.hub.repos.configure(repo, **changes))


@router.route("POST", ZERO_GPU + "/startup-report")
def startup_report(call: Call) -> Response:
    call.hub.hosting.devices.report(call.params["key"])
    return Response("OK")


@router.route("POST", ZERO_GPU + "/schedule")
def schedule(call: Call) -> Response:
    """Lend no GPU: this Hub has none, and the client says that none was available."""
    call.hub.hosting.devices.has_reported(call.params["key"])
    return Response("This Hub has no GPU", 503)


@router.route("GET", SPACE + "/logs/{which}")
def logs(call: Call) -> StreamingResponse:
    """Stream the log as server-sent events while the Space is built or runs."""
    repo, which = _space(call), call.params["which"]
    if which not in ("build", "run"):
        raise HubError(404, f"There is no log {which[:40]!r}; expected build or run")
    hosting = call.hub.hosting
    lines = events(hosting.log(repo, which), lambda: call.hub.stopping or hosting.ended(repo))
    return StreamingResponse(lines, media_type="text/event-stream")

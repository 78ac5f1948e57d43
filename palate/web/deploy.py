"""Deploys a project's two Spaces: creates, updates, pauses and deletes them.

Only what differs is changed, so a second call does nothing. The dataset is never touched.
"""

import time
from collections.abc import Callable

from rich.console import Console

from palate.core import hub
from palate.core.errors import PalateError
from palate.core.project import Project
from palate.run import service
from palate.terminal.progress import announced
from palate.web import allowance
from palate.web.deploy_plan import KINDS, Plan, SpaceOptions, plan_space, secret_mark, space_of

BROKEN = ("BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "NO_APP_FILE")
RUN_SECONDS = 1800.0  # in which a Space has to run
POLL_SECONDS = 1.0
LOG_LINES = 20  # of a failed Space that the error shows


def deploy(
    project: Project, options: SpaceOptions, console: Console, *, dry_run: bool = False
) -> None:
    """Show what would change in both Spaces, change it, and return when they run."""
    with announced(console.print, "Comparing both Spaces on the Hub with this palate."):
        plans = [plan_space(project, kind, options) for kind in KINDS]
        new = [p.space for p in plans if p.hardware == service.zero_gpu()]
        allowance.check_number(plans[0].owner, new, project.id)
    for plan in plans:
        console.print(plan.sentence(dry_run=dry_run))
    if any(plan.visibility == "public" for plan in plans):
        console.print(allowance.seen_by_strangers(project))
    if dry_run:
        return
    for plan in plans:
        with announced(console.print, f"Writing {plan.space}."):
            apply(plan)
    for plan in plans:
        url = _watch(plan.space, console)
        console.print(f"{plan.kind}: [bold cyan]{url}[/]", markup=True)


def _watch(space: str, console: Console) -> str:
    """Return the Space's address once it runs; show its stages, in a log each as a line."""
    with console.status(f"{space} …") as status:

        def show(stage: str) -> None:
            line = f"{space}: {stage.lower().replace('_', ' ')}"
            status.update(line)
            if not console.is_terminal:
                console.print(line)

        return wait(space, show)


def apply(plan: Plan) -> None:
    """Create or change the Space as planned; the files come last because they start a build."""
    with hub.readable_errors(plan.space):
        _apply_visibility(plan)
        _apply_settings(plan)
        _apply_hardware(plan)
    if plan.files or plan.delete:
        hub.commit(plan.space, "space", plan.files, "Deploy palate", delete=plan.delete)
    elif plan.exists:
        _wake(plan.space)


def _apply_visibility(plan: Plan) -> None:
    api, visibility = hub.api(), plan.visibility
    if not plan.exists:
        # a free account may create a Space only where it names ZeroGPU at once
        api.create_repo(
            plan.space,
            repo_type="space",
            space_sdk="gradio",
            visibility=visibility,
            space_hardware=plan.hardware,
            space_sleep_time=plan.sleep,
        )
    elif visibility:
        api.update_repo_settings(plan.space, repo_type="space", visibility=visibility)


def _apply_settings(plan: Plan) -> None:
    api, space = hub.api(), plan.space
    for key, value in plan.variables.items():
        hub.retry(lambda k=key, v=value: api.add_space_variable(space, k, v))
    for key, value in plan.secrets.items():
        mark = secret_mark(value)
        hub.retry(lambda k=key, v=value, m=mark: api.add_space_secret(space, k, v, description=m))


def _apply_hardware(plan: Plan) -> None:
    api = hub.api()
    if not plan.exists:
        return
    if plan.hardware:
        api.request_space_hardware(plan.space, plan.hardware, sleep_time=plan.sleep)
    elif plan.sleep is not None:
        api.set_space_sleep_time(plan.space, plan.sleep)


def _wake(space: str) -> None:
    """Start a paused or broken Space whose files are up to date."""
    api = hub.api()
    with hub.readable_errors(space):
        stage = hub.retry(lambda: api.get_space_runtime(space)).stage
        if stage in ("PAUSED", "STOPPED", *BROKEN):
            hub.retry(lambda: api.restart_space(space))


def wait(space: str, say: Callable[[str], object]) -> str:
    """Return the Space's address once it runs, calling `say` with each new stage.

    Raises PalateError with the end of the Space's log if it fails.
    """
    api, before, end = hub.api(), "", time.monotonic() + RUN_SECONDS
    head = hub.describe(space, "space")[0]
    while time.monotonic() < end:
        with hub.readable_errors(space):
            runtime = hub.retry(lambda: api.get_space_runtime(space))
        stage = str(getattr(runtime.stage, "value", runtime.stage))
        if stage != before:
            say(stage)
            before = stage
        # an older commit may run while the newest is built
        if stage in ("RUNNING", "SLEEPING") and runtime.raw.get("sha") in (None, head):
            with hub.readable_errors(space):
                return hub.retry(lambda: api.space_info(space)).host
        if stage in BROKEN:
            log, why = _log_end(space, stage), runtime.raw.get("errorMessage")
            reason = f"{stage}: {why}" if why else stage
            raise PalateError(f"{space} does not run ({reason}). The end of its log:\n{log}")
        time.sleep(POLL_SECONDS)
    raise PalateError(
        f"{space} did not run within {RUN_SECONDS / 60:.0f} min; its stage is {before}."
        f" Look at {hub.endpoint()}/spaces/{space}"
    )


def _log_end(space: str, stage: str) -> str:
    with hub.readable_errors(space):
        lines = list(hub.api().fetch_space_logs(space, build=stage != "RUNTIME_ERROR"))
    return "\n".join(line.rstrip("\n") for line in lines[-LOG_LINES:])


def pause(project: Project) -> list[str]:
    """Pause the project's Spaces; return their names."""
    return _for_existing(project, lambda space: hub.api().pause_space(space))


def delete(project: Project) -> list[str]:
    """Delete the project's Spaces and nothing else; return their names."""
    return _for_existing(project, lambda space: hub.api().delete_repo(space, repo_type="space"))


def _for_existing(project: Project, act: Callable[[str], object]) -> list[str]:
    spaces = [s for kind in KINDS if hub.exists(s := space_of(project.id, kind), "space")]
    for space in spaces:
        with hub.readable_errors(space):
            act(space)
    return spaces

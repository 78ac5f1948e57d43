"""A project's two Spaces on the Hub: planned, made, renewed, paused, deleted. Never the dataset.

A Space holds what it needs: `app.py`, `palate/` beside it, requirements pinned to what is installed
here. Only what differs is changed, so a second call does nothing.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.paths import PACKAGE, shipped
from palate.core.project import Project
from palate.web.serving import Kind, secret_of

Visibility = Literal["private", "protected", "public"]
KINDS: tuple[Kind, ...] = ("label", "evaluate")
ELSEWHERE = (
    "localhub",
    "demo",
    "train",
    "run",
    "commands",
    "cli.py",
    "_shipped",
)  # no Space needs these
BROKEN = ("BUILD_ERROR", "RUNTIME_ERROR", "CONFIG_ERROR", "NO_APP_FILE")
MADE = "palate/__init__.py"  # a Space that holds it was made by palate
CACHE = "/data"  # where the bucket for downloaded packages is mounted
WAIT = 1800.0  # seconds in which a Space has to run


@dataclass(frozen=True)
class Wishes:
    """What may be asked of both Spaces; None leaves it as it is."""

    visibility: Visibility | None = None
    hardware: str | None = None
    sleep: int | None = None  # seconds
    cache: bool = False


@dataclass
class Plan:
    """What would change in one Space; values of secrets are never shown."""

    space: str
    kind: Kind
    there: bool
    files: dict[str, Path | str] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    visibility: str | None = None
    hardware: str | None = None
    sleep: int | None = None
    bucket: str | None = None

    def changes(self) -> list[str]:
        """Return what would be done, in phrases; none if nothing would."""
        found = [f"make it {self.visibility}"] if self.there and self.visibility else []
        if self.files or self.delete:
            removed = f" and remove {len(self.delete)}" if self.delete else ""
            found.append(f"write {len(self.files)} files{removed}")
        for what, values in (("variable", self.variables), ("secret", self.secrets)):
            if values:
                found.append(f"set {what}{'s' * (len(values) > 1)} {', '.join(sorted(values))}")
        if self.hardware:
            found.append(f"hardware {self.hardware}")
        if self.sleep is not None:
            found.append(f"sleep after {self.sleep:,} s")
        if self.bucket:
            found.append(f"keep downloaded packages in the bucket {self.bucket}")
        return found

    def sentence(self) -> str:
        changes = self.changes()
        if self.there and not changes:
            return f"Space {self.space}: nothing to change"
        what = "change" if self.there else f"create {self.visibility}"
        return f"would {what} Space {self.space}: {'; '.join(changes)}"


def deploy(project: Project, wishes: Wishes, console: Any, *, dry_run: bool = False) -> None:
    """Show what would change in both Spaces, change it, and return when they run."""
    plans = [plan(project, kind, wishes) for kind in KINDS]
    for made in plans:
        console.print(made.sentence())
    if dry_run:
        return
    for made in plans:
        apply(made, console.print)
    for made in plans:
        with console.status(f"{made.space} …") as line:
            url = wait(made.space, lambda stage, line=line, made=made: line.update(
                f"{made.space}: {stage.lower().replace('_', ' ')}"
            ))  # fmt: skip
        console.print(f"{made.kind}: [bold cyan]{url}[/]")


def space_of(project_id: str, kind: Kind) -> str:
    return f"{project_id}-{kind}"


def plan(project: Project, kind: Kind, wishes: Wishes) -> Plan:
    """Return what differs between the Space that should be and the one that is.

    Raises UsageError where another Space has the name.
    """
    space = space_of(project.id, kind)
    made = Plan(space, kind, there=hub.exists(space, "space"))
    wanted, have = files(kind), hub.hashes(space, "space") if made.there else {}
    if MADE not in have and set(have) - {".gitattributes", "README.md"}:
        raise UsageError(
            f"There is a Space {space} that palate did not make. Rename or delete it first:"
            f" {hub.endpoint()}/spaces/{space}/settings"
        )
    made.files = {k: v for k, v in wanted.items() if have.get(k) not in _hashes(v)}
    made.delete = sorted(set(have) - set(wanted) - {".gitattributes"})
    _plan_settings(made, project, wishes)
    return made


def _plan_settings(made: Plan, project: Project, wishes: Wishes) -> None:
    """Plan variables, secrets, hardware and visibility."""
    variables, secrets = _settings(project, made.kind)
    made.visibility = wishes.visibility or (None if made.there else "private")
    made.hardware, made.sleep = wishes.hardware, wishes.sleep
    if wishes.cache and made.kind == "label":  # the one that installs Argilla when it starts
        made.bucket = f"{project.id}-cache"
    if made.there:
        api = hub.api()
        with hub.readable_errors(made.space):
            known = hub.retry(lambda: api.get_space_variables(made.space))
            hidden = hub.retry(lambda: api.get_space_secrets(made.space))
            info = hub.retry(lambda: api.space_info(made.space))
        variables = {k: v for k, v in variables.items() if k not in known or known[k].value != v}
        marks = {k: s.description for k, s in hidden.items()}
        secrets = {
            k: v
            for k, v in secrets.items()
            # another key would give everybody another pseudonym: it stays what it was
            if k not in marks or (k != "PALATE_SECRET" and marks[k] != _mark(v))
        }
        state = info.runtime
        now = getattr(info, "visibility", None) or ("private" if info.private else "public")
        made.visibility = None if made.visibility == now else made.visibility
        if state and made.hardware == state.requested_hardware:
            made.hardware = None
        if state and made.sleep == state.sleep_time:
            made.sleep = None
        if state and any(v.source == made.bucket for v in state.volumes or ()):
            made.bucket = None
    made.variables, made.secrets = variables, secrets


def _settings(project: Project, kind: Kind) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables and the secrets that a Space needs."""
    variables = {"PALATE_PROJECT": project.id}
    if hub.is_local():
        variables["PALATE_PUBLISH_SECONDS"] = "2"  # the real Hub limits commits by the hour
    secrets = {"HF_TOKEN": _token(), "PALATE_SECRET": secret_of(project.id)}
    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if kind == "label" and url and key:
        variables["ARGILLA_API_URL"], secrets["ARGILLA_API_KEY"] = url, key
    return variables, secrets


def files(kind: Kind) -> dict[str, Path | str]:
    """Return the Space's files by repo path."""
    folder = shipped("spaces") / kind
    found: dict[str, Path | str] = {name: folder / name for name in ("app.py", "README.md")}
    found["requirements.txt"] = pinned((folder / "requirements.txt").read_text("utf-8"))
    package = PACKAGE
    for file in sorted(package.rglob("*")):
        path = file.relative_to(package)
        if file.is_file() and path.parts[0] not in ELSEWHERE and "__pycache__" not in path.parts:
            found[f"palate/{path.as_posix()}"] = file
    cards = shipped("cards")
    for file in sorted(cards.rglob("*")):
        if file.is_file():
            found[f"palate/_shipped/cards/{file.relative_to(cards).as_posix()}"] = file
    return found


def pinned(requirements: str) -> str:
    """Return the requirements at the versions that are installed here, where they are."""
    lines = []
    for line in requirements.splitlines():
        name = re.match(r"[\w.\-]+(\[[\w,]+\])?", line)
        try:
            lines.append(f"{name[0]}=={version(name[0].partition('[')[0])}" if name else line)
        except PackageNotFoundError:
            lines.append(line)
    return "\n".join(lines) + "\n"


def apply(made: Plan, say: Callable[[str], Any] = print) -> None:
    """Make or change the Space as planned; the files come last, since they start a build."""
    api, space = hub.api(), made.space
    with hub.readable_errors(space):
        if not made.there:
            api.create_repo(
                space, repo_type="space", space_sdk="gradio", visibility=made.visibility
            )
        elif made.visibility:
            api.update_repo_settings(space, repo_type="space", visibility=made.visibility)
        for key, value in made.variables.items():
            hub.retry(lambda k=key, v=value: api.add_space_variable(space, k, v))
        for key, value in made.secrets.items():
            about = _mark(value)
            hub.retry(
                lambda k=key, v=value, a=about: api.add_space_secret(space, k, v, description=a)
            )
        if made.hardware:
            api.request_space_hardware(space, made.hardware, sleep_time=made.sleep)
        elif made.sleep is not None:
            api.set_space_sleep_time(space, made.sleep)
    if made.bucket:
        _mount(made, say)
    if made.files or made.delete:
        hub.commit(space, "space", made.files, "Deploy palate", delete=made.delete)
    elif made.there:
        _wake(space)


def _mount(made: Plan, say: Callable[[str], Any]) -> None:
    """Give the Space a bucket for downloaded packages, where the Hub offers buckets."""
    from huggingface_hub import Volume
    from huggingface_hub.errors import HfHubHTTPError

    assert made.bucket is not None
    api, volume = hub.api(), Volume(type="bucket", source=made.bucket, mount_path=CACHE)
    try:
        api.create_bucket(made.bucket, private=True, exist_ok=True)
        api.set_space_volumes(made.space, [volume])
        api.add_space_variable(made.space, "PIP_CACHE_DIR", f"{CACHE}/pip")
    except HfHubHTTPError as error:
        status = error.response.status_code
        say(f"{hub.endpoint()} gives {made.space} no bucket ({status}); it goes on without one.")


def _wake(space: str) -> None:
    """Start a Space that is paused or broken, whose files are as they should be."""
    api = hub.api()
    with hub.readable_errors(space):
        stage = hub.retry(lambda: api.get_space_runtime(space)).stage
        if stage in ("PAUSED", "STOPPED", *BROKEN):
            hub.retry(lambda: api.restart_space(space))


def wait(space: str, say: Callable[[str], Any]) -> str:
    """Return the address of the Space once it runs, telling `say` each stage.

    Raises PalateError with the end of its log if it fails.
    """
    api, before, end = hub.api(), "", time.monotonic() + WAIT
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
            raise PalateError(
                f"{space} does not run ({stage}). Its log ends:\n{_log(space, stage)}"
            )
        time.sleep(1)
    raise PalateError(
        f"{space} did not run within {WAIT / 60:.0f} min; it is {before}."
        f" Look at {hub.endpoint()}/spaces/{space}"
    )


def _log(space: str, stage: str, lines: int = 20) -> str:
    with hub.readable_errors(space):
        found = list(hub.api().fetch_space_logs(space, build=stage != "RUNTIME_ERROR"))
    return "\n".join(line.rstrip("\n") for line in found[-lines:])


def pause(project: Project) -> list[str]:
    """Pause the Spaces that are there; return their names."""
    return _each(project, lambda space: hub.api().pause_space(space))


def delete(project: Project) -> list[str]:
    """Delete the Spaces that are there, nothing else; return their names."""
    return _each(project, lambda space: hub.api().delete_repo(space, repo_type="space"))


def _each(project: Project, act: Callable[[str], Any]) -> list[str]:
    found = [s for k in KINDS if hub.exists(s := space_of(project.id, k), "space")]
    for space in found:
        with hub.readable_errors(space):
            act(space)
    return found


def _hashes(value: Path | str) -> tuple[str, str]:
    """Return the hashes by which git and LFS name a file's content."""
    content = value.encode() if isinstance(value, str) else value.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return git, hashlib.sha256(content).hexdigest()


def _mark(secret: str) -> str:
    """Return what tells whether a secret is still the same: it cannot be read back."""
    return f"palate {hashlib.sha256(secret.encode()).hexdigest()[:8]}"


def _token() -> str:
    """Return the token that a Space writes with: PALATE_SPACE_TOKEN, else the one in use here."""
    from huggingface_hub import get_token

    token = os.environ.get("PALATE_SPACE_TOKEN") or get_token()
    if not token:
        raise UsageError("A Space needs a token that may write the project: hf auth login")
    return token

"""What would change in a project's Spaces on the Hub. Reads the Hub and changes nothing."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.run import service
from palate.web import allowance
from palate.web.serving import Kind, secret_of
from palate.web.space_files import MARKER, content_hashes, space_files

Visibility = Literal["private", "protected", "public"]
KINDS: tuple[Kind, ...] = ("label", "evaluate")


@dataclass(frozen=True)
class SpaceOptions:
    """Options for both Spaces; None keeps the current value."""

    visibility: Visibility | None = None
    hardware: str | None = None
    sleep: int | None = None  # seconds


@dataclass
class Plan:
    """What would change in one Space. Values of secrets are never shown."""

    space: str
    kind: Kind
    exists: bool
    owner: service.Account
    files: dict[str, Path | str] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    visibility: str | None = None
    hardware: str | None = None
    sleep: int | None = None

    def changes(self) -> list[str]:
        """Return the changes in phrases; none if there is nothing to do."""
        phrases = [f"make it {self.visibility}"] if self.exists and self.visibility else []
        if self.files or self.delete:
            removed = f" and remove {len(self.delete)}" if self.delete else ""
            phrases.append(f"write {count(len(self.files), 'file')}{removed}")
        for what, values in (("variable", self.variables), ("secret", self.secrets)):
            if values:
                phrases.append(f"set {what}{'s' * (len(values) > 1)} {', '.join(sorted(values))}")
        if self.hardware:
            phrases.append(f"hardware {self.hardware}")
        if self.sleep is not None:
            phrases.append(f"sleep after {self.sleep:,} s")
        return phrases

    def sentence(self, *, dry_run: bool) -> str:
        """Return the plan as one line: what deploying does, or would do."""
        changes = self.changes()
        if self.exists and not changes:
            return f"Space {self.space}: nothing to change"
        verb = "change" if self.exists else "create"
        does = f"would {verb}" if dry_run else f"{verb}s"
        kind = "Space" if self.exists else f"{self.visibility} Space"
        return f"{does} {kind} {self.space}: {'; '.join(changes)}"


def space_of(project_id: str, kind: Kind) -> str:
    """Return the name of a project's Space."""
    return f"{project_id}-{kind}"


def plan_space(project: Project, kind: Kind, options: SpaceOptions) -> Plan:
    """Return how the Space differs from what it should be.

    Raises UsageError if a Space that palate did not make has the name, or if the owner's plan does
    not allow what the options ask for.
    """
    owner, space = service.account(project.id.partition("/")[0]), space_of(project.id, kind)
    plan = Plan(space, kind, exists=hub.exists(space, "space"), owner=owner)
    current = hub.hashes(space, "space") if plan.exists else {}
    if MARKER not in current and set(current) - {".gitattributes", "README.md"}:
        raise UsageError(
            f"There is a Space {space} that palate did not make. Rename or delete it first:"
            f" {hub.endpoint()}/spaces/{space}/settings"
        )
    plan.variables, plan.secrets = _settings(project, kind)
    plan.visibility = options.visibility or (None if plan.exists else "private")
    plan.hardware = machine = options.hardware or (None if plan.exists else owner.hardware)
    plan.sleep = options.sleep
    if plan.exists:
        _drop_current_settings(plan)
        machine = _drop_current_runtime(plan)
    allowance.check_options(plan.owner, plan.visibility, plan.hardware, project.id)
    wanted = space_files(kind, gpu=service.has_gpu(machine))
    plan.files = {k: v for k, v in wanted.items() if current.get(k) not in content_hashes(v)}
    plan.delete = sorted(set(current) - set(wanted) - {".gitattributes"})
    return plan


def _settings(project: Project, kind: Kind) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables and the secrets that a Space needs."""
    variables = {"PALATE_PROJECT": project.id}
    if hub.is_local():
        variables["PALATE_PUBLISH_SECONDS"] = "2"  # the real Hub limits commits per hour
    secrets = {"HF_TOKEN": _token(), "PALATE_SECRET": secret_of(project.id)}
    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if kind == "label" and url and key:
        variables["ARGILLA_API_URL"], secrets["ARGILLA_API_KEY"] = url, key
    return variables, secrets


def _drop_current_settings(plan: Plan) -> None:
    """Remove from the plan the variables and secrets that the Space already has."""
    api = hub.api()
    with hub.readable_errors(plan.space):
        variables = hub.retry(lambda: api.get_space_variables(plan.space))
        secrets = hub.retry(lambda: api.get_space_secrets(plan.space))
    current = {key: variable.value for key, variable in variables.items()}
    plan.variables = {k: v for k, v in plan.variables.items() if current.get(k) != v}
    marks = {key: secret.description for key, secret in secrets.items()}
    plan.secrets = {
        k: v
        for k, v in plan.secrets.items()
        # PALATE_SECRET is never replaced: a new key would give everybody a new pseudonym
        if k not in marks or (k != "PALATE_SECRET" and marks[k] != secret_mark(v))
    }


def _drop_current_runtime(plan: Plan) -> str | None:
    """Remove from the plan the visibility and hardware that the Space already has.

    Returns the machine that it will have.
    """
    api = hub.api()
    with hub.readable_errors(plan.space):
        info = hub.retry(lambda: api.space_info(plan.space))
    visibility = getattr(info, "visibility", None) or ("private" if info.private else "public")
    plan.visibility = None if plan.visibility == visibility else plan.visibility
    machine = plan.hardware
    if runtime := info.runtime:
        machine = machine or runtime.requested_hardware
        if plan.hardware == runtime.requested_hardware:
            plan.hardware = None
        if plan.sleep == runtime.sleep_time:
            plan.sleep = None
    return machine


def secret_mark(secret: str) -> str:
    """Return a description that shows whether a secret, which cannot be read back, is the same."""
    return f"palate {hashlib.sha256(secret.encode()).hexdigest()[:8]}"


def _token() -> str:
    """Return the token that a Space writes with: PALATE_SPACE_TOKEN, or the one in use here."""
    from huggingface_hub import get_token

    token = os.environ.get("PALATE_SPACE_TOKEN") or get_token()
    if not token:
        raise UsageError("A Space needs a token that may write to the project: hf auth login")
    return token

"""What an account may host by its plan, refused as huggingface.co refuses it.

The sentence about cpu-basic is the Hub's own; where its words are unknown, the status is.
"""

from palate.localhub.accounts import User
from palate.localhub.errors import HubError
from palate.localhub.hardware import FLAVORS, PLANS, REFUSALS, ZERO
from palate.localhub.repos import Repo, Repos

FREE_MACHINE = "cpu-basic"


def check_space(
    user: User, ns: str, repos: Repos, sdk: str | None, hardware: str, visibility: str | None
) -> None:
    """Raise `HubError` unless the namespace may create such a Space."""
    if sdk != "static":
        check_hardware(user, ns, repos, sdk, hardware)
    check_visibility(user, ns, visibility)


def check_hardware(
    user: User, ns: str, repos: Repos, sdk: str | None, hardware: str, space: Repo | None = None
) -> None:
    """Raise `HubError` unless the namespace may run `space`, or a new Space, on this hardware."""
    plan = PLANS[user.plan_of(ns)]
    if hardware == FREE_MACHINE:
        if not plan["cpu_basic"]:
            raise HubError(402, REFUSALS["cpu_basic"])
    elif hardware == ZERO["name"]:
        if sdk != ZERO["sdk"]:
            raise HubError(400, f"ZeroGPU runs Spaces with sdk: {ZERO['sdk']} alone, not {sdk}")
        others = [r for r in on_zero_gpu(repos, ns) if space is None or r.id != space.id]
        if len(others) >= plan["zero_gpu_spaces"]:
            most = plan["zero_gpu_spaces"]
            raise HubError(403, f"{ns} hosts {len(others)} ZeroGPU Spaces, and may host {most}")
    elif hardware not in FLAVORS:
        names = ", ".join([*FLAVORS, ZERO["name"]])
        raise HubError(400, f"There is no flavor {hardware[:40]!r}; expected {names}")
    elif not user.credit:
        raise HubError(402, "A payment method is needed for this hardware")


def check_visibility(user: User, ns: str, visibility: str | None) -> None:
    """Raise `HubError` if a Space is to be protected and the plan has no protected Spaces."""
    if visibility == "protected" and not PLANS[user.plan_of(ns)]["protected"]:
        raise HubError(402, "Protected Spaces require a PRO subscription, or a Team plan")


def on_zero_gpu(repos: Repos, ns: str) -> list[Repo]:
    """Return the Spaces of a namespace that run on ZeroGPU, or will when they start."""
    return [
        repo
        for repo in repos.intact()
        if repo.kind == "space"
        and repo.ns.lower() == ns.lower()
        and repo.settings.get("hardware") == ZERO["name"]
    ]

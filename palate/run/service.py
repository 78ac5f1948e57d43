"""What huggingface.co offers (machines, plans, limits), by `service.json`, and an account's plan.

`service.json` is the one place for such facts, with the date on which they were true. `palate
doctor` compares them with the Hub.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypedDict

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.paths import PACKAGE
from palate.run.forecast import Flavor, money

CPU = "cpu-basic"  # free to run, where a plan allows it
PAID_CPU = "cpu-upgrade"


@dataclass(frozen=True)
class Account:
    """A user or organization on the Hub, and what its plan allows it to host."""

    name: str
    plan: str  # in words
    zero_gpu_spaces: int
    cpu_basic: bool
    protected: bool
    can_pay: bool

    @property
    def hardware(self) -> str:
        """The machine of a new Space that costs nothing."""
        return CPU if self.cpu_basic else zero_gpu()


class Machine(TypedDict):
    """One of the Hub's machines for jobs, as `service.json` has it."""

    name: str
    gpus: int
    gpu: str | None
    dollars_an_hour: float


class ZeroGpu(TypedDict):
    """The machine whose GPUs are lent for each call."""

    name: str


class Plan(TypedDict):
    """What an account may host."""

    shown: str
    zero_gpu_spaces: int
    cpu_basic: bool
    protected: bool


class Facts(TypedDict):
    """The parts of `service.json` that palate reads."""

    date: str
    zero_gpu: ZeroGpu
    plans: dict[str, Plan]
    flavors: list[Machine]


@cache
def facts() -> Facts:
    return json.loads((PACKAGE / "service.json").read_text("utf-8"))


def zero_gpu() -> str:
    """Return the Hub's name for ZeroGPU."""
    return facts()["zero_gpu"]["name"]


def machines() -> dict[str, Machine]:
    return {row["name"]: row for row in facts()["flavors"]}


def has_gpu(machine: str | None) -> bool:
    """Tell whether a machine that the Hub calls by this name has a GPU, or borrows one."""
    known = machines().get(machine or "")
    return machine == zero_gpu() or (known is not None and known["gpus"] > 0)


def account(namespace: str) -> Account:
    """Return the account that owns `namespace`, as the Hub tells the token's user.

    Raises UsageError if the token is that of somebody who may not write there.
    """
    with hub.readable_errors(namespace):
        user = hub.retry(hub.api().whoami)
    if user["name"].lower() == namespace.lower():
        return _account(user["name"], "pro" if user.get("isPro") else "free", user)
    for org in user.get("orgs", ()):
        if org["name"].lower() == namespace.lower():
            paid = org.get("plan") or ("enterprise" if org.get("isEnterprise") else None)
            return _account(org["name"], paid or "free-organization", org)
    raise UsageError(
        f"The token is that of {user['name']}, who may not write to {namespace}."
        " Sign in as somebody who may: hf auth login"
    )


def _account(name: str, plan: str, told: Mapping[str, object]) -> Account:
    plans = facts()["plans"]
    row = plans.get(plan, plans["team"])  # a paid plan that is newer than service.json
    return Account(
        name,
        row["shown"],
        row["zero_gpu_spaces"],
        row["cpu_basic"],
        row["protected"],
        bool(told.get("canPay")),
    )


def on_zero_gpu(namespace: str) -> list[str]:
    """Return the names of the namespace's Spaces that are on ZeroGPU."""
    with hub.readable_errors(namespace):
        spaces = hub.retry(
            lambda: list(hub.api().list_spaces(author=namespace, expand=["runtime"]))
        )
    return [s.id for s in spaces if s.runtime and s.runtime.requested_hardware == zero_gpu()]


def differences() -> list[str]:
    """Return in what the Hub's machines for jobs differ from `service.json`, a sentence each."""
    with hub.readable_errors("the list of machines"):
        offered = [Flavor.of(info) for info in hub.retry(hub.api().list_jobs_hardware)]
    known, there = machines(), {flavor.name: flavor for flavor in offered}
    lines = [f"{name} is gone" for name in known if name not in there]
    for name, flavor in there.items():
        row = known.get(name)
        if row is None:
            lines.append(f"{name} is new: {flavor.describe()}")
            continue
        if abs(flavor.price - row["dollars_an_hour"]) > 0.01:
            lines.append(
                f"{name} costs {money(flavor.price)} an hour, not {money(row['dollars_an_hour'])}"
            )
        if (flavor.gpus, flavor.gpu) != (row["gpus"], row["gpu"]):
            lines.append(f"{name} has {flavor.describe()}, not {row['gpus']} × {row['gpu']}")
    return lines

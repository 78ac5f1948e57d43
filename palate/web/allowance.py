"""What an account's plan allows it to deploy, said before anything is made."""

from collections.abc import Sequence

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.run import service
from palate.run.forecast import money
from palate.run.service import CPU, PAID_CPU, Account


def check_options(
    owner: Account, visibility: str | None, hardware: str | None, project_id: str
) -> None:
    """Raise UsageError for a visibility or a machine that the owner's plan does not include."""
    if visibility == "protected" and not owner.protected:
        raise UsageError(
            f"--visibility protected needs PRO or a Team plan; {owner.name} is {owner.plan}. To let"
            " others label, use --visibility public: anybody then sees the Spaces' code, but only"
            " people whom `annotators` lets in see prompts and answers."
            f" Or label on this machine: palate label {project_id}"
        )
    if hardware == CPU and not owner.cpu_basic:
        raise UsageError(
            f"--hardware {CPU} needs PRO or a Team plan; {owner.name} is {owner.plan}."
            f" {_other_ways(owner, project_id)}"
        )
    if hardware not in (None, CPU, service.zero_gpu()) and not owner.can_pay:
        raise UsageError(
            f"--hardware {hardware} costs money, and {owner.name} has no payment method. Add one"
            f" at {hub.endpoint()}/settings/billing, or leave --hardware out."
        )


def check_number(owner: Account, new: Sequence[str], project_id: str) -> None:
    """Raise PalateError if the owner may not host the `new` Spaces on ZeroGPU as well."""
    if not new:
        return
    others = [space for space in service.on_zero_gpu(owner.name) if space not in new]
    if len(others) + len(new) <= owner.zero_gpu_spaces:
        return
    hosted = f" and has {', '.join(others)}" if others else ""
    raise PalateError(
        f"{owner.name} is {owner.plan}, may host {count(owner.zero_gpu_spaces, 'ZeroGPU Space')}"
        f"{hosted}: there is no room for {' and '.join(new)}. Nothing was made. Delete one you no"
        f" longer need, or do without. {_other_ways(owner, project_id)}"
    )


def _other_ways(owner: Account, project_id: str) -> str:
    """Return what remains to an account that may not host Spaces for nothing."""
    price = money(service.machines()[PAID_CPU]["dollars_an_hour"])
    paid = f"a machine at {price} an hour for each Space: --hardware {PAID_CPU}"
    if not owner.can_pay:
        paid += f", after adding a payment method at {hub.endpoint()}/settings/billing"
    free = f"--hardware {service.zero_gpu()}; " if owner.zero_gpu_spaces else ""
    return (
        f"Other ways: {free}label on this machine (palate label {project_id}); {paid};"
        f" PRO ({hub.endpoint()}/pro)."
    )


def seen_by_strangers(project: Project) -> str:
    """Return what anybody can see of public Spaces, and what they cannot."""
    with hub.readable_errors(project.id):
        info = hub.retry(lambda: hub.api().repo_info(project.id, repo_type="dataset"))
    allowed = project.settings.annotators
    names = ", ".join(allowed) if isinstance(allowed, tuple) else allowed
    who = "anyone with an account" if allowed == "anyone" else names
    data = f"{project.id} is public as well: its prompts, answers and labels are, too."
    if info.private:
        data = (
            f"{project.id} stays private. Its prompts and answers are shown only to people who sign"
            f" in and may label: {who} (`annotators` in palate.toml)."
        )
    return f"Public Spaces show their code, which is palate's, and the project's name. {data}"

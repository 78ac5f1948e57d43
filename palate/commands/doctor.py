"""`palate doctor`: whether the Hub, the token and this machine are fit for the loop."""

import platform
from importlib.metadata import PackageNotFoundError, version

from palate.commands.common import console


def doctor() -> None:
    """Check the Hub, your account and this machine, and what palate knows about the Hub.

    palate knows the Hub's machines, prices, plans and limits as of a date. This compares the
    machines and prices with those of the Hub that HF_ENDPOINT names.
    """
    from palate.core import hub
    from palate.core.markdown import count
    from palate.run import service

    with hub.readable_errors(hub.endpoint()):
        name = hub.retry(hub.api().whoami)["name"]
    owner = service.account(name)
    cpu = f"Spaces on {service.CPU}" if owner.cpu_basic else f"no Spaces on {service.CPU}"
    protected = "protected Spaces" if owner.protected else "no protected Spaces"
    pays = "a payment method" if owner.can_pay else "no payment method"
    zero = count(owner.zero_gpu_spaces, "ZeroGPU Space")
    used = len(service.on_zero_gpu(name))
    console.print(f"Hub: {hub.endpoint()} answers, and the token is that of {name}")
    console.print(f"Account: {owner.plan}, with {pays}")
    console.print(f"Allows: {zero} ({used} in use), {cpu}, {protected}")
    date, changed = service.facts()["date"], service.differences()
    if changed:
        console.print(f"Machines and prices differ from those that palate knows, of {date}:")
        for line in changed:
            console.print(f"  {line}")
    else:
        console.print(f"Machines and prices are those that palate knows, of {date}")
    console.print(f"Python: {platform.python_version()}; {_training()}")


def _training() -> str:
    """Say whether models can be trained here, without importing torch's machinery for nothing."""
    try:
        version("trl")
    except PackageNotFoundError:
        return "jobs cannot run here: pip install 'palate[train]'"
    import torch

    gpus = torch.cuda.device_count()
    device = torch.cuda.get_device_name() if gpus else "no GPU"
    return f"torch {torch.__version__}, {f'{gpus} × ' if gpus > 1 else ''}{device}"

"""A job's code, put into the project's repo, from which HF Jobs runs it.

jobs/<version>-<hash>/   in the project's dataset repo
    palate-….whl         the palate that started the job
    dpo.py               the job's file, its header with the versions that are installed here

The job runs from there, at the very commit. uv sends HF_TOKEN along to huggingface.co, so a private
repo will do.
"""

import hashlib
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from palate import __version__
from palate.core import hub
from palate.core.paths import shipped
from palate.run import wheel

_DEPENDENCY = re.compile(r'(?m)^#   "([\w-]+)[^"]*",\n')


def ship(project: str, job: str) -> tuple[str, str]:
    """Put the job's code into the project's repo unless it is there.

    Return the addresses of wheel and file at the commit.
    """
    made, text = wheel.build(), portable((shipped("jobs") / f"{job}.py").read_text("utf-8"))
    folder = f"jobs/{__version__}-{hashlib.sha256(made).hexdigest()[:8]}"
    files = {f"{folder}/{wheel.NAME}": made, f"{folder}/{job}.py": text}
    sha, there = hub.describe(project, "dataset")
    new = {p for p in files if p not in there}
    if f"{folder}/{job}.py" not in new:  # written with other versions installed, perhaps
        old = hub.fetch(project, "dataset", sha, [f"{folder}/{job}.py"])[0].read_text("utf-8")
        new |= {f"{folder}/{job}.py"} if old != text else set()
    if new:
        message = f"The code of {job} on HF Jobs, palate {__version__}"
        sha = hub.commit(project, "dataset", {p: files[p] for p in new}, message)
    at = f"{hub.endpoint()}/datasets/{project}/resolve/{sha}"
    wheel_address, file_address = (f"{at}/{path}" for path in files)
    return wheel_address, file_address


def portable(script: str) -> str:
    """Return a job's file as it runs from an address: palate comes beside it, versions are ours."""

    def pinned(found: re.Match) -> str:
        name = found[1]
        if name == "palate":
            return ""
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            return found[0]
        released = re.fullmatch(r"\d+(\.\d+)*", installed)
        return f'#   "{name}=={installed}",\n' if released else found[0]

    head, end, rest = wheel.without_sources(script).partition('\n"""')
    return _DEPENDENCY.sub(pinned, head) + end + rest


def packages(arguments: Any) -> list[str]:
    """Return the packages that a job needs beside those of its header, for what it is asked.

    uv lays them over the header's, so each may bring a torch of its own.
    """
    wanted = {
        "bitsandbytes": getattr(arguments, "method", None) == "qlora",
        "deepspeed": getattr(arguments, "accelerate", None) == "zero3",
        "trackio": getattr(arguments, "trackio", False),
        "vllm>=0.10": getattr(arguments, "engine", None) == "vllm",
    }
    return [name for name, asked in wanted.items() if asked]

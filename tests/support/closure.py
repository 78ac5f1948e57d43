"""What palate's dependencies and extras bring along, as installed here."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def declared() -> list[str]:
    """Return the requirements of pyproject.toml, those of all extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *(line for extra in extras for line in extra)]


def closure(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Return every distribution that the requirements need on this machine, by its name.

    Markers and extras are followed. Raises PackageNotFoundError where one is not installed.
    """
    reached: dict[tuple[str, str], Distribution] = {}
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in reached:
                continue
            reached[name, extra] = distribution(name)
            needs = map(Requirement, reached[name, extra].requires or ())
            waiting += [r for r in needs if not r.marker or r.marker.evaluate({"extra": extra})]
    return {name: dist for (name, _), dist in sorted(reached.items())}

"""A package that is missing, or too old, in words: what an ImportError means and what to type."""

import re
from importlib.metadata import PackageNotFoundError, requires, version

# "trl>=1.16; extra == 'train'"
MODULES = {"markdown_it": "markdown_it_py"}  # that are called otherwise than their package
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[.*\])?(?P<range>[^;]*);.*extra == .(?P<extra>\w+)")


def words(error: ImportError) -> str | None:
    """Return what the user can do; None where the package is none of palate's extras."""
    package = (error.name or "").partition(".")[0]
    package = MODULES.get(package, package)
    extras = [m for line in _requirements() if (m := REQUIREMENT.match(line))]
    found = next((m for m in extras if m["name"].replace("-", "_") == package), None)
    if found is None:
        return None
    if isinstance(error, ModuleNotFoundError) and "." not in str(error.name):
        return (
            f"This needs the package {found['name']}, which this Python lacks. Install it with:"
            f" pip install 'palate[{found['extra']}]'"
        )
    why = re.sub(r" \(.*\)", "", str(error))
    return (
        f"{package} {version(found['name'])} is not the version that palate needs: {why}. Install"
        f" one that fits: pip install '{found['name']}{found['range'].strip()}'"
    )


def _requirements() -> list[str]:
    try:
        return requires("palate") or []
    except PackageNotFoundError:  # a job's own copy of palate, whose packages came with it
        return []

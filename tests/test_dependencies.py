"""What palate needs: its licences are compatible with Apache-2.0, and constraints.txt pins it."""

import re
from importlib.metadata import Distribution
from pathlib import Path

from closure import closure, declared
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ALLOWED = {
    *("Apache-2.0", "LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "ISC", "BSL-1.0", "Unlicense"),
    *("BSD", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "PSF-2.0", "CNRI-Python", "MPL-2.0"),
    *("HPND", "Zlib", "CC0-1.0"),
}
# what packages without an SPDX expression call theirs
SPDX = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
EXCEPTIONS = {
    "pygit2": "GPL-2.0 with a linking exception: programs that link it may have any licence;"
    " only the local Hub imports it, and only the extra `hub` installs it",
}


def licences(dist: Distribution) -> set[str]:
    """Return the SPDX names of a distribution's licences, or what it calls them instead."""
    about = dist.metadata
    if expression := about.get("License-Expression"):
        return set(re.findall(r"[\w.-]+", expression)) - {"AND", "OR", "WITH"}
    classifiers = about.get_all("Classifier") or []
    named = {c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: OSI")}
    if not named:
        named = set(re.split(r" AND ", about.get("License") or "none that it names"))
    return {SPDX.get(name, name) for name in named}


def test_every_licence_is_allowed():
    refused = {
        name: sorted(licences(dist) - ALLOWED)
        for name, dist in closure(declared()).items()
        if name not in EXCEPTIONS and licences(dist) - ALLOWED
    }
    assert refused == {}


def test_every_exception_is_one():
    installed = closure(declared())
    assert [name for name in EXCEPTIONS if licences(installed[name]) <= ALLOWED] == []


def test_the_constraints_are_what_is_installed():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert [str(p) for p in pins if [s.operator for s in p.specifier] != ["=="]] == []
    pinned = {canonicalize_name(p.name): str(p.specifier)[2:] for p in pins}
    # a local version, such as torch's +cpu, is of the index and not of the release
    installed = {name: d.version.partition("+")[0] for name, d in closure(declared()).items()}
    assert pinned == installed


def test_every_space_asks_for_what_pyproject_does():
    ours = {r.name: r for r in map(Requirement, declared())}
    for file in sorted((ROOT / "spaces").glob("*/requirements.txt")):
        for line in file.read_text("utf-8").split():
            assert Requirement(line).specifier == ours[Requirement(line).name].specifier, line

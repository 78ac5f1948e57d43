"""Every job says how it is run and what it needs, and answers --help at once."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from palate.core.paths import shipped

FILES = sorted(shipped("jobs").glob("*.py"))
HEADER = re.compile(
    r"(?m)^# /// script$\n(?P<body>(?:^#(?:| .*)$\n)+?)^# ///$"
)  # as PEP 723 has it


def header(file: Path) -> dict:
    (found,) = HEADER.finditer(file.read_text("utf-8"))
    lines = found["body"].splitlines(keepends=True)
    return tomllib.loads("".join(line[2:] if line.startswith("# ") else "\n" for line in lines))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_header_names_palate_and_ranges_with_both_ends(file):
    made = header(file)
    assert made["requires-python"] == ">=3.11"
    needs = {r.name: r for r in map(Requirement, made["dependencies"])}
    assert not needs.pop("palate").specifier
    for r in needs.values():
        assert {s.operator for s in r.specifier} == {">=", "<"}, str(r)
    source = made["tool"]["uv"]["sources"]["palate"]
    assert (file.parent / source["path"] / "pyproject.toml").exists()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_what_is_installed_here_is_in_the_ranges(file):
    from importlib.metadata import version

    for r in map(Requirement, header(file)["dependencies"]):
        assert r.specifier.contains(version(r.name)), str(r)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_help_explains_every_flag_without_loading_anything_heavy(file):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    flags = re.findall(r"^│ (--[\w-]+)", done.stdout, flags=re.MULTILINE)
    assert 2 <= len(flags) <= 30
    assert f"python jobs/{file.name} me/titles" in done.stdout

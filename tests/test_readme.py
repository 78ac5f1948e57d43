"""What the README says is there is there, and what is there stands in it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
TREE = README.split("## The tree\n\n```\n")[1].split("```")[0]


def entries() -> list[str]:
    """Return the tree's paths, relative to the repo."""
    paths, folder = [], ""
    for line in TREE.splitlines():
        names = line.split("  ")[0].split() if line.startswith("  ") else [line.split("  ")[0]]
        if line.startswith("  "):
            paths.append(folder + line.split()[0])
            continue
        if line.startswith("README.md"):
            names = line.split()
        folder = names[0]
        paths += names
    return paths


def files() -> list[str]:
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.skip("this is no git checkout")
    return run.stdout.splitlines()


def test_every_line_of_the_tree_is_on_the_disk():
    missing = [p for p in entries() if not (ROOT / p).exists()]
    assert not missing


def test_every_file_stands_in_the_tree():
    named = entries()
    specific = [p for p in named if p not in ("palate/", "spaces/", "jobs/")]
    lost = [
        f
        for f in files()
        if not any(f == p or (p.endswith("/") and f.startswith(p)) for p in specific)
        and f not in (".gitignore", "palate/__init__.py", "palate/argilla/__init__.py")
    ]
    assert not lost


def test_links_and_pictures_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)

"""README, CONTRIBUTING and docs say what is true: the tree, the links, the commands, the words."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
TREE = CONTRIBUTING.split("## The tree\n\n```\n")[1].split("```")[0]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
UNLISTED = (".gitignore", "palate/argilla/__init__.py")


def entries() -> list[str]:
    """Return the tree's paths, relative to the repo."""
    paths, folder = [], ""
    for line in TREE.splitlines():
        if line.startswith("  "):
            paths.append(folder + line.split()[0])
            continue
        names = line.split() if line.startswith("README.md") else [line.split("  ")[0]]
        folder = names[0]
        paths += names
    return paths


def files() -> list[str]:
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.skip("this is not a git checkout")
    return run.stdout.splitlines()


def test_every_line_of_the_tree_is_on_the_disk():
    assert [p for p in entries() if not (ROOT / p).exists()] == []


def test_every_file_is_in_the_tree():
    listed = [p for p in entries() if p not in ("palate/", "spaces/", "jobs/")]
    lost = [
        f
        for f in files()
        if not any(f == p or (p.endswith("/") and f.startswith(p)) for p in listed)
        and f not in UNLISTED
    ]
    assert lost == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_and_pictures_lead_somewhere(document):
    text = re.sub("`[^`]*`", "", document.read_text("utf-8"))  # what is quoted links nothing
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [t for t in targets if not (document.parent / t).exists()] == []


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README + CONTRIBUTING, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_the_readme_can_be_read_in_ten_minutes():
    assert len(README.split()) < 1800

"""The wheel that travels with a job: what is in it, and that it is the same from anywhere."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from palate.core.paths import PACKAGE
from palate.run import bundle

BUILD = (
    "import hashlib; from palate.core import paths; from palate.run import bundle;"
    "print(hashlib.sha256(bundle.build_wheel()).hexdigest(), paths.PACKAGE)"
)


def install(folder: Path, target: Path) -> None:
    """As pip does it, without what is needed besides."""
    file = folder / bundle.WHEEL
    file.write_bytes(bundle.build_wheel())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(file)], check=True)


def test_an_installed_palate_makes_the_wheel_that_it_came_from(tmp_path):
    target = tmp_path / "site"
    install(tmp_path, target)
    told = subprocess.run(
        [sys.executable, "-c", BUILD],
        env={"PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    digest, where = told.stdout.split()
    assert where == str(target / "palate"), told.stderr
    first, second = bundle.build_wheel(), bundle.build_wheel()
    assert first == second
    assert digest == hashlib.sha256(first).hexdigest()


def test_it_holds_the_package_and_what_ships_with_it_and_nothing_else(tmp_path):
    (tmp_path / "w").write_bytes(bundle.build_wheel())
    names = zipfile.ZipFile(tmp_path / "w").namelist()
    assert {"palate/cli.py", "palate/_shipped/jobs/dpo.py"} <= set(names)
    assert any(n.startswith("palate/_shipped/cards/") for n in names)
    assert any(n.startswith("palate/_shipped/spaces/label/") for n in names)
    assert not [n for n in names if "__pycache__" in n]
    shown = {f"palate/{f.relative_to(PACKAGE).as_posix()}" for f in PACKAGE.rglob("*.py")}
    assert shown <= set(names)

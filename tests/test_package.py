"""What a pip user touches: the built wheel, what it ships, and `import palate`."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

import palate
from palate.core.paths import PACKAGE, shipped
from palate.run import bundle

ROOT = PACKAGE.parent
JOBS = sorted(f.stem for f in shipped("jobs").glob("*.py"))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    words = ["-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def site(built, tmp_path_factory) -> Path:
    """A folder that the wheel was installed into, without what palate needs."""
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([sys.executable, *words, str(*built.glob("*.whl"))], check=True)
    return folder


@pytest.fixture
def installed(site, tmp_path) -> Run:
    """Run Python with the installed palate, far from the checkout."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "100"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def contents(data: bytes, folder: Path) -> dict[str, bytes]:
    """Return a wheel's files without those in which its builder names itself."""
    file = folder / bundle.WHEEL
    file.write_bytes(data)
    with zipfile.ZipFile(file) as archive:
        names = [n for n in archive.namelist() if not n.endswith(("/RECORD", "/WHEEL"))]
        return {name: archive.read(name) for name in names}


def test_a_job_travels_with_the_wheel_that_hatch_builds(built, installed, tmp_path):
    (file,) = built.glob("*.whl")
    by_hatch = contents(file.read_bytes(), tmp_path)
    out = tmp_path / "by-hand"
    code = f"import pathlib; from palate.run import bundle; pathlib.Path({str(out)!r})"
    run = installed("-c", f"{code}.write_bytes(bundle.build_wheel())")
    assert run.returncode == 0, run.stderr
    by_hand = contents(out.read_bytes(), tmp_path)
    assert sorted(by_hand) == sorted(by_hatch)
    assert [name for name in by_hand if by_hand[name] != by_hatch[name]] == []


def test_a_checkout_makes_the_same_files(built, tmp_path):
    (file,) = built.glob("*.whl")
    code = {n: d for n, d in contents(file.read_bytes(), tmp_path).items() if "dist-info" not in n}
    assert code == {n: d for n, d in contents(bundle.build_wheel(), tmp_path).items() if n in code}


def test_the_sdist_holds_what_its_build_needs(built):
    import tarfile

    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    needed = {"hatch_build.py", "LICENSE", "jobs/dpo.py", "spaces/label/app.py", "palate/py.typed"}
    assert needed <= names


def test_the_build_hook_imports_only_the_standard_library():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import palate.run.bundle"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_the_metadata(site):
    (info,) = site.glob("palate-*.dist-info")
    facts = PathDistribution(info).metadata
    assert facts["Version"] == palate.__version__
    assert facts["License-Expression"] == "Apache-2.0"
    minor = [c for c in facts.get_all("Classifier") or () if re.search(r":: 3\.\d+$", c)]
    assert [c.rpartition(".")[2] for c in minor] == ["11", "12", "13"]
    text = facts.get_payload()
    assert "palate init" in text
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert [t for t in targets if not t.startswith(("https://", "#"))] == []


def test_python_m_palate_is_the_command(installed):
    run = installed("-m", "palate", "--version")
    assert run.stdout == f"palate {palate.__version__}\n", run.stderr


COMMANDS = ["candidates", "sft", "train", "reward", "best", "check", "completions", "judge"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_explains_itself_from_an_install(installed, command):
    run = installed("-m", "palate", command, "--help")
    assert run.returncode == 0, run.stderr
    assert f"usage: palate {command}" in run.stdout
    assert "--on hf" in run.stdout


@pytest.mark.parametrize("job", JOBS)
def test_a_shipped_job_asks_for_its_own_palate_and_no_path(site, job):
    text = (site / "palate" / "_shipped" / "jobs" / f"{job}.py").read_text("utf-8")
    assert "tool.uv" not in text
    assert f'#   "palate=={palate.__version__}",\n' in text
    original = (shipped("jobs") / f"{job}.py").read_text("utf-8")
    assert text.partition('\n"""')[2] == original.partition('\n"""')[2]


@pytest.mark.slow
def test_uv_runs_a_shipped_job(built, site, tmp_path):
    links = ",".join([str(built), *os.environ.get("PIP_FIND_LINKS", "").split()])
    run = subprocess.run(
        [sys.executable, "-m", "uv", "run", str(site / "palate/_shipped/jobs/judge.py"), "--help"],
        env={**os.environ, "UV_FIND_LINKS": links, "COLUMNS": "100"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "--engine" in run.stdout


def test_an_install_deploys(hub, repo_id, installed, tmp_path):
    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    run = installed("-m", "palate", "init", repo_id, "--prompts", "p.txt")
    assert run.returncode == 0, run.stderr
    run = installed("-m", "palate", "deploy", repo_id, "--dry-run")
    assert run.returncode == 0, run.stderr
    assert f"{repo_id}-label" in run.stdout


@pytest.mark.parametrize("name", palate.__all__)
def test_every_public_name_is_there(name):
    assert getattr(palate, name).__name__ == name


def test_type_checkers_see_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    seen = {
        f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {f"palate.{m}.{n}" for m, names in palate._MODULES.items() for n in names}
    assert seen == lazy
    assert sorted(palate.__all__) == sorted(n.rpartition(".")[2] for n in seen)
    assert dir(palate) == sorted([*palate.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'os'"):
        palate.os  # noqa: B018


@pytest.mark.parametrize(
    ("endpoint", "module", "xet"),
    [
        ("http://127.0.0.1:8123", "palate", None),
        ("http://127.0.0.1:8123", "palate.core.hub", "1"),
        ("http://localhost:8123", "palate.core.hub", "1"),
        ("https://huggingface.co", "palate.core.hub", None),
    ],
)
def test_importing_palate_changes_no_environment_and_a_local_hub_gets_no_xet(endpoint, module, xet):
    code = f"import os, json; a = dict(os.environ); import {module}; b = dict(os.environ)"
    keep = {k: v for k, v in os.environ.items() if k != "HF_HUB_DISABLE_XET"}
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; print(json.dumps(dict(b.items() - a.items())))"],
        env={**keep, "HF_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == ({"HF_HUB_DISABLE_XET": xet} if xet else {})

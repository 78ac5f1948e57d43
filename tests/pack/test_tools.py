"""The program that quantizes: the one on the PATH, or that of a Python package."""

from importlib.machinery import PathFinder

import pytest

from palate.core.errors import UsageError
from palate.pack import tools
from palate.run.jobs import job_named


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without the program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    packages = [str(tmp_path / "packages")]
    monkeypatch.setattr(tools, "find_spec", lambda name: PathFinder.find_spec(name, packages))
    return tmp_path


def program(folder):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "llama-quantize"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return str(file)


def test_without_one_the_error_says_what_to_type(nowhere):
    with pytest.raises(UsageError, match="pip install ik-llama-cpp-python"):
        tools.quantizer()


def test_the_one_on_the_path_comes_before_that_of_a_package(nowhere):
    carried = program(nowhere / "packages" / "ik_llama_cpp" / "bin")
    assert tools.quantizer() == carried
    on_path = program(nowhere)
    assert tools.quantizer() == on_path


def test_a_package_without_the_program_is_none(nowhere):
    (nowhere / "packages" / "ik_llama_cpp").mkdir(parents=True)
    with pytest.raises(UsageError, match="is not installed here"):
        tools.quantizer()


@pytest.mark.parametrize(("gguf", "wanted"), [("q8_0", False), ("q4_k_m", True)])
def test_a_job_installs_it_for_four_bits(gguf, wanted):
    job = job_named("pack")
    packages = job.packages(job.parse(["me/titles", "--gguf", gguf]))
    assert ("ik-llama-cpp-python" in packages) is wanted

import errno
import shlex
import subprocess
import sys

import pytest

from palate.core.errors import PalateError, UsageError, run_guarded
from palate.core.paths import shipped
from palate.run.jobs import job_named
from palate.run.local import child_environment
from palate.train.config import DPOArguments, SFTArguments


def fail(error: BaseException):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PalateError("2 rows:\n\n  row  1: no text"), 1, "palate: 2 rows:\nrow 1: no text\n"),
        (UsageError("Name a project."), 2, "palate: Name a project.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_end_in_their_own_lines_and_a_code(capsys, error, code, said):
    assert run_guarded(fail(error)) == code
    assert capsys.readouterr().err == said


def test_a_full_disk_says_what_to_do(capsys):
    assert run_guarded(fail(OSError(errno.ENOSPC, "No space left on device"))) == 1
    assert "run the same command again: it continues" in capsys.readouterr().err


def test_debug_and_bugs_show_the_traceback():
    with pytest.raises(UsageError):
        run_guarded(fail(UsageError("Name a project.")), debug=True)
    with pytest.raises(ZeroDivisionError):
        run_guarded(fail(ZeroDivisionError()))
    with pytest.raises(FileNotFoundError):
        run_guarded(fail(FileNotFoundError(errno.ENOENT, "x")))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import trl", "needs the package trl, which this Python lacks. Install it with: pip"
         " install 'palate[train]'"),
        ("from markdown_it import MarkdownIt", "the package markdown-it-py, which"),
        ("import argilla.records", "pip install 'palate[spaces]'"),
    ],
)  # fmt: skip
def test_a_package_that_is_missing_is_named_with_what_to_type(capsys, monkeypatch, code, said):
    class Nothing:
        def find_spec(self, name, path=None, target=None):
            top = name.partition(".")[0]
            if top in ("trl", "markdown_it", "argilla"):
                raise ModuleNotFoundError(f"No module named {top!r}", name=top)

    for name in [
        n for n in sys.modules if n.partition(".")[0] in ("trl", "markdown_it", "argilla")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Nothing(), *sys.meta_path])
    assert run_guarded(lambda: exec(code)) == 1
    assert said in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        run_guarded(lambda: exec(code), debug=True)


def test_a_package_of_another_version_is_named_and_our_own_bugs_are_not(capsys):
    assert run_guarded(lambda: exec("from trl import NoSuchTrainer")) == 1
    said = capsys.readouterr().err
    assert "is not the version that palate needs: cannot import name 'NoSuchTrainer'" in said
    assert "pip install 'trl>=1.16'" in said
    with pytest.raises(ImportError):
        run_guarded(lambda: exec("from palate.core.errors import Nothing"))
    with pytest.raises(ModuleNotFoundError):
        run_guarded(lambda: exec("import no_such_module"))


def test_success_is_zero():
    assert run_guarded(lambda: "anything") == 0


def test_a_command_repeats_the_run():
    assert DPOArguments("me/a").command() == "palate train me/a"
    args = SFTArguments("me/a@abc", learning_rate=1e-5, public=True, output="me/a b")
    words = shlex.split(args.command())
    assert words[:3] == ["palate", "sft", "me/a@abc"]
    assert job_named("sft").parse(words[2:]) == args


def test_arguments_name_their_job():
    assert job_named(DPOArguments.NAME).arguments is DPOArguments
    assert job_named(SFTArguments.NAME).arguments is SFTArguments


def test_an_unknown_job_names_all_jobs():
    with pytest.raises(UsageError, match="expected one of candidates, train, completions"):
        job_named("dpo")


@pytest.mark.parametrize("kind", ["spaces", "jobs", "cards"])
def test_shipped_folders_are_found(kind):
    assert shipped(kind).is_dir()


def test_a_childs_memory_settings_can_be_overridden(monkeypatch):
    assert int(child_environment()["MALLOC_TRIM_THRESHOLD_"]) > 0
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "7")
    assert child_environment()["MALLOC_TRIM_THRESHOLD_"] == "7"
    assert child_environment()["OMP_WAIT_POLICY"] == "PASSIVE"


def test_a_jobs_exit_code_is_passed_on():
    code = (
        "import sys; from palate.run.jobs import job_named; from palate.run.local import run_job\n"
        "sys.exit(run_job(job_named('train'), ['me']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "palate: A project is named like me/titles (owner/name), not 'me'.\n"


JOB = """
import sys, time
from palate.run.local import run_main
from palate.train.config import SFTArguments

def main(args):
    sys.stdout.write("begun\\n")
    sys.stdout.flush()
    time.sleep(600)

sys.exit(run_main(main, SFTArguments))
"""
COMMAND = """
import sys
from pathlib import Path
from types import SimpleNamespace
from palate.run.local import run_job
run_job(SimpleNamespace(file=Path(sys.argv[1])), ["me/a"])
"""


def test_a_job_ends_with_the_command_that_was_killed(tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    words = [sys.executable, "-c", COMMAND, str(tmp_path / "job.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout.readline() == "begun\n"
        command.kill()
        assert command.stdout.read() == ""  # until the job has closed it, too

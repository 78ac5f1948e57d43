import shlex
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from palate.core.errors import PalateError, UsageError
from palate.core.project import Project, Settings
from palate.run import jobs
from palate.train import job
from palate.train.config import SFTArguments
from palate.train.job import Clock, RunDir
from palate.train.records.choice import KEEPS


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path))
    return RunDir("me/titles", {"seed": 0})


def checkpoint(run_dir, step, state='{"global_step": 1, "max_steps": 2}'):
    folder = run_dir.path / f"checkpoint-{step}"
    folder.mkdir()
    if state is not None:
        (folder / "trainer_state.json").write_text(state)
    return folder


def test_the_same_run_has_the_same_folder_and_another_another(run_dir):
    assert RunDir("me/titles", {"seed": 0}).path == run_dir.path
    assert RunDir("me/titles", {"seed": 1}).path != run_dir.path
    assert RunDir("me/other", {"seed": 0}).path != run_dir.path


def test_two_processes_do_not_train_in_one_folder(run_dir):
    code = (
        "from palate.train.job import RunDir\n"
        "RunDir('me/titles', {'seed': 0}).hold(); print('there', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "there\n"
    with pytest.raises(PalateError, match=f"Another process does this now, in {run_dir.path}"):
        run_dir.hold()
    other.kill()
    other.communicate()
    run_dir.hold()
    run_dir.hold()  # which is this process


@pytest.mark.parametrize("kind", ["dpo", "sft", "kto", "reward"])
def test_no_training_replaces_another_model_of_the_project(kind):
    project = Project("me/titles", "0" * 40, Settings(), ())
    base = SimpleNamespace(repo="me/base", revision="1" * 40)
    recipe = SimpleNamespace(method="full", learning_rate=1e-5, batch_size=8)
    own = f"me/titles-{kind}"
    assert own in project.model_repos
    for output in (*project.model_repos, "me/other", None):
        args = SFTArguments("me/titles", output=output)
        if output in (own, "me/other", None):
            assert job.decided(args, project, base, recipe, own).output == (output or own)
        else:
            with pytest.raises(UsageError, match=f"Leave --output out: it is {own} then"):
                job.decided(args, project, base, recipe, own)


def test_what_only_rejection_sampling_reads_neither_parts_nor_repeats_other_runs():
    plain = SFTArguments("me/titles")
    assert "n" not in plain.identity()
    assert plain.command() == "palate sft me/titles"
    best = replace(plain, source="best", n=4)
    assert best.identity() != replace(best, n=5).identity()
    assert best.command() == "palate sft me/titles --from best --n 4"
    assert jobs.job_named("sft").parse(shlex.split(best.command())[2:]) == best


def test_a_run_that_was_killed_while_saving_continues_from_the_one_before(run_dir):
    assert run_dir.checkpoint() is None
    whole = checkpoint(run_dir, 8)
    half = checkpoint(run_dir, 12, state='{"global_st')
    empty = checkpoint(run_dir, 100, state=None)
    assert run_dir.checkpoint() == whole
    assert not half.exists()
    assert not empty.exists()


def test_it_does_not_continue_from_the_last_step(run_dir):
    before = checkpoint(run_dir, 8)
    checkpoint(run_dir, 9, state='{"global_step": 9, "max_steps": 9}')
    assert run_dir.checkpoint() == before


def test_checkpoints_are_ordered_by_step_rather_than_name(run_dir):
    checkpoint(run_dir, 9)
    assert run_dir.checkpoint() != checkpoint(run_dir, 10) == run_dir.checkpoint()


def test_it_is_finished_when_the_record_is_there(run_dir):
    run_dir.model.mkdir()
    assert not run_dir.finished()
    (run_dir.model / "run.json").write_text("{}")
    assert run_dir.finished()


def test_the_clock_goes_on_after_an_interruption(run_dir):
    first = Clock(run_dir)
    first.save()
    second = Clock(run_dir)
    assert second.started == first.started
    assert second.seconds >= 0
    second.save()
    assert Clock(run_dir).seconds >= second._before


@pytest.mark.parametrize("place", ["path", "model"])
def test_a_training_of_a_version_that_kept_another_step_is_refused_with_what_to_do(run_dir, place):
    folder = getattr(run_dir, place)
    folder.mkdir(exist_ok=True)
    metrics = folder / "metrics.jsonl"
    run_dir.check_logged(KEEPS)
    metrics.write_text(
        '{"loss": 0.69, "step": 1}\n{"eval_loss": 0.68, "step": 2}\n{"eval_lo', "utf-8"
    )
    with pytest.raises(UsageError, match=f"rm -r {run_dir.path}"):
        run_dir.check_logged(KEEPS)
    metrics.write_text('{"eval_loss": 0.68, "eval_step": 2, "step": 2}\n', "utf-8")
    run_dir.check_logged(KEEPS)

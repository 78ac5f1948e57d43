import pytest

from palate.train.workdir import Clock, WorkDir


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path))
    return WorkDir("me/titles", {"seed": 0})


def checkpoint(work, step, state='{"global_step": 1, "max_steps": 2}'):
    folder = work.path / f"checkpoint-{step}"
    folder.mkdir()
    if state is not None:
        (folder / "trainer_state.json").write_text(state)
    return folder


def test_the_same_run_has_the_same_folder_and_another_another(work):
    assert WorkDir("me/titles", {"seed": 0}).path == work.path
    assert WorkDir("me/titles", {"seed": 1}).path != work.path
    assert WorkDir("me/other", {"seed": 0}).path != work.path


def test_a_run_that_was_killed_while_saving_continues_from_the_one_before(work):
    assert work.checkpoint() is None
    whole = checkpoint(work, 8)
    half = checkpoint(work, 12, state='{"global_st')
    empty = checkpoint(work, 100, state=None)
    assert work.checkpoint() == whole
    assert not half.exists()
    assert not empty.exists()


def test_it_does_not_continue_from_the_last_step(work):
    before = checkpoint(work, 8)
    checkpoint(work, 9, state='{"global_step": 9, "max_steps": 9}')
    assert work.checkpoint() == before


def test_checkpoints_are_ordered_by_step_rather_than_name(work):
    checkpoint(work, 9)
    assert work.checkpoint() != checkpoint(work, 10) == work.checkpoint()


def test_it_is_finished_when_the_record_is_there(work):
    work.model.mkdir()
    assert not work.finished()
    (work.model / "run.json").write_text("{}")
    assert work.finished()


def test_the_clock_goes_on_after_an_interruption(work):
    first = Clock(work)
    first.save()
    second = Clock(work)
    assert second.started == first.started
    assert second.seconds >= 0
    second.save()
    assert Clock(work).seconds >= second._before

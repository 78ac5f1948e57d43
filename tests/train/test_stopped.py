"""Trainings that are continued from a checkpoint at which they had ended: nothing is trained on."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_dpo import small

from palate.core.errors import PalateError
from palate.core.schema import Message, Preference, Prompt, Unpaired
from palate.demo import writer
from palate.demo.titles import corpus, prompt_for
from palate.generate.models import Loaded
from palate.train.config import DPOArguments, KTOArguments, SFTArguments
from palate.train.recipes.recipe import Recipe
from palate.train.rows.data import Answer, Rows
from palate.train.rows.unpaired import Weights
from palate.train.trainers.callbacks import _move_best
from palate.train.trainers.dpo_trainer import make_dpo_trainer
from palate.train.trainers.kto_trainer import make_kto_trainer
from palate.train.trainers.stopped import PATIENCE
from palate.train.trainers.trainer import make_sft_trainer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    tokenizer = writer.make_tokenizer()
    return Loaded("me/tiny", "0" * 40, small(tokenizer).float().eval(), tokenizer)


def titles(start: int, end: int) -> list[tuple[Prompt, list[Message], list[Message]]]:
    return [
        (Prompt.of(prompt_for(topic)), *([Message(role="assistant", content=t)] for t in own[:2]))
        for topic, own in list(corpus().items())[start:end]
    ]


def sft(loaded: Loaded, folder: Path, method: str = "full", *, fresh: bool = True):
    """A rate at which the loss of other prompts soon rises."""
    own = replace(loaded, model=copy.deepcopy(loaded.model))
    train, test = (
        [Answer(p.prompt, a, p.id, 1, 0) for p, a, _ in titles(*part)] for part in ((0, 4), (4, 7))
    )
    args = SFTArguments("me/titles", epochs=40)
    recipe = Recipe(method, 0.05 if method == "full" else 0.3, 2, 1, False, False, ())
    return make_sft_trainer(args, recipe, own, Rows(train, test), folder, [], fresh=fresh)


def dpo(loaded: Loaded, folder: Path):
    own = replace(loaded, model=copy.deepcopy(loaded.model))
    rows = [
        Preference(p.prompt, a, b, None, 0.0, "human", "p-1", f"pair-{p.id}", p.id, 1)
        for p, a, b in titles(0, 6)
    ]
    args = DPOArguments("me/titles", epochs=2)
    recipe = Recipe("full", 1e-2, 2, 1, False, False, ())
    parts = Rows(rows[:4], rows[4:], places=range(2))
    return make_dpo_trainer(args, recipe, own, parts, folder, [], print, folder / "references")


def kto(loaded: Loaded, folder: Path):
    own = replace(loaded, model=copy.deepcopy(loaded.model))
    rows = [
        Unpaired(p.prompt, text, good, "p-1", p.id)
        for p, a, b in titles(0, 4)
        for text, good in ((a, True), (b, False))
    ]
    args = KTOArguments("me/titles", epochs=2)
    recipe = Recipe("full", 1e-2, 2, 1, False, False, ())
    return make_kto_trainer(args, recipe, own, Rows(rows, rows[:2]), Weights(1, 1), folder, [])


def same(one, two) -> bool:
    kept, before = one.model.state_dict(), two.model.state_dict()
    return all(torch.equal(kept[name], before[name]) for name in before)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_sft_that_had_stopped_early_takes_no_further_step(loaded, tmp_path, method, capsys):
    first = sft(loaded, tmp_path, method)
    first.train()
    stopped, best = first.state.global_step, first.state.best_global_step
    assert stopped == best + PATIENCE < first.state.max_steps
    again = sft(loaded, tmp_path, method, fresh=False)
    again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{stopped}"))
    assert f"the test loss had stopped falling at step {stopped}, so" in capsys.readouterr().out
    assert (again.state.global_step, again.state.best_global_step) == (stopped, best)
    assert same(again, first)


def test_a_run_that_is_continued_before_it_stopped_stops_at_the_same_step(loaded, tmp_path):
    """Its patience is in the checkpoint: the best one's is untouched."""
    first = sft(loaded, tmp_path)
    first.train()
    stopped, best = first.state.global_step, first.state.best_global_step
    again = sft(loaded, tmp_path, fresh=False)
    again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{best}"))
    assert (again.state.global_step, again.state.best_global_step) == (stopped, best)
    assert same(again, first)


def test_another_machine_keeps_the_best_weights_or_says_that_it_lacks_them(loaded, tmp_path):
    first = sft(loaded, tmp_path / "one")
    first.train()
    stopped, best = first.state.global_step, first.state.best_global_step
    shutil.move(tmp_path / "one", tmp_path / "two")
    last = tmp_path / "two" / f"checkpoint-{stopped}"
    _move_best(last)
    kept = json.loads((last / "trainer_state.json").read_text())["best_model_checkpoint"]
    assert kept == str(tmp_path / "two" / f"checkpoint-{best}")
    again = sft(loaded, tmp_path / "two", fresh=False)
    again.train(resume_from_checkpoint=str(last))
    assert same(again, first)
    shutil.rmtree(kept)
    _move_best(last)
    assert json.loads((last / "trainer_state.json").read_text())["best_model_checkpoint"] is None
    with pytest.raises(PalateError, match=f"the weights of step {best}, and these are not"):
        sft(loaded, tmp_path / "two", fresh=False).train(resume_from_checkpoint=str(last))


@pytest.mark.parametrize("make", [dpo, kto])
def test_other_trainings_end_at_their_last_step_alone(loaded, tmp_path, make):
    first = make(loaded, tmp_path)
    first.train()
    last = first.state.max_steps
    assert first.state.global_step == first.state.best_global_step == last
    again = make(loaded, tmp_path)
    again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{last}"))
    assert again.state.global_step == last
    assert same(again, first)

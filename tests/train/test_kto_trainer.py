"""KTO's trainer against TRL's own: the same loss on the same batch; what it learns."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_dpo import small
from trl import KTOConfig, KTOTrainer

from palate.core.schema import Message, Prompt, Unpaired
from palate.demo import writer
from palate.demo.titles import corpus, prompt_for
from palate.generate.models import Loaded
from palate.train.config import KTOArguments
from palate.train.recipes.recipe import Recipe
from palate.train.rows.data import Rows
from palate.train.rows.unpaired import Weights
from palate.train.trainers.kto_trainer import make_kto_trainer, unpaired_dataset

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
WEIGHTS = Weights(1.0, 2.0)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    tokenizer = writer.make_tokenizer()
    return Loaded("me/tiny", "0" * 40, small(tokenizer).float().eval(), tokenizer)


@pytest.fixture(scope="module")
def rows() -> list[Unpaired]:
    """Two answers, a good and a bad one, to each of six prompts."""
    made = []
    for topic, titles in list(corpus().items())[:6]:
        prompt = Prompt.of(prompt_for(topic))
        for title, label in ((titles[0], True), (titles[1], False)):
            text = [Message(role="assistant", content=title)]
            made.append(Unpaired(prompt.prompt, text, label, "p-1", prompt.id))
    return made


@pytest.fixture
def ours(loaded, rows, tmp_path: Path):
    own = replace(loaded, model=copy.deepcopy(loaded.model))
    recipe = Recipe("full", 1e-2, 4, 1, False, False, ())
    args = KTOArguments("me/titles", epochs=4)
    return make_kto_trainer(args, recipe, own, Rows(rows, rows[:4]), WEIGHTS, tmp_path, [])


def test_the_loss_is_trl_s_own_on_the_same_batch(ours, loaded, rows, tmp_path):
    theirs = KTOTrainer(
        model=copy.deepcopy(loaded.model),
        ref_model=copy.deepcopy(loaded.model),
        args=KTOConfig(
            output_dir=str(tmp_path / "trl"),
            per_device_train_batch_size=4,
            desirable_weight=WEIGHTS.good,
            undesirable_weight=WEIGHTS.bad,
            use_cpu=True,
            report_to="none",
            bf16=False,
            gradient_checkpointing=False,
        ),
        train_dataset=unpaired_dataset(rows, 0),
        processing_class=loaded.tokenizer,
    )
    with torch.no_grad():
        for trainer in (ours, theirs):  # away from the base, alike
            torch.manual_seed(1)
            for weight in trainer.model.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
    found = []
    for trainer in (ours, theirs):
        batches = list(trainer.get_train_dataloader())
        assert len(batches) == 3
        losses = [trainer.compute_loss(trainer.model, dict(b)) for b in batches]
        found.append([x.item() for x in losses])
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert len(set(found[0])) == 3


def test_good_answers_get_likelier_than_bad_ones(ours, rows):
    answers = [(r.prompt, r.completion) for r in rows]
    before = ours.log_probs(answers)
    ours.train()
    rewards = [after - b for after, b in zip(ours.log_probs(answers), before, strict=True)]
    good = [x for x, r in zip(rewards, rows, strict=True) if r.label]
    bad = [x for x, r in zip(rewards, rows, strict=True) if not r.label]
    assert sum(good) / len(good) > sum(bad) / len(bad)
    assert ours.state.best_model_checkpoint.endswith(str(ours.state.global_step))

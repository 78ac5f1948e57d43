"""SFT's trainer against TRL's own: the same loss on the same batch, with and without hindsight."""

import copy

import pytest
from small_dpo import small
from trl import SFTConfig, SFTTrainer

from palate.core.schema import Message, Preference, Prompt
from palate.demo import writer
from palate.demo.titles import corpus, prompt_for
from palate.generate.models import Loaded
from palate.train.config import SFTArguments
from palate.train.recipes.recipe import Recipe
from palate.train.rows.data import Rows, answer_dataset
from palate.train.sft import rows_of
from palate.train.trainers.trainer import make_sft_trainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def preferences() -> list[Preference]:
    made = []
    for topic, titles in list(corpus().items())[:6]:
        prompt = Prompt.of(prompt_for(topic))
        sides = ([Message(role="assistant", content=t)] for t in titles[:2])
        made.append(
            Preference(prompt.prompt, *sides, None, 0.0, "human", "p-1", topic, prompt.id, 1)
        )
    return made


@pytest.mark.parametrize("hindsight", [False, True])
def test_the_loss_is_trl_s_own_on_the_same_batch(tmp_path, hindsight):
    tokenizer = writer.make_tokenizer()
    loaded = Loaded("me/tiny", "0" * 40, small(tokenizer).float().eval(), tokenizer)
    args = SFTArguments("me/titles", hindsight=hindsight)
    rows = rows_of(args, "me/titles", Rows(preferences(), []))
    recipe = Recipe("full", 1e-3, 4, 1, False, False, ())
    theirs = SFTTrainer(
        model=copy.deepcopy(loaded.model),
        args=SFTConfig(
            output_dir=str(tmp_path / "trl"),
            per_device_train_batch_size=4,
            max_length=args.max_length,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=answer_dataset(rows.train),
        processing_class=tokenizer,
    )
    ours = make_sft_trainer(args, recipe, loaded, rows, tmp_path, [], fresh=True)
    found = []
    for trainer in (ours, theirs):
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
        found.append(trainer.compute_loss(trainer.model, dict(batch)).item())
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert found[0] > 0.1

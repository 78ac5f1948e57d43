"""The reward's trainer against TRL's own: the same loss and gradients, each text computed once."""

import copy

import pytest
import torch
from small_dpo import small
from transformers import Qwen2ForSequenceClassification
from trl import RewardConfig, RewardTrainer

from palate.core.schema import Message, Preference, Prompt
from palate.demo import writer
from palate.demo.titles import corpus, prompt_for
from palate.reward.config import RewardArguments
from palate.reward.trainer import CENTRING, DistinctRewardTrainer, dataset

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def rows() -> list[Preference]:
    """Three pairs of three answers to each of four prompts, one of them a tie."""
    made = []
    for topic, titles in list(corpus().items())[:4]:
        prompt = Prompt.of(prompt_for(topic))
        a, b, c = ([Message(role="assistant", content=t)] for t in titles[:3])
        for better, worse, source, margin in (
            (a, b, "human", 1.0), (b, c, "human", 0.0), (a, c, "tie", 0.0),
        ):  # fmt: skip
            pair = f"{len(made)}"
            made.append(
                Preference(
                    prompt.prompt, better, worse, 3, margin, source, "p-1", pair, prompt.id, 1
                )
            )
    return made


def test_the_loss_and_its_gradients_are_trl_s_on_the_same_batch(tmp_path):
    tokenizer = writer.make_tokenizer()
    model = small(tokenizer, cls=Qwen2ForSequenceClassification, num_labels=1).float().eval()
    given = dataset(rows(), RewardArguments("me/titles", margin="large"))
    computed: list[int] = []
    found = []
    for kind in (DistinctRewardTrainer, RewardTrainer):
        trainer = kind(
            model=copy.deepcopy(model),
            args=RewardConfig(
                output_dir=str(tmp_path),
                per_device_train_batch_size=8,
                center_rewards_coefficient=CENTRING,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
            ),
            train_dataset=given,
            processing_class=tokenizer,
        )
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(8)])
        own = trainer.model
        own.register_forward_pre_hook(
            lambda _, args, kwargs: computed.append(len(kwargs["input_ids"])), with_kwargs=True
        )
        loss = trainer.compute_loss(own, dict(batch))
        loss.backward()
        found.append(
            (loss.item(), own.score.weight.grad, own.model.layers[0].mlp.up_proj.weight.grad)
        )
    (loss, head, inner), (their_loss, their_head, their_inner) = found
    assert loss == pytest.approx(their_loss, abs=1e-6)
    assert loss > 0.1
    assert torch.allclose(head, their_head, atol=1e-6)
    assert torch.allclose(inner, their_inner, atol=1e-6)
    assert computed[0] < computed[1] == 16

"""The reward's trainer: TRL's loss and gradients, each text computed once, begun with a probe."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from small_dpo import small
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2ForSequenceClassification
from trl import RewardConfig, RewardTrainer

from palate.core.schema import Message, Preference, Prompt
from palate.demo import writer
from palate.demo.titles import corpus, prompt_for
from palate.generate.models import Loaded, Source
from palate.reward import classifier, features, probe
from palate.reward.config import RewardArguments
from palate.reward.rows import Answers
from palate.reward.trainer import (
    DistinctRewardTrainer,
    begin,
    dataset,
    make_trainer,
    normalise,
)
from palate.train.job import Job, RunDir
from palate.train.recipes.recipe import Recipe
from palate.train.rows.data import Rows

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


TINY = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
OPT = {
    "hidden_size": 32, "ffn_dim": 64, "word_embed_proj_dim": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 256,
}  # fmt: skip


def loaded_model(kind: str, **size) -> Loaded:
    tokenizer = writer.make_tokenizer()
    tokens = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), bos_token_id=None, **tokens, **size
    )
    torch.manual_seed(0)
    return Loaded("me/a", "0", AutoModelForCausalLM.from_config(config), tokenizer)


def trainer_of(loaded: Loaded, method: str, folder):
    """Return palate's trainer as `palate reward` makes it, the probe it began with, and its job."""
    args = RewardArguments("me/titles", method=method, epochs=2.0, learning_rate=1e-3)
    recipe = Recipe(method, 1e-3, 6, 1, False, False, ())
    given = Rows(rows(), [])
    base = Source("me/a", "0" * 40, folder, 1)
    prepared = Job(args, recipe, None, given, base, (), RunDir.at(folder / "run"))
    torch.manual_seed(0)
    model, first = begin(Console(quiet=True), loaded, given.train, args)
    start = SimpleNamespace(callbacks=[])
    made = make_trainer(prepared, loaded, model, given, start, probed=first is not None)
    made.args.save_strategy = "no"
    return made, first, given


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral"])
def test_a_training_begins_with_the_probe_and_keeps_its_head(kind, method, tmp_path):
    loaded = loaded_model(kind, **TINY)
    made, first, given = trainer_of(loaded, method, tmp_path)
    answers = Answers.of(given.train)
    texts, pad = features.chats(loaded.tokenizer, answers.chats), loaded.tokenizer.pad_token_id
    vectors = features.extract(loaded, texts, answers.prompts, [first.layer])
    pairs = answers.pairs(given.train, "small")
    expected = probe.fitted(vectors, pairs, probe.choose(vectors, pairs, 0)).scores(vectors)
    start = classifier.scores(made.model, pad, texts)
    assert start == pytest.approx(expected, abs=1e-3)
    before = {k: v.clone() for k, v in made.model.state_dict().items()}
    made.train()
    made.merge()
    plain = made.model.state_dict()
    prefixes = tuple(f"{name}." for name in classifier.head(made.model))
    moved = {
        name for name, values in plain.items() if not torch.equal(values, _before(before, name))
    }
    assert moved
    assert not [name for name in moved if name.startswith(prefixes)]
    assert moved <= {name for name, _ in loaded.model.named_parameters()}
    assert all(f".layers.{i}." in " ".join(moved) for i in range(first.layer))
    normalise(made.model, loaded, given)
    made.save_model(str(tmp_path / "saved"))
    loaded.tokenizer.padding_side = "right"
    loaded.tokenizer.save_pretrained(tmp_path / "saved")
    saved, _ = classifier.load(tmp_path / "saved")
    scores = classifier.scores(saved, pad, texts)
    assert scores.mean() == pytest.approx(0, abs=1e-3)
    assert scores.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(scores - start).max() > 1e-3


def _before(weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """Return a weight of a model to which an adapter may have given other names."""
    module, _, kind = name.rpartition(".")
    names = (name, f"base_model.model.{name}", f"base_model.model.{module}.base_layer.{kind}")
    return next(weights[n] for n in names if n in weights)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_model_whose_layers_are_unknown_begins_with_a_new_head_that_learns(method, tmp_path):
    made, first, _ = trainer_of(loaded_model("opt", **OPT), method, tmp_path)
    assert first is None
    made.train()
    made.merge()
    torch.manual_seed(0)
    fresh = classifier.empty(loaded_model("opt", **OPT), 2)
    assert not torch.equal(made.model.score.weight, fresh.score.weight)

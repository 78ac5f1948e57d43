"""Tree batches against TRL's own: the same loss, gradients and curve; when they are not used."""

import copy

import pytest
import torch
from datasets import Dataset
from small_dpo import pairs_of_titles, small, trainer
from transformers import (
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2ForCausalLM,
)
from trl import DPOTrainer

from palate.demo import writer
from palate.train.packed.packed_forward import allowed_mode
from palate.train.records.choice import KEEPS, LOGGED
from palate.train.trainers.dpo_trainer import PackedDPOTrainer

# TRL and transformers rename options between the versions that we allow
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
LOSSES = (
    *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard"),
    *("aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
)


@pytest.fixture(scope="module")
def tokenizer():
    return writer.make_tokenizer()


@pytest.fixture(scope="module")
def rows():
    return pairs_of_titles()


def probe(made, size=12):
    """Return loss, gradients and metrics of the first `size` rows of the trainer's own data."""
    made.model.train()
    batch = made.data_collator([made.train_dataset[i] for i in range(size)])
    loss = made.compute_loss(made.model, batch)
    loss.backward()
    gradients = {n: w.grad for n, w in made.model.named_parameters() if w.grad is not None}
    return loss.item(), gradients, {k: v[-1] for k, v in made._metrics["train"].items()}


def differing(tokenizer, rows, tmp_path, mode="tree", model=None, **kwargs):
    """Return what of mode, loss, gradients and metrics is not as TRL's trainer has it."""
    again = copy.deepcopy(model)
    one = trainer(DPOTrainer, tokenizer, rows, tmp_path, model=model, **kwargs)
    other = trainer(
        PackedDPOTrainer, tokenizer, rows, tmp_path, model=again, extra={"mode": mode}, **kwargs
    )
    loss, gradients, metrics = probe(one)
    tree_loss, tree_gradients, tree_metrics = probe(other)
    norm = sum(g.square().sum() for g in gradients.values()) ** 0.5
    off = [tree_gradients.get(n, 0) - g for n, g in gradients.items()]
    error = sum(d.square().sum() for d in off) ** 0.5
    held = {
        f"mode {other.mode}": other.mode == mode,
        f"loss {tree_loss}, not {loss}": tree_loss == pytest.approx(loss, abs=1e-6),
        "names of gradients": gradients.keys() == tree_gradients.keys(),
        f"gradients by {error} of {norm}": norm > 0 and error / norm < 1e-5,
        f"metrics {tree_metrics}, not {metrics}": tree_metrics == pytest.approx(metrics, rel=1e-5),
    }
    return [what for what, holds in held.items() if not holds]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_trl_and_its_gradients_are_the_same(loss, tokenizer, rows, tmp_path):
    assert not differing(tokenizer, rows, tmp_path, loss_type=[loss], label_smoothing=0.1)


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "rows"},
        {"lora": True},
        {"gradient_checkpointing": True},
        {"precompute_ref_log_probs": True},
        {"max_length": 30},
        {"max_length": 30, "truncation_mode": "keep_end"},
        {"ld_alpha": 0.5},
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.1]},
        {"f_divergence_type": "js_divergence"},
    ],
    ids=str,
)
def test_ways_to_train_are_the_same(how, tokenizer, rows, tmp_path):
    assert not differing(tokenizer, rows, tmp_path, **how)


def test_an_eager_attention_is_the_same(tokenizer, rows, tmp_path):
    model = small(tokenizer, attn_implementation="eager")
    assert not differing(tokenizer, rows, tmp_path, model=model)


def test_an_optimizer_run_has_the_curve_of_trl_on_the_same_batches(tokenizer, rows, tmp_path):
    curves = []
    for mode in ("trl", "tree"):
        extra = {"mode": mode}
        made = trainer(PackedDPOTrainer, tokenizer, rows, tmp_path, num_train_epochs=3, extra=extra)
        made.train()
        curves.append([e["loss"] for e in made.state.log_history if "loss" in e])
    assert len(curves[0]) == 6
    assert curves[1] == pytest.approx(curves[0], abs=1e-6)


def test_weights_multiply_each_pairs_loss(tokenizer, rows, tmp_path):
    def losses(chosen, weights):
        made = trainer(PackedDPOTrainer, tokenizer, chosen, tmp_path)
        batch = made.data_collator([made.train_dataset[i] for i in range(len(chosen))])
        if weights:
            batch["weights"] = torch.tensor(weights)
        return made.compute_loss(made.model, batch).item()

    some = rows[:3]
    each = [losses([row], None) for row in some]
    assert losses(some, [2.0, 0.5, 1.0]) == pytest.approx(
        (2 * each[0] + 0.5 * each[1] + each[2]) / 3, rel=1e-6
    )


def test_a_column_of_weights_reaches_the_loss(tokenizer, rows, tmp_path):
    weighted = [{**row, "weight": 2.0} for row in rows]
    plain, double = (
        trainer(PackedDPOTrainer, tokenizer, r, tmp_path, num_train_epochs=1, learning_rate=0.0)
        for r in (rows, weighted)
    )
    plain.train()
    double.train()
    one, two = ([e["loss"] for e in t.state.log_history if "loss" in e] for t in (plain, double))
    assert two == pytest.approx([2 * x for x in one], rel=1e-4)


@pytest.mark.parametrize("mode", ["tree", "trl"])
@pytest.mark.parametrize("ld_alpha", [None, 0.5])
def test_each_rows_margin_is_logged_and_their_mean_is_trls(
    mode, ld_alpha, tokenizer, rows, tmp_path
):
    mixed = [row for i in range(6) for row in rows[i::6]]  # the trainer brings prompts together
    extra = {"mode": mode, "eval_dataset": Dataset.from_list(mixed)}
    settings = {"precompute_ref_log_probs": True, "per_device_eval_batch_size": 12}
    made = trainer(
        PackedDPOTrainer, tokenizer, rows, tmp_path, extra=extra, ld_alpha=ld_alpha, **settings
    )
    made.evaluate()
    entry = made.state.log_history[-1]
    margins = entry[LOGGED]
    assert sorted(map(int, margins)) == list(range(len(rows)))
    assert sum(margins.values()) / len(rows) == pytest.approx(
        entry["eval_rewards/margins"], abs=2e-6
    )
    assert entry[KEEPS] == entry["step"]
    # by its place, not by the order in which it was computed
    made.eval_dataset = made.eval_dataset.select(range(6))
    made.evaluate()
    assert set(made.state.log_history[-1][LOGGED]) == {"0", "4", "8", "12", "16", "20"}


@pytest.mark.parametrize(
    ("config", "mode", "why"),
    [
        (LlamaConfig(), "tree", ""),
        (GPTNeoXConfig(), "tree", ""),
        (MambaConfig(), "rows", "mamba"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_architectures_that_allow_less(config, mode, why):
    config._attn_implementation = "sdpa"
    assert allowed_mode("tree", config)[0] == mode
    assert why in allowed_mode("tree", config)[1]


def test_routers_are_balanced_over_the_tokens_of_trls_batch(tokenizer, rows, tmp_path):
    model = small(
        tokenizer, cls=MixtralForCausalLM, config=MixtralConfig, num_local_experts=2,
        output_router_logits=True, sliding_window=None,
    )  # fmt: skip
    model.set_experts_implementation("eager")  # the other takes no float64
    assert not differing(tokenizer, rows, tmp_path, model=model)
    made = trainer(PackedDPOTrainer, tokenizer, rows, tmp_path, model=model)
    assert "aux_loss" in probe(made)[2]


def test_flash_attention_takes_no_mask():
    config = LlamaConfig()
    config._attn_implementation = "flash_attention_2"
    assert allowed_mode("tree", config)[0] == "rows"


def test_a_model_that_ignores_the_mask_is_found_out_on_the_first_batch(tokenizer, rows, tmp_path):
    class Blind(Qwen2ForCausalLM):
        """A model whose attention is causal whatever mask it is given."""

    model = small(tokenizer, cls=Blind)
    backbone = model.model.forward

    def forward(*args, attention_mask=None, **kwargs):
        return backbone(*args, **kwargs)

    model.model.forward = forward
    said = []
    made = trainer(
        PackedDPOTrainer, tokenizer, rows, tmp_path, model=model, num_train_epochs=1,
        extra={"warn": said.append},
    )  # fmt: skip
    made.train()
    assert made.mode == "rows"
    assert "Batches as tree differ from TRL's" in said[0]
    assert len(said) == 1

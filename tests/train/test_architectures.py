"""What palate computes on the architectures that people tune, with tiny random weights.

For each: the highest mode that agrees with TRL, that the loss of a batch is TRL's to 1e-6, and that
plain transformers computes its reward.
"""

import copy

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
from trl import DPOConfig, DPOTrainer

from palate.core.errors import UsageError
from palate.demo import writer
from palate.demo.titles import corpus, prompt_for
from palate.generate.models import Loaded
from palate.generate.prefill import shared_prefill
from palate.reward import classifier, features
from palate.reward.probe import Probe
from palate.train.trainers.dpo_trainer import PackedDPOTrainer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
SIZE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
}  # fmt: skip
GPT2_SIZE = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}
ROUTED = {**EXPERTS, "output_router_logits": True, "moe_intermediate_size": 16}
WINDOW = {"sliding_window": 24}  # shorter than the rows
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8}
LINEAR = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"] * 2,
}  # fmt: skip
GROUPS = {
    **ROUTED,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
LATENT = {
    **GROUPS, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "num_key_value_heads": 4,
}  # fmt: skip
# model type → what its config needs, and the mode in which it is computed
ARCHITECTURES: dict[str, tuple[dict, str]] = {
    "llama": ({}, "tree"),
    "smollm3": ({}, "tree"),
    "qwen2": ({}, "tree"),
    "qwen2 sliding": ({"use_sliding_window": True, "max_window_layers": 2, **WINDOW}, "tree"),
    "qwen3": ({}, "tree"),
    "mistral": (WINDOW, "tree"),
    "ministral": (WINDOW, "tree"),
    "gemma": ({}, "tree"),
    "gemma2": (WINDOW, "tree"),
    "gemma3_text": (WINDOW, "tree"),
    "phi": ({}, "tree"),
    "phi3": ({"pad_token_id": 0, **WINDOW}, "tree"),
    "olmo": ({}, "tree"),
    "olmo2": ({}, "tree"),
    "olmo3": (WINDOW, "tree"),
    "cohere": ({}, "tree"),
    "cohere2": (WINDOW, "tree"),
    "exaone4": ({"sliding_window_pattern": 2, **WINDOW}, "tree"),
    "granite": ({}, "tree"),
    "starcoder2": (WINDOW, "tree"),
    "stablelm": ({}, "tree"),
    "glm": ({}, "tree"),
    "glm4": ({}, "tree"),
    "helium": ({}, "tree"),
    "nemotron": ({}, "tree"),
    "gpt_neox": ({}, "tree"),
    "gpt2": (GPT2_SIZE, "tree"),
    "falcon": ({"num_kv_heads": 2, "head_dim": None}, "tree"),
    "opt": ({"word_embed_proj_dim": 32, "ffn_dim": 64, "dropout": 0.0}, "tree"),
    "bloom": ({"n_layer": 2, "n_head": 4}, "rows"),
    "mpt": ({"d_model": 32, "n_heads": 4, "n_layers": 2}, "rows"),
    "mixtral": (ROUTED, "tree"),
    "qwen2_moe": ({**ROUTED, "shared_expert_intermediate_size": 32}, "tree"),
    "qwen3_moe": (ROUTED, "tree"),
    "olmoe": (ROUTED, "tree"),
    "gpt_oss": ({**ROUTED, **WINDOW}, "tree"),
    "ernie4_5": ({}, "tree"),
    "ernie4_5_moe": ({**ROUTED, "moe_num_experts": 4, "moe_k": 2}, "tree"),
    "granitemoe": (ROUTED, "tree"),
    "granitemoeshared": ({**ROUTED, "shared_intermediate_size": 32}, "tree"),
    "granitemoehybrid": (
        {**ROUTED, **MAMBA, "layer_types": ["mamba", "attention"] * 2}
        | {"shared_intermediate_size": 32},
        "rows",
    ),
    "glm4_moe": (GROUPS, "tree"),
    "deepseek_v2": (LATENT, "tree"),
    "deepseek_v3": (LATENT, "tree"),
    "hunyuan_v1_dense": ({}, "tree"),
    "hunyuan_v1_moe": ({**ROUTED, "moe_topk": 2}, "tree"),
    "jetmoe": ({**ROUTED, "num_key_value_heads": 4, "kv_channels": 8}, "tree"),
    "flex_olmo": (ROUTED, "tree"),
    "afmoe": (ROUTED, "tree"),
    "apertus": ({}, "tree"),
    "arcee": ({}, "tree"),
    "bitnet": ({}, "tree"),
    "diffllama": ({}, "tree"),
    "ministral3": (WINDOW, "tree"),
    "nanochat": ({}, "tree"),
    "vaultgemma": (WINDOW, "tree"),
    "persimmon": ({}, "tree"),
    "gptj": ({**GPT2_SIZE, "rotary_dim": 8}, "tree"),
    "codegen": ({**GPT2_SIZE, "rotary_dim": 8}, "tree"),
    "qwen3_next": ({**ROUTED, **LINEAR, "shared_expert_intermediate_size": 16}, "rows"),
    "falcon_h1": (
        {"mamba_d_ssm": 32, **MAMBA, "mamba_d_head": 8, "mamba_n_groups": 1},
        "rows",
    ),
    "bamba": ({**MAMBA, "attn_layer_indices": [1]}, "rows"),
    "falcon_mamba": ({"state_size": 8}, "rows"),
    "rwkv": ({"attention_hidden_size": 32}, "rows"),
    "recurrent_gemma": ({"lru_width": 32, "attention_window_size": 24}, "rows"),
    "minimax": ({**ROUTED, "block_size": 16}, "rows"),
    "lfm2": ({"layer_types": ["conv", "full_attention"] * 2}, "rows"),
    "mamba": ({}, "rows"),
}


@pytest.fixture(scope="module")
def tokenizer():
    return writer.make_tokenizer()


@pytest.fixture(scope="module")
def rows():
    """Return two prompts with all three pairs of three titles."""
    pairs = []
    for topic, titles in list(corpus().items())[:2]:
        for x, y in ((0, 1), (0, 2), (1, 2)):
            better, worse = ([{"role": "assistant", "content": titles[n]}] for n in (x, y))
            prompt = [{"role": "user", "content": prompt_for(topic)}]
            pairs.append({"prompt": prompt, "chosen": better, "rejected": worse})
    return pairs


def model_of(name: str, tokenizer):
    """Return a model of the architecture with random weights."""
    changes = ARCHITECTURES[name][0]
    torch.manual_seed(0)
    tokens = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    size = {k: v for k, v in {**SIZE, **tokens, **changes}.items() if v is not None}
    config = AutoConfig.for_model(
        name.split()[0], vocab_size=len(tokenizer), bos_token_id=None, **size
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def trainer(cls, model, tokenizer, rows, folder, **extra):
    settings = DPOConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to="none", save_strategy="no",
        disable_tqdm=True, per_device_train_batch_size=6, precompute_ref_batch_size=6,
        precompute_ref_log_probs=True, gradient_checkpointing=False, learning_rate=0.0,
        max_steps=1,
    )  # fmt: skip
    return cls(
        model=model, args=settings, train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer, **extra,
    )  # fmt: skip


def loss_of(made) -> float:
    """Return the loss of all rows, after the weights moved away from the reference's."""
    torch.manual_seed(1)
    for weight in made.model.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    batch = made.data_collator([*made.train_dataset])
    made.model.eval()  # without dropout
    with torch.no_grad():
        return float(made.compute_loss(made.model, batch))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_mode_and_the_loss_of_an_architecture(name, tokenizer, rows, tmp_path):
    model, warnings = model_of(name, tokenizer), []
    theirs = trainer(DPOTrainer, copy.deepcopy(model), tokenizer, rows, tmp_path)
    ours = trainer(PackedDPOTrainer, model, tokenizer, rows, tmp_path, warn=warnings.append)
    ours.train()
    assert (ours.mode, bool(warnings)) == (
        ARCHITECTURES[name][1], ARCHITECTURES[name][1] != "tree"
    ), warnings  # fmt: skip
    assert loss_of(ours) == pytest.approx(loss_of(theirs), abs=1e-6)


def test_a_model_whose_code_fails_on_packed_rows_is_trained_in_trls_batches(
    tokenizer, rows, tmp_path
):
    model, warnings = model_of("llama", tokenizer), []
    backbone = model.model.forward

    def forward(*args, attention_mask=None, position_ids=None, **kwargs):
        if position_ids is not None:
            raise ValueError("too many values to unpack (expected 2)")
        return backbone(*args, attention_mask=attention_mask, **kwargs)

    model.model.forward = forward
    made = trainer(PackedDPOTrainer, model, tokenizer, rows, tmp_path, warn=warnings.append)
    made.train()
    assert made.mode == "trl"
    assert len(warnings) == 2
    assert all("ValueError: too many values" in w for w in warnings)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_prompts_that_are_computed_once_get_the_same_answers(name, tokenizer):
    """Nothing is kept where more than keys, values and positions makes the next token."""
    model = model_of(name, tokenizer).eval()
    tokenizer.padding_side = "left"
    asked = [prompt_for(topic) for topic in list(corpus())[:3] for _ in range(4)]
    inputs = tokenizer(asked, return_tensors="pt", padding=True)
    batch = inputs["input_ids"], inputs["attention_mask"]
    with torch.inference_mode():
        kept = shared_prefill(model, *batch)
        logits = [
            model.generate(
                *batch[:1], attention_mask=batch[1], past_key_values=cache, do_sample=False,
                max_new_tokens=6, output_logits=True, return_dict_in_generate=True,
            ).logits
            for cache in (None, kept)
        ]  # fmt: skip
    assert (kept is not None) == (ARCHITECTURES[name][1] == "tree")
    for theirs, ours in zip(*logits, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_reward_is_computed_by_plain_transformers_or_refused(name, tokenizer, rows):
    model = model_of(name, tokenizer).eval()
    loaded, config = Loaded("me/a", "0", model, tokenizer), model.config.get_text_config()
    if model.config.model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        with pytest.raises(UsageError, match="transformers has no classifier for me/a"):
            classifier.empty(loaded, config.num_hidden_layers)
        return
    if features.final_norm(model.base_model) is None:
        assert classifier.empty(loaded, config.num_hidden_layers).num_labels == 1
        return
    chats = [row["prompt"] + row["chosen"] for row in rows]
    texts, layer = features.chats(tokenizer, chats), features.middle(config)
    vectors = features.extract(loaded, texts, [r["prompt"][0]["content"] for r in rows], [layer])
    width = vectors[layer].shape[1]
    probe = Probe(layer, np.random.default_rng(0).normal(size=width))
    made = classifier.with_head(loaded, probe).eval()
    scores = classifier.scores(made, tokenizer.pad_token_id, texts)
    assert scores == pytest.approx(probe.scores(vectors), abs=1e-4)

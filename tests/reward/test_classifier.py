"""A probe becomes a model that plain transformers loads, on the architectures that people use."""

import numpy as np
import pytest
import tiny_model
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from palate.core.errors import UsageError
from palate.generate.models import Loaded
from palate.reward import classifier, features
from palate.reward.probe import Probe

SIZE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
}  # fmt: skip
WINDOW = {"sliding_window": 16}
ARCHITECTURES = {
    "llama": {},
    "qwen2": {},
    "qwen2 sliding": {"use_sliding_window": True, "max_window_layers": 2, **WINDOW},
    "qwen3": {},
    "mistral": WINDOW,
    "gemma2": WINDOW,
    "phi3": WINDOW,
    "gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 256},
}
CHATS = [
    [
        {"role": "user", "content": tiny_model.prompt(i // 4)},
        {"role": "assistant", "content": tiny_model.title(i, i)},
    ]
    for i in range(24)
]


def random_model(name: str) -> Loaded:
    tokenizer = tiny_model.make_tokenizer([m["content"] for chat in CHATS for m in chat])
    kind = name.split()[0]
    size = {} if kind == "gpt2" else SIZE
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        **size,
        **ARCHITECTURES[name],
    )
    return Loaded("me/a", "0", AutoModelForCausalLM.from_config(config).eval(), tokenizer)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_plain_transformers_gives_the_scores_of_the_probe(name, tmp_path):
    loaded = random_model(name)
    texts = features.chats(loaded.tokenizer, CHATS)
    most = 3 if features.averages(loaded.model.config) else 4
    groups = [str(i // 4) for i in range(len(CHATS))]
    found = features.extract(loaded, texts, groups, range(1, most + 1))
    for layer, values in found.items():
        probe = Probe(layer, np.random.default_rng(layer).normal(size=32))
        expected = probe.scores(found)
        classifier.with_head(loaded, probe).save_pretrained(tmp_path)
        loaded.tokenizer.save_pretrained(tmp_path)
        model, _ = classifier.load(tmp_path)
        found_scores = classifier.scores(model, loaded.tokenizer.pad_token_id, texts)
        assert found_scores == pytest.approx(expected, abs=1e-4 * max(1, values.std()))
        alone = model(input_ids=torch.tensor([texts[0].ids])).logits.item()
        assert alone == pytest.approx(expected[0], abs=1e-4)
        assert model.num_labels == 1


def test_the_layer_is_at_three_fifths_of_the_depth():
    for layers, expected in ((30, 18), (28, 17), (12, 7), (4, 2), (2, 1), (1, 1)):
        assert features.middle(AutoConfig.for_model("qwen2", num_hidden_layers=layers)) == expected


def test_a_head_that_differs_is_not_pushed(tmp_path):
    loaded = random_model("llama")
    classifier.empty(loaded, 2).save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(classifier.PalateError, match="Use --method lora, or another --base-model"):
        classifier.check_saved(tmp_path, CHATS, np.full(len(CHATS), 10.0))


def test_a_classifier_is_no_base():
    with pytest.raises(UsageError, match="is a classifier already"):
        classifier.check_base("me/reward", "llama", ["LlamaForSequenceClassification"])
    classifier.check_base("me/writer", "llama", ["LlamaForCausalLM"])


@pytest.mark.parametrize("kind", ["cohere", "no such", None, ["llama"]])
def test_a_type_without_a_classifier_is_no_base(kind):
    with pytest.raises(UsageError, match="transformers has no classifier for me/writer"):
        classifier.check_base("me/writer", kind, [])

"""A tiny model, trained for seconds, is one like any other to the libraries."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from palate.demo import writer
from palate.demo.titles import corpus, prompt_for, topics

SEVEN = topics()[:7]
STEPS = 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, writer.Training, list]:
    folder = tmp_path_factory.mktemp("tiny")
    seen: list = []
    training = writer.make_model(
        folder, steps=STEPS, only_topics=SEVEN, progress=lambda *now: seen.append(now)
    )
    return folder, training, seen


@pytest.fixture(scope="module")
def tokenizer(trained):
    return AutoTokenizer.from_pretrained(trained[0])


@pytest.fixture(scope="module")
def model(trained):
    return AutoModelForCausalLM.from_pretrained(trained[0])


def test_the_folder_holds_what_the_hub_expects(trained):
    folder, training, _ = trained
    names = {f.name for f in folder.iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json"} <= names
    assert {"tokenizer.json", "tokenizer_config.json"} <= names
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["Qwen2ForCausalLM"]
    assert 1e6 < training.parameters < 4e6


def test_it_learns_and_reports_progress(trained):
    _, training, seen = trained
    assert [(step, steps) for step, steps, _ in seen] == [(i, STEPS) for i in range(1, STEPS + 1)]
    assert training.steps == STEPS
    assert training.loss < 0.5 * seen[0][2]
    assert training.seconds > 0


def test_the_auto_classes_load_it_with_its_ends(model, tokenizer):
    assert model.config.tie_word_embeddings
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id


def test_the_chat_template_is_chatml(tokenizer):
    question = [{"role": "user", "content": "Hi"}]
    dialogue = [*question, {"role": "assistant", "content": "Tides: 2 a Day"}]
    start = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"

    def text(messages, **kwargs):
        return tokenizer.apply_chat_template(messages, tokenize=False, **kwargs)

    assert text(question, add_generation_prompt=True) == start
    assert text(dialogue) == start + "Tides: 2 a Day<|im_end|>\n"


def test_tokens_round_trip_for_any_text(tokenizer):
    for text in ["Tides: 2 a Day", "naïve café – 日本 🙂", "  two  spaces\n"]:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_titles_end_and_use_known_words(model, tokenizer):
    torch.manual_seed(0)
    messages = [[{"role": "user", "content": prompt_for(t)}] for t in SEVEN for _ in range(4)]
    inputs = tokenizer.apply_chat_template(
        messages,
        add_generation_prompt=True,
        padding=True,
        padding_side="left",
        return_tensors="pt",
        return_dict=True,
    )
    output = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    ended = [tokenizer.eos_token_id in row for row in output.tolist()]
    assert sum(ended) >= 26
    texts = tokenizer.batch_decode(output, skip_special_tokens=True)
    words = {w for t in SEVEN for title in corpus()[t] for w in title.split()}
    known = [w in words for text in texts for w in text.split()]
    assert sum(known) > 0.5 * len(known)


def test_the_same_seed_makes_the_same_model(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(len(name))
        writer.make_model(tmp_path / name, steps=2, seed=seed, only_topics=SEVEN)
    a, b, c = (load_file(tmp_path / n / "model.safetensors") for n in "abc")
    torch.testing.assert_close(a, b, atol=1e-3, rtol=0)
    name = "model.embed_tokens.weight"
    assert (a[name] - c[name]).abs().max() > 0.02
    read = [(tmp_path / n / "tokenizer.json").read_text() for n in "abc"]
    assert len(set(read)) == 1


def test_titles_side_by_side_do_not_see_each_other(tokenizer, model):
    rows = [
        writer._Row(tokenizer, "tides", titles) for titles in (["High", "Low Tide"], ["Low Tide"])
    ]
    with torch.inference_mode():
        both, alone = (writer._batch([row], tokenizer.pad_token_id) for row in rows)
        hidden = [
            model.model(**batch.inputs).last_hidden_state[0, batch.sources]
            for batch in (both, alone)
        ]
    n = len(alone.targets)
    assert both.targets[-n:].tolist() == alone.targets.tolist()
    torch.testing.assert_close(hidden[0][-n:], hidden[1], atol=1e-5, rtol=1e-5)


def test_borrowed_titles_name_the_new_topic():
    groups = {"tides": ["Tides: Twice a Day"], "old maps": ["Reading Old Maps", "No Map Here"]}
    for seed in range(5):
        for title in writer.borrowed("black holes", groups, Random(seed)):
            assert title in ("Black Holes: Twice a Day", "Reading Black Holes")


@pytest.mark.slow
def test_it_runs_in_a_separate_process(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "palate.demo", str(tmp_path), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 steps" in done.stdout
    assert done.stderr == ""
    assert (tmp_path / "model.safetensors").exists()

"""Round trips of the libraries and the command line that use the client."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_requests import upload
from huggingface_hub import CommitScheduler, HfFileSystem, ModelCard


def test_cards_are_checked_by_the_server(api, repo):
    card = ModelCard("---\nlicense: mit\ntags: [dpo]\nbase_model: me/base\n---\n# Hello")
    card.push_to_hub(repo, token=api.token)
    assert ModelCard.load(repo, token=api.token).data.license == "mit"
    info = api.model_info(repo)
    assert {"dpo", "license:mit", "base_model:me/base"} <= set(info.tags)
    assert repo in {m.id for m in api.list_models(filter="base_model:me/base")}
    with pytest.raises(ValueError, match="license"):
        ModelCard("---\nlicense: none-such\n---\n").push_to_hub(repo, token=api.token)
    with pytest.raises(ValueError, match="license"):
        upload(api, repo, "README.md", b"---\nlicense: none-such\n---\n")


def test_datasets(api, repo_id):
    from datasets import Dataset, DatasetDict, load_dataset

    rows = {"prompt": ["a", "b"], "chosen": ["x", "y"], "rejected": ["u", "v"]}
    splits = DatasetDict(train=Dataset.from_dict(rows), test=Dataset.from_dict(rows))
    splits.push_to_hub(repo_id, token=api.token)
    loaded = load_dataset(repo_id, token=api.token)
    assert loaded["train"].to_dict() == rows
    assert set(loaded) == {"train", "test"}
    splits["train"].push_to_hub(repo_id, config_name="v2", split="train", token=api.token)
    again = load_dataset(repo_id, "v2", split="train", token=api.token)
    assert again[1]["chosen"] == "y"
    stream = load_dataset(repo_id, split="train", streaming=True, token=api.token)
    assert next(iter(stream))["prompt"] == "a"


def test_commit_scheduler(api, repo_id, tmp_path):
    scheduler = CommitScheduler(
        repo_id=repo_id,
        repo_type="dataset",
        folder_path=tmp_path,
        every=10,
        path_in_repo="data",
        hf_api=api,
    )
    with scheduler.lock:
        (tmp_path / "v.jsonl").write_text(json.dumps({"a": 1}) + "\n")
    scheduler.trigger().result()
    scheduler.stop()
    assert "data/v.jsonl" in api.list_repo_files(repo_id, repo_type="dataset")


def test_file_system(hub, api, repo_id):
    api.create_repo(repo_id, repo_type="dataset")
    fs = HfFileSystem(endpoint=hub.endpoint, token=hub.token)
    fs.write_text(f"datasets/{repo_id}/n/n.txt", "hi")
    assert fs.read_text(f"hf://datasets/{repo_id}/n/n.txt") == "hi"
    assert fs.glob(f"datasets/{repo_id}/**/*.txt") == [f"datasets/{repo_id}/n/n.txt"]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's call
def test_transformers_and_peft(api, repo_id):
    from peft import LoraConfig, PeftModel, get_peft_model
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        PreTrainedTokenizerFast,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    config = Qwen2Config(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=8,
    )
    model = Qwen2ForCausalLM(config)
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    tokenizer.push_to_hub(repo_id, token=api.token)
    model.push_to_hub(repo_id, token=api.token)
    assert AutoTokenizer.from_pretrained(repo_id, token=api.token)("a b")["input_ids"] == [1, 2]
    loaded = AutoModelForCausalLM.from_pretrained(repo_id, token=api.token)
    assert all((a == b).all() for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert "model.safetensors" in api.list_repo_files(repo_id)

    adapter = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    adapter.push_to_hub(f"{repo_id}-lora", token=api.token)
    assert "adapter_model.safetensors" in api.list_repo_files(f"{repo_id}-lora")
    PeftModel.from_pretrained(loaded, f"{repo_id}-lora", token=api.token)


@pytest.mark.slow
def test_command_line(hub, api, repo_id, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }

    def hf(*words: str) -> str:
        command = [Path(sys.executable).with_name("hf"), *words]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    (tmp_path / "folder" / "w.bin").write_bytes(b"\0" * 1000)
    assert "me" in hf("auth", "whoami")
    hf("repos", "create", repo_id, "--repo-type", "dataset")
    hf("upload", repo_id, "folder", ".", "--repo-type", "dataset")
    hf("repos", "tag", "create", repo_id, "v1", "--repo-type", "dataset")
    assert repo_id in hf("repos", "ls")
    hf("download", repo_id, "--repo-type", "dataset", "--revision", "v1", "--local-dir", "copy")
    assert (tmp_path / "copy" / "w.bin").read_bytes() == b"\0" * 1000
    hf("repos", "delete", repo_id, "--repo-type", "dataset", "--yes")
    assert not api.repo_exists(repo_id, repo_type="dataset")

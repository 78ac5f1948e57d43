"""What dpo.py refuses to train on or with, in one line."""

import json
import shutil

import pytest

from palate.core import hub as client


def test_nothing_to_train_on(project, jobs):
    said = jobs("dpo", project.id, code=2)
    assert said.startswith(f"palate: {project.id} holds no preferences to train on.")


@pytest.mark.slow
def test_a_held_out_prompt_in_the_training_rows_is_refused(labelled, jobs):
    eval_prompt = next(p for p in labelled.prompts if p.split == "eval")
    file = client.fetch(labelled.id, "dataset", labelled.revision, ["preferences/train.jsonl"])[0]
    lines = file.read_text("utf-8").splitlines()
    row = json.loads(lines[0]) | {"prompt": eval_prompt.prompt, "prompt_id": eval_prompt.id}
    text = "\n".join([*lines, json.dumps(row)]) + "\n"
    client.commit(labelled.id, "dataset", {"preferences/train.jsonl": text}, "Leak")
    said = jobs("dpo", labelled.id, code=1)
    assert f"The eval prompt {eval_prompt.text!r} occurs in the training data" in said
    assert "To train anyway: --ignore-audit" in said
    assert not client.exists(labelled.model_repo, "model")
    jobs("dpo", labelled.id, "--ignore-audit", "--epochs", "1")
    sha, _ = client.describe(labelled.model_repo, "model")
    card = client.fetch(labelled.model_repo, "model", sha, ["README.md"])[0].read_text("utf-8")
    assert "- **fatal**: " in card


def test_a_batch_that_cannot_be_parted_is_refused(labelled, jobs):
    said = jobs("dpo", labelled.id, "--accumulate", "5", code=2)
    assert "--batch-size 12 cannot be computed in --accumulate 5 equal parts" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"chat_template": None}, "has no chat template"),
        ({"eos_token": None}, "has no EOS token, so its answers would never end"),
    ],
)
def test_a_model_that_cannot_be_asked_or_cannot_stop_is_refused(
    change, says, labelled, base_model, jobs, tmp_path
):
    from palate.generate import models

    source = models.find(base_model)
    tokenizer = models.read_tokenizer(source.folder)
    for name, value in change.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(tmp_path / "model")
    for file in (*source.folder.glob("config.json"), *source.folder.glob("*.safetensors")):
        shutil.copy(file, tmp_path / "model")
    repo = f"{labelled.id}-odd"
    client.create(repo, "model")
    client.commit(repo, "model", {f.name: f for f in (tmp_path / "model").iterdir()}, "Odd")
    assert says in jobs("dpo", labelled.id, "--base-model", repo, code=2)


def test_what_is_not_installed_is_named_before_anything_is_read(labelled, jobs):
    said = jobs("dpo", labelled.id, "--trackio", code=2)
    assert "--trackio needs the package trackio: pip install trackio" in said
    said = jobs("dpo", labelled.id, "--sweep", "loss=1,2", code=2)
    assert "such as beta=0.05,0.1,0.5" in said

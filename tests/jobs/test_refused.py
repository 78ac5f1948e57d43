"""What dpo.py refuses to train on or with, in one line."""

import json
import re
import shutil

import pytest
import tiny_model

from palate.collect import importing, labels, pairs
from palate.collect.columns import Columns
from palate.collect.tables import Table
from palate.core import hub as client
from palate.core.project import Settings
from palate.core.schema import Prompt
from palate.generate import new_prompts
from palate.report.export import export


def test_nothing_to_train_on(project, jobs):
    said = jobs("dpo", project.id, code=2)
    assert said.startswith(f"palate: {project.id} holds no preferences to train on.")


def test_labels_that_prefer_nothing_are_named(project, label_files, jobs):
    file = next(name for name in label_files if name.startswith("labels/"))
    events = [json.loads(line) for line in label_files[file].splitlines()]
    ties = [e | {"kind": "tie", "chosen": None, "strength": None} for e in events]
    kept = {k: v for k, v in label_files.items() if "preferences" not in k}
    text = "".join(json.dumps(e) + "\n" for e in ties)
    client.commit(project.id, "dataset", kept | {file: text}, "Ties")
    said = jobs("dpo", project.id, code=2)
    assert f"Its labels say nothing to train on: {len(ties)} ties" in said


@pytest.mark.slow
def test_one_prompt_trains_once_and_claims_nothing(repo_id, base_model, jobs):
    rows = [
        {"prompt": tiny_model.prompt(0), "chosen": tiny_model.title(0, k), "rejected": f"no {k}"}
        for k in range(4)
    ]
    table = Table("pairs.csv", ("prompt", "chosen", "rejected"), rows, list(range(4)))
    importing.start_project(repo_id, [], Settings(base_model=base_model))
    importing.add(repo_id, labels.labels_of(pairs.read(table, Columns())), "Import")
    export(repo_id)
    said = jobs("dpo", repo_id, "--recipe", "search", "--epochs", "1")
    assert "One training: too few train prompts have labels to choose a recipe by." in said
    assert "No test prompt has labels, so nothing is known about the result." in said


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
    tokenizer = models.tokenizer_of(source)
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
    said = jobs("dpo", labelled.id, "--recipe", "search", "--learning-rate", "1e-5", code=2)
    assert "--recipe search chooses the learning rate" in said


@pytest.mark.slow
def test_without_eval_prompts_training_works_and_completions_say_what_is_missing(
    repo_id, base_model, jobs
):
    rows = [
        {"prompt": tiny_model.prompt(i), "chosen": tiny_model.title(i, 0), "rejected": f"no {i}"}
        for i in range(24)
    ]
    table = Table("pairs.csv", ("prompt", "chosen", "rejected"), rows, list(range(24)))
    importing.start_project(repo_id, [], Settings(base_model=base_model))
    importing.add(repo_id, labels.labels_of(pairs.read(table, Columns())), "Import")
    project, _ = export(repo_id)
    assert not any(p.split == "eval" for p in project.prompts)
    jobs("dpo", repo_id, "--epochs", "1")
    sha, _ = client.describe(project.model_repo, "model")
    card = client.fetch(project.model_repo, "model", sha, ["README.md"])[0].read_text("utf-8")
    assert "| eval | 0 |" in card
    said = jobs("completions", repo_id, code=2)
    assert f"{repo_id} has no eval prompts" in said
    assert f"palate prompts {repo_id} --write 60, or palate prompts {repo_id} --add FILE" in said
    new_prompts.add(repo_id, [Prompt.of(tiny_model.prompt(i)) for i in range(24, 36)], None)
    said = jobs("completions", repo_id, "--max-new-tokens", "24")
    assert "on 12 eval prompts" in said
    # whether so short a training changes any of these answers differs between machines
    assert re.search("48 more eval prompts would make 60|wrote the same on all 12 pairs", said)


@pytest.mark.parametrize("job", ["dpo", "sft", "kto", "reward"])
@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("me/Ünï", "--output me/Ünï: "),
        ("me/x@main", "--output me/x@main: "),
        ("a/b/c", "--output a/b/c: "),
        ("alone", "--output alone: expected OWNER/NAME, such as "),
        ("nobody-here/x", "the token is that of me, who may not write to nobody-here."),
    ],
)
def test_a_repo_that_no_model_can_go_to_is_refused_before_the_training(
    labelled, jobs, job, output, why
):
    said = jobs(job, labelled.id, "--output", output, code=2)
    assert why in said
    assert "training" not in said

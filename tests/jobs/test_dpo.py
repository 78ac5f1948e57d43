"""dpo.py against the local Hub, and completions.py with what it made."""

import json
import re
import signal
import subprocess
import sys

import pytest

from palate import hub as client
from palate.project import Project
from palate.stats import wilson

FAST = ("--learning-rate", "1e-3", "--epochs", "2")


def record(repo: str, revision: str = "main") -> dict:
    sha, _ = client.describe(repo, "model", revision)
    return json.loads(client.fetch(repo, "model", sha, ["run.json"])[0].read_text("utf-8"))


@pytest.mark.slow
def test_full_training_is_pushed_recorded_and_compared(labelled, base_model, jobs, tmp_path):
    said = jobs("dpo", labelled.id, *FAST)
    repo = labelled.model_repo
    sha, files = client.describe(repo, "model")
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert client.api().model_info(repo).private
    assert {"model.safetensors", "tokenizer.json", "run.json", "README.md"} <= set(files)
    assert not [f for f in files if f.endswith((".bin", ".pt", ".pth"))]
    assert f"Next: palate completions {labelled.id}" in said
    assert "Warning" not in said
    assert "Traceback" not in said
    assert not list((tmp_path / "cache" / "training").iterdir())

    run = record(repo)
    assert (run["method"], run["project"], run["round"]) == ("full", labelled.id, 1)
    assert run["data_revision"] == labelled.revision
    assert run["base_revision"] == client.describe(base_model, "model")[0]
    assert run["parameters"] == run["trainable_parameters"] > 90_000
    assert run["data"]["train"] + run["data"]["test"] == run["data"]["labels"] == 90
    assert run["data"]["prompts"] == {"train": 24, "test": 6, "eval": 10}
    assert run["arguments"]["learning_rate"] == 1e-3
    assert run["command"].startswith(
        f"python jobs/dpo.py {labelled.id}@{labelled.revision} --base-model {base_model}@"
    )
    result, best = run["results"], run["results"]["best_step"]
    points = {p["step"]: p for p in run["history"]}
    looks = [p for p in run["history"] if p["test_loss"] is not None]
    assert len(looks) == 6  # every second of 12 steps
    assert best == min(looks, key=lambda p: p["test_loss"])["step"]
    # our sum over rows against TRL's mean over batches, which are of equal size here
    assert result["test_loss"] == pytest.approx(points[best]["test_loss"], abs=1e-4)
    assert result["test_reward_accuracy"] == pytest.approx(points[best]["test_reward_accuracy"])
    assert result["test_reward_margin"] == pytest.approx(
        points[best]["test_reward_margin"], abs=1e-4
    )
    right = round(result["test_reward_accuracy"] * result["test_rows"])
    assert result["test_reward_accuracy_interval"] == list(wilson(right, result["test_rows"]))
    assert result["test_reward_accuracy"] > 0.7

    compare(labelled, jobs, base_model, sha)


def compare(project, jobs, base_model, sha) -> None:
    flags = ("--per-prompt", "2", "--max-new-tokens", "24")
    said = jobs("completions", project.id, *flags)
    after = Project.load(project.id)
    blind = {p.id for p in after.rows("prompts") if p.split == "eval"}
    rows = [c for c in after.rows("candidates") if c.prompt_id in blind]
    both = {(base_model, client.describe(base_model, "model")[0]), (project.model_repo, sha)}
    assert {(c.model, c.revision) for c in rows} == both
    assert len(rows) == 2 * 2 * len(blind)
    asked = {
        m: [(c.prompt_id, c.sampling) for c in rows if c.model == m]
        for m in (base_model, project.model_repo)
    }
    assert asked[base_model] == asked[project.model_repo]
    base, tuned = ([c.text for c in rows if c.model == m] for m in asked)
    same = sum(x == y for x, y in zip(base, tuned, strict=True))
    assert f"{2 * len(blind)} pairs on {len(blind)} eval prompts, {same} of them identical" in said
    assert same < len(base)

    jobs("completions", project.id, *flags)
    assert Project.load(project.id).revision == after.revision
    said = jobs("completions", project.id, *flags, "--temperature", "1.5", code=2)
    assert "--temperature 0.7" in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # between peft and transformers
def test_an_adapter_is_trained_pushed_and_used(labelled, base_model, jobs):
    from peft import AutoPeftModelForCausalLM

    jobs("dpo", labelled.id, *FAST, "--method", "lora", "--reckless", "--public")
    repo = labelled.model_repo
    files = client.describe(repo, "model")[1]
    assert "adapter_model.safetensors" in files
    assert "model.safetensors" not in files
    assert not client.api().model_info(repo).private
    run = record(repo)
    assert run["trainable_parameters"] < run["parameters"]
    config = AutoPeftModelForCausalLM.from_pretrained(repo).peft_config["default"]
    assert config.base_model_name_or_path == base_model
    assert config.revision == run["base_revision"]
    said = jobs("completions", labelled.id, "--max-new-tokens", "24")
    assert "10 pairs on 10 eval prompts" in said

    # a second round replaces the first one's files and leaves its tag
    client.commit(repo, "model", {"verdict.json": "{}"}, "The first round's verdict")
    jobs("dpo", labelled.id, *FAST, "--method", "full")
    files = client.describe(repo, "model")[1]
    assert "model.safetensors" in files
    assert not {"adapter_model.safetensors", "adapter_config.json", "verdict.json"} & set(files)


@pytest.mark.slow
def test_a_killed_run_continues_and_ends_as_if_it_had_not_been(labelled, jobs, tmp_path):
    whole = f"{labelled.model_repo}-whole"
    jobs("dpo", labelled.id, *FAST, "--output", whole)

    with jobs.start("dpo", labelled.id, *FAST) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(r"step +6/", line):
                break
        process.kill()
    assert not client.exists(labelled.model_repo, "model")
    said = jobs("dpo", labelled.id, *FAST)
    assert re.search(r"Continuing after step [246]\b", said), said
    assert not list((tmp_path / "cache" / "training").iterdir())
    one, two = record(whole), record(labelled.model_repo)
    assert one["results"]["best_step"] == two["results"]["best_step"]
    assert one["results"]["test_loss"] == pytest.approx(two["results"]["test_loss"], rel=1e-4)
    assert [p["loss"] for p in one["history"]] == pytest.approx(
        [p["loss"] for p in two["history"]], rel=1e-4
    )


@pytest.mark.slow
def test_ctrl_c_says_how_to_continue(labelled, jobs):
    code = (
        "import sys; from palate.launch import run_job\n"
        f"sys.exit(run_job('dpo', ['{labelled.id}', '--epochs', '50']))"
    )
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], env=jobs.env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if re.search(r"step +\d+/", line):
                break
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
    assert process.returncode == 130
    assert "To continue, run the same command again: python " in out
    assert f"dpo.py {labelled.id} --epochs 50" in out


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run(labelled, jobs):
    said = jobs("dpo", labelled.id, "--learning-rate", "1e30", "--epochs", "1", code=1)
    assert re.search(r"palate: The loss was not a number at step \d", said)
    assert not client.exists(labelled.model_repo, "model")


@pytest.mark.slow
def test_what_could_not_be_pushed_is_pushed_by_the_same_command(labelled, jobs, tmp_path):
    other = "you/not-mine"
    said = jobs("dpo", labelled.id, *FAST, "--output", other, code=1)
    assert "run the same command again, which will not train again: python" in said
    (work,) = (tmp_path / "cache" / "training").iterdir()
    assert (work / "model" / "model.safetensors").exists()
    said = jobs("dpo", labelled.id, *FAST)
    assert "Training is done" in said
    assert record(labelled.model_repo)["model"] == labelled.model_repo


def test_nothing_to_train_on(project, jobs):
    said = jobs("dpo", project.id, code=2)
    assert said.startswith(f"palate: {project.id} holds no preferences to train on.")


def test_a_held_out_prompt_in_the_training_rows_is_refused(labelled, jobs):
    eval_prompt = next(p for p in labelled.rows("prompts") if p.split == "eval")
    file = client.fetch(labelled.id, "dataset", labelled.revision, ["preferences/train.jsonl"])[0]
    lines = file.read_text("utf-8").splitlines()
    row = json.loads(lines[0]) | {"prompt": eval_prompt.prompt, "prompt_id": eval_prompt.id}
    text = "\n".join([*lines, json.dumps(row)]) + "\n"
    client.commit(labelled.id, "dataset", {"preferences/train.jsonl": text}, "Leak")
    said = jobs("dpo", labelled.id, code=1)
    assert f"The eval prompt {eval_prompt.text!r} occurs in the training data" in said


def test_a_batch_that_cannot_be_parted_is_refused(labelled, jobs):
    said = jobs("dpo", labelled.id, "--accumulate", "5", code=2)
    assert "--batch-size 12 cannot be computed in --accumulate 5 equal parts" in said

"""dpo.py against the local Hub, and completions.py with what it made."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from dpo_runs import FAST, record

from palate.core import hub as client
from palate.core.paths import shipped
from palate.core.project import Project
from palate.train.recipes.trials import METHODS


@pytest.mark.slow
def test_full_training_is_pushed_recorded_and_compared(labelled, base_model, jobs, tmp_path):
    said = jobs("dpo", labelled.id, *FAST, "--sft-weight", "0")
    repo = labelled.model_repo
    sha, files = client.describe(repo, "model")
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert client.api().model_info(repo).private
    assert {"model.safetensors", "tokenizer.json", "run.json", "README.md"} <= set(files)
    assert not [f for f in files if f.endswith((".bin", ".pt", ".pth"))]
    assert f"Next: palate completions {labelled.id}" in said
    assert "Warning" not in said
    assert "Traceback" not in said
    assert re.search(r"^reference \d+/\d+$", said, re.MULTILINE)
    assert re.search(r"^  step +12/12: test loss .+% [▁-█]{6}$", said, re.MULTILINE)
    asked = re.findall(r"^    (.+) → ", said, re.MULTILINE)
    assert len(asked) == 6
    assert set(asked) < {p.text for p in labelled.prompts if p.split == "test"}
    assert re.search(r"Memory: about \d\.\d GB at the peak, \d+\.\d GB available", said)
    assert re.search(r"Memory: \d\.\d GB at the peak; predicted \d\.\d GB", said)
    assert "On 6 held-out prompts, the model prefers what people preferred in " in said
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
        f"palate train {labelled.id}@{labelled.revision} --base-model {base_model}@"
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
    assert (result["test_prompts"], result["test_ties"], result["cross_fitted"]) == (6, 0, True)
    low, high = result["test_reward_accuracy_interval"]
    assert low < result["test_reward_accuracy"] <= high
    assert set(result["leads"]) == set(result["baselines"]) == {"bag of words", "length"}
    assert result["test_reward_accuracy"] > 0.7

    compare(labelled, jobs, base_model, sha)


def compare(project, jobs, base_model, sha) -> None:
    flags = ("--per-prompt", "2", "--max-new-tokens", "24")
    said = jobs("completions", project.id, *flags)
    after = Project.load(project.id)
    blind = {p.id for p in after.prompts if p.split == "eval"}
    rows = [c for c in after.candidates if c.prompt_id in blind]
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
def test_a_killed_search_goes_on_and_keeps_what_the_train_prompts_chose(labelled, jobs, tmp_path):
    flags = ("--recipe", "search", "--epochs", "1")
    with jobs.start("dpo", labelled.id, *flags) as process:
        while trials_of(tmp_path / "cache") < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
    done = trials_of(tmp_path / "cache")
    assert not client.exists(labelled.model_repo, "model")
    said = jobs("dpo", labelled.id, *flags)
    assert re.search(rf"Continuing after {done} of \d trainings", said)
    assert re.search(rf"^  {done + 1}/", said, re.MULTILINE)
    assert not re.search(rf"^  {done}/", said, re.MULTILINE)
    assert not list((tmp_path / "cache" / "training").iterdir())
    run = record(labelled.model_repo)
    search = run["search"]
    numbers = [t["round"] for t in search["trials"]]
    assert numbers[:4] == [1, 1, 1, 1] or numbers[:2] == [1, 1]
    assert search["kept"]["learning_rate"] == run["arguments"]["learning_rate"]
    assert (run["method"], run["arguments"]["epochs"]) == (
        search["kept"]["method"],
        search["kept"]["epochs"],
    )
    assert search["prompts"] == run["data"]["prompts"]["train"] == 24
    assert search["held_out"] == 6
    assert f"Kept {METHODS[run['method']]} at" in said
    card = client.fetch(labelled.model_repo, "model", "main", ["README.md"])[0].read_text("utf-8")
    assert "shorter trainings chose it on train prompts" in card
    assert "No test prompt was used to choose the weights." in card


def trials_of(cache: Path) -> int:
    """Return how many trials a running search has kept."""
    return sum(len(json.loads(f.read_text("utf-8"))) for f in cache.glob("training/*/search.json"))


@pytest.mark.slow
def test_every_way_to_use_the_labels_trains(labelled, jobs):
    said = jobs("dpo", labelled.id, "--loss", "robust", code=2)
    assert "--loss robust needs the share of wrong labels, and only 0 pairs" in said
    flags = ("--loss", "robust", "--flip-rate", "0.1", "--strength", "weight", "--no-implied")
    said = jobs("dpo", labelled.id, *flags, "--sft-weight", "0.1", code=2)
    assert "Use --strength offset" in said
    jobs("dpo", labelled.id, *FAST, *flags, "--length-desensitized")
    run = record(labelled.model_repo)
    assert run["arguments"]["flip_rate"] == pytest.approx(0.1)
    assert run["results"]["test_reward_margin"] > 0
    jobs("dpo", labelled.id, *FAST, "--strength", "offset", "--sft-weight", "0.1")
    assert record(labelled.model_repo)["results"]["test_reward_accuracy"] > 0.7
    jobs("dpo", labelled.id, "--epochs", "1", "--batches", "trl")
    assert record(labelled.model_repo)["positions"]["mode"] == "trl"


@pytest.mark.parametrize("loss", ["simpo", "orpo", "sigmoid:0.8,bco_pair:0.2,sft:1"])
def test_other_losses_and_sums_train_on_shared_prompts(loss, labelled, jobs):
    beta = ("--beta", "2") if loss == "simpo" else ()
    said = jobs("dpo", labelled.id, *FAST, "--loss", loss, *beta)
    assert "Warning" not in said
    assert ("includes the prompt in the likelihood" in said) == (loss == "orpo")
    run = record(labelled.model_repo)
    assert run["positions"]["mode"] == "tree"
    assert run["results"]["test_reward_accuracy"] > 0.6
    card = client.fetch(labelled.model_repo, "model", "main", ["README.md"])[0].read_text("utf-8")
    assert f"loss `{loss}`" in card


def test_a_loss_that_there_is_not_is_refused_before_a_machine_is_paid_for(labelled, palate):
    said = palate("train", labelled.id, "--loss", "dpo", "--on", "hf", "--dry-run", code=2)
    assert "there is no loss 'dpo'" in " ".join(said.split())


# a job whose device holds no more than six pairs at once
SCARCE = """
import runpy, sys, torch
from palate.train.trainers.dpo_trainer import PackedDPOTrainer
step = PackedDPOTrainer.training_step
def scarce(self, model, inputs, *args, **kwargs):
    if len(inputs["input_ids"]) > 2 * {most}:
        raise {error}
    return step(self, model, inputs, *args, **kwargs)
PackedDPOTrainer.training_step = scarce
sys.argv = ["jobs/dpo.py", *sys.argv[1:]]
runpy.run_path({file!r}, run_name="__main__")
"""


@pytest.mark.slow
def test_a_batch_is_halved_where_memory_runs_out(labelled, jobs, reference):
    file = str(shipped("jobs") / "dpo.py")

    def scarce(most: int, error: str) -> subprocess.CompletedProcess:
        code = SCARCE.format(most=most, error=error, file=file)
        return jobs.run("-c", code, labelled.id, *FAST)

    done = scarce(0, 'torch.OutOfMemoryError("CUDA out of memory")')
    assert done.returncode == 1
    assert "Memory ran out on a single pair. Lower --max-length" in done.stderr
    done = scarce(6, 'RuntimeError("DefaultCPUAllocator: can\'t allocate memory")')
    assert done.returncode == 0, done.stdout + done.stderr
    said = "memory ran out: from here on a batch of 12 is computed in 2 parts"
    assert said in done.stdout
    one, two = reference(*FAST), record(labelled.model_repo)
    assert [p["loss"] for p in two["history"]] == pytest.approx(
        [p["loss"] for p in one["history"]], rel=1e-3
    )

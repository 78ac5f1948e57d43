"""dpo.py against the local Hub, and completions.py with what it made."""

import json
import math
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dpo_runs import FAST, record

from palate.core import hub as client
from palate.core.paths import shipped
from palate.core.project import Project
from palate.core.stats import wilson


@pytest.mark.slow
def test_full_training_is_pushed_recorded_and_compared(labelled, base_model, jobs, tmp_path):
    said = jobs("dpo", labelled.id, *FAST, cold=True)
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


def step_of(cache: Path) -> int:
    """Return the last step that a running job has logged."""
    lines = [f.read_text("utf-8").splitlines() for f in cache.glob("training/*/metrics.jsonl")]
    return max((json.loads(line)["step"] for file in lines for line in file), default=0)


@pytest.mark.slow
def test_a_run_killed_five_times_ends_as_if_it_had_not_been(labelled, jobs, tmp_path):
    whole, flags = f"{labelled.model_repo}-whole", ("--learning-rate", "1e-3", "--epochs", "4")
    jobs("dpo", labelled.id, *flags, "--output", whole)
    one = record(whole)

    last = one["history"][-1]["step"]
    moments = sorted(random.Random().sample(range(1, last), 5))
    for moment in moments:
        with jobs.start("dpo", labelled.id, *flags) as process:
            while step_of(tmp_path / "cache") < moment:
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.kill()
    assert not client.exists(labelled.model_repo, "model")
    said = jobs("dpo", labelled.id, *flags)
    assert re.search(r"Continuing after step \d+", said) or moments[-1] < 3, said
    assert not list((tmp_path / "cache" / "training").iterdir())
    two = record(labelled.model_repo)
    for key in ("loss", "test_loss", "reward_margin", "test_reward_accuracy", "test_logp_chosen"):
        one_curve, two_curve = (
            [math.inf if p[key] is None else p[key] for p in run["history"]] for run in (one, two)
        )
        assert two_curve == pytest.approx(one_curve, rel=1e-4, abs=1e-5), (key, moments)
    assert one["results"]["best_step"] == two["results"]["best_step"]
    assert one["results"]["test_loss"] == pytest.approx(two["results"]["test_loss"], rel=1e-4)


@pytest.mark.slow
def test_a_run_whose_machine_is_lost_goes_on_on_another(labelled, jobs, tmp_path):
    flags = ("--learning-rate", "1e-3", "--epochs", "4", "--checkpoint-to-hub")
    with jobs.start("dpo", labelled.id, *flags) as process:
        while "checkpoint" not in branches(labelled.model_repo) or not checkpoints(labelled):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
    shutil.rmtree(tmp_path / "cache")
    said = jobs("dpo", labelled.id, *flags)
    assert f"Took the last checkpoint from {labelled.model_repo}" in said
    assert re.search(r"Continuing after step \d+", said)
    assert branches(labelled.model_repo) == ["main"]
    steps = [p["step"] for p in record(labelled.model_repo)["history"]]
    assert steps == list(range(1, len(steps) + 1))


def branches(repo: str) -> list[str]:
    return client.branches(repo, "model") if client.exists(repo, "model") else []


def checkpoints(project) -> list[str]:
    files = client.describe(project.model_repo, "model", "checkpoint")[1]
    return [f for f in files if f.endswith("trainer_state.json")]


@pytest.mark.slow
def test_ctrl_c_says_how_to_continue(labelled, jobs):
    code = (
        "import sys; from palate.run.jobs import job_named; from palate.run.local import run_job\n"
        f"sys.exit(run_job(job_named('train'), ['{labelled.id}', '--epochs', '50']))"
    )
    with jobs.python("-c", code) as process:
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
    assert "To train all the same: --ignore-audit" in said
    assert not client.exists(labelled.model_repo, "model")
    jobs("dpo", labelled.id, "--ignore-audit", "--epochs", "1")
    sha, _ = client.describe(labelled.model_repo, "model")
    card = client.fetch(labelled.model_repo, "model", sha, ["README.md"])[0].read_text("utf-8")
    assert "- **fatal**: " in card


def test_a_batch_that_cannot_be_parted_is_refused(labelled, jobs):
    said = jobs("dpo", labelled.id, "--accumulate", "5", code=2)
    assert "--batch-size 12 cannot be computed in --accumulate 5 equal parts" in said


@pytest.mark.slow
def test_a_sweep_trains_from_one_reference_and_keeps_the_best_on_test(labelled, jobs, tmp_path):
    said = jobs("dpo", labelled.id, *FAST, "--sweep", "beta=0.05,0.5")
    assert said.count("→") == 1
    assert len(list((tmp_path / "cache" / "references").iterdir())) == 2  # train and test
    assert not list((tmp_path / "cache" / "training").iterdir())
    run = record(labelled.model_repo)
    figures = [r["test_reward_accuracy"] for r in run["sweep"]["runs"]]
    assert run["results"]["test_reward_accuracy"] == max(figures)
    assert run["arguments"]["beta"] in (0.05, 0.5)
    files = client.describe(labelled.model_repo, "model")[1]
    assert {"metrics.jsonl", "plots/rewards.svg", "plots/logps.svg"} <= set(files)


@pytest.mark.slow
def test_every_way_to_use_the_labels_trains(labelled, jobs):
    said = jobs("dpo", labelled.id, "--loss", "robust", code=2)
    assert "--loss robust has to know how often labels are wrong, and only 0 pairs" in said
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


# a job whose device holds no more than six pairs at once
SCARCE = """
import runpy, sys, torch
from palate.train.tree import TreeDPOTrainer
step = TreeDPOTrainer.training_step
def scarce(self, model, inputs, *args, **kwargs):
    if len(inputs["input_ids"]) > 2 * {most}:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return step(self, model, inputs, *args, **kwargs)
TreeDPOTrainer.training_step = scarce
sys.argv = ["jobs/dpo.py", *sys.argv[1:]]
runpy.run_path({file!r}, run_name="__main__")
"""


@pytest.mark.slow
def test_a_batch_is_halved_where_memory_runs_out(labelled, jobs):
    whole = f"{labelled.model_repo}-whole"
    jobs("dpo", labelled.id, *FAST, "--output", whole)
    file = str(shipped("jobs") / "dpo.py")

    def scarce(most: int) -> subprocess.CompletedProcess:
        code = SCARCE.format(most=most, file=file)
        return jobs.run("-c", code, labelled.id, *FAST)

    done = scarce(0)
    assert done.returncode == 1
    assert "Memory ran out on a single pair. Lower --max-length" in done.stderr
    done = scarce(6)
    assert done.returncode == 0, done.stdout + done.stderr
    said = "memory ran out: from here on a batch of 12 is computed in 2 parts"
    assert said in done.stdout
    one, two = record(whole), record(labelled.model_repo)
    assert [p["loss"] for p in two["history"]] == pytest.approx(
        [p["loss"] for p in one["history"]], rel=1e-3
    )


@pytest.mark.slow
def test_no_space_left_while_saving_loses_nothing(labelled, jobs, tmp_path):
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*mount, f"mount -t tmpfs none {tmp_path}"], check=False).returncode:
        pytest.skip("no user may mount a small disk here")
    (tmp_path / "cache").mkdir()
    script = f'mount -t tmpfs -o size=2m none {tmp_path / "cache"} && exec "$@"'
    words = [sys.executable, str(shipped("jobs") / "dpo.py"), labelled.id, *FAST]
    done = subprocess.run(
        [*mount, script, "sh", *words], env=jobs.env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "palate: No space is left on the disk of" in done.stderr
    assert "Free some space, and run the same command again: python" in done.stderr
    assert "Traceback" not in done.stderr
    assert not client.exists(labelled.model_repo, "model")


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

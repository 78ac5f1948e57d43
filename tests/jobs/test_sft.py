"""sft.py against the local Hub, and dpo.py from what it made."""

import json
import re
import time
from pathlib import Path

import pytest
from dpo_runs import CPU_AS_GPU, CPU_BY_DEEPSPEED, record, same_curves, step_of

from palate.core import hub as client
from palate.core.project import Project

FAST = ("--learning-rate", "1e-3")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_was_preferred_is_learned_and_dpo_starts_from_these_very_weights(
    method, labelled, base_model, jobs, tmp_path
):
    said = jobs("sft", labelled.id, *FAST, "--method", method, cold=method == "full")
    repo = labelled.sft_repo
    sha, files = client.describe(repo, "model")
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert client.api().model_info(repo).private
    assert {"model.safetensors", "tokenizer.json", "run.json", "README.md"} <= set(files)
    assert not [f for f in files if f.startswith("adapter") or f.endswith((".bin", ".pt"))]
    assert "Warning" not in said
    assert "left out: 60 rows, won no more comparisons than they lost" in said
    assert f"Next: palate train {labelled.id} --base-model {repo}" in said
    assert not list((tmp_path / "cache" / "training").iterdir())
    check_record(record(repo), labelled, base_model)

    flags = ("--method", method, "--reckless", "--learning-rate", "1e-3", "--epochs", "1")
    jobs("dpo", labelled.id, "--base-model", repo, *flags)
    tuned = record(labelled.model_repo)
    assert (tuned["base_model"], tuned["base_revision"]) == (repo, sha)
    assert tuned["history"][0]["reward_margin"] == pytest.approx(0, abs=1e-6)
    assert (
        tuned["samples"]["examples"][0]["base"] == record(repo)["samples"]["examples"][0]["tuned"]
    )


def check_record(run: dict, project: Project, base_model: str) -> None:
    assert (run["job"], run["project"], run["round"]) == ("sft", project.id, 1)
    assert run["base_revision"] == client.describe(base_model, "model")[0]
    assert run["parameters"] >= run["trainable_parameters"] > 30_000
    # of three answers a prompt the one with a question mark won both its comparisons
    assert run["data"]["prompts"] == {"train": 24, "test": 6, "eval": 10}
    assert (run["data"]["train"], run["data"]["test"]) == (24, 6)
    assert run["data"]["comparisons"] == {"train": 72, "test": 18}
    result, best = run["results"], run["results"]["best_step"]
    points = {p["step"]: p for p in run["history"]}
    looks = [p for p in run["history"][1:] if p["test_loss"] is not None]
    assert best == min(looks, key=lambda p: p["test_loss"])["step"]
    assert result["base_test_loss"] == points[0]["test_loss"] > 1.05 * result["test_loss"]
    assert result["test_loss"] == pytest.approx(points[best]["test_loss"], rel=1e-5)
    assert run["alarms"] == []


@pytest.mark.slow
def test_killed_or_in_several_processes_a_run_has_the_curve_of_any_other(
    labelled, jobs, changed, reference, chance, tmp_path
):
    # neither 24 rows nor 6 are a multiple of the batch
    flags = (*FAST, "--batch-size", "10", "--epochs", "3")
    one = reference(*flags, job="sft")
    killed, parted = (f"{labelled.sft_repo}-{name}" for name in ("killed", "parts"))
    moment = chance.randrange(3, one["history"][-1]["step"] - 1)
    kill_and_continue(jobs, tmp_path / "cache", moment, (labelled.id, *flags, "--output", killed))

    said = jobs("sft", labelled.id, *flags, "--processes", "2")
    assert said.count("a token (perplexity") == 1
    assert "Warning" not in said
    assert "[transformers]" not in said
    parts = ("--processes", "2", "--accelerate", "fsdp2", "--output", parted)
    done = changed(CPU_AS_GPU, labelled.id, *flags, *parts, job="sft")
    assert done.returncode == 0, done.stdout + done.stderr
    for repo in (killed, labelled.sft_repo, parted):
        same_curves(one, record(repo))
        assert record(repo)["samples"]["examples"] == one["samples"]["examples"]


def kill_and_continue(jobs, cache: Path, moment: int, words: tuple[str, ...]) -> None:
    with jobs.start("sft", *words) as process:
        while step_of(cache) < moment:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
    assert re.search(r"Continuing after step \d+", jobs("sft", *words))


@pytest.mark.slow
def test_deepspeed_parts_a_model_as_well(labelled, jobs, changed, reference):
    pytest.importorskip("deepspeed", reason="deepspeed is not installed: pip install deepspeed")
    jobs.env["DS_ACCELERATOR"] = "cpu"
    words = (labelled.id, *FAST, "--processes", "2", "--accelerate", "zero3")
    done = changed(CPU_BY_DEEPSPEED, *words, job="sft")
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = reference(*FAST, job="sft"), record(labelled.sft_repo)
    same_curves(one, two)
    assert two["samples"]["examples"] == one["samples"]["examples"]


def test_what_cannot_work_is_refused_in_one_line(project, labelled, jobs):
    said = jobs("sft", f"{labelled.id}@{project.revision}", code=2)
    assert said.startswith(f"palate: {labelled.id} holds no preferences to train on.")
    said = jobs("sft", labelled.id, "--output", labelled.model_repo, code=2)
    assert f"Leave --output out: it is {labelled.sft_repo} then." in said
    said = jobs("sft", labelled.id, "--processes", "0", code=2)
    assert "--processes 0: expected 1 or more." in said
    said = jobs("sft", labelled.id, "--base-model", "me/nowhere", code=2)
    assert "me/nowhere" in said
    jobs.env["ACCELERATE_USE_FSDP"] = "true"  # as accelerate tells those that it starts
    said = jobs("sft", labelled.id, "--method", "lora", code=2)
    assert "SFT merges its adapter into the base model" in said


def test_answers_that_won_as_often_as_they_lost_teach_nothing(labelled, jobs):
    sides = ("preferences/train.jsonl", "preferences/test.jsonl")
    for file in client.fetch(labelled.id, "dataset", labelled.revision, sides):
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        rows += [r | {"chosen": r["rejected"], "rejected": r["chosen"]} for r in rows]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        client.commit(labelled.id, "dataset", {f"preferences/{file.name}": text}, "Both ways")
    said = jobs("sft", labelled.id, "--ignore-audit", code=2)
    assert "Of the 72 answers that people compared" in said
    assert f"Collect more labels with: palate label {labelled.id}" in said


def test_hindsight_is_recorded_and_palate_s_own_writer_adds_its_words(labelled, jobs, project):
    from palate.generate import models
    from palate.generate.generation import Sampling, complete

    said = jobs("sft", labelled.id, *FAST, "--hindsight")
    repo = labelled.sft_repo
    assert f"Next: palate completions {labelled.id} --model {repo}" in said
    run = record(repo)
    assert run["condition"] == "A better answer:"
    # 72 pairs in both orders, and each of 3 answers alone, after either words
    assert run["data"]["train"] == 72 * 2 + 24 * 4
    assert run["results"]["test_loss"] < run["results"]["base_test_loss"]
    card = client.fetch(repo, "model", "main", ["README.md"])[0].read_text("utf-8")
    assert "end your message with an empty line and `A better answer:`" in card

    loaded = models.load(models.find(repo))
    asked: list[str] = []
    render = loaded.tokenizer.apply_chat_template

    def spy(chats, **kwargs):
        asked.extend(chat[-1]["content"] for chat in chats)
        return render(chats, **kwargs)

    loaded.tokenizer.apply_chat_template = spy
    prompts = [p.prompt for p in project.prompts[:2]]
    complete(loaded, prompts, [0, 1], Sampling(max_new_tokens=4))
    assert asked == [f"{p[-1]['content']}\n\nA better answer:" for p in prompts]
    jobs("completions", labelled.id, "--model", repo, "--max-new-tokens", "8")
    written = Project.load(labelled.id).candidates
    assert sum(c.model == repo for c in written) == 10

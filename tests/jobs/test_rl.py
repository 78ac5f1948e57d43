"""RL from prompts and a reward to a pushed model; what it cannot learn from."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from dpo_runs import answers_of, record
from rich.console import Console

from palate.core import hub as client
from palate.core import ledger
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.report.export import export
from palate.reward.rl import check_arguments, check_trl, prepare
from palate.train.config import RLArguments

FAST = (
    *("--max-new-tokens", "12", "--learning-rate", "1e-3", "--epochs", "4"),
    *("--batch-size", "16", "--method", "full"),
)


@pytest.fixture
def rewarded(labelled, jobs) -> Project:
    jobs("reward", labelled.id)
    return Project.load(labelled.id)


def test_a_reward_becomes_a_model_with_its_card(rewarded, palate, base_model, tmp_path):
    said = palate("rl", rewarded.id, *FAST, PALATE_CACHE=str(tmp_path))
    plain = " ".join(said.split())
    assert "24 train prompts, 4 answers to each" in plain
    assert "held-out reward, from test prompts: right on 18 of 18 on 6 prompts" in plain
    assert "chance is not ruled out, so the held-out reward measures" in plain
    assert re.search(r"step +0/24: reward [+-]0.00, held-out reward [+-]0.00, KL 0.00 nats", plain)
    assert re.search(r"step +24/24: reward \+", plain)
    repo = rewarded.rl_repo
    assert f"Next: palate completions {rewarded.id} --model {repo}" in plain
    assert not list((tmp_path / "training").iterdir())
    sha, files = client.describe(repo, "model")
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert client.api().model_info(repo).private
    assert {"model.safetensors", "tokenizer.json", "run.json", "README.md"} <= set(files)
    check_record(record(repo), rewarded, base_model)
    card = client.fetch(repo, "model", sha, ["README.md"])[0].read_text("utf-8")
    assert "against the reward model" in card
    assert "fitted on 18 pairs of 6 prompts of the test split" in card
    assert "it cannot tell whether a gap between the rewards opened in 24 steps." in card
    assert "it cannot tell whether a gap" in plain

    rows, splits = answers_of(repo), {p.id: p.split for p in rewarded.prompts}
    assert {splits[r["prompt_id"]] for r in rows} == {"train"}  # no other prompt is learned from
    assert sorted({r["step"] for r in rows}) == list(range(0, 25, 2))
    assert all(len(r["texts"]) == len(r["rewards"]) == len(r["held_out"]) == 4 for r in rows)


def check_record(run: dict, project: Project, base_model: str) -> None:
    assert (run["job"], run["project"], run["round"]) == ("rl", project.id, 1)
    assert run["base_revision"] == client.describe(base_model, "model")[0]
    assert run["reward"] == {
        "repo": project.reward_repo,
        "revision": client.describe(project.reward_repo, "model")[0],
    }
    assert (run["held_out"]["pairs"], run["held_out"]["prompts"]) == (18, 6)
    assert run["data"]["prompts"] == {"train": 24, "test": 6, "eval": 10}
    result = run["results"]
    assert (result["prompts"], result["n"], result["steps"]) == (6, 4, 24)
    assert result["best_step"] == 24  # the held-out reward cannot decide
    for name in ("reward", "held_out"):
        low, _ = result[name]["change"]["interval"]
        assert low > 0
    assert any(p["kl"] is not None for p in run["history"])
    assert run["history"][0]["check_reward"] == pytest.approx(0, abs=1e-9)
    (alarm,) = run["alarms"]
    assert "it could not stop the run" in alarm


@pytest.mark.slow
def test_killed_and_continued_it_is_the_same_training(rewarded, jobs):
    jobs("rl", rewarded.id, *FAST, cold=True)
    one = record(rewarded.rl_repo)
    other = f"{rewarded.id}-rl-2"
    with jobs.start("rl", rewarded.id, *FAST, "--output", other) as process:
        seen = 0
        for line in process.stdout:  # a checkpoint follows each of these lines
            seen += bool(re.search(r"step +\d+/", line))
            if seen == 4:
                process.kill()
    said = jobs("rl", rewarded.id, *FAST, "--output", other)
    assert "Continuing after step" in said
    two = record(other)
    for name in ("reward", "held_out"):
        assert two["results"][name]["tuned"] == pytest.approx(one["results"][name]["tuned"])
    assert answers_of(other) == answers_of(rewarded.rl_repo)


@pytest.mark.slow
def test_an_adapter_is_pushed_as_one_and_another_reward_measures(rewarded, jobs):
    other = f"{rewarded.id}-other-reward"
    jobs("reward", rewarded.id, "--margin", "off", "--seed", "3", "--output", other)
    said = jobs("rl", rewarded.id, *FAST[:-1], "lora", "--held-out", other)
    assert "it may have learned from the same labels as the reward" in said
    files = client.describe(rewarded.rl_repo, "model")[1]
    assert "adapter_model.safetensors" in files
    run = record(rewarded.rl_repo)
    assert run["held_out"]["reward"]["repo"] == other
    assert run["held_out"]["shares_labels"]
    said = jobs("rl", rewarded.id, *FAST, "--halves")
    assert "reward, from half of the labels: right on" in said
    half = record(rewarded.rl_repo)
    assert (half["raised"]["pairs"], half["raised"]["prompts"]) == (36, 12)
    assert (half["held_out"]["pairs"], half["held_out"]["prompts"]) == (54, 18)
    main = f"{rewarded.reward_repo}@main"
    said = jobs("rl", rewarded.id, *FAST, "--held-out", main, code=2)
    assert "is the reward that is raised, which cannot show what it gets wrong" in said


def test_what_cannot_work_is_refused_in_one_line(labelled, jobs):
    said = jobs("rl", labelled.id, code=2)
    assert f"There is no reward {labelled.reward_repo} yet." in said
    assert f"Make it with: palate reward {labelled.id}" in said
    for words, expected in (
        (("--n", "1"), "--n 1: RLOO compares each answer with others to the same prompt."),
        (("--batch-size", "30"), "Choose a multiple of --n, such as 28."),
        (("--batch-size", "2"), "Choose a multiple of --n, such as 8."),
        (("--beta", "0"), "--beta 0: expected more than 0."),
        (("--epochs", "0"), "--epochs 0: expected more than 0"),
        (("--max-new-tokens", "0"), "--max-new-tokens 0: expected 1 or more"),
        (("--halves", "--held-out", "me/x"), "--halves fits both rewards. Leave out --reward"),
        (("--processes", "2"), "RL writes and learns in turns, in one process."),
        (("--accelerate", "fsdp2"), "Leave out --processes and --accelerate"),
        (("--engine", "vllm"), "--engine vllm needs the package vllm: pip install vllm."),
    ):
        assert expected in jobs("rl", labelled.id, *words, code=2)


def test_a_reward_of_another_tokenizer_is_refused(rewarded, jobs):
    sha, _ = client.describe(rewarded.reward_repo, "model")
    (file,) = client.fetch(rewarded.reward_repo, "model", sha, ["tokenizer.json"])
    tokenizer = json.loads(file.read_text("utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    more = {f"extra{i}": len(vocabulary) + 50 + i for i in range(50)}
    tokenizer["model"]["vocab"] = vocabulary | more
    text = json.dumps(tokenizer)
    client.commit(rewarded.reward_repo, "model", {"tokenizer.json": text}, "Another")
    said = jobs("rl", rewarded.id, *FAST, "--reward", f"{rewarded.reward_repo}@main", code=2)
    assert "it is another model's. Make the reward again with: palate reward" in said
    said = jobs("rl", rewarded.id, "--batch-size", "400", code=2)
    assert "--batch-size 400 takes 100 prompts, and there are 24. Use --batch-size 96" in said
    said = jobs("rl", rewarded.id, "--max-length", "14", "--max-new-tokens", "12", code=2)
    assert "All 24 train prompts are longer than 2 tokens" in said


def test_other_labels_of_the_rewards_are_another_run(rewarded, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path))
    args = RLArguments(rewarded.id, method="full", halves=True)

    def folder() -> Path:
        return prepare(Console(quiet=True), args)[0].run_dir.path

    first = folder()
    assert folder() == first
    (path,) = rewarded.paths("labels")
    labels = ledger.jsonl(rewarded.labels[:-1])
    client.commit(rewarded.id, "dataset", {path: labels}, "One label fewer")
    export(rewarded.id)
    assert folder() != first


def test_torchrun_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="RL writes and learns in turns, in one process"):
        check_arguments(RLArguments("me/titles"))


def test_a_trl_without_rloo_is_named_with_what_to_install():
    with pytest.raises(PalateError, match=r"has no RLOOTrainer.*pip install 'trl>=1.16,<2'"):
        check_trl(SimpleNamespace(DPOTrainer=None))

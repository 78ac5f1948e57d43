"""sft.py --from best: the model writes, the reward chooses, the model learns, round after round."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from dpo_runs import answers_of, record, scores_of

from palate.core import hub as client
from palate.core.project import Project
from palate.core.schema import Candidate

BEST = ("--from", "best", "--n", "6", "--max-new-tokens", "16", "--temperature", "1.2")
FAST = (*BEST, "--learning-rate", "1e-3", "--method", "full")


@pytest.fixture
def rewarded(labelled, jobs) -> Project:
    jobs("reward", labelled.id)
    return Project.load(labelled.id)


@pytest.mark.slow
def test_killed_or_not_two_rounds_write_everything_once_and_raise_the_reward(
    rewarded, base_model, jobs, tmp_path
):
    said = kill_and_continue(jobs, tmp_path / "cache", (rewarded.id, *FAST))
    repo = rewarded.sft_repo
    assert "Warning" not in said
    assert f"Next: palate train {rewarded.id} --base-model {repo}" in said
    assert not list((tmp_path / "cache" / "training").iterdir())

    project = Project.load(rewarded.id)
    assert project.revision == rewarded.revision  # nobody is asked about these answers
    rows = answers_of(repo)
    splits = {p.id: p.split for p in project.prompts}
    written = sorted((row["round"], row["prompt_id"]) for row in rows)
    assert written == sorted(
        (k, p)
        for k in (0, 1, 2)
        for p, s in splits.items()
        if s == "test" or (s == "train" and k < 2)
    )
    assert all(len(row["texts"]) == len(row["rewards"]) == 6 for row in rows)
    assert {(row["model"], row["revision"]) for row in rows} == {
        (base_model, client.describe(base_model, "model")[0]),
        (base_model, "round-1"),
        (base_model, "round-2"),
    }

    run = record(repo)
    best = run["best"]
    assert (run["job"], run["base_model"]) == ("sft", base_model)
    assert best["reward"]["revision"] == client.describe(rewarded.reward_repo, "model")[0]
    assert (best["n"], best["prompts"], len(best["rounds"])) == (6, 6, 3)
    for number, facts in enumerate(best["rounds"]):
        own = [r for r in rows if r["round"] == number and splits[r["prompt_id"]] == "test"]
        assert facts["reward"]["mean"] == pytest.approx(np.mean([r["rewards"] for r in own]))
    assert best["rounds"][0]["change"] is None
    low, high = best["rounds"][2]["change"]["interval"]
    assert 0 < low < best["rounds"][2]["change"]["mean"] < high
    assert run["alarms"] == []
    assert "On 6 test prompts, the mean reward rose from" in said
    assert "The reward that chose the answers also measured them" in card_of(repo)

    # the second process did not write or learn otherwise than one that nobody ended
    whole = f"{rewarded.id}-whole"
    jobs("sft", rewarded.id, *FAST, "--output", whole)
    assert sorted(map(json.dumps, answers_of(whole))) == sorted(map(json.dumps, rows))
    assert record(whole)["best"] == best
    check_plain(repo)


def kill_and_continue(jobs, cache: Path, words: tuple[str, ...]) -> str:
    """Kill it while the model of round 1 writes, with half a line written; return what it said."""
    with jobs.start("sft", *words) as process:
        while not (files := list(cache.glob("training/*/answers.jsonl"))) or (
            '"round": 1' not in files[0].read_text("utf-8")
        ):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
    with files[0].open("a", encoding="utf-8") as file:
        file.write('{"round": 1, "prompt_id": "')
    said = jobs("sft", *words)
    assert "Round 0: the base model writes" not in said
    assert "Round 1: mean reward on 6 test prompts" in said
    return said


def card_of(repo: str) -> str:
    sha, _ = client.describe(repo, "model")
    return client.fetch(repo, "model", sha, ["README.md"])[0].read_text("utf-8")


def check_plain(repo: str) -> None:
    """Load the model by plain transformers and let it write."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sha, files = client.describe(repo, "model")
    folder = client.fetch(repo, "model", sha, [f for f in files if "/" not in f])[0].parent
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "user", "content": "Name a film about bread, part 0."}]
    inputs = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    output = AutoModelForCausalLM.from_pretrained(folder).generate(**inputs, max_new_tokens=12)
    assert output.shape[1] > inputs["input_ids"].shape[1]


@pytest.mark.slow
def test_another_reward_measures_and_what_did_not_rise_is_an_alarm(rewarded, jobs):
    other = f"{rewarded.id}-other-reward"
    jobs("reward", rewarded.id, "--margin", "off", "--seed", "3", "--output", other)
    words = ("--measured-by", other, "--rounds", "1", "--learning-rate", "1e-12")
    said = jobs("sft", rewarded.id, *BEST, "--method", "full", *words)
    assert "alarm: On 6 test prompts, the mean reward did not change" in said
    best = record(rewarded.sft_repo)["best"]
    assert best["measured_by"]["repo"] == other
    assert f"{other} measured and chose nothing" in card_of(rewarded.sft_repo).replace("&#", "")
    project = Project.load(rewarded.id)
    splits = {p.id: p.split for p in project.prompts}
    rows = [r for r in answers_of(rewarded.sft_repo) if splits[r["prompt_id"]] == "test"]
    some = [Candidate.of(r["prompt_id"], r["texts"][0], round=1) for r in rows if r["round"] == 0]
    scores = scores_of(other, project, some)
    first = [r["rewards"][0] for r in rows if r["round"] == 0]
    assert [scores[c.id] for c in some] == pytest.approx(first, abs=1e-4)


def test_what_cannot_work_is_refused_in_one_line(labelled, jobs):
    said = jobs("sft", labelled.id, "--from", "best", code=2)
    assert f"There is no reward {labelled.reward_repo} yet." in said
    assert f"Make it with: palate reward {labelled.id}" in said
    for words, expected in (
        (("--n", "8"), "--n is for --from best"),
        (("--measured-by", "me/x"), "--measured-by is for --from best"),
        (("--from", "best", "--n", "1"), "--n 1 leaves nothing to choose."),
        (("--from", "best", "--n", "5000"), "--n 5000: expected 1,024 or fewer."),
        (("--from", "best", "--rounds", "0"), "--rounds 0: expected 1 or more."),
        (("--from", "best", "--processes", "2"), "--from best writes and trains in turns"),
    ):
        assert expected in jobs("sft", labelled.id, *words, code=2)


def test_a_reward_of_another_tokenizer_and_answers_that_teach_nothing_are_refused(rewarded, jobs):
    said = jobs("sft", rewarded.id, *BEST[:-2], "--temperature", "0.0001", code=2)
    assert "24 prompts where no answer scored higher than another" in said
    assert "Raise --max-new-tokens where answers are cut" in said
    said = jobs("sft", rewarded.id, "--from", "best", "--max-new-tokens", "1", code=2)
    assert "24 prompts whose answers were all cut or empty" in said
    sha, _ = client.describe(rewarded.reward_repo, "model")
    (file,) = client.fetch(rewarded.reward_repo, "model", sha, ["tokenizer.json"])
    tokenizer = json.loads(file.read_text("utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    more = {f"extra{i}": len(vocabulary) + 50 + i for i in range(50)}
    tokenizer["model"]["vocab"] = vocabulary | more
    text = json.dumps(tokenizer)
    client.commit(rewarded.reward_repo, "model", {"tokenizer.json": text}, "Another")
    main = f"{rewarded.reward_repo}@main"
    said = jobs("sft", rewarded.id, *FAST, "--reward", main, code=2)
    assert "it is another model's. Make the reward again with: palate reward" in said

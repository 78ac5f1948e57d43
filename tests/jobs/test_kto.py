"""KTO from thumbs, both bad and pairs to a pushed model; what it cannot learn from."""

import json
import re
from types import SimpleNamespace

import pytest
from dpo_runs import record

from palate.collect import importing
from palate.core import hub as client
from palate.core.errors import PalateError, UsageError
from palate.core.ledger import event_file, jsonl
from palate.core.project import Project
from palate.core.schema import Message, Unpaired
from palate.train.config import KTOArguments
from palate.train.kto import check_arguments, check_trl

FAST = ("--learning-rate", "1e-3", "--epochs", "2")


def with_both_bad(project: Project, prompts: int) -> Project:
    """Turn the labels of some train prompts into "both bad"."""
    train = sorted(p.id for p in project.prompts if p.split == "train")[:prompts]
    (path,) = project.paths("labels")
    events = [json.loads(jsonl([e])) for e in project.labels]
    for e in events:
        if e["prompt_id"] in train:
            e |= {"kind": "both_bad", "chosen": None, "strength": None}
    text = "".join(json.dumps(e) + "\n" for e in events)
    client.commit(project.id, "dataset", {path: text}, "Both bad")
    return Project.load(project.id)


def test_thumbs_both_bad_and_pairs_become_a_model_with_its_card(
    labelled, palate, base_model, tmp_path
):
    project = with_both_bad(labelled, 4)
    test = next(p for p in project.prompts if p.split == "test")
    eval_prompt = next(p for p in project.prompts if p.split == "eval")
    train = sorted(p.id for p in project.prompts if p.split == "train")
    prompt = next(p for p in project.prompts if p.id == train[-1])
    answer = [Message(role="assistant", content="A thumb's answer?")]
    thumbs = [
        Unpaired(p.prompt, answer, True, "imported", p.id) for p in (prompt, test, eval_prompt)
    ]
    client.commit(project.id, "dataset", {event_file("unpaired"): jsonl(thumbs)}, "Thumbs")

    said = palate("kto", project.id, *FAST, PALATE_CACHE=str(tmp_path))
    assert "12 answers bad, from both bad" in said  # each of three answers to four prompts
    assert "1 answer good, from thumbs" in said
    assert "20 answers good, from pairs" in said
    # of three answers one won both its comparisons, one lost both
    assert "20 answers bad, from pairs" in said
    weighed = "21 good answers with weight 1.52, 32 bad ones with weight 1"
    assert weighed in " ".join(said.split())
    assert f"palate completions {project.id} --model {project.kto_repo}" in " ".join(said.split())
    assert not list((tmp_path / "training").iterdir())
    repo = project.kto_repo
    sha, files = client.describe(repo, "model")
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert client.api().model_info(repo).private
    assert {"model.safetensors", "tokenizer.json", "run.json", "README.md"} <= set(files)
    check_record(record(repo), project, base_model)
    card = client.fetch(repo, "model", sha, ["README.md"])[0].read_text("utf-8")
    assert "| bad, from both bad | 12 |" in card
    assert "`1.52`" in card


def check_record(run: dict, project: Project, base_model: str) -> None:
    assert (run["job"], run["project"], run["round"]) == ("kto", project.id, 1)
    assert run["base_revision"] == client.describe(base_model, "model")[0]
    data, result = run["data"], run["results"]
    assert (data["good"], data["bad"], data["train"]) == (21, 32, 53)
    assert data["prompts"] == {"train": 24, "test": 6, "eval": 10}
    assert data["dropped"] == {
        "of answers that won as many comparisons as they lost, to the same person": 26
    }
    assert (result["good"], result["bad"], result["pairs"]) == (7, 6, 18)
    assert result["separation"] > 0.9
    assert result["pair_accuracy"] > 0.7
    assert result["best_step"] == run["history"][-1]["step"]
    assert any(p["kl"] is not None for p in run["history"])
    assert "so that both kinds weigh alike" in run["why"][-1]


@pytest.mark.slow
def test_killed_and_continued_it_is_the_same_training(labelled, jobs):
    jobs("kto", labelled.id, *FAST, cold=True)
    one = record(labelled.kto_repo)
    with jobs.start("kto", labelled.id, *FAST, "--output", f"{labelled.kto_repo}-2") as process:
        seen = 0
        for line in process.stdout:  # a checkpoint follows each of these lines
            seen += bool(re.search(r"step +\d+/", line))
            if seen == 2:
                process.kill()
    said = jobs("kto", labelled.id, *FAST, "--output", f"{labelled.kto_repo}-2")
    assert "Continuing after step" in said
    two = record(f"{labelled.kto_repo}-2")
    assert two["results"]["separation"] == pytest.approx(one["results"]["separation"])
    assert two["results"]["good_reward"] == pytest.approx(one["results"]["good_reward"], rel=1e-4)


def test_an_adapter_is_pushed_as_one(labelled, jobs):
    jobs("kto", labelled.id, "--method", "lora", "--learning-rate", "1e-3", "--reckless", code=2)
    jobs("kto", labelled.id, "--method", "lora", *FAST)
    files = client.describe(labelled.kto_repo, "model")[1]
    assert "adapter_model.safetensors" in files
    assert record(labelled.kto_repo)["results"]["good_reward"] != 0


def test_what_cannot_work_is_refused_in_one_line(project, labelled, jobs):
    said = jobs("kto", f"{labelled.id}@{project.revision}", code=2)
    assert (
        f"Nobody has called an answer to a train prompt of {labelled.id} good or bad yet." in said
    )
    said = jobs("kto", labelled.id, "--batch-size", "1", code=2)
    assert "KTO compares each answer with another one of the batch" in said
    said = jobs("kto", labelled.id, "--bad-weight", "0", code=2)
    assert "--bad-weight 0: expected more than 0." in said
    with pytest.raises(UsageError, match="Leave --accelerate out"):
        check_arguments(KTOArguments(labelled.id, processes=2, accelerate="fsdp2"))
    said = jobs("kto", labelled.id, "--output", labelled.model_repo, code=2)
    assert f"it is {labelled.kto_repo} then." in said


def test_only_thumbs_up_are_refused(project, jobs):
    answer = [Message(role="assistant", content="Good")]
    up = [Unpaired(p.prompt, answer, True, "imported", p.id) for p in project.prompts]
    importing.add(project.id, importing.Imported([], [], [], unpaired=up), "Thumbs")
    said = jobs("kto", project.id, code=2)
    assert f"All 24 answers that KTO could learn from in {project.id} are good." in said
    assert f"palate import {project.id} FILE" in said


def test_a_trl_without_kto_is_named_with_what_to_install():
    with pytest.raises(PalateError, match=r"has no KTOTrainer.*pip install 'trl>=1.16,<2'"):
        check_trl(SimpleNamespace(DPOTrainer=None))

"""A reward model from labels to a pushed classifier, which plain transformers loads."""

import json
import math
import re
import signal

import numpy as np
import pytest
from dpo_runs import record, scores_of

from palate.core import hub as client
from palate.core.project import Project


@pytest.mark.parametrize("method", ["probe", pytest.param("lora", marks=pytest.mark.slow)])
def test_what_people_prefer_scores_higher_on_prompts_it_has_not_seen(
    method, labelled, base_model, jobs, tmp_path
):
    flags = ("--learning-rate", "1e-2", "--epochs", "5") if method == "lora" else ()
    said = jobs("reward", labelled.id, "--method", method, *flags)
    repo = labelled.reward_repo
    assert "Warning" not in said
    assert f"Next: palate best {labelled.id}" in said
    sha, files = client.describe(repo, "model")
    assert client.describe(repo, "model", "round-1")[0] == sha
    assert client.api().model_info(repo).private
    assert {"model.safetensors", "tokenizer.json", "run.json", "README.md"} <= set(files)
    assert not [f for f in files if f.endswith((".bin", ".pt", ".py")) or f.startswith("adapter")]
    assert not list((tmp_path / "cache" / "training").iterdir())
    card = client.fetch(repo, "model", sha, ["README.md"])[0].read_text("utf-8")
    (table,) = re.findall(r"(?m)^\| the preferred answer has.*\n(?:\|.*\n)+", card)
    assert len(table.splitlines()) > 4
    assert "| the pairs that it learned from |" in table
    run = record(repo)
    assert (run["job"], run["method"], run["round"]) == ("reward", method, 1)
    head = {
        "probe": "It is a linear head on layer 1 of 2",
        "lora": "It is the first 1 of the 2 layers",
    }
    assert head[method] in card
    assert ("The head on them is a probe's" in card) == (run["begun_with"] is not None)
    assert (run["probe"] is None, run["begun_with"] is None) == (
        method == "lora",
        method == "probe",
    )
    assert run["base_revision"] == client.describe(base_model, "model")[0]
    assert run["results"]["accuracy"]["rate"] > 0.8
    assert run["results"]["accuracy"]["n"] == (90 if method == "probe" else 18)
    assert run["answers"] == 90
    scores = scores_of(repo, labelled)
    train = {p.id for p in labelled.prompts if p.split == "train"}
    own = [scores[c.id] for c in labelled.candidates if c.prompt_id in train]
    assert np.mean(own) == pytest.approx(0, abs=1e-3)
    assert np.std(own) == pytest.approx(1, abs=1e-3)
    leads = [scores[a] - scores[b] for e in labelled.labels for a, b, _ in e.statements()]
    assert np.mean(np.array(leads) > 0) > 0.85


def change_labels(project: Project, change) -> Project:
    """Rewrite the project's label events, and remove the preferences."""
    (path,) = project.paths("labels")
    file = client.fetch(project.id, "dataset", project.revision, [path])[0]
    events = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    text = "".join(json.dumps(e) + "\n" for e in change(events))
    client.commit(
        project.id, "dataset", {path: text}, "Change", delete=project.paths("preferences")
    )
    return Project.load(project.id)


def test_labels_that_teach_nothing_are_refused_in_one_line(labelled, palate):
    tied = change_labels(
        labelled, lambda events: [e | {"kind": "tie", "chosen": None} for e in events]
    )
    said = palate("reward", tied.id, code=2)
    assert f"All 72 judgements of {tied.id} on train prompts are ties" in said
    train = {p.id for p in tied.prompts if p.split == "train"}

    def of_one_prompt(events: list[dict]) -> list[dict]:
        own = [e for e in events if e["prompt_id"] == min(train)]
        return [e | {"kind": "label", "chosen": e["left"]} for e in own]

    change_labels(tied, of_one_prompt)
    said = palate("reward", tied.id, code=2)
    assert f"The labels of {tied.id} are on 1 train prompt. A reward for other" in said


def test_ties_are_equal_scores(labelled, palate, tmp_path):
    train = {p.id for p in labelled.prompts if p.split == "train"}
    change_labels(
        labelled,
        lambda events: [
            e | ({"kind": "tie", "chosen": None} if e["prompt_id"] in sorted(train)[:3] else {})
            for e in events
        ],
    )
    said = palate("reward", labelled.id, PALATE_CACHE=str(tmp_path))
    assert "held-out accuracy" in said
    run = record(labelled.reward_repo)
    assert (run["ties"], run["data"]["train"]) == (9, 63)


def test_what_cannot_work_is_refused_in_one_line(labelled, jobs):
    said = jobs("reward", labelled.id, "--processes", "2", code=2)
    assert "The probe is fitted in one process." in said
    said = jobs("reward", labelled.id, "--learning-rate", "1e-3", code=2)
    assert "--learning-rate is for --method full and lora" in said
    said = jobs("reward", labelled.id, "--output", labelled.model_repo, code=2)
    assert f"Leave --output out: it is {labelled.reward_repo} then." in said
    repo = f"{labelled.id}-classifier"
    source = client.describe(labelled.settings.base_model, "model")
    folder = client.fetch(labelled.settings.base_model, "model", *source)[0].parent
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["Qwen2ForSequenceClassification"]
    client.create(repo, "model")
    files = {f.name: f for f in folder.iterdir() if f.name != "README.md"}
    client.commit(repo, "model", files | {"config.json": json.dumps(config)}, "A classifier")
    said = jobs("reward", labelled.id, "--base-model", repo, code=2)
    assert f"{repo} is a classifier already (Qwen2ForSequenceClassification)." in said


def test_ctrl_c_says_how_to_start_over(labelled, jobs):
    with jobs.start("reward", labelled.id) as process:
        process.stderr.read(0)
        while "head on layer" not in (line := process.stdout.readline()):
            if "parameters, probe" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.communicate()[0]
    assert process.returncode == 130, said
    assert (
        f"Stopped. To start over, run the same command again: palate reward {labelled.id}" in said
    )
    assert not client.exists(labelled.reward_repo, "model")


def test_the_best_of_n_has_the_highest_score_and_is_a_contestant(labelled, jobs):
    said = jobs("best", labelled.id, code=2)
    assert f"There is no reward {labelled.reward_repo} yet." in said
    said = jobs("best", labelled.id, "--n", "1", code=2)
    assert "--n 1 leaves nothing to choose." in said
    jobs("reward", labelled.id)
    flags = ("--max-new-tokens", "12", "--temperature", "1.2")
    said = jobs("best", labelled.id, "--n", "6", "--batch-size", "4", *flags)
    assert "10 prompts to answer" in said
    rows = [line.split() for line in said.splitlines() if re.match(r" +\d+ +[+-]\d", line)]
    assert [int(row[0]) for row in rows] == [1, 2, 4, 6]
    rewards = [float(row[1]) for row in rows]
    assert rewards == sorted(rewards)
    assert rewards[-1] > rewards[0]
    assert float(rows[-1][3]) == pytest.approx(math.log(6) - 5 / 6, abs=0.01)

    project = Project.load(labelled.id)
    chosen = [c for c in project.candidates if c.model == labelled.reward_repo]
    assert len(chosen) == 10
    assert all((c.revision or "").startswith("best-of-6.") for c in chosen)
    scores = scores_of(labelled.reward_repo, project, chosen)
    assert np.mean(list(scores.values())) == pytest.approx(rewards[-1], abs=0.006)
    said = jobs("best", labelled.id, "--n", "6", "--batch-size", "4", *flags)
    assert "0 prompts to answer" in said
    said = jobs("best", labelled.id, "--n", "6", code=2)
    assert "Run with: --temperature 1.2 --top-p 0.95 --max-new-tokens 12 --seed 0 --n 6" in said

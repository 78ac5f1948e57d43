"""palate compare: several methods on the same labels become contestants in one table."""

import json
import os
import re
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from run_facts import RL_RUN, RUN, SFT_RUN
from tuned_model import push_tiny

from palate.core import hub as client
from palate.core.errors import UsageError
from palate.core.ledger import event_file, jsonl
from palate.core.project import Project
from palate.core.schema import CONTESTANT, Model, model_of
from palate.label import steps
from palate.report.comparison import FILE, stored
from palate.report.export import export
from palate.run.done import at_base, in_the_way, made, why_not
from palate.run.hf_jobs import going_on
from palate.run.jobs import job_named
from palate.run.methods import (
    METHODS,
    Budget,
    check_packages,
    chosen,
)

SHORT = ("--epochs", "1", "--max-new-tokens", "12")


def kill_with_children(pid: int) -> None:
    """Kill a process and what it started, as when a machine goes down."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        os.kill(one, signal.SIGKILL)


@pytest.mark.slow
def test_killed_and_continued_three_methods_are_contestants_in_one_table(
    labelled, palate, tmp_path
):
    env = {"PALATE_CACHE": str(tmp_path), "COLUMNS": "200"}
    words = ("compare", labelled.id, "--methods", "sft,kto", *SHORT)
    said = ""
    with palate.start(*words, **env) as process:
        for line in process.stdout:
            said += line
            if line.startswith("sft: palate sft"):
                kill_with_children(process.pid)
    assert "dpo is compared, too" in said
    dpo = client.describe(labelled.model_repo, "model", "round-1")[0]

    said = palate(*words, **env)
    assert f"dpo: done, {labelled.model_repo} at {dpo[:7]}" in said
    assert f"kto: palate kto {labelled.id}@" in said
    assert client.describe(labelled.model_repo, "model", "round-1")[0] == dpo
    project = Project.load(labelled.id)
    report = stored(project)
    assert [e.method for e in report.entries] == ["base", "dpo", "sft", "kto"]
    check_report(project, report)
    card = client.fetch(project.id, "dataset", project.revision, ["README.md"])[0].read_text()
    rows = [line for line in card.splitlines() if re.match(r"\| (base|dpo|sft|kto) \|", line)]
    assert len(rows) == 4

    said = palate(*words, **env)
    assert [f"{name}: done" in said for name in ("dpo", "sft", "kto")] == [True] * 3
    assert "to write" not in said
    assert stored(Project.load(labelled.id)).entries == report.entries


def check_report(project: Project, report) -> None:
    blind = {p.id for p in project.prompts if p.split == "eval"}
    base, dpo, sft, kto = report.entries
    for entry in report.entries:
        own = [c for c in project.candidates if model_of(c) == entry.model]
        assert {c.prompt_id for c in own} == blind
        assert entry.figures.answers == len(own)
        assert entry.figures.characters == pytest.approx(sum(len(c.text) for c in own) / len(own))
    assert base.figures.kl is None
    assert all(e.figures.kl.mean > 0 for e in (dpo, sft, kto))
    assert all(e.seconds > 0 for e in (dpo, sft, kto))
    assert dpo.accuracy.share > 0.5
    assert sft.accuracy is None
    assert (report.measure.prompts, report.measure.pairs) == (6, 18)
    assert dpo.figures.change.mean == pytest.approx(
        dpo.figures.reward.mean - base.figures.reward.mean
    )
    assert project.settings.compare == "all"
    by_model = {model_of(c): c.sampling for c in project.candidates if c.prompt_id in blind}
    marked = {m for m, sampling in by_model.items() if CONTESTANT in sampling}
    assert marked == {sft.model, kto.model}  # dpo stays the model of the verdict


@pytest.mark.slow
def test_a_reward_is_made_first_for_the_methods_that_need_one(labelled, palate, tmp_path):
    env = {"PALATE_CACHE": str(tmp_path), "COLUMNS": "200"}
    words = ("compare", labelled.id, "--methods", "dpo,best-of-16", *SHORT)
    said = palate(*words, **env)
    assert "reward: made first, for the methods that need one" in said
    report = stored(Project.load(labelled.id))
    best = report.entries[-1]
    assert best.method == "best-of-16"
    assert best.model.repo == labelled.reward_repo
    assert best.figures.kl is None
    assert "KL at most 1.8" in said


def test_what_cannot_be_compared_is_refused_before_anything_runs(labelled, project, palate):
    said = palate("compare", labelled.id, "--methods", "sft,dpp", code=2)
    assert "there is no method 'dpp'. Expected some of sft, hindsight, dpo," in " ".join(
        said.split()
    )
    said = palate("compare", labelled.id, "--methods", "sft", code=2)
    assert "Name two methods or more" in said
    said = palate("compare", labelled.id, "--methods", "dpo,ai-dpo", code=2)
    assert "No judge has answered train pairs" in said
    said = palate("compare", labelled.id, "--methods", "dpo,sft", "--epochs", "0", code=2)
    assert "--epochs 0: expected more than 0" in said
    words = ("compare", labelled.id, "--methods", "dpo,rl")
    said = palate(*words, "--max-new-tokens", "1024", code=2)
    assert "--max-new-tokens 1024: expected 1 or more, and fewer than" in " ".join(said.split())
    said = palate(*words, "--max-new-tokens", "0", code=2)
    assert "--max-new-tokens 0: expected 1 or more." in said
    said = palate("compare", labelled.id, "--methods", "dpo,sft", "--yes", code=2)
    assert "--flavor and --yes need --on hf." in said
    assert FILE not in Project.load(labelled.id).files
    assert not client.exists(labelled.model_repo, "model")


def test_names_of_methods():
    assert [m.name for m in chosen("kto, sft")] == ["dpo", "kto", "sft"]
    assert [m.name for m in chosen("sft,dpo")] == ["dpo", "sft"]
    with pytest.raises(UsageError, match="twice"):
        chosen("sft,sft")


def test_packages_that_are_missing_are_named():
    without_trl = {"torch", "transformers", "accelerate", "peft"}
    with pytest.raises(UsageError, match=r"needs trl, .* pip install 'palate\[train\]'"):
        check_packages(lambda name: name in without_trl or None, here=True)
    check_packages(lambda name: name in without_trl or None, here=False)  # HF Jobs bring it
    with pytest.raises(UsageError, match="needs torch, transformers"):
        check_packages(lambda name: None, here=False)


BUDGET = Budget(1, 12)
KEPT = {"method": "full", "learning_rate": 3e-5, "beta": 0.1, "epochs": 1.0}
SEARCH = {
    "trials": [], "kept": KEPT, "prompts": 24, "held_out": 6, "rows": 18, "second": None,
    "ahead": None,
}  # fmt: skip


def push(project: Project, name: str, record: dict | None = None, **flags: object) -> Model:
    """Push the record of the method's job, but with these arguments."""
    method, base = METHODS[name], project.settings.base_model
    spec = job_named(method.job)
    sha = client.describe(base, "model")[0]
    decided = {"method": "full", "learning_rate": 3e-5, "batch_size": 8}
    args = replace(spec.parse(method.argv(project, BUDGET)), **(decided | flags))
    facts = {"sft": SFT_RUN, "rl": RL_RUN}.get(method.job, RUN | {"version": 3})
    run = facts | {
        "project": project.id,
        "data_revision": project.revision,
        "base_model": base,
        "base_revision": sha,
        "parameters": 10**6,
        "arguments": asdict(args) | {"base_model": f"{base}@{sha}"},
    }
    repo = method.repo(project)
    client.create(repo, "model")
    files = {"run.json": json.dumps(run | (record or {}))}
    commit = client.commit(repo, "model", files, "A model")
    client.tag(repo, "model", "round-1", commit)
    return Model(repo, commit)


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        ({"epochs": 2.0}, "was made with --epochs 2, not with --epochs 1"),
        ({"ai": True}, "was made with --ai, not without --ai"),
        ({"annotators": "p-1"}, "was made with --annotators p-1, not without --annotators"),
        ({"aspect": "safe"}, "was made with --aspect safe, not without --aspect"),
        ({"learning_rate": 1e-3}, "was made with --learning-rate 0.001, not with --learning-rate"),
    ],
)
def test_a_model_that_was_trained_another_way_is_in_the_way(labelled, flags, difference):
    dpo = METHODS["dpo"]
    model = push(labelled, "dpo")
    assert made(labelled, dpo, BUDGET) == model
    assert in_the_way(labelled, [dpo], BUDGET) == []
    push(labelled, "dpo", **flags)
    assert made(labelled, dpo, BUDGET) is None
    (line,) = in_the_way(labelled, [dpo], BUDGET)
    assert line.startswith(f"{labelled.model_repo} {difference}")
    assert why_not(labelled, dpo, BUDGET) == line


def test_a_model_of_another_base_or_of_other_labels_is_in_the_way(labelled):
    dpo = METHODS["dpo"]
    push(labelled, "dpo", {"base_revision": "c" * 40})
    assert made(labelled, dpo, BUDGET) is None
    assert "began with" in in_the_way(labelled, [dpo], BUDGET)[0]
    push(labelled, "dpo", {"data_revision": "c" * 40})
    assert in_the_way(labelled, [dpo], BUDGET) == [
        f"{labelled.model_repo} learned from other labels"
    ]
    push(labelled, "dpo", {"version": 99})
    assert "cannot read" in in_the_way(labelled, [dpo], BUDGET)[0]


def test_a_model_with_a_verdict_is_replaced_only_where_that_is_asked_for(labelled, palate):
    model = push(labelled, "dpo", {"search": SEARCH})
    client.commit(model.repo, "model", {"verdict.json": "{}"}, "A verdict")
    said = " ".join(palate("compare", labelled.id, "--methods", "dpo,sft", *SHORT, code=2).split())
    assert f"would replace 1 model: {model.repo} was made with --recipe search, not" in said
    assert "and has a verdict. Nothing was started." in said
    assert "--replace" in said
    assert client.tags(model.repo, "model")["round-1"] == model.revision
    assert "verdict.json" in client.describe(model.repo, "model")[1]


def test_a_label_that_arrives_during_a_job_does_not_make_its_model_anothers(labelled):
    model, began = push(labelled, "dpo"), Project.load(labelled.id)
    late = replace(labelled.labels[0], event_id="late", annotator="p-2")
    client.commit(labelled.id, "dataset", {event_file("labels"): jsonl([late])}, "Late")
    export(labelled.id)
    assert made(began, METHODS["dpo"], BUDGET) == model
    assert made(Project.load(labelled.id), METHODS["dpo"], BUDGET) is None


def test_a_base_model_that_moves_does_not_move_the_comparison(labelled, tiny_folder):
    base = push_tiny(tiny_folder)
    settings = replace(labelled.settings, base_model=base)
    project = at_base(replace(labelled, settings=settings))
    model = push(replace(project, settings=settings), "dpo")
    client.commit(base, "model", {"notes.txt": "Another commit"}, "Moved")
    assert made(project, METHODS["dpo"], BUDGET) == model
    assert made(replace(project, settings=settings), METHODS["dpo"], BUDGET) is None


def test_rl_starts_from_sft_where_both_are_compared(labelled):
    *_, rl = chosen("rl,sft,kto")
    assert [m.name for m in chosen("rl,sft,kto")] == ["dpo", "sft", "kto", "rl"]
    sft = f"{labelled.id}-sft"
    assert f"--base-model {sft}@round-1" in rl.command(labelled, BUDGET)
    assert "--base-model" not in METHODS["rl"].command(labelled, BUDGET)
    assert chosen("rl,kto")[1] == METHODS["rl"]
    rate = {"learning_rate": 1e-5}
    push(labelled, "rl", **rate)
    (line,) = in_the_way(labelled, [rl], BUDGET)
    assert line.endswith(f"not {sft}, which is not there yet")
    model = push(labelled, "sft", **rate)
    assert in_the_way(labelled, [rl], BUDGET)[0].endswith(f"not {sft} at {model.revision[:7]}")
    begun = {"base_model": sft, "base_revision": model.revision}
    made_from = push(labelled, "rl", begun, **rate)
    assert made(labelled, rl, BUDGET) == made_from
    assert "began with" in in_the_way(labelled, [METHODS["rl"]], BUDGET)[0]


def test_a_job_that_still_runs_on_hf_is_found_and_one_that_ended_is_not(labelled):
    code, repo = "import threading; threading.Event().wait()", f"{labelled.id}-sft"
    argv = [f"{labelled.id}@abc", "--output", repo]
    job = client.api().run_job(
        image="any",
        command=[sys.executable, "-c", code, *argv],
        flavor="cpu-basic",
        labels={steps.PROJECT_LABEL: steps.label_of(labelled.id), steps.JOB_LABEL: "sft"},
    )
    later = [f"{labelled.id}@def", *argv[1:]]
    assert going_on(labelled.id, "sft", later).id == job.id
    assert going_on(labelled.id, "sft", [labelled.id, "--output", f"{repo}-2"]) is None
    assert going_on(labelled.id, "kto", later) is None
    steps.cancel_job(labelled.id, job.id)
    client.api().wait_for_job(job.id)
    assert going_on(labelled.id, "sft", later) is None

"""palate compare: several methods on the same labels become contestants in one table."""

import os
import re
import signal
from pathlib import Path

import pytest

from palate.core import hub as client
from palate.core.errors import UsageError
from palate.core.project import Project
from palate.core.schema import CONTESTANT, model_of
from palate.report.comparison import FILE, stored
from palate.run.methods import check_packages, chosen

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

"""palate compare in a project with aspects: all methods learn in the one that is named."""

from dataclasses import replace

import pytest

from palate.core import hub as client
from palate.core.ledger import event_file, jsonl
from palate.core.project import SETTINGS_FILE, Project
from palate.report.comparison import stored
from palate.report.export import export
from palate.run.methods import REWARD, Budget, chosen, compared_in, with_reward

SHORT = ("--epochs", "1", "--max-new-tokens", "12")
BUDGET = Budget(1.0, 12)


@pytest.fixture
def two_aspects(labelled) -> Project:
    """The labels in `safe`, and the same ones the other way round in `helpful`."""
    settings = replace(labelled.settings, aspects=("helpful", "safe"), weights=(1, 3))
    events = [
        replace(e, event_id=f"{e.event_id}-{a}", aspect=a, chosen=chosen)
        for e in labelled.labels
        for a, chosen in (("safe", e.chosen), ("helpful", other_side(e)))
    ]
    files = {SETTINGS_FILE: settings.dump(), event_file("labels"): jsonl(events)}
    client.commit(labelled.id, "dataset", files, "Two aspects", delete=labelled.paths("labels"))
    export(labelled.id)
    return Project.load(labelled.id)


def other_side(e):
    return e.left if e.chosen == e.right else e.right


def test_a_project_with_aspects_names_the_one_to_compare_in(two_aspects, palate):
    words = ("compare", two_aspects.id, "--methods", "dpo,kto", *SHORT)
    said = " ".join(palate(*words, code=2).split())
    assert f"{two_aspects.id} has the aspects helpful, safe. Name one, such as: --aspect" in said
    assert "has one of helpful, safe" in palate(*words, "--aspect", "kind", code=2)
    safe = compared_in(two_aspects, "safe")
    argv = {m.name: m.argv(safe, BUDGET) for m in with_reward(chosen("kto,best-of-16,rl"))}
    assert all("--aspect safe" in " ".join(argv[name]) for name in ("reward", "dpo", "kto", "rl"))
    assert argv["best-of-16"][-1] == f"{two_aspects.id}-reward-safe@round-1"
    assert REWARD.repo(safe) == f"{two_aspects.id}-reward-safe"


@pytest.mark.slow
def test_methods_are_compared_in_one_aspect(two_aspects, palate, tmp_path):
    env = {"PALATE_CACHE": str(tmp_path), "COLUMNS": "200"}
    words = ("compare", two_aspects.id, "--methods", "dpo,best-of-16", "--aspect", "safe", *SHORT)
    said = palate(*words, **env)
    assert "All methods learned in the aspect safe." in said
    report = stored(Project.load(two_aspects.id))
    assert (report.aspect, report.measure.pairs) == ("safe", 18)
    assert [e.model.repo.removeprefix(two_aspects.id) for e in report.entries[1:]] == [
        "-dpo", "-reward-safe",
    ]  # fmt: skip
    said = palate(*words, **env)
    assert [f"{m}: done" in said for m in ("reward", "dpo", "best-of-16")] == [True] * 3
    assert stored(Project.load(two_aspects.id)).entries == report.entries
    said = palate(*(w.replace("safe", "helpful") for w in words), code=2, **env)
    assert "was made with --aspect safe, not with --aspect helpful" in " ".join(said.split())

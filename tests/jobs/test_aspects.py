"""A project with two aspects that contradict each other: a reward of each, together by weights."""

from dataclasses import replace

import pytest
from dpo_runs import record, scores_of

from palate.core import hub as client
from palate.core import ledger
from palate.core.errors import UsageError
from palate.core.project import SETTINGS_FILE, Project
from palate.core.rounds import in_aspect
from palate.core.schema import BEST_OF, Event
from palate.report.export import export
from palate.report.status import in_aspects
from palate.reward.scoring import rewards_of
from palate.train.config import DPOArguments
from palate.train.dpo import read


def contrary(e: Event) -> Event:
    other = e.left if e.chosen == e.right else e.right
    return replace(e, event_id=f"{e.event_id}-safe", chosen=other, aspect="safe")


@pytest.fixture
def both(labelled) -> Project:
    """What is more helpful is always less safe; safe weighs three times as much."""
    helpful = [replace(e, aspect="helpful") for e in labelled.labels]
    settings = replace(labelled.settings, aspects=("helpful", "safe"), weights=(1, 3))
    (path,) = labelled.paths("labels")
    files = {
        SETTINGS_FILE: settings.dump(),
        path: ledger.jsonl([*helpful, *map(contrary, helpful)]),
    }
    client.commit(labelled.id, "dataset", files, "Two aspects")
    export(labelled.id)
    return Project.load(labelled.id)


def test_training_takes_one_aspect_or_all_by_their_weights(both):
    arguments = DPOArguments(both.id)
    chosen = {}
    for name in ("helpful", "safe", None):
        rows, _ = read(in_aspect(both, name), replace(arguments, aspect=name, no_implied=True))
        chosen[name] = {r.pair_id: r.chosen for r in rows.train}
        assert len(rows.train) == 72
        assert {r.aspect for r in rows.train} == {name}
    assert chosen[None] == chosen["safe"]
    assert not any(chosen["safe"][pair] == side for pair, side in chosen["helpful"].items())
    even = replace(both, settings=replace(both.settings, weights=()))
    with pytest.raises(UsageError, match="to train on: 72 aspects that cancel out"):
        read(even, arguments)


def test_status_says_that_they_contradict_each_other_with_the_number(both):
    lines = in_aspects(both)
    n = len(both.labels)
    assert lines[0] == f"helpful: {n} choices, 0 ties, 0 both bad, 0 skips."
    assert f"helpful and safe prefer different answers in {n} of {n} on 30 prompts" in lines[2]
    assert lines[2].endswith("They contradict each other on most of these pairs.")
    assert len(lines) == 3


def test_a_reward_of_each_and_the_best_of_n_by_both(both, jobs):
    said = jobs("reward", both.id, code=2)
    assert f"{both.id} has the aspects helpful, safe. Name one, such as: --aspect safe" in said
    said = jobs("reward", both.id, "--aspect", "kind", code=2)
    assert f"--aspect kind: {both.id} has one of helpful, safe." in said
    said = jobs("best", both.id, code=2)
    assert f"There is no reward {both.id}-reward-helpful yet." in said
    assert f"Make it with: palate reward {both.id} --aspect helpful" in said
    for aspect in ("helpful", "safe"):
        jobs("reward", both.id, "--aspect", aspect)
        repo = f"{both.id}-reward-{aspect}"
        assert record(repo)["data"]["aspects"] == {aspect: 1.0}
        card = client.fetch(repo, "model", "main", ["README.md"])[0].read_text("utf-8")
        assert f"would like the answer in the aspect **{aspect}**" in card
        scores = scores_of(repo, both)
        labels = in_aspect(both, aspect).labels
        right = [scores[a] > scores[b] for e in labels for a, b, _ in e.statements()]
        assert sum(right) > 0.8 * len(right)
    project = Project.load(both.id)
    reward = rewards_of(None, project)
    assert [weight for _, weight in reward.parts] == [0.25, 0.75]
    prompt = next(p for p in project.prompts if p.split == "train")
    texts = [c.text for c in project.candidates if c.prompt_id == prompt.id]
    together = reward.load().scores([prompt.prompt] * len(texts), texts)
    assert texts[int(together.argmax())] == texts[
        int(rewards_of(f"{both.id}-reward-safe", project).load().scores(
            [prompt.prompt] * len(texts), texts
        ).argmax())
    ]  # fmt: skip
    said = jobs("best", both.id, "--n", "2", "--max-new-tokens", "8")
    assert f"reward: 25% {both.id}-reward-helpful at" in said
    assert f"75% {both.id}-reward-safe at" in said
    written = [c for c in Project.load(both.id).candidates if BEST_OF in (c.revision or "")]
    assert {c.model for c in written} == {f"{both.id}-reward"}
    assert len(written) == 10

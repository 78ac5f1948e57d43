"""The demo with one's own labels: what trains, what stays blind, and what it refuses."""

import json

import pytest

from palate.collect.columns import Columns
from palate.commands.serving import demo
from palate.core.errors import UsageError
from palate.demo.own import OwnLabels, with_blind


def labels_of(tmp_path, prompts: int):
    rows = [
        {"idea": f"idea {i}", "one": f"title {i} {k}", "two": f"other {i} {k}", "won": "ab"[k % 2]}
        for i in range(prompts)
        for k in range(3)
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return OwnLabels(file, Columns("idea", "one", "two", "won")).read()


def test_a_quarter_of_the_prompts_stays_blind_and_nothing_is_known_of_it(tmp_path):
    everything = labels_of(tmp_path, 40)
    new = with_blind(everything)
    blind = {p.id for p in new.prompts if p.split == "eval"}
    assert len(blind) == 10
    assert not blind & {e.prompt_id for e in new.events}
    assert not blind & {c.prompt_id for c in new.candidates}
    assert len(new.events) == len(everything.events) - 30
    assert with_blind(everything) == new
    assert sum(p.split == "eval" for p in with_blind(labels_of(tmp_path, 200)).prompts) == 24


def test_few_prompts_are_refused(tmp_path):
    assert with_blind(labels_of(tmp_path, 12)).events
    with pytest.raises(UsageError, match="12 prompts at least, and here are 11"):
        with_blind(labels_of(tmp_path, 11))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prompt": "idea"}, "name columns of --data FILE"),
        ({"hosted": True, "data": "mine.csv"}, "--data goes without"),
        ({"labels": 3, "data": "mine.csv"}, "--data goes without"),
        ({"rounds": 2, "data": "mine.csv"}, "--data goes without"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(given, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        demo(once=True, root=tmp_path / "demo", **given)
    assert not (tmp_path / "demo").exists()

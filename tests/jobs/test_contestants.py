"""Other models in the blind comparison: served, at a provider, or from the Hub."""

import json
from collections import Counter

import pytest
from openai_server import OpenAIServer
from tuned_model import push_tuned

from palate.core import hub as client
from palate.core.project import Project
from palate.core.schema import Candidate, model_of, to_json
from palate.evaluate.contest import evaluation_pairs, other_pairs

NAME = "llama3.2:3b"
SHORT = ("--max-new-tokens", "12", "--per-prompt", "2", "--temperature", "0.7", "1.2")


class Writer(OpenAIServer):
    def answer(self, body):
        return f"Served {body['seed']} {body['temperature']}", "stop"


@pytest.fixture
def served():
    with Writer(NAME) as made:
        yield made


@pytest.mark.slow
def test_a_served_model_answers_with_base_and_tuned_and_is_no_base(labelled, jobs, served):
    push_tuned(labelled, ruined=True)
    flags = (*SHORT, "--model", NAME, "--engine", served.url)
    said = jobs("completions", labelled.id, *flags)
    assert 'To compare all models blind, set compare = "all" in palate.toml.' in said
    assert f"{NAME}, served by" in said
    after = Project.load(labelled.id)
    blind = {p.id for p in after.prompts if p.split == "eval"}
    rows = [c for c in after.candidates if c.prompt_id in blind]
    mix = Counter((c.model, c.sampling["temperature"]) for c in rows)
    assert set(mix.values()) == {len(blind)}
    assert {m for m, _ in mix} == {labelled.settings.base_model, labelled.model_repo, NAME}
    seeds = {m: [c.sampling["seed"] for c in rows if c.model == m] for m, _ in mix}
    assert seeds[NAME] == seeds[labelled.model_repo]
    assert len(served.asked) == 2 * len(blind)

    pairs = evaluation_pairs(after.prompts, after.candidates, labelled.model_repo, labelled.id)
    assert pairs.base.repo == labelled.settings.base_model  # though the served one came last
    assert pairs.tuned.repo == labelled.model_repo
    by_id = {c.id: model_of(c).repo for c in rows}
    others = other_pairs(pairs, after.prompts, after.candidates)
    assert {NAME in (by_id[p.a], by_id[p.b]) for p in others} == {True}

    # on another day, too, nothing is asked for twice
    file = next(p for p in after.paths("candidates") if NAME in text_of(after, p))
    old = text_of(after, file).replace(" on 20", " on 19")
    mended = "\n".join(to_id(line) for line in old.splitlines()) + "\n"
    client.commit(labelled.id, "dataset", {file: mended}, "Of another day")
    said = jobs("completions", labelled.id, *flags)
    assert said.count(": 0 to write") == 0
    assert said.count("0 completions to write") == 3
    said = jobs("completions", labelled.id, "--max-new-tokens", "13", code=2)
    assert "Run with: --temperature 0.7 1.2 --top-p 0.95 --max-new-tokens 12" in said


def text_of(project: Project, path: str) -> str:
    return client.fetch(project.id, "dataset", project.revision, [path])[0].read_text("utf-8")


def to_id(line: str) -> str:
    """Return a candidate's line with the id of what it now holds."""
    value = json.loads(line)
    del value["id"]
    return to_json(Candidate.of(value.pop("prompt_id"), value.pop("text"), **value))

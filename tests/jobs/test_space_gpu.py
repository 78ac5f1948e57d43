"""What Spaces write on a GPU, here on a processor: candidates, and answers to try both models."""

import gradio
import pytest
from starlette.requests import Request

from palate.core.errors import PalateError
from palate.core.project import Project
from palate.web.ballot import gpu
from palate.web.labelling.owner import write_candidates

REQUEST = Request(
    {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
)


def test_an_owner_lets_the_space_write_candidates(project, base_model):
    note = write_candidates(project.id, REQUEST)
    rows = Project.load(project.id).candidates
    assert f"{base_model} wrote {len(rows)} candidate" in note
    assert "22 prompts still to write for" in note
    split = {p.id: p.split for p in project.prompts}
    assert rows
    assert {split[c.prompt_id] for c in rows} <= {"train", "test"}
    assert {(c.model, c.round) for c in rows} == {(base_model, 1)}
    assert len({c.prompt_id for c in rows}) <= 8
    assert len({c.id for c in rows}) == len(rows)
    asked = {c.prompt_id for c in rows}
    write_candidates(project.id, REQUEST)
    assert len(Project.load(project.id).candidates) > len(rows)
    assert asked <= {c.prompt_id for c in Project.load(project.id).candidates}


def test_the_same_seed_gives_the_same_answer(base_model):
    prompt = [{"role": "user", "content": "Write a title"}]
    writing = gpu.Writing(base_model, "main", max_new_tokens=12)
    first, again, other = (gpu.written(REQUEST, writing, [prompt], seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_spent_quota_is_said_in_the_words_of_zero_gpu(base_model, monkeypatch):
    said = "You have exceeded your free ZeroGPU quota (60s requested vs. 0s left)."

    def refuse(*_):
        raise gradio.Error(said, title="ZeroGPU quota exceeded")

    monkeypatch.setattr(gpu, "write_texts", refuse)
    with pytest.raises(PalateError, match="ZeroGPU quota exceeded: You have exceeded your free"):
        gpu.written(REQUEST, gpu.Writing(base_model, "main"), [], 0)


def test_a_space_without_a_gpu_offers_nothing(monkeypatch):
    assert gpu.missing() is None  # on this machine a processor will do
    monkeypatch.setenv("SYSTEM", "spaces")
    assert "has no GPU" in (gpu.missing() or "")
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert "torch and transformers" in (gpu.missing() or "")

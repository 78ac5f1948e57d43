"""The card of a warm start: what it is, what changed, and nothing that nobody measured."""

import copy
from typing import Any

import pytest
from card_projects import NASTY, body, shape, text_of
from huggingface_hub import ModelCard
from run_facts import SFT_RUN

from palate.report.model_card import model_files
from palate.train.records import record


def readme(**changes: Any) -> str:
    """Return the card of SFT_RUN with `data`, `results` and top-level facts changed."""
    facts = copy.deepcopy(SFT_RUN)
    for name, value in changes.items():
        facts[name] = facts[name] | value if name in ("data", "results", "samples") else value
    return text_of(model_files(record.from_json(facts), None))


def test_it_says_what_it_is_what_it_learned_and_what_changed():
    text = readme()
    assert "after supervised fine-tuning on 201 answers that one person preferred" in text
    assert "**warm start for [DPO]" in text
    assert "**has not been measured**" in text
    assert "palate train me/titles --base-model me/titles-sft\n" in text
    assert "| loss per token | 3.2000 | 2.5000 |" in text
    assert "| perplexity | 24.53 | 12.18 |" in text
    assert "won more comparisons than it lost" in text
    assert "| test | 11 | 110 | 24 | the loss above, choosing the checkpoint |" in text
    assert "Not used: 290 won no more comparisons than they lost." in text
    assert "| tides | All about tides | Tides, explained |" in text
    assert "reward" not in text.lower()
    assert "rafailov" not in text


def test_the_curve_begins_with_the_base_model():
    files = model_files(record.from_json(SFT_RUN), None)
    assert set(files) == {"README.md", "plots/loss.svg", "plots/accuracy.svg"}
    loss = files["plots/loss.svg"]
    assert "Loss per token during training: train 2.1 at step 50, test 2.5 at step 50" in str(loss)


def test_its_front_matter_reads_back_and_claims_no_result():
    data = ModelCard(readme()).data
    assert data.base_model == SFT_RUN["base_model"]
    assert (data.base_model_relation, data.library_name) == ("finetune", "transformers")
    assert "sft" in data.tags
    assert "dpo" not in data.tags
    assert data.eval_results is None


def test_a_merged_adapter_is_a_whole_model():
    text = readme(method="lora", trainable_parameters=4_399_104)
    assert "LoRA adapter, merged into the weights, 4,399,104 of 494,032,768 parameters" in text
    assert "PeftModel" not in text
    assert ModelCard(text).data.base_model_relation == "finetune"


def test_without_test_answers_nothing_is_claimed():
    nothing = dict.fromkeys(SFT_RUN["results"]) | {"test_rows": 0, "best_step": 50}
    nothing |= {"cross_fitted": False}
    text = readme(results=nothing, data={"test": 0})
    assert "Nothing has been measured on held-out data" in text
    assert "weights are those of the last step, 50:" in text


def test_alarms_stand_on_it():
    assert "- The test loss never fell\n" in readme(alarms=["The test loss never fell"])


@pytest.mark.parametrize("text", NASTY)
def test_what_a_run_says_cannot_change_it(text):
    def card(t: str) -> str:
        told = {"left_out": {t: 1}, "dropped": {t: 2}, "question": t, "taste": t, "guidelines": t}
        example = {"prompt": t, "base": t, "tuned": t}
        return readme(
            alarms=[t], command=t, data=told, license=t, why=[t], samples={"examples": [example]},
            audit=[{"level": "warning", "text": t, "advice": t}],
            arguments={"note": t}, versions={t: t},
        )  # fmt: skip

    assert shape(body(card(text))) == shape(body(card("plain")))


def test_the_hub_accepts_it(hub):
    assert ModelCard(readme()).validate(repo_type="model") is None


def best_facts(*changes: tuple[float, tuple[float, float] | None], **facts: Any) -> dict[str, Any]:
    """Return what rejection sampling records; each change is that of a round."""
    mean = {"mean": -0.2, "interval": [-0.5, 0.1]}
    rounds = [{"learned": 0, "reward": mean, "change": None, "characters": 40.0, "cut": 0.0}]
    for change, interval in changes:
        reward = {"mean": mean["mean"] + change, "interval": mean["interval"]}
        moved = {"change": {"mean": change, "interval": interval}, "learned": 36}
        rounds.append(rounds[0] | moved | {"reward": reward, "characters": 33.0, "cut": 0.02})
    reward = {"repo": "me/titles-reward", "revision": "1234abcd" * 5}
    return {
        "n": 8, "reward": reward, "measured_by": reward, "prompts": 12,
        "learned": [36] * len(changes), "rounds": rounds,
    } | facts  # fmt: skip


def test_after_rejection_sampling_it_says_what_chose_what_measured_and_each_rounds_reward():
    text = readme(best=best_facts((0.3, (-0.1, 0.7)), (0.6, (0.2, 1.0))))
    assert "trained by rejection sampling for round 1 of" in text
    assert (
        "2 times in turn. Each time the newest model wrote 8 answers to each train prompt" in text
    )
    assert "[me/titles-reward](/me/titles-reward) at `1234abcd1234` chose one" in text
    assert "| base model | -0.20 (-0.50 to +0.10) |  | 40 |" in text
    assert (
        "| round 2, 36 answers learned | +0.40 (-0.50 to +0.10) | +0.60 (+0.20 to +1.00) |" in text
    )
    assert "On 12 test prompts, the mean reward rose from -0.20 to +0.40" in text
    assert "these figures cannot show whether the model exploits" in text
    assert "`answers.jsonl` in this repo has all of them" in text
    assert "**has not been measured**" in text
    assert "| loss per token |" not in text
    assert {"sft", "rejection-sampling"} <= set(ModelCard(text).data.tags)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([(0.6, (0.2, 1.0))], "the mean reward rose from -0.20 to +0.40: a difference of +0.60"),
        ([(-0.6, (-1.0, -0.2))], "the mean reward fell from -0.20 to -0.80"),
        ([(0.6, (-0.2, 1.4))], "went from -0.20 to +0.40, which may be chance"),
        ([(0.6, None)], "went from -0.20 to +0.40, which may be chance"),  # one test prompt
        ([(0.0, None)], "the mean reward did not change"),
    ],
)
def test_a_reward_is_said_to_have_risen_only_where_its_interval_says_so(changes, says):
    assert says in readme(best=best_facts(*changes))


def test_another_reward_that_measured_is_named_and_without_test_prompts_nothing_is_claimed():
    other = {"repo": "me/other-reward", "revision": "9" * 40}
    text = readme(best=best_facts((0.3, (0.1, 0.5)), measured_by=other))
    assert "me/other-reward measured and chose nothing." in text
    assert "chose the answers also measured them" not in text
    text = readme(best=best_facts((0.3, (0.1, 0.5)), rounds=[], prompts=0))
    assert "Nothing has been measured on held-out prompts" in text
    assert "mean reward" not in text

"""Model cards: complete, valid for the Hub, and safe whatever the run or the verdict says."""

import copy

import pytest
from card_projects import NASTY, body, readme, shape, text_of
from huggingface_hub import ModelCard
from run_facts import RUN, run
from verdicts import of_rounds, votes

from palate.report.model_card import model_files
from palate.train.records import record

NO_TEST = {
    "test_loss": None,
    "test_reward_accuracy": None,
    "test_reward_accuracy_interval": None,
    "test_reward_margin": None,
}


def test_a_card_says_that_preferred_answers_were_kept_likely_and_draws_that_loss():
    assert "times the likelihood" not in readme(RUN)
    assert "![DPO loss during training]" in readme(RUN)
    text = readme(run(arguments=RUN["arguments"] | {"sft_weight": 0.1}))
    said = "The loss includes `0.1` times the likelihood of the preferred answers, so that"
    assert f"{said} answers end." in " ".join(text.split())
    assert "![Loss during training]" in text
    facts = record.from_json(run(arguments=RUN["arguments"] | {"sft_weight": 0.1}))
    assert "<title>Loss during training" in str(model_files(facts)["plots/loss.svg"])


def test_a_model_card_states_every_result_with_its_doubt():
    text = readme(RUN, votes(78, 30, 4))
    assert (
        "**71.4%** of 112 votes against the base model's (95% interval 56.2–84.3%). On other"
        " prompts like these, the share may be anywhere in that interval. 4 ties count as half a"
        " win each. The left side won 54 of 108 decided votes." in " ".join(text.split())
    )
    assert "**Decided for prompts like these: the person who voted prefers the tuned model." in text
    assert "56.2–84.3% | 112 votes" in text
    assert "One person voted, so this is one person's taste." in text
    assert "**62.7%** | 53.4–71.2% | 110 pairs on 11 prompts" in text
    assert "Left out of the preferences: 98 on eval prompts, which stay blind; 12 ties." in text
    assert "| learning rate | `1e-06` |" in text
    assert f"/datasets/me/titles/tree/{'3f2a' * 10}" in text
    assert "**Alarms:** none raised." in text
    assert RUN["command"] in text
    assert "rafailov2023direct" in text


def test_a_model_card_says_what_was_known_before_and_what_changed():
    text = readme(RUN)
    assert "the labels prefer the shorter text (60%)" in text
    assert "length alone, for comparison | 51.8% | 42.0–61.0% | 110 pairs |" in text
    assert "gave the same answer on 82.0% of 50 pairs" in text
    assert "No pair was judged by two people" in text
    assert "- **warning**: 60 of 990 triads run in a circle." in text
    assert "Sides are even" not in text
    assert "| tides | All about tides | Tides, explained |" in text
    assert "KL divergence from the base model, nats per answer, estimated | 0 | 3.21 |" in text
    assert "| 16,392; batches of pairs would take 231,024 (14.1 times as many) |" in text
    assert "Chosen automatically: full fine-tune" in text
    guided = readme(run(data={"guidelines": "# Be kind\n```\nor not"}))
    assert "````\n# Be kind\n```\nor not\n````" in guided


def test_long_answers_are_cut_and_keep_their_lines():
    long = {"prompt": "Tell a story", "base": "``` " * 80, "tuned": "Once\n\n# upon\n| a time"}
    text = readme(run(samples={"examples": [long, long]}))
    assert text.count("| Once<br>&#35; upon<br>&#124; a time |") == 2
    assert "&#96;&#96;&#96; …" in text
    silent = readme(run(samples={"examples": [long | {"tuned": ""}]}))
    assert "… |\n" in silent


def test_a_sweep_is_shown_with_what_it_flatters():
    runs = [
        {
            "value": value,
            "test_reward_accuracy": rate,
            "test_reward_accuracy_interval": [rate - 0.1, rate + 0.1],
            "test_loss": 0.65,
            "best_step": 20,
        }
        for value, rate in ((0.05, 0.58), (0.5, 0.63))
    ]
    text = readme(run(sweep={"name": "beta", "runs": runs}))
    assert "Of 2 runs that differ only in beta" in text
    assert "| `0.5` | 63.0% | 53.0–73.0% | 0.6500 |" in text
    assert "chose the beta, and the other half measured accuracy" in text
    assert "read the figure under Results instead of the best of these" in text
    same = readme(run(sweep={"name": "beta", "runs": runs}, results={"cross_fitted": False}))
    assert "its figures here and under Results are too high" in same


def test_a_search_is_shown_and_says_what_its_figures_are_of():
    kept = {"method": "lora", "learning_rate": 2e-4, "beta": 0.1, "epochs": 3.0}
    trial = {"round": 2, "epochs": 3.0, "seconds": 60.0, "accuracy": 0.62, "log_loss": 0.641}
    trials = [
        trial | {"trial": kept | {"beta": beta}, "interval": [0.55, 0.69]} for beta in (0.1, 0.3)
    ]
    search = {"trials": trials, "kept": kept, "prompts": 100, "held_out": 25, "rows": 125}
    search |= {"second": None, "ahead": None}
    text = readme(run(search=search))
    assert "2 shorter trainings chose it on train prompts" in text
    assert "Kept an adapter at 0.0002, β 0.1, 3 epochs: the lowest log loss on 125 pairs" in text
    assert "62.0% right (95% interval 55.0–69.0)." in text
    assert "| 3 | 62.0% | 55.0–69.0% | 0.6410 |" in text
    assert "No test prompt was used to choose the weights." in text
    assert "shorter trainings" not in readme(RUN)


def test_a_model_card_says_what_was_inferred_and_how_often_that_was_wrong():
    checks = {"hits": 6, "n": 40}
    text = readme(run(data={"implied": 230, "implied_checks": checks}))
    assert "230 training rows of 920 (25.0%) were inferred from other answers" in text
    assert "Of 40 inferred pairs that people were asked about, they decided 6 the other way" in text
    assert "None was checked by asking" in readme(run(data={"implied": 230}))
    assert "inferred from" not in readme(RUN)


def test_a_model_card_says_what_is_known_against_simple_rules():
    text = readme(RUN)
    assert (
        "It cannot be told whether the model is right more often than a bag of words. The"
        " difference is +1.8 points (95% interval for other prompts -9.0 to +13.0)." in text
    )
    assert "The model is right more often than a rule by length. The difference is +10.9" in text
    assert "No test prompt was used to choose the weights" in text
    tied = readme(run(results={"test_ties": 1}))
    assert "than the rejected one; 1 tie counts as half." in tied
    one = {"test_prompts": 1, "test_reward_accuracy_interval": None, "cross_fitted": False}
    assert "**62.7%** |  | 110 pairs on 1 prompt |" in readme(run(results=one | {"leads": {}}))


def test_a_model_cards_front_matter_reads_back():
    data = ModelCard(readme(RUN, votes(78, 30, 4))).data
    assert data.base_model == RUN["base_model"]
    assert data.base_model_relation == "finetune"
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
    assert data.datasets == ["me/titles"]
    assert data.license == "mit"
    accuracy, rate = data.eval_results
    assert (accuracy.metric_value, accuracy.dataset_revision) == (0.6273, RUN["data_revision"])
    assert (rate.metric_value, rate.metric_args["votes"]) == (0.7143, 112)
    assert rate.metric_args["interval_95"] == [0.5616, 0.8431]


def test_the_card_of_a_later_round_has_one_picture_of_all():
    facts = record.from_json(RUN)
    assert "plots/rounds.svg" not in model_files(facts, votes(78, 30, 4))
    files = model_files(facts, of_rounds("wl" * 20, "w" * 12))
    assert "plots/rounds.svg" in files
    text = text_of(files)
    assert "round by round](plots/rounds.svg)" in text
    assert "Each round has its own votes" in text


def test_the_same_facts_give_the_same_bytes():
    verdict = votes(78, 30, 4)
    one, same = record.from_json(RUN), record.from_json(copy.deepcopy(RUN))
    assert model_files(one, verdict) == model_files(same, verdict)


@pytest.mark.parametrize(
    ("wins", "losses", "says"),
    [
        (78, 30, "the person who voted prefers the tuned model."),
        (24, 13, "Not decided yet. Of evaluations like this one, half are decided after"),
        (20, 20, "Not decided yet. Of evaluations like this one, half are decided after"),
        (300, 300, "Decided for prompts like these: to the person who voted, neither"),
        (5, 60, "the person who voted prefers the base model."),
    ],
)
def test_the_verdict_is_put_into_words(wins, losses, says):
    assert says in readme(RUN, votes(wins, losses))


def test_a_model_nobody_has_compared_says_so():
    text = readme(RUN)
    assert "has not been measured yet" in text
    assert "plots/win_rate.svg" not in text
    assert [r.metric_type for r in ModelCard(text).data.eval_results] == ["accuracy"]


def test_a_verdict_of_ties_alone_has_no_rate_without_them():
    text = readme(RUN, votes(0, 0, 5))
    assert "**50.0%** of 5 votes" in text
    assert "without ties" not in text


def test_without_test_preferences_nothing_is_claimed():
    bare = run(
        history=RUN["history"][:1],
        results=NO_TEST | {"test_rows": 0, "best_step": 1},
        data={"test": 0},
    )
    text = readme(bare)
    assert "Nothing has been measured on held-out data" in text
    assert "weights are those of step 1, the last." in text
    assert ModelCard(text).data.eval_results is None
    assert "model-index" not in text


def test_a_history_without_points_has_no_curves():
    assert "plots/" not in readme(run(history=[]))


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_is_loaded_onto_its_base(method):
    text = readme(run(method=method, trainable_parameters=4_399_104))
    data = ModelCard(text).data
    assert method in data.tags
    assert (data.base_model_relation, data.library_name) == ("adapter", "peft")
    assert "PeftModel.from_pretrained(base, repo)" in text
    assert "4,399,104 of 494,032,768 parameters" in text


def test_alarms_stand_on_the_card():
    text = readme(run(alarms=["loss stuck at 0.6931", "train accuracy near 1"]))
    assert "- loss stuck at 0.6931\n- train accuracy near 1\n" in text


def test_a_licence_that_the_hub_does_not_know_is_named_as_other():
    data = ModelCard(readme(run(license="My Own Licence 1.0"))).data
    assert (data.license, data.license_name) == ("other", "my-own-licence-1.0")


@pytest.mark.parametrize("shown", [1, 3])
@pytest.mark.parametrize("text", NASTY)
def test_what_a_run_says_cannot_change_a_model_card(text, shown):
    def card(t: str) -> str:
        found = {"level": "warning", "text": t, "advice": t}
        told = {"left_out": {t: 1}, "dropped": {t: 2}, "question": t, "taste": t, "guidelines": t}
        example = {"prompt": t, "base": t, "tuned": t}
        facts = run(
            alarms=[t], command=t, data=told, license=t, audit=[found], why=[t],
            samples={"examples": [example] * shown},
        )  # fmt: skip
        return readme(facts | {"arguments": {"note": t}, "versions": {t: t}})

    assert shape(body(card(text))) == shape(body(card("plain")))
    assert ModelCard(card(text)).data.license == "other"


def test_the_hub_accepts_the_card_and_tells_one_without_a_licence(hub):
    text = readme(RUN, votes(78, 30, 4))
    ModelCard(text).validate(repo_type="model")
    with pytest.raises(ValueError, match="license"):
        ModelCard(text.replace("license: mit", "license: mine")).validate("model")

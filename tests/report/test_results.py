"""Results where the Hub looks for them, in the format of its own client."""

import copy

import yaml
from huggingface_hub import parse_eval_result_entries
from run_facts import RUN
from verdicts import votes

from palate.check.losses import VERSION, CheckReport, ability
from palate.core.schema import Model
from palate.report.cards import RESULTS_FILE
from palate.report.model_card import model_files
from palate.train.records import record


def entries(files):
    return {e.task_id: e for e in parse_eval_result_entries(yaml.safe_load(files[RESULTS_FILE]))}


def test_the_client_reads_what_was_measured_with_its_doubt():
    verdict = votes(78, 30, 4)
    same = [1.0, 0.0] * 40
    checked = CheckReport(
        VERSION, Model("a/b", "1" * 40), Model("me/titles-dpo", "2" * 40),
        (ability("Instructions", "instructions followed", same, same, list(map(str, range(80)))),),
        {}, "2026-11-20T21:03:11.123Z",
    )  # fmt: skip
    found = entries(model_files(record.from_json(RUN), verdict, None, checked))
    assert set(found) == {"test_reward_accuracy", "blind_win_rate", "check_instructions"}
    won = found["blind_win_rate"]
    assert (won.dataset_id, won.value) == ("me/titles", round(verdict.win_rate, 4))
    assert won.notes.startswith(f"95% interval {verdict.interval[0]:.4f} to ")
    assert "112 votes; 4 ties" in won.notes
    assert won.date == verdict.time
    test = found["test_reward_accuracy"]
    assert (test.value, test.dataset_revision) == (0.6273, RUN["data_revision"])
    assert "0.5340 to 0.7120; 110 held-out pairs" in test.notes
    assert found["check_instructions"].value == 0.5
    assert "80 instructions followed, by palate check; base model 0.5000" in (
        found["check_instructions"].notes
    )


def test_without_a_result_there_is_no_file():
    run = copy.deepcopy(RUN)
    run["results"] |= {"test_reward_accuracy": None, "test_reward_accuracy_interval": None,
                       "test_loss": None, "test_reward_margin": None, "test_rows": 0}  # fmt: skip
    assert RESULTS_FILE not in model_files(record.from_json(run))

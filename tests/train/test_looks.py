"""What a training prints while it runs."""

import io

import pytest
import torch
from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from palate.demo import writer
from palate.generate.models import Loaded
from palate.train.trainers.looks import ProgressBar, SampleAnswer, curve, watched


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def state(losses):
    history = [{"eval_loss": loss, "eval_rewards/accuracies": 0.75} for loss in losses]
    return TrainerState(global_step=7, max_steps=20, log_history=history)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([0.69], ""),
        ([0.5, 0.5], "▁▁"),
        ([0.8, 0.1, 0.5], "█▁▅"),
        ([9.0] * 60 + [0.0], "█" * 39 + "▁"),
    ],
)
def test_a_curve_rises_and_falls_as_the_last_values_do(values, drawn):
    assert curve(values) == drawn


def test_an_evaluation_prints_the_test_loss_so_far(console, tmp_path):
    bar = ProgressBar(console, ("rewards/accuracies", "reward accuracy"))
    args = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    bar.on_evaluate(args, state([0.7, 0.6]), TrainerControl())
    assert console.file.getvalue() == (
        "  step    7/20: test loss 0.6000, reward accuracy 75.0% █▁\n"
    )


def test_an_evaluation_prints_an_answer_and_leaves_model_and_chance_alone(console, tmp_path):
    tokenizer = writer.make_tokenizer()
    torch.manual_seed(0)
    model = writer.new_model(tokenizer)
    settings, chance = model.generation_config, torch.get_rng_state()
    prompt = [{"role": "user", "content": "Name a film\nabout " + "very " * 20 + "old bread"}]
    said = SampleAnswer(console, Loaded("me/x", "0" * 40, model, tokenizer), prompt)
    args = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    for _ in range(2):
        said.on_evaluate(args, state([]), TrainerControl())
    first, second = console.file.getvalue().splitlines()
    assert first == second  # the same seed: what changes later is the model
    assert first.startswith("    Name a film about very very")
    assert "… → " in first
    assert model.generation_config is settings
    assert torch.equal(torch.get_rng_state(), chance)


def test_batches_of_the_reference_pass_are_counted(console):
    assert [*watched([1, 2], "reference", console)] == [1, 2]
    assert "reference 2/2" in console.file.getvalue()
    assert [*watched([3], "reference", None)] == [3]

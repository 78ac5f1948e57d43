"""RL's trainer against TRL's own: the same advantages and loss on a batch; what it learns."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_dpo import small
from trl import RLOOConfig, RLOOTrainer

from palate.core.errors import PalateError
from palate.core.schema import Prompt
from palate.demo import writer
from palate.demo.titles import corpus, prompt_for
from palate.generate.generation import Sampling
from palate.generate.models import Loaded
from palate.reward.best import Plan
from palate.reward.guards import Norm
from palate.reward.rl_trainer import Monitor, make_rl_trainer
from palate.reward.scoring import Judge
from palate.train.config import RLArguments
from palate.train.recipes.recipe import Recipe
from palate.train.records.rl_results import checks

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
ARGS = RLArguments("me/titles", n=4, batch_size=16, max_new_tokens=8, beta=0.3, epochs=2)
PROMPTS = [Prompt.of(prompt_for(topic)) for topic in list(corpus())[:8]]


class Letters(Judge):
    """A reward that counts a letter, so that it is known what a model should learn."""

    def __init__(self, letter: str, sign: float = 1.0):
        super().__init__(None, None)
        object.__setattr__(self, "letter", letter)
        object.__setattr__(self, "sign", sign)

    def scores(self, prompts, texts):
        return np.array([self.sign * t.count(self.letter) for t in texts], float)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    tokenizer = writer.make_tokenizer()
    tokenizer.padding_side = "left"
    model = small(tokenizer).float().eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Loaded("me/tiny", "0" * 40, model, tokenizer)


def make(
    loaded, folder: Path, held_out: Judge, said: list[str], *, stops: bool, method="full", **changes
):
    args = replace(ARGS, **changes)
    own = replace(loaded, model=copy.deepcopy(loaded.model))
    plan = Plan(args.n, 32, Sampling(temperature=1.0, max_new_tokens=8), 0)
    reward = Letters("e")
    monitor = Monitor(PROMPTS, plan, reward, held_out, folder / "answers.jsonl", said.append, stops)
    rate = args.learning_rate or 3e-2
    recipe = Recipe(method, rate, 16, 1, False, False, ())
    return make_rl_trainer(args, recipe, own, PROMPTS, monitor, folder, folder, [], fresh=True)


def test_advantages_and_loss_are_trl_s_own_on_the_same_batch(loaded, tmp_path):
    ours = make(loaded, tmp_path / "own", Letters("e"), [], stops=False)
    loaded.model.save_pretrained(tmp_path / "reference")
    policy = copy.deepcopy(loaded.model)
    policy.config._name_or_path = str(tmp_path / "reference")  # TRL loads it by this name
    norm = Norm(mean=0.4, spread=0.7, characters=20.0, repeated=0.1)
    ours._norms = (norm, norm)

    def reward(prompts, completions, completion_ids, **_):
        texts = [c[-1]["content"].strip() for c in completions]
        ended = [ids[-1] in ours.eos_token_ids for ids in completion_ids]
        return norm.guarded(Letters("e").scores(prompts, texts), texts, ended).tolist()

    theirs = RLOOTrainer(
        model=policy,
        reward_funcs=reward,
        args=RLOOConfig(
            output_dir=str(tmp_path / "trl"),
            seed=0,
            per_device_train_batch_size=16,
            num_generations=4,
            max_completion_length=8,
            beta=ARGS.beta,
            reward_clip_range=(-5.0, 5.0),
            use_cpu=True,
            report_to="none",
            bf16=False,
            gradient_checkpointing=False,
        ),
        train_dataset=ours.train_dataset,
        processing_class=loaded.tokenizer,
    )
    with torch.no_grad():
        for trainer in (ours, theirs):  # away from the base, alike
            torch.manual_seed(1)
            for weight in trainer.model.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
    written = ours._generate_single_turn
    kept: list[list[list[int]]] = []
    ours._generate_single_turn = lambda *a: kept.append(written(*a)) or kept[0]
    theirs._generate_single_turn = lambda *_: kept[0]  # the same answers
    found = []
    for trainer in (ours, theirs):
        rows = next(iter(trainer.get_train_dataloader()))
        assert len(rows) == 16
        trainer.model.train()
        batch = trainer._generate_and_score_completions(rows)
        with torch.no_grad():  # so that the loss is not 0
            for weight in trainer.model.parameters():
                weight.add_(0.01)
        loss = trainer.compute_loss(trainer.model, batch)
        found.append((batch["completion_ids"], batch["advantages"], loss))
    (tokens, advantages, loss), (their_tokens, their_advantages, their_loss) = found
    assert torch.equal(tokens, their_tokens)
    assert torch.allclose(advantages, their_advantages, atol=1e-6, rtol=0)
    assert advantages.abs().max() > 0.1
    assert loss.item() == pytest.approx(their_loss.item(), abs=1e-6)
    assert abs(loss.item()) > 1e-3
    kl, tokens_each = (ours._metrics["train"][k][-1] for k in ("kl", "completions/mean_length"))
    assert ours._metrics["train"]["kl_answer"] == [pytest.approx(kl * tokens_each)]


@pytest.mark.slow
def test_the_reward_rises_and_the_last_step_is_kept_where_nothing_decides(loaded, tmp_path):
    said: list[str] = []
    trainer = make(loaded, tmp_path, Letters("e"), said, stops=False, epochs=20, beta=0.01)
    trainer.train()
    made = checks(trainer.state.log_history)
    assert made[0].step == 0
    assert made[0].reward.mean() == pytest.approx(0, abs=1e-9)
    assert made[-1].reward.mean() > made[0].reward.mean() + 1
    assert made[-1].held_out == pytest.approx(made[-1].reward)
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{trainer.state.max_steps}")
    assert "step    0/40: reward" in said[0]
    assert "KL 0.00 nats an answer" in said[0]
    with trainer.reference() as reference:
        for old, new in zip(loaded.model.parameters(), reference.model.parameters(), strict=True):
            assert torch.equal(old, new)


@pytest.mark.slow
def test_it_stops_where_the_gap_opens_and_keeps_the_step_before(loaded, tmp_path):
    trainer = make(loaded, tmp_path, Letters("e", -1.0), [], stops=True, epochs=20, beta=0.01)
    trainer.train()
    made = checks(trainer.state.log_history)
    assert trainer.state.global_step < trainer.state.max_steps
    assert made[-1].reward.mean() > 0 > made[-1].held_out.mean()
    best = max(made[1:], key=lambda c: c.held_out.mean())  # step 0 has no checkpoint
    assert trainer.state.best_model_checkpoint.endswith(f"checkpoint-{best.step}")


@pytest.mark.slow
def test_a_run_that_had_stopped_stays_stopped_when_it_is_continued(loaded, tmp_path):
    """As after a kill, or where memory ran out, while the kept model was measured."""
    changes = {"epochs": 20, "beta": 0.01}
    first = make(loaded, tmp_path, Letters("e", -1.0), [], stops=True, **changes)
    first.train()
    stopped = first.state.global_step
    assert stopped < first.state.max_steps
    said: list[str] = []
    again = make(loaded, tmp_path, Letters("e", -1.0), said, stops=True, **changes)
    again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{stopped}"))
    assert said == [f"  the gap had opened at step {stopped}, so training is over"]
    assert again.state.global_step == stopped
    assert again.state.best_model_checkpoint == first.state.best_model_checkpoint
    assert len(checks(again.state.log_history)) == len(checks(first.state.log_history))
    kept, before = again.model.state_dict(), first.model.state_dict()
    assert all(torch.equal(kept[name], before[name]) for name in before)
    best = int(again.state.best_model_checkpoint.rpartition("-")[2])
    if best != stopped:
        shutil.rmtree(tmp_path / f"checkpoint-{best}")
        with pytest.raises(PalateError, match=f"the weights of step {best}, and these are not"):
            again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{stopped}"))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_row_per_prompt_gives_trl_s_log_probabilities_and_gradients(loaded, tmp_path, method):
    said: list[str] = []
    trainer = make(loaded, tmp_path, Letters("e"), said, stops=False, method=method)
    assert trainer.mode == "tree"
    model = trainer.model.train()
    batch = answers_of(trainer, [3, 3, 5, 3, 9, 5], [1, 4, 8, 2, 8, 3])
    theirs = computed(trainer, model, batch, "trl")
    ours = computed(trainer, model, batch, "tree")
    assert said == []
    assert trainer.mode == "tree"
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-6, rtol=1e-5)
    assert sum(float(b.abs().sum()) for b in theirs[2:]) > 1
    halves = trainer._get_per_token_logps_and_entropies(model, *batch, 8, batch_size=4)[0]
    assert torch.allclose(halves * batch[1][:, -8:], theirs[0], atol=1e-6)


@pytest.mark.parametrize("fault", ["differs", "raises"])
def test_where_a_row_per_prompt_differs_trl_s_way_is_taken(loaded, tmp_path, monkeypatch, fault):
    said: list[str] = []
    trainer = make(loaded, tmp_path, Letters("e"), said, stops=False)
    batch = answers_of(trainer, [3, 3, 5], [1, 4, 8])
    theirs = computed(trainer, trainer.model, batch, "trl")
    trainer.mode = "tree"

    shared = trainer._of_shared

    def wrong(*given):
        if fault == "raises":
            raise ValueError("no such mask")
        return [values + 0.1 for values in shared(*given)]

    monkeypatch.setattr(trainer, "_of_shared", wrong)
    logps, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, *batch, 8)
    assert torch.equal(logps * batch[1][:, -8:], theirs[0])
    (line,) = said
    assert line.startswith("  A row per prompt ")
    assert ("no such mask" if fault == "raises" else "by 1.0e-01") in line


def answers_of(trainer, prompts, answers):
    """Return ids and mask of answers, two to a prompt, with tokens at random, TRL's way."""
    places = torch.Generator().manual_seed(0)
    rows, masks = [], []
    for p, a in zip(prompts, answers, strict=True):
        prompt = torch.randint(5, 90, (p,), generator=places)
        for length in (a, 9 - a):
            answer = torch.randint(5, 90, (length,), generator=places)
            left, right = max(prompts) - p, 8 - length
            zeros = torch.zeros(left), torch.zeros(right)
            rows.append(torch.cat([zeros[0], prompt, answer, zeros[1]]).long())
            masks.append(torch.cat([zeros[0], torch.ones(p + length), zeros[1]]).long())
    order = torch.randperm(len(rows), generator=places)  # TRL shuffles, too
    return torch.stack(rows)[order], torch.stack(masks)[order]


def computed(trainer, model, batch, mode):
    """Return log-probabilities and entropies of the answers' tokens, and gradients of their sum."""
    trainer.mode = mode
    model.zero_grad()
    answer = batch[1][:, -8:]
    logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
        model, *batch, 8, compute_entropy=True
    )
    ((logps * answer).sum(1) * torch.arange(1, len(answer) + 1)).sum().backward()
    gradients = [w.grad.clone() for w in model.parameters() if w.grad is not None]
    return [(logps * answer).detach(), (entropies * answer).detach(), *gradients]

"""The losses of `--loss`: what is typed, what is refused, and each against TRL's own in float32."""

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from small_dpo import pairs_of_titles, small, trainer
from trl import DPOTrainer

from palate.core.errors import UsageError
from palate.demo import writer
from palate.train import dpo
from palate.train.config import DPOArguments
from palate.train.trainers import losses
from palate.train.trainers.dpo_trainer import PackedDPOTrainer
from palate.train.trainers.losses import DPO_LOSSES, FREE, FreeLoss, options, parse

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
SUMS = ("sigmoid:0.8,bco_pair:0.2,sft:1", "ipo:2,hinge", "apo_zero,sft:0.1")


@pytest.fixture(scope="module")
def tokenizer():
    return writer.make_tokenizer()


@pytest.fixture(scope="module")
def rows():
    return pairs_of_titles()


def test_a_loss_is_a_name_or_a_weighted_sum():
    assert parse("ipo").weights == (1.0,)
    assert parse(SUMS[0]).names == ("sigmoid", "bco_pair", "sft")
    assert parse(SUMS[0]).weights == (0.8, 0.2, 1.0)
    assert parse(" ipo:2 , hinge ") == parse("ipo:2,hinge:1")
    assert [parse(name).free for name in FREE] == list(FREE)
    assert parse("ipo").free is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"loss": "dpo"}, "there is no loss 'dpo'. Expected one of sigmoid, hinge, ipo"),
        ({"loss": "ipo:x"}, "'x' is no weight above 0"),
        ({"loss": "ipo:0"}, "'0' is no weight above 0"),
        ({"loss": "ipo:nan"}, "'nan' is no weight above 0"),
        ({"loss": "ipo,ipo"}, "names a loss twice"),
        ({"loss": "ipo,orpo"}, "orpo is a whole loss"),
        ({"loss": "simpo", "strength": "offset"}, "--strength offset changes DPO's loss"),
        ({"loss": "cpo", "length_desensitized": True}, "--length-desensitized changes DPO's loss"),
        ({"loss": "cpo", "sft_weight": 0.1}, "Leave --sft-weight out"),
        ({"loss": "sft", "sft_weight": 0.1}, "which --loss has already"),
        ({"loss": "aot", "strength": "weight"}, "the loss aot is one figure of a whole batch"),
        ({"sft_weight": 0.1, "strength": "weight"}, "the loss sft is one figure of a whole batch"),
        ({"sft_weight": -0.1}, "--sft-weight -0.1: expected 0 or more, such as 0.1."),
        ({"sft_weight": float("nan")}, "--sft-weight nan: expected 0 or more"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_type(arguments, said):
    with pytest.raises(UsageError) as error:
        dpo.check_arguments(DPOArguments("me/titles", **arguments))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "weight", "note", "to_end"),
    [
        ({}, 0.1, "counts 0.1 in the loss", "raise --sft-weight to 0.3"),
        ({"sft_weight": 0.0}, 0.0, "", "Add --sft-weight 0.1"),
        ({"sft_weight": 0.5}, 0.5, "", "raise --sft-weight to 1.5"),
        ({"loss": "robust"}, 0.1, "counts 0.1", "raise --sft-weight"),
        ({"strength": "offset"}, 0.1, "counts 0.1", "raise --sft-weight"),
        ({"strength": "weight"}, 0.0, "Pairs have weights", "Lower the learning rate."),
        ({"ai": True}, 0.0, "Pairs have weights", "Lower the learning rate."),
        ({"loss": "ipo"}, 0.0, "", "Add --sft-weight 0.1"),
        ({"loss": "simpo", "beta": 2.0}, 0.0, "needs no reference", "Add --sft-weight 0.1"),
        ({"loss": "orpo"}, 0.0, "needs no reference", "Lower the learning rate."),
        ({"loss": "sigmoid,sft:0.2"}, 0.0, "", "Lower the learning rate."),
    ],
)
def test_answers_end_by_default_and_what_helps_where_they_do_not_is_no_refused_flag(
    arguments, weight, note, to_end
):
    args = DPOArguments("me/titles", **arguments)
    dpo.check_arguments(args)
    assert losses.sft_weight(args) == weight
    assert note in " ".join(losses.notes(args))
    assert bool(note) == bool(losses.notes(args))
    decided = replace(args, sft_weight=weight)
    assert options(decided) == options(args)
    assert to_end in dpo.advice_to_end(decided)


def test_the_default_loss_is_dpo_and_the_chosen_answers_likelihood():
    chosen = options(DPOArguments("me/titles"))
    assert (chosen["loss_type"], chosen["loss_weights"]) == (["sigmoid", "sft"], [1.0, 0.1])
    assert losses.named("sigmoid", 0.1) == "sigmoid,sft:0.1"
    assert losses.named("sigmoid", 0.0) == "sigmoid"
    assert parse(losses.named("robust", 0.1)).weights == (1.0, 0.1)


def test_a_trl_without_the_loss_is_named(monkeypatch):
    monkeypatch.setitem(FREE, "cpo", "NoSuchTrainer")
    with pytest.raises(losses.PalateError, match=r"has no NoSuchTrainer.*pip install 'trl>=1.16"):
        losses.trainer_of("cpo")


def single(model: torch.nn.Module) -> torch.nn.Module:
    return model.float()


def batch_of(made, size: int = 12) -> dict:
    return made.data_collator([made.train_dataset[i] for i in range(size)])


@pytest.mark.parametrize("loss", [*DPO_LOSSES, *SUMS])
def test_a_loss_of_dpo_is_trl_s_in_float32(loss, tokenizer, rows, tmp_path):
    chosen = options(DPOArguments("me/titles", loss=loss, flip_rate=0.1))
    found = []
    for cls, extra in ((DPOTrainer, {}), (PackedDPOTrainer, {"mode": "tree"})):
        made = trainer(cls, tokenizer, rows, tmp_path, extra=extra, **chosen)
        for model in (made.model, made.ref_model):
            single(model)
        found.append(made.compute_loss(made.model, batch_of(made)).item())
    most = 1e-6 if found[0] < 2 else 3e-6 * found[0]  # losses that square have fewer digits
    assert found[1] == pytest.approx(found[0], abs=most)


def theirs(name: str, tokenizer, rows, folder, args: DPOArguments):
    """Return TRL's own trainer of a loss without a reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.experimental.cpo import CPOConfig, CPOTrainer
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer
    settings = {
        "output_dir": str(folder), "bf16": False, "use_cpu": True, "report_to": "none",
        "gradient_checkpointing": False, "beta": args.beta, "max_length": 256,
    }  # fmt: skip
    cls, config = CPOTrainer, CPOConfig
    if name == "orpo":
        cls, config = ORPOTrainer, ORPOConfig
    elif name == "simpo":
        settings |= {"loss_type": "simpo", "cpo_alpha": args.sft_weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(
            model=single(small(tokenizer)),
            args=config(**settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )


def as_trl_s(batch: dict) -> dict:
    """Return a batch of DPO as the trainers of ORPO and CPO take it."""
    pairs, made = len(batch["input_ids"]) // 2, {}
    for side, part in (("chosen", slice(pairs)), ("rejected", slice(pairs, None))):
        ids, scored = batch["input_ids"][part], batch["completion_mask"][part]
        made[f"{side}_input_ids"] = ids
        made[f"{side}_attention_mask"] = batch["attention_mask"][part]
        made[f"{side}_labels"] = ids.masked_fill(scored == 0, -100)
    return made


@pytest.mark.parametrize("mode", ["tree", "rows", "trl"])
@pytest.mark.parametrize(
    ("name", "beta", "sft"), [("orpo", 0.1, 0.0), ("simpo", 2.0, 0.0), ("simpo", 2.0, 0.3),
                              ("cpo", 0.1, 0.0)]
)  # fmt: skip
def test_a_loss_without_reference_is_trl_s_in_float32(
    name, beta, sft, mode, tokenizer, rows, tmp_path
):  # fmt: skip
    args = DPOArguments("me/titles", loss=name, beta=beta, sft_weight=sft)
    made = trainer(
        PackedDPOTrainer, tokenizer, rows, tmp_path, extra={"mode": mode}, **options(args)
    )
    for model in (made.model, made.ref_model):
        single(model)
    made.free_loss = FreeLoss.of(args, made.accelerator)
    batch = batch_of(made)
    own = made.compute_loss(made.model, dict(batch))
    own.backward()
    other = theirs(name, tokenizer, rows, tmp_path, args)
    other.model.load_state_dict(copy.deepcopy(made.model.state_dict()))
    other.model.train()
    loss, _ = other.get_batch_loss_metrics(other.model, as_trl_s(batch))
    loss.backward()
    assert made.mode == mode
    assert own.item() == pytest.approx(loss.item(), abs=1e-6)
    pairs = zip(made.model.parameters(), other.model.parameters(), strict=True)
    off = [(a.grad - b.grad).norm() / b.grad.norm() for a, b in pairs if b.grad is not None]
    assert max(off) < 1e-4


def test_orpo_computes_each_distinct_prompt_once_more_and_no_answer(tokenizer, rows, tmp_path):
    args = DPOArguments("me/titles", loss="orpo")
    made = trainer(PackedDPOTrainer, tokenizer, rows, tmp_path, extra={}, **options(args))
    made.free_loss = FreeLoss.of(args, made.accelerator)
    seen = []
    forward = made.model.forward

    def counted(*args, **kwargs):
        if "packed_ids" not in kwargs and kwargs.get("fused_lm_head"):
            seen.append(kwargs["input_ids"])
        return forward(*args, **kwargs)

    made.model.forward = counted
    batch = batch_of(made)
    made.compute_loss(made.model, dict(batch))
    asked = {
        tuple(ids[(scored == 0) & (there == 1)].tolist())
        for ids, scored, there in zip(
            batch["input_ids"], batch["completion_mask"], batch["attention_mask"], strict=True
        )
    }
    assert len(asked) > 1
    (ids,) = seen
    assert ids.shape == (len(asked), max(map(len, asked)))

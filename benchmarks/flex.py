"""Packed rows with a dense mask and with FlexAttention: time, memory, loss and gradients of a step.

    python benchmarks/flex.py [--tiny] [--seconds 80]

Models have random weights, in float32 with bfloat16 arithmetic as `palate train` has them on a GPU.
A case is a shape of model and of trees: prompts of a batch, answers of each, tokens of a prompt and
of an answer. Each case prints a line of JSON: seconds of a step (the median of three, forward and
backward), seconds of the first one, which compiles, peak memory of a step, and how much loss and
gradients differ. `chosen` is what palate's rule says for this batch, `check` what the check of the
first batch says of FlexAttention. Where one of both fails, the line has its error.

A GPU is needed: PyTorch computes no gradients of FlexAttention on a CPU. `--tiny` takes small
models and short texts, with which the script itself can be tried on one.
"""

import argparse
import contextlib
import gc
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM
from trl import DPOConfig

from palate.demo import writer
from palate.generate.models import quiet
from palate.train.packed import attention, packing
from palate.train.trainers.dpo_trainer import PackedDPOTrainer

os.environ |= {"TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
SMALL = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 12, "vocab_size": 32_768,
    "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
}  # fmt: skip
MIDDLE = {
    "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 12, "vocab_size": 32_768,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 64,
}  # fmt: skip
EXPERTS = {
    "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 512,
    "num_hidden_layers": 4, "sliding_window": 128,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "llama": SMALL,
    "qwen3": MIDDLE,
    "mistral": {**MIDDLE, "sliding_window": 1024},
    "gemma2": {**MIDDLE, "sliding_window": 1024},
    "gpt_oss": {**MIDDLE, **EXPERTS},
}
CASES = (  # model, prompts, answers of each, tokens of a prompt, tokens of an answer
    ("qwen3", 2, 8, 2000, 1000),
    ("llama", 4, 8, 500, 300),
    ("llama", 1, 12, 4000, 2000),
    ("mistral", 1, 8, 4000, 1000),
    ("gemma2", 1, 8, 4000, 1000),
    ("qwen3", 4, 10, 80, 12),
    ("gpt_oss", 2, 8, 500, 300),
    ("qwen3", 1, 16, 4000, 2500),
)
TINY = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 8192,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
}  # fmt: skip
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=80, help="no case starts after these")
    arguments = parser.parse_args()
    quiet()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    print(json.dumps({"device": device, "torch": torch.__version__}), flush=True)
    begin = time.perf_counter()
    for case in CASES:
        line: dict[str, Any] = {"case": " ".join(map(str, case))}
        if time.perf_counter() - begin > arguments.seconds:
            line["left"] = "no time"
        else:
            with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
                line |= measure(case, folder, tiny=arguments.tiny)
        print(json.dumps(line), flush=True)


def measure(case: tuple[str, int, int, int, int], folder: str, *, tiny: bool) -> dict[str, Any]:
    name, *tree = case
    if tiny:
        tree = [min(tree[0], 2), min(tree[1], 4), *(max(4, n // 50) for n in tree[2:])]
    line: dict[str, Any] = {}
    try:
        trainer = make_trainer(name, folder, tiny=tiny)
        rows = pairs_of(trainer, *tree)
        line |= about(trainer, rows)
        line["check"] = check(trainer, rows[:2])
    except Exception as error:
        return line | {"error": short(error)}
    results = {}
    for kind in ("dense", "flex"):
        try:
            results[kind] = steps(trainer, rows, flex=kind == "flex")
        except Exception as error:
            line[kind] = {"error": short(error)}
        else:
            line[kind] = results[kind][0]
    if len(results) == 2:
        (_, loss, gradients), (_, other, others) = results.values()
        far = sum((a - b).double().square().sum() for a, b in zip(gradients, others, strict=True))
        norm = sum(a.double().square().sum() for a in gradients)
        line["loss_difference"] = abs(loss - other)
        line["gradient_difference"] = float((far / norm) ** 0.5)
        line["times_as_fast"] = round(line["dense"]["step"] / line["flex"]["step"], 2)
    del trainer, results
    gc.collect()
    torch.cuda.empty_cache()
    return line


def make_trainer(name: str, folder: str, *, tiny: bool) -> PackedDPOTrainer:
    """Return a trainer of a model of this shape, with weights off the reference's."""
    cuda, tokenizer = torch.cuda.is_available(), writer.make_tokenizer()
    torch.manual_seed(0)
    size = {**SHAPES[name], **(TINY if tiny else {})}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(
        name, **size, **ends, bos_token_id=None, max_position_embeddings=65_536
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    row = {"prompt": "A title", "chosen": " of one", "rejected": " of another"}
    trainer = PackedDPOTrainer(
        model=model.to("cuda") if cuda else model,
        args=DPOConfig(
            output_dir=folder, bf16=cuda, use_cpu=not cuda, report_to="none",
            gradient_checkpointing=False, disable_tqdm=True, precompute_ref_log_probs=True,
            max_length=None, save_strategy="no",
        ),
        train_dataset=Dataset.from_list([row] * 2),
        processing_class=tokenizer,
    )  # fmt: skip
    torch.manual_seed(1)
    for weight in model.parameters():
        weight.data += 0.002 * torch.randn_like(weight)
    return trainer


def pairs_of(
    trainer: PackedDPOTrainer, prompts: int, answers: int, asked: int, said: int
) -> list[dict[str, Any]]:
    """Return pairs of random tokens: each answer of a prompt is in one or two of its pairs."""
    policy: Any = trainer.model
    chance, rows = random.Random(0), []

    def tokens(n: int) -> list[int]:
        return [chance.randrange(3, policy.config.vocab_size) for _ in range(n)]

    for _ in range(prompts):
        prompt = tokens(asked)
        texts = [tokens(chance.randint(said // 2, said)) for _ in range(answers)]
        for better, worse in zip(texts[::2], texts[1::2], strict=True):
            rows.append({
                "prompt_ids": prompt, "chosen_ids": better, "rejected_ids": worse,
                "ref_chosen_logps": -9.0 * len(better), "ref_rejected_logps": -9.0 * len(worse),
            })  # fmt: skip
    return rows


def about(trainer: PackedDPOTrainer, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the shape of the packed batch, and which attention palate's rule chooses for it."""
    policy: Any = trainer.model
    dataset = Dataset.from_list(rows)
    trainer.args.per_device_train_batch_size = len(rows)
    trainer.args.per_device_eval_batch_size = len(rows)
    count, length = packing.largest_rows(packing.token_ids(dataset), len(rows))
    return {
        "parameters": policy.num_parameters(),
        "rows": count,
        "length": length,
        "mask_gb": round(attention.mask_bytes(count, length, 2) / 1e9, 3),
        "chosen": "flex" if trainer.prefers_flex(dataset) else "dense",
    }


def check(trainer: PackedDPOTrainer, rows: list[dict[str, Any]]) -> str:
    """Return what the check of the first batch says where FlexAttention is to be used."""
    said: list[str] = []
    trainer._warn, trainer.mode, trainer.flex = said.append, "tree", True
    inputs: Any = trainer._prepare_inputs(trainer.data_collator(rows))
    trainer.check_gradients(trainer.model, inputs)
    trainer.mode = "tree"
    return " ".join(said) or "agrees with TRL's batches"


def steps(
    trainer: PackedDPOTrainer, rows: list[dict[str, Any]], *, flex: bool
) -> tuple[dict[str, float], float, list[torch.Tensor]]:
    """Return times and memory of some steps, and loss and gradients of the last."""
    trainer.flex = flex
    policy: Any = trainer.model
    policy.train()
    times, cuda = [], torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    loss = torch.zeros(())
    for _ in range(1 + ROUNDS):
        policy.zero_grad(set_to_none=True)
        batch: Any = trainer._prepare_inputs(trainer.data_collator(rows))
        begin = time.perf_counter()
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(policy, batch)
        loss.backward()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0
    gradients = [w.grad for w in policy.parameters() if w.grad is not None]
    policy.zero_grad(set_to_none=True)
    figures = {
        "step": round(statistics.median(times[1:]), 4),
        "first_step": round(times[0], 2),
        "peak_gb": round(peak, 2),
    }
    return figures, loss.item(), gradients


def short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


if __name__ == "__main__":
    sys.exit(main())

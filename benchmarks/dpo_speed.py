"""DPO with packed prompts compared to TRL's batches: time, positions, loss and gradients.

    python benchmarks/dpo_speed.py --data pairs.csv [--quick] [--lora] [--job] [--json]

All variants get the same pairs and start from the same random weights: a Qwen2 of about 24 million
parameters with a vocabulary of 16,384, in float32 on a CPU. `default` is TRL with its defaults
(gradient checkpointing, the reference computed at every step), `best` is TRL with its fastest flags
(no checkpointing, the reference computed once, before the training). TRL scores only completions,
as it does on CUDA. Times are medians of rounds in which the variants take turns. `--quick` measures
fewer rounds; `--job` also trains an epoch with each, from the texts to the last step.

    python benchmarks/dpo_speed.py --data pairs.csv --shape 0.5B --lora

On a GPU: the shapes of Qwen2.5 0.5B and 7B, with random weights in bfloat16.
"""

import argparse
import contextlib
import copy
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import titles

from palate.run.local import child_environment

os.environ |= {"TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
SHAPES = {  # hidden, intermediate, layers, heads, key-value heads, vocabulary
    "24M": (384, 1536, 8, 6, 2, titles.VOCABULARY),
    "0.5B": (896, 4864, 24, 14, 2, 151_936),
    "7B": (3584, 18_944, 28, 28, 4, 152_064),
}
PAIRS = 40  # in a step: four prompts of ten
BEST = {"gradient_checkpointing": False, "precompute_ref_log_probs": True}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=titles.DATA)
    parser.add_argument("--shape", choices=SHAPES, default="24M")
    parser.add_argument("--lora", action="store_true", help="an adapter of rank 16")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--job", action="store_true", help="also train an epoch with each")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f"{arguments.data} does not exist. Name a file with --data.")
    from palate.generate.models import quiet

    quiet()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
        figures = measure(arguments, Path(folder))
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<26}{value}" for name, value in figures.items()))


def measure(arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    rows = titles.read(arguments.data)
    tokenizer = titles.make_tokenizer(rows)
    bench = Bench(arguments, root, tokenizer)
    together = rows[:PAIRS]
    alone = [row for i, row in enumerate(rows) if i % 10 == 0][:PAIRS]
    rounds = 3 if arguments.quick else 7
    shared = bench.race(
        {
            "default": bench.trl(together),
            "best": bench.trl(together, **BEST),
            "tree": bench.tree(together, **BEST),
        },
        rounds,
    )
    apart = bench.race(
        {"best": bench.trl(alone, **BEST), "tree": bench.tree(alone, **BEST)}, rounds
    )
    loss, gradients = bench.difference(together)
    figures = {
        "step_ratio_vs_best": round(shared["best"] / shared["tree"], 2),
        "step_ratio_vs_default": round(shared["default"] / shared["tree"], 2),
        "step_ratio_nothing_shared": round(apart["best"] / apart["tree"], 2),
        "step_ms": {name: round(1000 * seconds, 1) for name, seconds in shared.items()},
        "positions": positions(rows, tokenizer),
        "loss_difference": loss,
        "gradient_difference": gradients,
        "parameters": bench.model.num_parameters(),
        "device": bench.device,
        "peak_memory_gb": bench.memory,
    }
    if arguments.job:
        jobs = {"default": {}, "best": BEST}
        seconds = {name: bench.job(rows, None, **flags) for name, flags in jobs.items()}
        seconds["tree"] = bench.job(rows, "tree", **BEST)
        figures["job_seconds"] = {name: round(s, 1) for name, s in seconds.items()}
        figures["job_ratio_vs_default"] = round(seconds["default"] / seconds["tree"], 2)
        figures["job_ratio_vs_best"] = round(seconds["best"] / seconds["tree"], 2)
    return figures


class Bench:
    """Makes trainers that start from the same weights, and measures their steps in turns."""

    def __init__(self, arguments: argparse.Namespace, root: Path, tokenizer: Any):
        import torch
        from transformers import Qwen2Config, Qwen2ForCausalLM

        self.root, self.tokenizer, self.lora = root, tokenizer, arguments.lora
        self.cuda = torch.cuda.is_available()
        self.device = torch.cuda.get_device_name() if self.cuda else f"{os.cpu_count()} CPU cores"
        hidden, intermediate, layers, heads, pairs, vocabulary = SHAPES[arguments.shape]
        torch.manual_seed(0)
        self.model = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=vocabulary, hidden_size=hidden, intermediate_size=intermediate,
                num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=pairs,
                tie_word_embeddings=arguments.shape != "7B", max_position_embeddings=2048,
                pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
                bos_token_id=None,
            )
        )  # fmt: skip
        if self.cuda:
            self.model = self.model.to("cuda", torch.bfloat16)
        self.model.save_pretrained(root / "model")
        self.memory: dict[str, float] = {}

    def trl(self, rows: list[dict], **flags: Any) -> Any:
        from trl import DPOTrainer

        return self._make(DPOTrainer, rows, **flags)

    def tree(self, rows: list[dict], **flags: Any) -> Any:
        from palate.train.trainers.dpo_trainer import PackedDPOTrainer

        return self._make(PackedDPOTrainer, rows, **flags)

    def _make(self, cls: type, rows: list[dict], size: int = PAIRS, **flags: Any) -> Any:
        from datasets import Dataset
        from peft import LoraConfig
        from transformers import AutoModelForCausalLM
        from trl import DPOConfig
        from trl.trainer import utils

        utils._use_triton = lambda device: True  # score only completions, as on CUDA
        settings = {
            "output_dir": str(self.root / "out"), "bf16": self.cuda, "use_cpu": not self.cuda,
            "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "seed": 1,
            "logging_steps": 1000, "learning_rate": 1e-6, "num_train_epochs": 1,
            "per_device_train_batch_size": size, "precompute_ref_batch_size": PAIRS,
        }  # fmt: skip
        lora = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        dtype = self.model.dtype
        return cls(
            model=AutoModelForCausalLM.from_pretrained(self.root / "model", dtype=dtype),
            args=DPOConfig(**settings | flags),
            train_dataset=Dataset.from_list(rows),
            processing_class=self.tokenizer,
            peft_config=lora if self.lora else None,
        )

    def race(self, trainers: dict[str, Any], rounds: int) -> dict[str, float]:
        """Return the median seconds of forward and backward on the trainers' own rows."""
        times: dict[str, list[float]] = {name: [] for name in trainers}
        rows = {name: [*trainer.train_dataset] for name, trainer in trainers.items()}
        for turn in range(rounds + 1):
            for name, trainer in trainers.items():
                spent = self._timed(name, lambda t=trainer, batch=rows[name]: step(t, batch))
                if turn:  # the first warms up
                    times[name].append(spent)
        return {name: statistics.median(spent) for name, spent in times.items()}

    def _timed(self, name: str, call: Callable[[], Any]) -> float:
        import torch

        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if self.cuda:
            torch.cuda.synchronize()
            self.memory[name] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        return time.perf_counter() - start

    def difference(self, rows: list[dict]) -> tuple[float, float]:
        """Return how much loss and gradients differ from TRL's, with weights off the reference."""
        import torch

        results = []
        for make in (self.trl, self.tree):
            trainer = make(rows, **BEST)
            torch.manual_seed(2)
            for weight in trainer.model.parameters():
                if weight.requires_grad:
                    weight.data += 0.01 * torch.randn_like(weight)
            loss = step(trainer, [*trainer.train_dataset])
            grads = [w.grad.double() for w in trainer.model.parameters() if w.grad is not None]
            results.append((loss, grads))
        (loss, grads), (other, others) = results
        squared = sum((a - b).square().sum() for a, b in zip(grads, others, strict=True))
        return abs(loss - other), float((squared / sum(g.square().sum() for g in grads)) ** 0.5)

    def job(self, rows: list[dict], mode: str | None, **flags: Any) -> float:
        """Return the seconds of an epoch: tokenization, reference and steps."""
        make, size = (self.tree, PAIRS) if mode else (self.trl, 8)
        return self._timed("job", lambda: make(copy.deepcopy(rows), size=size, **flags).train())


def step(trainer: Any, rows: list[dict]) -> float:
    """Collate the rows as one batch, and compute its loss and gradients."""
    trainer.model.train()
    trainer.model.zero_grad(set_to_none=True)
    batch = trainer._prepare_inputs(trainer.data_collator(rows))
    with trainer.compute_loss_context_manager():
        loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return loss.item()


def positions(rows: list[dict], tokenizer: Any) -> dict[str, int]:
    """Return the token positions of an epoch: TRL's padded batches of 8, and packed batches."""
    from palate.train.packed.packing import count_positions, count_trl_positions

    def ids(messages: list[dict], ask: bool = False) -> list[int]:
        encoded = tokenizer.apply_chat_template(
            messages, add_generation_prompt=ask, return_dict=True
        )
        return encoded["input_ids"]

    prompts: dict[str, list[int]] = {}
    pairs = []
    for row in rows:
        prompt = prompts.setdefault(json.dumps(row["prompt"]), ids(row["prompt"], ask=True))
        whole = [ids(row["prompt"] + row[side]) for side in ("chosen", "rejected")]
        pairs.append((prompt, *(w[len(prompt) :] for w in whole)))
    # without padding rows to the longest of their batch
    least = sum(count_positions(pairs[i : i + 10], 10) for i in range(0, len(pairs), 10))
    trl = count_trl_positions(pairs, 8)
    return {"tree": count_positions(pairs, PAIRS), "tree_unpadded": least, "trl": trl}


if __name__ == "__main__":
    environment = child_environment()
    if environment != dict(os.environ):  # glibc reads its settings for memory when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    main()

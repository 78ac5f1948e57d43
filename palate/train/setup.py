"""The trainer of a run: TRL's configuration, our batches, our callbacks."""

import copy
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from palate.generate.models import Loaded
from palate.train import data, taste
from palate.train.config import DPOArguments, TrainArguments
from palate.train.sizes import Sizes
from palate.train.workdir import WorkDir, cache

LOOKS = 4  # at the test split, per epoch
PATIENCE = 8  # looks without a better test loss before a run ends: two epochs
WARMUP = 0.1  # of the steps
RANK = 16


def make_trainer(
    args: DPOArguments,
    sizes: Sizes,
    loaded: Loaded,
    rows: data.Rows,
    work: WorkDir,
    watching: Sequence[Any],
    say: Callable[[str], None],
) -> Any:
    """Return a TreeDPOTrainer whose reference is the very weights that it starts from."""
    from transformers import PrinterCallback

    from palate.train.tree import TreeDPOTrainer

    train = data.dataset(rows.train)
    for name, values in taste.columns(rows.train, args.strength).items():
        train = train.add_column(name, values)
    trainer = TreeDPOTrainer(
        model=loaded.model,
        ref_model=reference(loaded, sizes),
        args=configuration(args, sizes, rows, work.path),
        train_dataset=train,
        eval_dataset=data.dataset(rows.test) if rows.test else None,
        processing_class=loaded.tokenizer,
        peft_config=None if sizes.method == "full" else adapter(loaded.revision),
        callbacks=callbacks(watching, rows),
        mode=args.batches,
        say=say,
        references=cache() / "references",
        origin=f"{loaded.repo}@{loaded.revision} {sizes.method} {loaded.model.dtype}",
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def weights_type(sizes: Sizes) -> Any:
    """Return the type of the weights: steps of 1e-6 would vanish when rounded to bfloat16."""
    import torch

    return torch.bfloat16 if sizes.bf16 and sizes.method != "full" else torch.float32


def reference(loaded: Loaded, sizes: Sizes) -> Any:
    """Return a copy of the weights where TRL would load the repo's newest: under FSDP, all trained.

    Elsewhere None: the model itself is asked before it is trained, or without its adapter.
    """
    parted = os.environ.get("ACCELERATE_USE_FSDP", "false") == "true"
    return copy.deepcopy(loaded.model) if parted and sizes.method == "full" else None


def configuration(args: DPOArguments, sizes: Sizes, rows: data.Rows, folder: Path) -> Any:
    from trl import DPOConfig

    return DPOConfig(
        **schedule(args, sizes, rows, folder),
        # from the very weights that training starts from; TRL would load the repo's again
        precompute_ref_log_probs=True,
        report_to="trackio" if args.trackio else "none",
        **losses(args),
    )


def schedule(args: TrainArguments, sizes: Sizes, rows: data.Rows, folder: Path) -> dict[str, Any]:
    """Return TRL's options of batches, steps, looks at the test rows and checkpoints."""
    import torch

    cuda = torch.cuda.is_available()
    steps = math.ceil(len(rows.train) / sizes.batch_size)
    log_every = max(1, int(steps * args.epochs) // 100)
    look_every = log_every * max(1, round(steps / LOOKS / log_every))
    part = sizes.part
    return {
        "output_dir": str(folder),
        "learning_rate": sizes.learning_rate,
        "num_train_epochs": args.epochs,
        "per_device_train_batch_size": part,
        "per_device_eval_batch_size": even(len(rows.test), 2 * part, sizes.processes),
        "gradient_accumulation_steps": sizes.accumulate,
        "gradient_checkpointing": sizes.gradient_checkpointing,
        "max_length": args.max_length,
        "warmup_steps": int(WARMUP * steps * args.epochs),
        "seed": args.seed,
        "bf16": sizes.bf16,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "eval_strategy": "steps" if rows.test else "no",
        "eval_steps": look_every,
        "save_steps": look_every,
        "save_total_limit": 2,
        "load_best_model_at_end": bool(rows.test),
        "metric_for_best_model": "eval_loss" if rows.test else None,
        "greater_is_better": False if rows.test else None,
        "restore_callback_states_from_checkpoint": True,  # early stopping counts on
        "logging_steps": log_every,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "log_level_replica": "error",  # as `models.quiet` has it in the first process
    }


def callbacks(watching: Sequence[Any], rows: data.Rows) -> list[Any]:
    """Return those callbacks, and with test rows one that stops when they get no better."""
    from transformers import EarlyStoppingCallback

    stop = [EarlyStoppingCallback(early_stopping_patience=PATIENCE)] if rows.test else []
    return [*watching, *stop]


def losses(args: DPOArguments) -> dict[str, Any]:
    """Return TRL's options of the loss."""
    anchored = args.sft_weight > 0
    return {
        "beta": args.beta,
        "loss_type": [args.loss, "sft"] if anchored else [args.loss],
        "loss_weights": [1.0, args.sft_weight] if anchored else None,
        "label_smoothing": args.flip_rate or 0.0,
        "ld_alpha": 0.5 if args.length_desensitized else None,
    }


def even(rows: int, largest: int, processes: int = 1) -> int:
    """Return the batch size that leaves the last batches fullest: TRL averages over batches."""
    sizes = range(largest, max(1, largest // 2) - 1, -1)
    return min(sizes, key=lambda size: -rows % (size * processes) / (size * processes))


def adapter(revision: str) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        revision=revision,
    )

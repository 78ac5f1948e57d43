# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "palate",
#   "accelerate>=1.0,<2",
#   "peft>=0.17,<1",
#   "torch>=2.6,<3",
#   "transformers>=4.56.2,<6",
#   "trl>=1.16,<2",
# ]
# [tool.uv.sources]
# palate = { path = "..", editable = true }
# ///
"""Train a project's base model on its preferences with DPO, and push it with its card.

The test split is looked at four times an epoch and the best checkpoint is kept. Interrupted, the
same command continues. What is pushed: weights (or the adapter), tokenizer, run.json, card.

    python jobs/dpo.py me/titles
    uv run jobs/dpo.py me/titles --method lora
    hf jobs uv run --flavor a10g-small -s HF_TOKEN -e UV_NO_SOURCES=1 jobs/dpo.py me/titles

The last needs a palate on the package index; the other two run in a checkout.
"""

import math
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import tyro
from rich.console import Console

from palate import hub, models
from palate.errors import PalateError, UsageError
from palate.launch import command, run_main
from palate.project import Project
from palate.training import data, publish, record
from palate.training.workdir import Clock, WorkDir

LOOKS = 4  # at the test split, per epoch
LARGEST_FULL = 2e9  # parameters: beyond, LoRA


@dataclass(frozen=True)
class Arguments:
    project: tyro.conf.Positional[str]
    """The project, such as me/titles; me/titles@COMMIT trains on what stood then."""
    base_model: str | None = None
    """What to train, as owner/name[@revision]; the project's base model unless named."""
    method: Literal["full", "lora"] | None = None
    """All weights, or an adapter; by default all up to two billion parameters."""
    learning_rate: float | None = None
    """Peak of the learning rate: 1e-6 for full, 5e-6 for lora unless given."""
    beta: float = 0.1
    """How firmly the model is held to the base: higher changes it less."""
    epochs: float = 3.0
    """Passes over the training rows; the best checkpoint may come from an earlier one."""
    batch_size: int = 8
    """Pairs in an optimizer step."""
    accumulate: int = 1
    """Parts that a batch is computed in: raise it when memory runs out."""
    max_length: int = 1024
    """Tokens of prompt and completion; longer rows are left out, counted and named."""
    no_implied: bool = False
    """Leave out preferences that nobody was asked about and other answers imply."""
    seed: int = 0
    """Order of the rows, and the adapter's first weights."""
    output: str | None = None
    """The model repo to push to; the project's own unless named."""
    public: bool = False
    """Make the model repo public when it is made here (it is private otherwise)."""


def main(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True)
    id, _, revision = args.project.partition("@")
    project = Project.load(id, revision or "main")
    rows = data.read(project, implied=not args.no_implied)
    base = models.find(args.base_model or project.settings.base_model)
    args = settle(args, project, base)
    setup = {k: v for k, v in asdict(args).items() if k not in ("project", "output", "public")}
    work = WorkDir(project.id, rows.key(), setup)
    if work.finished():
        console.print(f"Training is done; the model lies in {work.model}")
    else:
        try:
            train(console, args, project, rows, base, work)
        except KeyboardInterrupt:
            console.print(
                f"Stopped; checkpoints lie in {work.path}. To continue, run the same command"
                f" again: {shlex.join(['python', *sys.argv])}"
            )
            raise
    push(console, args, project, work)


def settle(args: Arguments, project: Project, base: models.Source) -> Arguments:
    """Return the arguments with everything decided: revisions, method, learning rate, repo."""
    method = args.method or ("full" if base.parameters <= LARGEST_FULL else "lora")
    if method == "lora" and base.base is not None:
        raise UsageError(
            f"{base.repo} is an adapter itself, and an adapter on an adapter is not supported."
            " Use --method full, which merges it first."
        )
    if args.batch_size % args.accumulate:
        raise UsageError(
            f"--batch-size {args.batch_size} cannot be computed in --accumulate {args.accumulate}"
            " equal parts. Choose a divisor."
        )
    learning_rate = args.learning_rate or {"full": 1e-6, "lora": 5e-6}[method]
    return replace(
        args,
        project=f"{project.id}@{project.revision}",
        base_model=f"{base.repo}@{base.revision}",
        method=method,
        learning_rate=learning_rate,
        output=args.output or project.model_repo,
    )


def train(
    console: Console,
    args: Arguments,
    project: Project,
    rows: data.Rows,
    base: models.Source,
    work: WorkDir,
) -> None:
    """Train from the last checkpoint or from the start; leave model and record in `work.model`."""
    from palate.training.callbacks import Bar, Guard
    from palate.training.rewards import margins

    clock = Clock(work)
    loaded = models.load(base, dtype=weights_type(args))
    rows = fit(console, rows, loaded.tokenizer, args.max_length)
    console.print(
        f"{base.repo} at {base.revision[:7]}, {base.parameters:,} parameters, {args.method}:"
        f" {len(rows.train):,} rows to train on, {len(rows.test):,} to test with"
    )
    guard = Guard(clock)
    with console.status("What the base model makes of every row"):
        trainer = make_trainer(args, loaded, rows, work, guard)
    checkpoint = work.checkpoint()
    if checkpoint:
        console.print(f"Continuing after step {checkpoint.name.split('-')[1]}")
    with Bar(console) as bar:
        trainer.add_callback(bar)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    result = record.result(margins(trainer) if rows.test else [], kept_step(trainer, guard))
    trainer.save_model(str(work.model))
    loaded.tokenizer.save_pretrained(work.model)
    (work.model / "training_args.bin").unlink()  # a pickle, which nobody should have to trust
    run = record.facts("dpo", project, base, trainer, clock) | {
        "model": args.output,
        "command": command("dpo", args),
        "arguments": asdict(args),
        "seed": args.seed,
        "method": args.method,
        "data": data.facts(project, rows),
        "results": result,
        "alarms": record.alarms(trainer.state.log_history, result, args.beta, guard.failed_at),
    }
    publish.save_run(work.model, run)


def fit(console: Console, rows: data.Rows, tokenizer: Any, max_length: int) -> data.Rows:
    """Return the rows that can be trained on, and say which cannot."""
    usable = data.usable(rows, tokenizer, max_length)
    for reason, n in usable.dropped.items():
        console.print(f"  left out: {n:,} rows, {reason}")
    for name in usable.too_long[:10]:
        console.print(f"    {name}", markup=False)
    return usable


def weights_type(args: Arguments) -> Any:
    """Return the type to train in: steps of 1e-6 would vanish when rounded to bfloat16."""
    import torch

    frozen = args.method == "lora" and torch.cuda.is_available()
    return torch.bfloat16 if frozen else torch.float32


def make_trainer(
    args: Arguments, loaded: models.Loaded, rows: data.Rows, work: WorkDir, guard: Any
) -> Any:
    import torch
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    cuda = torch.cuda.is_available()
    steps = math.ceil(len(rows.train) / args.batch_size)
    log_every = max(1, int(steps * args.epochs) // 100)
    look_every = log_every * max(1, round(steps / LOOKS / log_every))
    assert args.learning_rate is not None
    config = DPOConfig(
        output_dir=str(work.path),
        learning_rate=args.learning_rate,
        beta=args.beta,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch_size // args.accumulate,
        per_device_eval_batch_size=even(len(rows.test), 2 * args.batch_size // args.accumulate),
        gradient_accumulation_steps=args.accumulate,
        max_length=args.max_length,
        warmup_steps=int(0.1 * steps * args.epochs),
        seed=args.seed,
        bf16=cuda and torch.cuda.is_bf16_supported(),
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        gradient_checkpointing=loaded.model.num_parameters() > 1e9,
        # from the very weights that training starts from; TRL would load the repo's again
        precompute_ref_log_probs=True,
        eval_strategy="steps" if rows.test else "no",
        eval_steps=look_every,
        save_steps=look_every,
        save_total_limit=2,
        load_best_model_at_end=bool(rows.test),
        metric_for_best_model="eval_loss" if rows.test else None,
        greater_is_better=False if rows.test else None,
        logging_steps=log_every,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=loaded.model,
        args=config,
        train_dataset=data.dataset(rows.train),
        eval_dataset=data.dataset(rows.test) if rows.test else None,
        processing_class=loaded.tokenizer,
        peft_config=adapter(args) if args.method == "lora" else None,
        callbacks=[guard],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def even(rows: int, largest: int) -> int:
    """Return the batch size that leaves the last batch fullest: TRL averages over batches."""
    return min(range(largest, largest // 2 - 1, -1), key=lambda size: -rows % size / size)


def adapter(args: Arguments) -> Any:
    from peft import LoraConfig

    assert args.base_model is not None
    return LoraConfig(
        r=16,
        lora_alpha=32,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        revision=args.base_model.partition("@")[2],
    )


def kept_step(trainer: Any, guard: Any) -> int:
    """Return the step that the weights are of; raise if there is no good one."""
    if best := trainer.state.best_model_checkpoint:
        return int(best.rpartition("-")[2])
    if guard.failed_at is not None:
        raise PalateError(
            f"The loss was not a number at step {guard.failed_at}, and no good checkpoint came"
            " before it. Nothing was pushed. Run again with a lower --learning-rate."
        )
    return trainer.state.global_step


def push(console: Console, args: Arguments, project: Project, work: WorkDir) -> None:
    """Push what lies in `work.model`, tidy up and say how it went."""
    assert args.output is not None
    try:
        sha, run = publish.push(work.model, args.output, public=args.public)
    except (PalateError, OSError, RuntimeError) as error:  # RuntimeError: an upload that broke off
        raise PalateError(
            f"{error} The trained model lies in {work.model}. To push it, run the same command"
            f" again, which will not train again: {shlex.join(['python', *sys.argv])}"
        ) from error
    work.remove()
    for alarm in run["alarms"]:
        console.print(f"  alarm: {alarm}", style="yellow")
    console.print(record.sentence(run))
    console.print(f"model: {hub.endpoint()}/{args.output} at {sha[:7]}")
    console.print(f"Next: palate completions {project.id}")


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

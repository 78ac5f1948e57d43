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

The data are audited first. Every distinct prompt and completion of a batch is computed once. The
test split is looked at four times an epoch and the best checkpoint is kept. Interrupted, the same
command continues. What is pushed: weights (or the adapter), tokenizer, run.json, metrics, card.

    python jobs/dpo.py me/titles
    python jobs/dpo.py me/titles --sweep beta=0.05,0.1,0.5
    uv run jobs/dpo.py me/titles --method lora
    python jobs/dpo.py me/titles --processes 4
    python jobs/dpo.py me/titles --processes 8 --method full --accelerate fsdp2
    palate train me/titles --on hf

On several machines start it with torchrun or `accelerate launch`, and leave --processes out.
"""

import shlex
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

import tyro
from rich.console import Console

from palate import hub, models
from palate.errors import PalateError, UsageError
from palate.launch import command, run_main
from palate.processes import WHOLE, first, first_here, one_voice, together
from palate.project import Project
from palate.training import check, data, publish, record
from palate.training.sizes import Machine, Sizes, choose
from palate.training.sweep import Sweep
from palate.training.taste import Strength
from palate.training.workdir import Clock, WorkDir


@dataclass(frozen=True)
class Arguments:
    project: tyro.conf.Positional[str]
    """The project, such as me/titles; me/titles@COMMIT trains on what stood then."""
    base_model: str | None = None
    """What to train, as owner/name[@revision]; the project's base model unless named."""
    method: Literal["full", "lora", "qlora"] | None = None
    """All weights, an adapter, or an adapter on weights in four bits; what fits unless given."""
    learning_rate: float | None = None
    """Peak of the learning rate: 1e-6 for full, 5e-6 for an adapter unless given."""
    beta: float = 0.1
    """How firmly the model is held to the base: higher changes it less."""
    epochs: float = 3.0
    """Passes over the training rows; the best checkpoint may come from an earlier one."""
    batch_size: int | None = None
    """Pairs in an optimizer step; four prompts' worth unless given."""
    accumulate: int | None = None
    """Parts that a batch is computed in; when memory runs out it is doubled by itself."""
    max_length: int = 1024
    """Tokens of prompt and completion; longer rows are left out, counted and named."""
    loss: Literal["sigmoid", "robust", "ipo", "hinge", "apo_zero", "sigmoid_norm"] = "sigmoid"
    """TRL's loss. "robust" allows for labels that are wrong, at the rate that repeats show."""
    flip_rate: float | None = None
    """How often labels are wrong, for --loss robust; measured from repeats unless given."""
    strength: Strength = "off"
    """Let how much better an answer was count: as an offset of the margin, or as a weight."""
    length_desensitized: bool = False
    """Count what the longer answer has more only half, against learning mere length."""
    sft_weight: float = 0.0
    """Weight of the chosen texts' own likelihood beside the loss; 0.1 keeps a model writing."""
    no_implied: bool = False
    """Leave out preferences that nobody was asked about and other answers imply."""
    sweep: str | None = None
    """Train one after another and keep the best on test, such as beta=0.05,0.1,0.5."""
    batches: Literal["tree", "rows", "trl"] = "tree"
    """A row for each prompt, for each completion, or TRL's own batches of pairs."""
    gradient_checkpointing: bool | None = None
    """Compute activations twice to save memory; on a GPU from a billion parameters."""
    checkpoint_to_hub: bool = False
    """Keep the last checkpoint in the model's repo too, for a machine that may be lost."""
    trackio: bool = False
    """Log to Trackio as well as to metrics.jsonl."""
    ignore_audit: bool = False
    """Train although the audit found something fatal; the card will say so."""
    reckless: bool = False
    """Allow a learning rate that is known to ruin adapters."""
    processes: int = 1
    """Processes that train together on this machine: one for each GPU."""
    accelerate: str = WHOLE
    """How they share the work: ddp, each with the whole model; fsdp2 or zero3, each with a part of
    it; or a file of accelerate's configuration."""
    seed: int = 0
    """Order of the rows, and the adapter's first weights."""
    output: str | None = None
    """The model repo to push to; the project's own unless named."""
    public: bool = False
    """Make the model repo public when it is made here (it is private otherwise)."""


# what decides nothing of the weights, so that a run goes on when it changes
OUTSIDE = {"project", "output", "public", "sweep", "accumulate", "processes"}
OUTSIDE |= {"checkpoint_to_hub", "trackio", "ignore_audit", "reckless"}


@dataclass
class Job:
    """One training: its arguments with everything decided, its rows and where it lies."""

    args: Arguments
    sizes: Sizes
    project: Project
    rows: data.Rows
    base: models.Source
    audit: list[dict[str, str]]
    work: WorkDir


def main(args: Arguments) -> None:
    together(args.processes, args.accelerate)
    with one_voice():
        run(args)


def run(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True, quiet=not first())
    try:
        if args.sweep:
            sweep = Sweep.read(args)
            quiet = Console(quiet=True)  # what the audit finds is the same for each value
            jobs = [
                prepare(quiet if n else console, each)
                for n, each in enumerate(sweep.arguments(args))
            ]
            sweep.check(len(jobs[0].rows.test))
            for job in jobs:
                console.rule(f"{sweep.name} = {getattr(job.args, sweep.name):g}")
                train(console, job)
            if not first():
                return
            best, table = sweep.best([(job.args, publish.read_run(job.work.model)) for job in jobs])
            for line in table:
                console.print(line)
            job = jobs[best]
            publish.save_run(job.work.model, publish.read_run(job.work.model) | sweep.record())
            push(console, job)
            for other in jobs:
                with suppress(FileNotFoundError):
                    other.work.remove()
        else:
            job = prepare(console, args)
            train(console, job)
            if first():
                push(console, job)
    except KeyboardInterrupt:
        console.print(
            "Stopped; checkpoints are kept. To continue, run the same command again:"
            f" {shlex.join(['python', *sys.argv])}"
        )
        raise


def prepare(console: Console, args: Arguments) -> Job:
    """Read and audit the data, and decide what is left open: revisions, method, sizes, repo."""
    if args.trackio and not find_spec("trackio"):
        raise UsageError("--trackio needs the package trackio: pip install trackio")
    if args.sft_weight and args.strength == "weight":
        raise UsageError(
            "--strength weight cannot weigh the texts' own likelihood, which --sft-weight adds."
            " Use --strength offset."
        )
    id, _, revision = args.project.partition("@")
    project = Project.load(id, revision or "main")
    rows = data.read(project, implied=not args.no_implied)
    found = check.audit(console, project, rows, ignore=args.ignore_audit)
    base = models.find(args.base_model or project.settings.base_model)
    sizes = choose(args, base.parameters, [r.prompt_id for r in rows.train], Machine.here())
    if sizes.method != "full" and base.base is not None:
        raise UsageError(
            f"{base.repo} is an adapter itself, and an adapter on an adapter is not supported."
            " Use --method full, which merges it first."
        )
    decided = replace(
        args,
        project=f"{project.id}@{project.revision}",
        base_model=f"{base.repo}@{base.revision}",
        method=sizes.method,
        learning_rate=sizes.learning_rate,
        batch_size=sizes.batch_size,
        flip_rate=check.flip_rate(args, project),
        output=args.output or project.model_repo,
    )
    setup = {k: v for k, v in asdict(decided).items() if k not in OUTSIDE}
    work = WorkDir(project.id, rows.key(), setup)
    return Job(decided, sizes, project, rows, base, found, work)


def train(console: Console, job: Job) -> None:
    """Train from the last checkpoint or from the start; leave model and record in `work.model`."""
    import torch
    from safetensors import SafetensorError

    if job.work.finished():
        console.print(f"Training is done; the model lies in {job.work.model}")
        return None
    for reason in job.sizes.reasons:
        console.print(f"  {reason}")
    while True:
        try:
            return _train(console, job)
        except torch.OutOfMemoryError:
            job.sizes = check.smaller(job.sizes)
            console.print(
                f"  memory ran out: from here on a batch of {job.sizes.batch_size} is computed in"
                f" {job.sizes.accumulate} parts",
                style="yellow",
            )
        except (OSError, RuntimeError, SafetensorError) as error:
            if full := check.full_disk(error, job.work.path):
                raise full from None
            raise
        torch.cuda.empty_cache()


def _train(console: Console, job: Job) -> None:
    from palate.training import hubpoint
    from palate.training.callbacks import Bar, Ending, Guard, Metrics
    from palate.training.setup import make_trainer, weights_type

    args, work, base = job.args, job.work, job.base
    assert args.output is not None

    def say(text: str) -> None:
        console.print(f"  {text}", style="yellow")

    callbacks: list[Any] = [Metrics(work.path / "metrics.jsonl"), Ending()]
    with first_here():
        if args.checkpoint_to_hub and hubpoint.restore(args.output, work):
            console.print(f"Took the last checkpoint from {args.output}")
        checkpoint = work.checkpoint()
    if args.checkpoint_to_hub:
        callbacks.append(hubpoint.HubCheckpoint(args.output, work, args.public, say))
    clock = Clock(work)
    guard = Guard(clock)
    loaded = models.load(base, dtype=weights_type(job.sizes), four_bits=args.method == "qlora")
    window = getattr(loaded.model.config, "max_position_embeddings", args.max_length)
    rows = check.fit(console, job.rows, loaded.tokenizer, args.max_length, window)
    console.print(
        f"{base.repo} at {base.revision[:7]}, {base.parameters:,} parameters, {args.method}:"
        f" {len(rows.train):,} rows to train on, {len(rows.test):,} to test with"
    )
    with console.status("What the base model makes of every row"):
        trainer = make_trainer(args, job.sizes, loaded, rows, work, [guard, *callbacks[::-1]], say)
    saving = check.saving(trainer)
    console.print(f"  {saving['sentence']}")
    if checkpoint:
        console.print(f"Continuing after step {checkpoint.name.split('-')[1]}")
    with Bar(console) as bar:
        trainer.add_callback(bar)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finish(console, job, trainer, loaded, rows, clock, guard, saving)


def finish(
    console: Console,
    job: Job,
    trainer: Any,
    loaded: models.Loaded,
    rows: data.Rows,
    clock: Clock,
    guard: Any,
    saving: dict[str, Any],
) -> None:
    """Measure what came out, and write model and record; the record comes last."""
    from palate.training.rewards import margins

    args, model = job.args, job.work.model
    result = record.result(margins(trainer) if rows.test else [], check.kept_step(trainer, guard))
    result["baselines"] = check.to_beat(rows)
    trainer.save_model(str(model))
    if not first():
        return
    with console.status("What base and tuned model write on test prompts"):
        samples = check.compared(job.base, trainer, loaded, job)
    loaded.tokenizer.save_pretrained(model)
    (model / "training_args.bin").unlink()  # a pickle, which nobody should have to trust
    (model / "metrics.jsonl").write_bytes((job.work.path / "metrics.jsonl").read_bytes())
    log = trainer.state.log_history
    run = record.facts("dpo", job.project, job.base, trainer, clock) | {
        "model": args.output,
        "command": command("dpo", args),
        "arguments": asdict(args),
        "seed": args.seed,
        "method": args.method,
        "why": list(job.sizes.reasons),
        "data": data.facts(job.project, rows),
        "audit": job.audit,
        "results": result,
        "samples": samples,
        "positions": {k: v for k, v in saving.items() if k != "sentence"} | {"mode": trainer.mode},
        "sweep": None,
        "alarms": record.alarms(log, result, args.beta, guard.failed_at, samples),
    }
    publish.save_run(model, run)


def push(console: Console, job: Job) -> None:
    """Push what lies in `work.model`, tidy up and say how it went."""
    from palate.training import hubpoint

    args, work = job.args, job.work
    assert args.output is not None
    try:
        sha, run = publish.push(work.model, args.output, public=args.public)
        if args.checkpoint_to_hub:
            hubpoint.forget(args.output)
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
    console.print(f"Next: palate completions {job.project.id}")


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

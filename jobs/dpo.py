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

import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

import tyro
from rich.console import Console

from palate.core.errors import UsageError
from palate.core.project import Project
from palate.generate import models
from palate.report.publish import push_trained
from palate.run.local import run_main
from palate.run.processes import WHOLE, first, one_voice, together
from palate.train import check, data, record
from palate.train.job import Beginning, Job, begin, go, leave, load, resumable, train
from palate.train.sizes import Machine, choose
from palate.train.sweep import Sweep
from palate.train.taste import Strength
from palate.train.workdir import WorkDir, read_run, save_run


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


def main(args: Arguments) -> None:
    together(args.processes, args.accelerate)
    with one_voice():
        run(args)


def run(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True, quiet=not first())
    with resumable(console):
        kept, *others = sweep(console, args) if args.sweep else [one(console, args)]
        if first():
            push_trained(console, kept, record.sentence, f"palate completions {kept.project.id}")
            for other in others:
                with suppress(FileNotFoundError):
                    other.work.remove()


def one(console: Console, args: Arguments) -> Job:
    job = prepare(console, args)
    train(console, job, steps)
    return job


def sweep(console: Console, args: Arguments) -> list[Job]:
    """Train one after another, and return them with the best first."""
    swept = Sweep.read(args)
    quiet = Console(quiet=True)  # what the audit finds is the same for each value
    jobs = [prepare(quiet if n else console, each) for n, each in enumerate(swept.arguments(args))]
    swept.check(len(jobs[0].rows.test))
    for job in jobs:
        console.rule(f"{swept.name} = {getattr(job.args, swept.name):g}")
        train(console, job, steps)
    if not first():
        return jobs
    best, table = swept.best([(job.args, read_run(job.work.model)) for job in jobs])
    for line in table:
        console.print(line)
    kept = jobs.pop(best)
    save_run(kept.work.model, read_run(kept.work.model) | swept.record())
    return [kept, *jobs]


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


def steps(console: Console, job: Job) -> None:
    """Train, and leave model and record in `work.model`."""
    from palate.train.setup import make_trainer

    begun = begin(console, job)
    loaded, rows = load(console, job)
    with console.status("What the base model makes of every row"):
        trainer = make_trainer(
            job.args, job.sizes, loaded, rows, job.work, begun.callbacks, begun.say
        )
    saving = check.saving(trainer)
    console.print(f"  {saving['sentence']}")
    go(console, trainer, begun, ("rewards/accuracies", "reward accuracy"))
    finish(console, job, begun, trainer, loaded, rows, saving)


def finish(
    console: Console,
    job: Job,
    begun: Beginning,
    trainer: Any,
    loaded: models.Loaded,
    rows: data.Rows,
    saving: dict[str, Any],
) -> None:
    """Measure what came out, and write model and record; the record comes last."""
    from palate.train.rewards import margins

    args, guard = job.args, begun.guard
    result = record.result(margins(trainer) if rows.test else [], check.kept_step(trainer, guard))
    result["baselines"] = check.to_beat(rows)
    trainer.save_model(str(job.work.model))
    if not first():
        return
    with console.status("What base and tuned model write on test prompts"):
        samples = check.compared(job.base, trainer, loaded, job)
    log = trainer.state.log_history
    run = record.facts("dpo", job, trainer, begun.clock) | {
        "data": data.facts(job.project, rows),
        "history": record.curve(log),
        "results": result,
        "samples": samples,
        "positions": {k: v for k, v in saving.items() if k != "sentence"} | {"mode": trainer.mode},
        "sweep": None,
        "alarms": record.alarms(log, result, args.beta, guard.failed_at, samples),
    }
    leave(job, loaded, run)


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

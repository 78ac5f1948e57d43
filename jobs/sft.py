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
"""Train a project's base model on the answers that people preferred: a warm start for DPO.

An answer is learned where people preferred it in more comparisons than they did not; what other
answers merely imply does not count. The loss is on answers alone, not on prompts. The test split is
looked at four times an epoch and the best checkpoint is kept. Interrupted, the same command
continues. What is pushed: a whole model (an adapter is merged), tokenizer, run.json, metrics, card.

    python jobs/sft.py me/titles
    python jobs/dpo.py me/titles --base-model me/titles-sft
    uv run jobs/sft.py me/titles --method lora
    python jobs/sft.py me/titles --processes 4
    palate sft me/titles --on hf

On several machines start it with torchrun or `accelerate launch`, and leave --processes out.
"""

import sys
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import tyro
from rich.console import Console

from palate.core.errors import UsageError
from palate.core.project import Project
from palate.generate import models
from palate.report.publish import push_trained
from palate.run.local import run_main
from palate.run.processes import WHOLE, first, one_voice, parted, together
from palate.train import answers, check, data, record
from palate.train.job import Beginning, Job, begin, go, leave, load, resumable, train
from palate.train.sizes import Machine, choose_for_answers
from palate.train.workdir import WorkDir


@dataclass(frozen=True)
class Arguments:
    project: tyro.conf.Positional[str]
    """The project, such as me/titles; me/titles@COMMIT trains on what stood then."""
    base_model: str | None = None
    """What to train, as owner/name[@revision]; the project's base model unless named."""
    method: Literal["full", "lora"] | None = None
    """All weights, or an adapter that is merged in the end; what fits unless given."""
    learning_rate: float | None = None
    """Peak of the learning rate: 1e-5 for full, 1e-4 for an adapter unless given."""
    epochs: float = 2.0
    """Passes over the training rows; the best checkpoint may come from an earlier one."""
    batch_size: int | None = None
    """Answers in an optimizer step; 8 unless given."""
    accumulate: int | None = None
    """Parts that a batch is computed in; when memory runs out it is doubled by itself."""
    max_length: int = 1024
    """Tokens of prompt and answer; longer rows are left out, counted and named."""
    gradient_checkpointing: bool | None = None
    """Compute activations twice to save memory; on a GPU from a billion parameters."""
    checkpoint_to_hub: bool = False
    """Keep the last checkpoint in the model's repo too, for a machine that may be lost."""
    ignore_audit: bool = False
    """Train although the audit found something fatal; the card will say so."""
    processes: int = 1
    """Processes that train together on this machine: one for each GPU."""
    accelerate: str = WHOLE
    """How they share the work: ddp, each with the whole model; fsdp2 or zero3, each with a part of
    it; or a file of accelerate's configuration."""
    seed: int = 0
    """Order of the rows, and the adapter's first weights."""
    output: str | None = None
    """The model repo to push to; me/titles-sft for me/titles unless named."""
    public: bool = False
    """Make the model repo public when it is made here (it is private otherwise)."""


# what decides nothing of the weights, so that a run goes on when it changes
OUTSIDE = {"project", "output", "public", "accumulate", "processes"}
OUTSIDE |= {"checkpoint_to_hub", "ignore_audit"}


def main(args: Arguments) -> None:
    together(args.processes, args.accelerate)
    with one_voice():
        run(args)


def run(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True, quiet=not first())
    with resumable(console):
        job = prepare(console, args)
        train(console, job, steps)
        if first():
            following = f"palate train {job.project.id} --base-model {job.args.output}"
            push_trained(console, job, answers.sentence, following)


def prepare(console: Console, args: Arguments) -> Job:
    """Read and audit the data, and decide what is left open: revisions, method, sizes, repo."""
    id, _, revision = args.project.partition("@")
    project = Project.load(id, revision or "main")
    if args.output == project.model_repo:
        raise UsageError(
            f"{args.output} is where {project.id}'s DPO goes, which people compare blind. Leave"
            f" --output out: it is {project.sft_repo} then."
        )
    said = data.read(project, implied=False)
    found = check.audit(console, project, said, ignore=args.ignore_audit)
    rows = answers.preferred(project.id, said)
    base = models.find(args.base_model or project.settings.base_model)
    sizes = choose_for_answers(args, base.parameters, Machine.here())
    check.mergeable(sizes.method, parted())
    decided = replace(
        args,
        project=f"{project.id}@{project.revision}",
        base_model=f"{base.repo}@{base.revision}",
        method=sizes.method,
        learning_rate=sizes.learning_rate,
        batch_size=sizes.batch_size,
        output=args.output or project.sft_repo,
    )
    setup = {k: v for k, v in asdict(decided).items() if k not in OUTSIDE}
    work = WorkDir(project.id, rows.key(), "sft", setup)
    return Job(decided, sizes, project, rows, base, found, work)


def steps(console: Console, job: Job) -> None:
    """Train, and leave model and record in `work.model`."""
    from palate.train.sft import make_trainer

    begun = begin(console, job)
    loaded, rows = load(console, job)
    trainer = make_trainer(
        job.args, job.sizes, loaded, rows, job.work, begun.callbacks, fresh=not begun.checkpoint
    )
    go(console, trainer, begun, ("mean_token_accuracy", "tokens guessed"))
    finish(console, job, begun, trainer, loaded, rows)


def finish(
    console: Console,
    job: Job,
    begun: Beginning,
    trainer: Any,
    loaded: models.Loaded,
    rows: data.Rows,
) -> None:
    """Measure what came out, and write model and record; the record comes last."""
    log, guard = trainer.state.log_history, begun.guard
    best = check.kept_step(trainer, guard)
    run = record.facts("sft", job, trainer, begun.clock)  # while an adapter is there to be counted
    trainer.merge()
    tuned = trainer.look() if rows.test else None
    result = answers.result(answers.before(log), tuned, len(rows.test), best)
    trainer.save_model(str(job.work.model))
    if not first():
        return
    with console.status("What base and tuned model write on test prompts"):
        samples = check.compared(job.base, trainer, loaded, job)
    run |= {
        "seconds": round(begun.clock.seconds, 1),
        "data": answers.facts(job.project, rows),
        "history": record.curve(log, answers.KEYS),
        "results": result,
        "samples": samples,
        "alarms": list(answers.alarms(result, guard.failed_at, samples)),
    }
    leave(job, loaded, run)


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

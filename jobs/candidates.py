# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "palate",
#   "accelerate>=1.0,<2",
#   "peft>=0.17,<1",
#   "torch>=2.6,<3",
#   "transformers>=4.56.2,<6",
# ]
# [tool.uv.sources]
# palate = { path = "..", editable = true }
# ///
"""Write several completions of each prompt with a model; they make the pairs that people label.

The prompts that are kept for the blind evaluation are left out. Run it again and it continues:
prompts that have their completions are passed over.

    python jobs/candidates.py me/titles --per-prompt 4
    uv run jobs/candidates.py me/titles --per-prompt 4
    palate candidates me/titles --on hf
"""

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate import models
from palate.generation import Sampling, Saver, generate
from palate.launch import run_main
from palate.progress import Progress
from palate.project import Project
from palate.schema import Candidate, pairs_of


@dataclass(frozen=True)
class Arguments:
    project: tyro.conf.Positional[str]
    """The project, such as me/titles."""
    model: str | None = None
    """The model that writes, as owner/name[@revision]; the project's base model unless named."""
    per_prompt: int = 4
    """Different completions that each prompt gets."""
    temperature: float = 0.9
    """Higher is more varied."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    max_new_tokens: int = 256
    """A completion that has not ended by then is dropped."""
    batch_size: int = 32
    """Completions written at once: lower it when memory runs out."""
    seed: int = 0
    """Other seeds write other completions."""


def main(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True)
    project = Project.load(args.project)
    sampling = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    source = models.find(args.model or project.settings.base_model)
    prompts = [p for p in project.rows("prompts") if p.split != "eval"]
    existing = written(project, source)
    missing = [p for p in prompts if len(existing[p.id]) < args.per_prompt]
    console.print(
        f"{source.repo} at {source.revision[:7]}: {len(missing):,} of {len(prompts):,} prompts"
        f" need completions"
    )
    dropped: Counter = Counter()
    if missing:
        loaded = models.load(source)
        batches = generate(
            loaded,
            missing,
            args.per_prompt,
            sampling,
            seed=args.seed,
            batch_size=args.batch_size,
            round=project.settings.round,
            existing=existing,
            dropped=dropped,
        )
        save(console, project, batches, len(missing))
    for reason, n in sorted(dropped.items()):
        console.print(f"  left out: {n:,} {reason}")
    now = Project.load(args.project)
    ours = {p.id for p in prompts}
    pairs = pairs_of(c for c in now.rows("candidates") if c.prompt_id in ours)
    console.print(f"{len(pairs):,} pairs to label now. Next: palate label {project.id}")


def written(project: Project, source: models.Source) -> dict[str, list[Candidate]]:
    """Return what this very model wrote in this round already, by prompt."""
    mine = (source.repo, source.revision, project.settings.round)
    result: dict[str, list[Candidate]] = defaultdict(list)
    for c in project.rows("candidates"):
        if (c.model, c.revision, c.round) == mine:
            result[c.prompt_id].append(c)
    return result


def save(console: Console, project: Project, batches, total: int) -> None:
    """Commit the candidates as they come, behind a progress bar over the prompts."""
    bar = Progress(
        TextColumn("candidates"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("prompts"),
        TimeRemainingColumn(),
        console=console,
    )
    saver = Saver(project.id)
    try:
        with bar, saver:
            task = bar.add_task("", total=total)
            for made in batches:
                saver.add([c for texts in made.values() for c in texts])
                bar.advance(task, len(made))
    except KeyboardInterrupt:
        console.print("Stopped. Run the same command again to continue.")
        raise
    finally:
        console.print(f"{saver.saved:,} candidates are in {project.id}")


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

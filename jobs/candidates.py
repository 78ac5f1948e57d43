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
prompts that have their completions are passed over. Several jobs can share a run, each its shard:
together they write what one job without --shard writes, and each continues by itself.

    python jobs/candidates.py me/titles --per-prompt 4
    python jobs/candidates.py me/titles --shard 3/16 --engine vllm
    uv run jobs/candidates.py me/titles --per-prompt 4
    palate candidates me/titles --on hf
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.core.progress import Progress
from palate.core.project import Project
from palate.core.schema import Candidate, Prompt, pairs_of
from palate.generate.engines import Engine, find
from palate.generate.generation import Sampling, Saver, generate, groups_of
from palate.generate.models import Loaded
from palate.generate.shards import Shard, Share, join
from palate.run.local import run_main


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
    engine: str = "transformers"
    """What computes: transformers, vllm where it is installed, or the address of a server that
    speaks OpenAI's protocol, such as http://127.0.0.1:8000/v1, with its key in SERVER_API_KEY."""
    tensor_parallel: int = 1
    """GPUs that --engine vllm spreads the model over; to use more, start a shard on each."""
    shard: str | None = None
    """Only this part of a run that several jobs share: any of 1/16 to 16/16, each resumable."""


def main(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True)
    shard = Shard.parse(args.shard) if args.shard else None
    project = Project.load(args.project)
    sampling = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    engine = find(args.engine, args.model or project.settings.base_model, args.tensor_parallel)
    source = engine.named

    def divide(at: Project) -> list[list[Prompt]]:
        prompts = [p for p in at.prompts if p.split != "eval"]
        return groups_of(prompts, args.per_prompt, args.batch_size)

    share = join(project.id, shard, settings(args, engine, project), divide) if shard else None
    share = share or Share(project)
    groups, existing = divide(share.start), written(share.start, source)
    ours = [p for i, group in enumerate(groups) if share.takes(i) for p in group]
    left = {
        i: [p for p in group if len(existing[p.id]) < args.per_prompt]
        for i, group in enumerate(groups)
        if share.left(i)
    }
    todo = {i: missing for i, missing in left.items() if missing}
    total = sum(map(len, todo.values()))
    part = f"shard {shard}, " if shard else ""
    console.print(
        f"{part}{source.repo} at {source.revision[:7]}: {total:,} of {len(ours):,} prompts"
        f" need completions"
    )
    dropped: Counter = Counter()
    if todo:
        loaded, write = engine.load()
        made = generate(
            loaded,
            list(todo.values()),
            args.per_prompt,
            sampling,
            seed=args.seed,
            batch_size=args.batch_size,
            round=share.start.settings.round,
            existing=existing,
            dropped=dropped,
            write=write,
        )
        save(console, share, zip(todo, made, strict=True), total)
    for reason, n in sorted(dropped.items()):
        console.print(f"  left out: {n:,} {reason}")
    report(console, Project.load(project.id))


def settings(args: Arguments, engine: Engine, project: Project) -> dict[str, Any]:
    """Return what decides the texts of a run that several jobs share."""
    named = ("per_prompt", "temperature", "top_p", "max_new_tokens", "batch_size", "seed")
    return {
        "engine": engine.kind,
        "model": f"{engine.named.repo}@{engine.named.revision}",
        "round": project.settings.round,
        **{name: getattr(args, name) for name in named},
    }


def written(project: Project, source: Loaded) -> dict[str, list[Candidate]]:
    """Return what this very model wrote in this round already, by prompt."""
    mine = (source.repo, source.revision, project.settings.round)
    result: dict[str, list[Candidate]] = defaultdict(list)
    for c in project.candidates:
        if (c.model, c.revision, c.round) == mine:
            result[c.prompt_id].append(c)
    return result


def save(
    console: Console,
    share: Share,
    made: Iterable[tuple[int, dict[str, list[Candidate]]]],
    total: int,
) -> None:
    """Commit the candidates as they come, behind a progress bar over the prompts."""
    bar = Progress(
        TextColumn("candidates"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("prompts"),
        TimeRemainingColumn(),
        console=console,
    )
    saver = Saver(share.start.id)
    try:
        with bar, saver:
            task = bar.add_task("", total=total)
            for group, texts in made:
                saver.add([c for some in texts.values() for c in some], share.after(group))
                bar.advance(task, len(texts))
    except KeyboardInterrupt:
        console.print("Stopped. Run the same command again to continue.")
        raise
    finally:
        console.print(f"{saver.saved:,} candidates are in {share.start.id}")


def report(console: Console, project: Project) -> None:
    ours = {p.id for p in project.prompts if p.split != "eval"}
    pairs = pairs_of(c for c in project.candidates if c.prompt_id in ours)
    console.print(f"{len(pairs):,} pairs to label now. Next: palate label {project.id}")


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

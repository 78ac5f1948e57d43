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
"""Write what base and tuned model say to the `eval` prompts, for the blind comparison.

Both are asked with the same sampling and the same seeds, and everything they say is kept. The base
is the very revision that the tuned model was trained from. Run it again and it continues.

    python jobs/completions.py me/titles
    uv run jobs/completions.py me/titles
    palate completions me/titles --on hf
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.collect.splits import check_training
from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.progress import Progress
from palate.core.project import Project
from palate.core.schema import Candidate, Prompt
from palate.generate import models
from palate.generate.generation import Sampling, Saver, complete, seed_of
from palate.run.local import run_main


@dataclass(frozen=True)
class Arguments:
    project: tyro.conf.Positional[str]
    """The project, such as me/titles."""
    model: str | None = None
    """The tuned model, as owner/name[@revision]; the project's newest unless named."""
    per_prompt: int = 1
    """Completions of each model for a prompt: as many pairs to vote on."""
    temperature: float = 0.7
    """Higher is more varied."""
    top_p: float = 0.95
    """Draw from the likeliest tokens that together have this probability."""
    max_new_tokens: int = 256
    """A completion that has not ended by then is cut, and counted."""
    batch_size: int = 32
    """Completions written at once: lower it when memory runs out."""
    seed: int = 0
    """Other seeds write other completions."""


@dataclass(frozen=True)
class Ask:
    """One completion to write: the n-th of a prompt, with the sampling that its row records."""

    prompt: Prompt
    number: int
    sampling: dict


def main(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True)
    project = Project.load(args.project)
    # the tag, since commits to the card move main and leave the weights as they were
    newest = f"{project.model_repo}@round-{project.settings.round}"
    tuned, run = trained(args.model or newest, project)
    base = models.find(f"{run['base_model']}@{run['base_revision']}")
    prompts = [p for p in project.prompts if p.split == "eval"]
    check_blind(run, prompts)
    sampling = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    asks = [
        Ask(p, n, {**asdict(sampling), "seed": seed_of(args.seed, p.id, n)})
        for p in sorted(prompts, key=lambda p: len(p.text))
        for n in range(args.per_prompt)
    ]
    for source in (base, tuned):
        left = missing(project, source, asks)
        console.print(f"{source.repo} at {source.revision[:7]}: {len(left):,} completions to write")
        if left:
            write(console, project, source, left, sampling, args.batch_size)
    report(console, Project.load(project.id), base, tuned)


def trained(name: str, project: Project) -> tuple[models.Source, dict]:
    """Return the tuned model and what its run recorded."""
    repo = name.partition("@")[0]
    if not hub.exists(repo, "model"):
        raise UsageError(f"There is no model {repo} yet. Train it with: palate train {project.id}")
    source = models.find(name)
    file = source.folder / "run.json"
    if not file.exists():
        raise UsageError(
            f"{name} holds no run.json, so the model that it was trained from is not known."
            f" Expected a model made by: palate train {project.id}"
        )
    return source, json.loads(file.read_text("utf-8"))


def check_blind(run: dict, prompts: Sequence[Prompt]) -> None:
    """Raise if a prompt to compare on is among those that the model was trained on."""
    if not prompts:
        raise UsageError("The project has no eval prompts; add some with: palate init")
    data = Project.load(run["project"], run["data_revision"])
    check_training(data.preferences, prompts)


def missing(project: Project, source: models.Source, asks: Sequence[Ask]) -> list[Ask]:
    """Return what this revision has not written yet; raise if it was asked otherwise before."""
    wanted = {a.prompt.id for a in asks}
    there: dict[str, list[Candidate]] = {}
    for c in project.candidates:
        if (c.model, c.revision) == (source.repo, source.revision) and c.prompt_id in wanted:
            there.setdefault(c.prompt_id, []).append(c)
    for a in asks:
        rows = there.get(a.prompt.id, [])
        if a.number < len(rows) and rows[a.number].sampling != a.sampling:
            raise UsageError(
                f"{source.repo} at {source.revision[:7]} has completions of other settings, and"
                " base and tuned model must have the same chances."
                f" Run with: {flags(rows[a.number].sampling)}"
            )
    return [a for a in asks if a.number >= len(there.get(a.prompt.id, []))]


def flags(sampling: dict | None) -> str:
    """Return the flags that ask for this sampling; the seed of a row does not tell `--seed`."""
    named = {k.replace("_", "-"): v for k, v in (sampling or {}).items() if k != "seed"}
    return " ".join(f"--{k} {v}" for k, v in named.items()) + " and the --seed of then"


def write(
    console: Console,
    project: Project,
    source: models.Source,
    asks: Sequence[Ask],
    sampling: Sampling,
    batch_size: int,
) -> None:
    """Write the completions and commit them as they come, behind a progress bar."""
    columns = (TextColumn("completions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    loaded = models.load(source)
    cut = empty = 0
    try:
        with Progress(*columns, console=console) as bar, Saver(project.id) as saver:
            task = bar.add_task("", total=len(asks))
            for batch in batches(asks, batch_size):
                seeds = [a.sampling["seed"] for a in batch]
                texts = complete(loaded, [a.prompt.prompt for a in batch], seeds, sampling)
                cut += sum(not t.ended for t in texts)
                empty += sum(not t.text for t in texts)
                saver.add(
                    [
                        Candidate.of(
                            a.prompt.id,
                            t.text,
                            model=source.repo,
                            revision=source.revision,
                            sampling=a.sampling,
                            round=project.settings.round,
                        )
                        for a, t in zip(batch, texts, strict=True)
                    ]
                )
                bar.advance(task, len(batch))
    except KeyboardInterrupt:
        console.print("Stopped. Run the same command again to continue.")
        raise
    console.print(f"  {cut:,} cut at {sampling.max_new_tokens} tokens, {empty:,} empty")


def batches(asks: Sequence[Ask], size: int) -> Iterator[Sequence[Ask]]:
    """Yield up to `size` asks at a time, never parting those of one prompt."""
    batch: list[Ask] = []
    for i, a in enumerate(asks):
        if len(batch) >= size and a.prompt.id != asks[i - 1].prompt.id:
            yield batch
            batch = []
        batch.append(a)
    yield batch


def report(console: Console, project: Project, base: models.Source, tuned: models.Source) -> None:
    texts: dict[models.Source, dict[str, list[str]]] = {base: {}, tuned: {}}
    source = {(s.repo, s.revision): s for s in (base, tuned)}
    blind = {p.id for p in project.prompts if p.split == "eval"}
    for c in project.candidates:
        if c.prompt_id in blind and (s := source.get((c.model, c.revision))):
            texts[s].setdefault(c.prompt_id, []).append(c.text)
    pairs = [
        (x, y)
        for prompt in texts[base]
        for x, y in zip(texts[base][prompt], texts[tuned].get(prompt, []), strict=False)
    ]
    if not pairs:
        raise PalateError(f"{project.id} holds no completions of both models; run this again.")
    same = sum(x == y for x, y in pairs)
    console.print(
        f"{len(pairs):,} pairs on {len(blind):,} eval prompts, {same:,} of them identical."
        f" Next: palate evaluate {project.id}"
    )


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

"""Write several completions of each prompt; they make the pairs to label."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TypeVar

from rich.console import Console

from palate.core.errors import UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import writer_of
from palate.core.schema import Candidate, Prompt, pairs_of
from palate.generate import rules, window
from palate.generate.config import CandidatesArguments
from palate.generate.engines import Engine, about, find, served_by
from palate.generate.filters import Filters
from palate.generate.generation import FEW, Sampling, generate, groups_of
from palate.generate.models import Loaded
from palate.generate.saving import Batch, save_batches
from palate.generate.shards import Shard, Share, join
from palate.terminal.console import PlainConsole

A = TypeVar("A")
R = TypeVar("R")


def write_candidates(args: CandidatesArguments) -> None:
    """Write what is missing until each prompt but the eval ones has `per_prompt` of each model."""
    console = PlainConsole()
    shard = Shard.parse(args.shard) if args.shard else None
    if shard and len(args.model) > 1:
        raise UsageError("Shards share the run of one model: start one run for each --model.")
    Sampling.mix(args.temperature, args.top_p, args.max_new_tokens)
    if args.rule:
        rules.load(args.rule)
    project = Project.load(args.project)
    for model in dict.fromkeys(args.model or (writer_of(project),)):
        engine = find(args.engine, model, args.tensor_parallel)
        _write(console, args, engine, project, shard)
    report(console, Project.load(project.id))


def _write(
    console: Console,
    args: CandidatesArguments,
    engine: Engine,
    project: Project,
    shard: Shard | None,
) -> None:
    """Write the candidates of one model that are missing."""

    def divide(state: Project) -> list[list[Prompt]]:
        prompts = [p for p in state.prompts if p.split != "eval"]
        return groups_of(prompts, args.per_prompt, args.batch_size)

    share = Share(project)
    if shard:
        share = join(project.id, shard, settings(args, engine, project), divide)
    groups, existing = divide(share.start), written(share.start, engine.named)
    ours = [p for i, group in enumerate(groups) if share.takes(i) for p in group]
    missing = {
        i: lacking
        for i, group in enumerate(groups)
        if share.left(i)
        and (lacking := [p for p in group if len(existing[p.id]) < args.per_prompt])
    }
    total = sum(map(len, missing.values()))
    console.print(
        f"{f'shard {shard}, ' if shard else ''}{about(engine.named.repo, engine.named.revision)}:"
        f" {total:,} of {len(ours):,} prompts need completions"
    )
    dropped: Counter[str] = Counter()
    if missing:
        batches = new_batches(args, engine, share, missing, existing, dropped)
        save_batches(console, project.id, batches, name="candidates", unit="prompts", total=total)
    short = dropped.pop(FEW, 0)
    for reason, n in sorted(dropped.items()):
        console.print(f"  left out: {n:,} {reason}")
    if short:
        console.print(f"  {count(short, 'prompt')} left with fewer than {args.per_prompt}")
    for line in engine.close():
        console.print(f"  {line}")


def new_batches(
    args: CandidatesArguments,
    engine: Engine,
    share: Share,
    missing: dict[int, list[Prompt]],
    existing: dict[str, list[Candidate]],
    dropped: Counter[str],
) -> Iterator[Batch]:
    """Yield the candidates of each group in `missing`, with the shard's record of it."""
    samplings = Sampling.mix(args.temperature, args.top_p, args.max_new_tokens)
    rule = rules.load(args.rule) if args.rule else None
    loaded, write = engine.load()
    window.check(loaded, [p for group in missing.values() for p in group])

    def of_group(group: list[Prompt]) -> tuple[dict[str, list[Candidate]], Counter[str]]:
        left_out: Counter[str] = Counter()
        (candidates,) = generate(
            loaded,
            [group],
            args.per_prompt,
            samplings,
            seed=args.seed,
            batch_size=args.batch_size,
            round_number=share.start.settings.round,
            existing=existing,
            dropped=left_out,
            write=write,
            filters=args.filters,
            rule=rule,
        )
        return candidates, left_out

    for number, (candidates, left_out) in zip(
        missing, several(of_group, missing.values(), engine.batches), strict=True
    ):
        dropped += left_out
        rows = [c for of_prompt in candidates.values() for c in of_prompt]
        yield Batch(rows, len(candidates), share.after(number))


def several(call: Callable[[A], R], items: Iterable[A], at_once: int) -> Iterator[R]:
    """Yield the results in order, `at_once` calls at a time; one at a time in this thread."""
    if at_once == 1:
        yield from map(call, items)
        return
    pool = ThreadPoolExecutor(at_once)
    try:
        yield from pool.map(call, items)
    finally:
        pool.shutdown(cancel_futures=True)


def settings(args: CandidatesArguments, engine: Engine, project: Project) -> dict[str, object]:
    """Return what decides the texts of a run that several jobs share."""
    names = ("per_prompt", "top_p", "max_new_tokens", "batch_size", "seed")
    one = len(args.temperature) == 1  # written as a number, as it was before there could be several
    filters = {} if args.filters == Filters() else {"filters": asdict(args.filters)}
    rule = {"rule": rules.fingerprint(args.rule)} if args.rule else {}
    return {
        "engine": engine.kind,
        "model": f"{engine.named.repo}@{served_by(engine.named.revision)}",
        "round": project.settings.round,
        "temperature": args.temperature[0] if one else list(args.temperature),
        **{name: getattr(args, name) for name in names},
        **filters,
        **rule,
    }


def written(project: Project, model: Loaded) -> dict[str, list[Candidate]]:
    """Return what this revision of the model wrote in this round, by prompt.

    Of a served model it is what the same host served, on whichever day.
    """
    key = (model.repo, served_by(model.revision), project.settings.round)
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for c in project.candidates:
        if (c.model, served_by(c.revision), c.round) == key:
            candidates[c.prompt_id].append(c)
    return candidates


def report(console: Console, project: Project) -> None:
    if project.settings.round > 1:  # the earlier judgements decide which pairs are asked
        console.print(f"Next: palate label {project.id}")
        return
    prompts = {p.id for p in project.prompts if p.split != "eval"}
    pairs = pairs_of(c for c in project.candidates if c.prompt_id in prompts)
    console.print(f"{count(len(pairs), 'pair')} to label. Next: palate label {project.id}")

"""Write several completions of each prompt with one model; they make the pairs to label."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from rich.console import Console

from palate.core.markdown import count
from palate.core.project import Project
from palate.core.schema import Candidate, Prompt, pairs_of
from palate.generate.config import CandidatesArguments
from palate.generate.engines import Engine, find
from palate.generate.generation import Sampling, generate, groups_of
from palate.generate.models import Loaded
from palate.generate.saving import Batch, save_batches
from palate.generate.shards import Shard, Share, join


def write_candidates(args: CandidatesArguments) -> None:
    """Write what is missing until every prompt but the eval ones has `per_prompt` candidates."""
    console = Console(highlight=False, soft_wrap=True)
    shard = Shard.parse(args.shard) if args.shard else None
    project = Project.load(args.project)
    sampling = Sampling(args.temperature, args.top_p, args.max_new_tokens)
    engine = find(args.engine, args.model or project.settings.base_model, args.tensor_parallel)

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
        f"{f'shard {shard}, ' if shard else ''}{engine.named.repo} at"
        f" {engine.named.revision[:7]}: {total:,} of {len(ours):,} prompts need completions"
    )
    dropped: Counter[str] = Counter()
    if missing:
        batches = new_batches(args, engine, sampling, share, missing, existing, dropped)
        save_batches(console, project.id, batches, name="candidates", unit="prompts", total=total)
    for reason, n in sorted(dropped.items()):
        console.print(f"  left out: {n:,} {reason}")
    report(console, Project.load(project.id))


def new_batches(
    args: CandidatesArguments,
    engine: Engine,
    sampling: Sampling,
    share: Share,
    missing: dict[int, list[Prompt]],
    existing: dict[str, list[Candidate]],
    dropped: Counter[str],
) -> Iterator[Batch]:
    """Yield the candidates of each group in `missing`, with the shard's record of it."""
    loaded, write = engine.load()
    by_group = generate(
        loaded,
        list(missing.values()),
        args.per_prompt,
        sampling,
        seed=args.seed,
        batch_size=args.batch_size,
        round_number=share.start.settings.round,
        existing=existing,
        dropped=dropped,
        write=write,
    )
    for group, candidates in zip(missing, by_group, strict=True):
        rows = [c for of_prompt in candidates.values() for c in of_prompt]
        yield Batch(rows, len(candidates), share.after(group))


def settings(args: CandidatesArguments, engine: Engine, project: Project) -> dict[str, object]:
    """Return what decides the texts of a run that several jobs share."""
    names = ("per_prompt", "temperature", "top_p", "max_new_tokens", "batch_size", "seed")
    return {
        "engine": engine.kind,
        "model": f"{engine.named.repo}@{engine.named.revision}",
        "round": project.settings.round,
        **{name: getattr(args, name) for name in names},
    }


def written(project: Project, model: Loaded) -> dict[str, list[Candidate]]:
    """Return what this revision of the model wrote in this round, by prompt."""
    key = (model.repo, model.revision, project.settings.round)
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for c in project.candidates:
        if (c.model, c.revision, c.round) == key:
            candidates[c.prompt_id].append(c)
    return candidates


def report(console: Console, project: Project) -> None:
    prompts = {p.id for p in project.prompts if p.split != "eval"}
    pairs = pairs_of(c for c in project.candidates if c.prompt_id in prompts)
    console.print(f"{count(len(pairs), 'pair')} to label. Next: palate label {project.id}")

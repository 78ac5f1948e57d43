"""Who meets whom in an evaluation: base and tuned completions of `eval` prompts, pair by pair."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from palate.collect.splits import check_evaluation
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.core.schema import Candidate, Model, Pair, Prompt, model_of


@dataclass(frozen=True)
class Contest:
    """Base against tuned on the `eval` prompts: the pairs to ask, and the ties by identity."""

    base: Model
    tuned: Model
    pairs: list[Pair]
    identical: int
    others: list[Pair] = field(default_factory=list)  # of any other two models: `compare = "all"`


def contest(project: Project) -> Contest:
    """Return what there is to compare; the newest completions of the project's model count.

    Raises UsageError where completions are missing, PalateError where an `eval` prompt, or one much
    like it, was trained on.
    """
    prompts, candidates = project.prompts, project.candidates
    check_evaluation(prompts, project.preferences)
    newest = contest_of(prompts, candidates, project.model_repo, project.id)
    if project.settings.compare == "newest":
        return newest
    return replace(newest, others=_others(newest, prompts, candidates))


def _others(
    newest: Contest, prompts: Sequence[Prompt], candidates: Sequence[Candidate]
) -> list[Pair]:
    """Return the pairs of every other two models, where both wrote something else."""
    blind = {p.id for p in prompts if p.split == "eval"}
    texts: dict[str, dict[Model, list[Candidate]]] = {}
    for c in candidates:
        if c.prompt_id in blind and c.model:
            texts.setdefault(c.prompt_id, {}).setdefault(model_of(c), []).append(c)
    found: dict[str, Pair] = {}
    for by_model in texts.values():
        for one, other in combinations(by_model, 2):
            if {one, other} != {newest.base, newest.tuned}:
                for x, y in zip(by_model[one], by_model[other], strict=False):
                    if x.text.strip() != y.text.strip():
                        pair = Pair.of(x, y)
                        found[pair.id] = pair
    return list(found.values())


def contest_of(
    prompts: Sequence[Prompt], candidates: Sequence[Candidate], model_repo: str, project_id: str
) -> Contest:
    """Pair base and tuned completions prompt by prompt, the n-th with the n-th."""
    blind = {p.id: p for p in prompts if p.split == "eval"}
    if not blind:
        raise UsageError(
            f"{project_id} has no eval prompts, which nobody labelled. Add prompts with:"
            f" palate init {project_id} --prompts FILE"
        )
    ours = [c for c in candidates if c.prompt_id in blind and c.model]
    make = f"Make them with: palate completions {project_id}"
    tuned = next((model_of(c) for c in reversed(ours) if c.model == model_repo), None)
    if tuned is None:
        raise UsageError(f"There are no completions of {model_repo} on eval prompts yet. {make}")
    others = [model_of(c) for c in ours if model_of(c) != tuned]
    # the tuned model's own earlier rounds stand in only where no other model is
    base = next(
        (m for m in reversed(others) if m.repo != model_repo), others[0] if others else None
    )
    if base is None:
        raise UsageError(f"There are no completions of the base model on eval prompts yet. {make}")
    texts = {id: ([], []) for id in blind}
    for c in ours:
        if model_of(c) in (base, tuned):
            texts[c.prompt_id][model_of(c) == tuned].append(c)
    for id, (before, after) in texts.items():
        if bool(before) != bool(after):
            raise PalateError(
                f"Only {(tuned if after else base).repo} has completions of the eval prompt"
                f" {blind[id].text[:80]!r}. {make}"
            )
    met = [(x, y) for both in texts.values() for x, y in zip(*both, strict=False)]
    alike = [x.text.strip() == y.text.strip() for x, y in met]
    # by id, since the same sample may come twice
    pairs = {p.id: p for (x, y), same in zip(met, alike, strict=True) if not same
             for p in [Pair.of(x, y)]}  # fmt: skip
    if met and all(alike):
        raise UsageError(
            f"{base.repo} and {tuned.repo} wrote the same on all {len(met)} pairs: the training"
            " changed nothing that shows. Train longer, or with a higher --learning-rate."
        )
    return Contest(base, tuned, list(pairs.values()), sum(alike))

"""The blind votes of an evaluation, counted for the exact revisions that were compared."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from palate import hub, ledger
from palate.errors import PalateError, UsageError
from palate.project import Project
from palate.schema import Candidate, Pair, Prompt
from palate.stats import Model, Verdict, verdict


@dataclass(frozen=True)
class Contest:
    """Base against tuned on the `eval` prompts: the pairs to ask, and the ties by identity."""

    base: Model
    tuned: Model
    pairs: list[Pair]
    identical: int


def contest(project: Project) -> Contest:
    """Return what there is to compare; the newest completions of the project's model count.

    Raises UsageError where completions are missing.
    """
    return contest_of(
        project.rows("prompts"), project.rows("candidates"), project.model_repo, project.id
    )


def contest_of(
    prompts: Sequence[Prompt], candidates: Sequence[Candidate], model_repo: str, project_id: str
) -> Contest:
    """Pair base and tuned completions prompt by prompt, the n-th with the n-th."""
    blind = {p.id for p in prompts if p.split == "eval"}
    ours = [c for c in candidates if c.prompt_id in blind and c.model]
    tuned = next((_model(c) for c in reversed(ours) if c.model == model_repo), None)
    if tuned is None:
        raise UsageError(
            f"There are no completions of {model_repo} on eval prompts yet."
            f" Make them with: palate completions {project_id}"
        )
    others = [_model(c) for c in ours if c.model != model_repo]
    if not others:
        raise UsageError(
            f"There are no completions of the base model on eval prompts yet."
            f" Make them with: palate completions {project_id}"
        )
    base = others[-1]
    by_prompt: dict[str, tuple[list[Candidate], list[Candidate]]] = {}
    for c in ours:
        if _model(c) in (base, tuned):
            by_prompt.setdefault(c.prompt_id, ([], []))[_model(c) == tuned].append(c)
    pairs: dict[str, Pair] = {}  # the same sample may come twice
    identical = 0
    for left, right in by_prompt.values():
        for x, y in zip(left, right, strict=False):
            if x.text.strip() == y.text.strip():
                identical += 1
            else:
                pair = Pair.of(x, y)
                pairs[pair.id] = pair
    return Contest(base, tuned, list(pairs.values()), identical)


def _model(c: Candidate) -> Model:
    return Model(c.model or "", c.revision or "")


def count(project: Project) -> Verdict:
    """Return the verdict of all standing votes; raises PalateError without one."""
    c = contest(project)
    votes = ledger.live(project.rows("evaluations"))
    result = verdict(votes, project.rows("candidates"), c.base, c.tuned, c.identical)
    if result is None:
        raise PalateError(
            f"Nobody has voted on {c.tuned.repo} at {c.tuned.revision[:7]} yet."
            f" Vote with: palate evaluate {project.id}"
        )
    return result


def publish(project: Project, result: Verdict) -> str:
    """Write the verdict beside the weights, tag the judged revision, renew the card."""
    from palate import cards

    text = json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n"
    hub.commit(project.model_repo, "model", {"verdict.json": text}, "Add the blind verdict")
    hub.tag(project.model_repo, "model", "judged", result.tuned.revision)
    return cards.push_model_card(project.id)

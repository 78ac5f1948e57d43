"""Which answers an evaluation compares: base and tuned completions of `eval` prompts.

Pure: no I/O.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from palate.core.errors import PalateError, UsageError
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.project import EVAL_PROMPTS
from palate.core.schema import (
    BEST_OF,
    CONTESTANT,
    IMPORTED,
    Candidate,
    Event,
    Model,
    Pair,
    Prompt,
    model_of,
)
from palate.core.splits import more_prompts
from palate.label.ranking import Group
from palate.label.strategies import Chance, Random

Models = frozenset[Hashable]  # the two models whose answers make a pair


@dataclass(frozen=True)
class Comparison:
    """Two answers to one prompt side by side, one by the base model and one by the tuned one."""

    pair_id: str
    prompt_id: str
    prompt: str
    base: str
    tuned: str


@dataclass(frozen=True)
class EvaluationPairs:
    """The pairs that an evaluation asks about, and how many were identical texts."""

    base: Model
    tuned: Model
    pairs: list[Pair]
    identical: int = 0
    by_model: frozenset[str] = frozenset()  # ids of the eval prompts that a model wrote
    others: list[Pair] = field(default_factory=list)  # of any other two models: `compare = "all"`
    eval_ids: frozenset[str] | None = None  # prompts on which votes count; None: on all


def evaluation_pairs(
    prompts: Sequence[Prompt], candidates: Sequence[Candidate], model_repo: str, project_id: str
) -> EvaluationPairs:
    """Pair base and tuned completions prompt by prompt, the n-th with the n-th.

    The newest completions of `model_repo` count. Raises UsageError where completions are missing
    or all identical, PalateError where only one of the models answered a prompt.
    """
    texts = {p.id: p.text for p in prompts if p.split == "eval"}
    if not texts:
        raise UsageError(
            f"{project_id} has no eval prompts, which are kept out of labelling. Add them with:"
            f" {more_prompts(project_id, EVAL_PROMPTS)}"
        )
    completions = [c for c in candidates if c.prompt_id in texts and c.model]
    hint = f"Make them with: palate completions {project_id}"
    base, tuned = _newest_models(completions, model_repo, hint)
    answers = _answers(completions, base, tuned)
    number = max(c.round for c in completions if model_of(c) == tuned)
    for prompt_id, (by_base, by_tuned) in answers.items():
        if by_base and not by_tuned and all(c.round < number for c in by_base):
            continue  # of an earlier round: this one asks about fresh prompts
        if bool(by_base) != bool(by_tuned):
            raise PalateError(
                f"Only {(tuned if by_tuned else base).repo} has completions of the eval prompt"
                f" {texts[prompt_id][:80]!r}. {hint}"
            )
    both = [pair for lists in answers.values() for pair in zip(*lists, strict=False)]
    different = [(x, y) for x, y in both if x.text.strip() != y.text.strip()]
    if both and not different:
        raise UsageError(
            f"{base.repo} and {tuned.repo} wrote the same on all {len(both)} pairs: the training"
            " changed nothing that shows. Train longer, or with a higher --learning-rate."
        )
    identical = len(both) - len(different)
    by_model = frozenset(p.id for p in prompts if p.id in texts and p.model)
    return EvaluationPairs(
        base, tuned, _distinct(different), identical, by_model, eval_ids=frozenset(texts)
    )


def round_on_prompts(
    events: Iterable[Event], candidates: Iterable[Candidate], compared: EvaluationPairs
) -> int:
    """Return 1, and 1 more for each earlier tuned model that was voted on with these prompts.

    Earlier is a revision of the tuned model's repo whose first vote came before the first on this
    one, on a prompt that this comparison asks about, and against a model that is no round itself.
    """
    by_id = {c.id: model_of(c) for c in candidates}
    prompts = {pair.prompt_id for pair in compared.pairs}
    first: dict[Model, str] = {}
    for e in standing_judgements(events):
        models = {by_id[c] for c in (e.left, e.right) if c in by_id}
        ours = {m for m in models if m.repo == compared.tuned.repo and m != compared.base}
        if len(models) == 2 and len(ours) == 1 and e.prompt_id in prompts:
            (model,) = ours
            first[model] = min(e.time, first.get(model, e.time))
    begun = first.pop(compared.tuned, None)
    return 1 + sum(begun is None or time < begun for time in first.values())


def about_origin(tuned: Model, prompts: int, by_model: int, *, is_sided: bool) -> list[str]:
    """Return what limits a result because of where prompts and answers come from.

    `is_sided`: whether each model was always on one side.
    """
    lines = []
    if by_model:
        lines.append(
            f"A model wrote {by_model:,} of the {count(prompts, 'prompt')}."
            " People may ask for other things than a model makes up."
        )
    if tuned.revision == IMPORTED:
        lines.append(
            "The votes were imported: which models wrote the answers, which side each was on and"
            " whether a model was trained on the prompts is not recorded."
        )
    elif is_sided:
        lines.append("One model was always on the same side, so position may have decided.")
    return lines


def other_pairs(
    newest: EvaluationPairs, prompts: Iterable[Prompt], candidates: Iterable[Candidate]
) -> list[Pair]:
    """Return the pairs of every other two models, where the texts differ."""
    eval_ids = {p.id for p in prompts if p.split == "eval"}
    by_prompt: dict[str, dict[Model, list[Candidate]]] = {}
    for c in candidates:
        if c.prompt_id in eval_ids and c.model:
            by_prompt.setdefault(c.prompt_id, {}).setdefault(model_of(c), []).append(c)
    return _distinct(
        (x, y)
        for by_model in by_prompt.values()
        for one, other in combinations(by_model, 2)
        if {one, other} != {newest.base, newest.tuned}
        for x, y in zip(by_model[one], by_model[other], strict=False)
        if x.text.strip() != y.text.strip()
    )


def comparisons(
    compared: EvaluationPairs, prompts: Iterable[Prompt], candidates: Iterable[Candidate]
) -> list[Comparison]:
    """Return the pairs of base and tuned model with their texts."""
    texts = {p.id: p.text for p in prompts}
    by_id = {c.id: c for c in candidates}
    return [_comparison(pair, compared.tuned, texts, by_id) for pair in compared.pairs]


def _comparison(
    pair: Pair, tuned: Model, texts: Mapping[str, str], by_id: Mapping[str, Candidate]
) -> Comparison:
    one, other = by_id[pair.a], by_id[pair.b]
    base, ours = (other, one) if model_of(one) == tuned else (one, other)
    return Comparison(pair.id, pair.prompt_id, texts[pair.prompt_id], base.text, ours.text)


def _newest_models(
    completions: Sequence[Candidate], model_repo: str, hint: str
) -> tuple[Model, Model]:
    """Return base and tuned model; raises UsageError where either has no completions."""
    completions = [c for c in completions if CONTESTANT not in (c.sampling or {})]
    tuned = next((model_of(c) for c in reversed(completions) if c.model == model_repo), None)
    if tuned is None:
        raise UsageError(f"There are no completions of {model_repo} on eval prompts yet. {hint}")
    written = [model_of(c) for c in completions if model_of(c) != tuned]
    # what a reward chose is no base model: `compare = "all"` asks about it
    others = [m for m in written if not m.revision.startswith(BEST_OF)]
    # an earlier round of the tuned model is the base only where there is no other model
    base = next(
        (m for m in reversed(others) if m.repo != model_repo), others[0] if others else None
    )
    if base is None:
        raise UsageError(f"There are no completions of the base model on eval prompts yet. {hint}")
    return base, tuned


def _answers(
    completions: Iterable[Candidate], base: Model, tuned: Model
) -> dict[str, tuple[list[Candidate], list[Candidate]]]:
    """Return the completions of base and tuned model for each prompt that either answered."""
    answers: dict[str, tuple[list[Candidate], list[Candidate]]] = {}
    for c in completions:
        if model_of(c) in (base, tuned):
            answers.setdefault(c.prompt_id, ([], []))[model_of(c) == tuned].append(c)
    return answers


def _distinct(pairs: Iterable[tuple[Candidate, Candidate]]) -> list[Pair]:
    """Return each pair once: the same two samples may come up several times."""
    by_id = {pair.id: pair for x, y in pairs for pair in [Pair.of(x, y)]}
    return list(by_id.values())


class Informative(Random):
    """Every pair; first those where one more vote shrinks the error of a win rate most.

    W.-L. Chiang et al., "Chatbot Arena" (2024), section 5.2. `model` names each candidate's model.
    """

    local = False

    def __init__(self, pairs: Iterable[Pair], model: Mapping[str, Hashable]) -> None:
        self._model = model
        self._models = {p.id: frozenset((model[p.a], model[p.b])) for p in pairs}
        self._wins: Counter[tuple[Models, Hashable]] = Counter()  # of a model against the other
        self._prompt_wins: dict[str, Counter[tuple[Models, Hashable]]] = {}  # prompt → its part

    def learn(self, group: Group) -> None:
        wins = Counter(
            (self._models[e.pair_id], self._model[e.chosen])
            for e in group.standing
            if e.kind == "label" and e.chosen and e.pair_id in self._models
        )
        self._wins.subtract(self._prompt_wins.get(group.prompt_id, {}))
        self._wins.update(wins)
        self._prompt_wins[group.prompt_id] = wins

    def rank(self, group: Group, pair: Pair, chance: Chance) -> tuple[float, ...]:
        # a new prompt says more than another vote on one that was judged
        return -self._gain(self._models[pair.id]), group.count.total(), chance(pair.id)

    def _gain(self, models: Models) -> float:
        won, lost = (self._wins[models, model] for model in models)
        n = won + lost + 1
        p = (won + 1) / (n + 1)
        return math.sqrt(p * (1 - p)) * (1 / math.sqrt(n) - 1 / math.sqrt(n + 1))

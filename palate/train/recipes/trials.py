"""The trials of a recipe search: what each trains, what it gave, what is kept and how sure that is.

Recipes are compared by their log loss at their own best scale: on recorded labels it chose better
than reward accuracy did, and unlike the loss itself it can compare different β (docs/recipes.md).
Pure: no I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.core.rates import clustered
from palate.core.schema import Preference, digest
from palate.train.config import DPOArguments, Method
from palate.train.records.choice import calibrated_loss, right
from palate.train.records.results import Interval, Lead, lead
from palate.train.rows.data import Rows

PARTS = 4  # of the train prompts: a round holds one out
METHODS = {"full": "all weights", "lora": "an adapter", "qlora": "an adapter on four bits"}


@dataclass(frozen=True)
class Trial:
    """A recipe to try: what the search varies."""

    method: Method
    learning_rate: float
    beta: float
    epochs: float

    def words(self) -> str:
        times = f"{self.epochs:g} epoch{'' if self.epochs == 1 else 's'}"
        return f"{METHODS[self.method]} at {self.learning_rate:g}, β {self.beta:g}, {times}"

    def applied(self, args: DPOArguments) -> DPOArguments:
        """Return the arguments of one training with this recipe."""
        return replace(
            args,
            method=self.method,
            learning_rate=self.learning_rate,
            beta=self.beta,
            epochs=self.epochs,
            recipe=None,
        )


@dataclass(frozen=True)
class TrialResult:
    """What a trial gave on the train prompts that its round held out."""

    trial: Trial
    round: int
    epochs: (
        float  # that it trained: fewer where it no longer learned, 0 where the loss was no number
    )
    seconds: float
    margins: tuple[float, ...]  # reward margin of each held-out row, in the order of the rows

    @property
    def loss(self) -> float:
        return calibrated_loss(np.array(self.margins))

    @property
    def hits(self) -> np.ndarray:
        return right(np.array(self.margins))

    @property
    def kept(self) -> Trial:
        """The recipe of what it trained: shorter where it no longer learned."""
        return replace(self.trial, epochs=self.epochs)

    def words(self) -> str:
        if not self.epochs:
            return f"{self.trial.words()}: the loss was not a number"
        stopped = ""
        if self.epochs < self.trial.epochs:
            stopped = f", stopped after {self.epochs:g}, since it no longer learned"
        return (
            f"{self.trial.words()}: {100 * self.hits.mean():.1f}% of {len(self.margins):,} pairs"
            f" right, log loss {self.loss:.4f}{stopped}"
        )


@dataclass(frozen=True)
class TrialFacts:
    """A trial's figures as `run.json` keeps them."""

    trial: Trial
    round: int
    epochs: float
    seconds: float
    accuracy: float
    interval: Interval | None  # for other prompts
    log_loss: float


@dataclass(frozen=True)
class SearchFacts:
    """What was tried, what was kept, and how sure that is."""

    trials: tuple[TrialFacts, ...]
    kept: Trial
    prompts: int  # train prompts
    held_out: int  # of them in the last round
    rows: int  # held out in the last round
    second: Trial | None
    ahead: Lead | None  # of the kept one over the second, in pairs right

    def lines(self) -> tuple[str, str, str]:
        """Return what was tried, what was kept, and how far to trust that."""
        return (self._tried(), self._kept(), self._doubt())

    def _tried(self) -> str:
        numbers = sorted({t.round for t in self.trials})
        parts = []
        for number in numbers:
            trials = [t.trial for t in self.trials if t.round == number]
            parts.append(f"{len(trials)} for {trials[0].epochs:g}")
        minutes = sum(t.seconds for t in self.trials) / 60
        return (
            f"Tried {len(self.trials)} trainings ({', '.join(parts)} epochs) on part of the"
            f" {self.prompts} train prompts, in {minutes:.1f} min."
        )

    def _kept(self) -> str:
        best = next(
            t for t in reversed(self.trials) if replace(t.trial, epochs=t.epochs) == self.kept
        )
        doubt = ""
        if best.interval:
            low, high = (100 * x for x in best.interval)
            doubt = f" (95% interval {low:.1f}–{high:.1f})"
        return (
            f"Kept {self.kept.words()}: the lowest log loss on {self.rows:,} pairs of"
            f" {self.held_out} prompts that it was not trained on,"
            f" {100 * best.accuracy:.1f}% right{doubt}."
        )

    def _doubt(self) -> str:
        if self.second is None or self.ahead is None:
            return "No other recipe was tried for as long."
        known = {
            "better": "is right less often",
            "worse": "is right more often, but is less sure where it should be",
            "open": "may be as good",
        }
        return f"The next best, {self.second.words()}, {known[self.ahead.known]}: {_points(self)}"


def _points(facts: SearchFacts) -> str:
    assert facts.ahead
    words = facts.ahead.words()
    return words[0].lower() + words[1:]


def ranking(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Return the results with the lowest log loss first."""
    return sorted(results, key=lambda r: (not r.epochs, r.loss))


def part(number: int) -> int:
    """Return which part of the train prompts a round holds out: the first round's choose only it.

    The later rounds hold out the same one, since they compare lengths of training.
    """
    return min(number, 2)


def split(rows: Rows[Preference], number: int) -> Rows[Preference]:
    """Return the train rows of a round, and those that it holds out in place of the test rows."""
    prompts = sorted({r.prompt_id for r in rows.train}, key=lambda p: digest("search", p))
    held = set(prompts[part(number) - 1 :: PARTS])
    test = [r for r in rows.train if r.prompt_id in held and r.source == "human"]
    train = [r for r in rows.train if r.prompt_id not in held]
    return Rows(train, test, places=range(len(test)))


def facts(rows: Rows[Preference], results: Sequence[TrialResult]) -> SearchFacts:
    """Return what was tried, and what to keep: the best of the rounds that trained longest."""
    last = max(part(r.round) for r in results)
    best, *others = ranking([r for r in results if part(r.round) == last])
    by_part: dict[int, list[str]] = {
        p: [r.prompt_id for r in split(rows, p).test] for p in {part(r.round) for r in results}
    }
    prompts = by_part[last]
    return SearchFacts(
        tuple(_facts(r, by_part[part(r.round)]) for r in results),
        best.kept,
        len({r.prompt_id for r in rows.train}),
        len(set(prompts)),
        len(prompts),
        others[0].kept if others else None,
        lead(best.hits - others[0].hits, prompts) if others else None,
    )


def _facts(result: TrialResult, prompts: Sequence[str]) -> TrialFacts:
    hits = result.hits
    return TrialFacts(
        result.trial,
        result.round,
        result.epochs,
        result.seconds,
        float(hits.mean()),
        clustered(list(hits), prompts),
        result.loss,
    )

"""Which recipes a search tries, and in which rounds: successive halving within a budget.

A round trains the recipes that are left on three quarters of the train prompts and measures them on
the others; the best go on to the next round, which trains longer (K. Jamieson, A. Talwalkar,
"Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016). The test
split has no part in it. Pure: no I/O.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from palate.train.config import DPOArguments, Method
from palate.train.recipes.recipe import dpo_rate
from palate.train.recipes.trials import PARTS, Trial, TrialResult, ranking

MIN_PROMPTS = 80  # with fewer, a round measures on less than 20 prompts
TRIALS = 4  # recipes in the first round
LOWER, HIGHER = 1 / 3, 3.0  # factors of the usual rate and of β
# what TRL's defaults compute per position: forward, once more for checkpointing, backward as much
# as two forwards, reference; palate computes the reference once
TRL_PASSES, PASSES = 5, 3


def refusal(args: DPOArguments, prompts: int, processes: int) -> str | None:
    """Return why a plain `palate train` trains once; None where it searches, if it has the time.

    Empty where the arguments say so.
    """
    if args.recipe == "fast" or (args.recipe is None and args.learning_rate is not None):
        return ""
    if args.ai:
        return "One training: a recipe is chosen on pairs of people alone."
    if processes > 1:
        return "One training: a search for the recipe takes a single process."
    if args.recipe is None and prompts < MIN_PROMPTS:
        return (
            f"One training: {prompts} train prompts are too few to choose a recipe by"
            f" ({MIN_PROMPTS} needed; to search anyway: --recipe search)"
        )
    return None


def first_trials(
    args: DPOArguments, method: Method, parameters: int, *, both: bool
) -> tuple[Trial, ...]:
    """Return the recipes of the first round, the usual one first.

    `both` adds adapters to a full fine-tune. Rates and β go up and down from what is usual.
    """
    short = max(1.0, args.epochs / 3)
    usual = dpo_rate(method, parameters)

    def trial(method: Method, rate: float, beta: float) -> Trial:
        return Trial(method, float(f"{rate:.0e}"), float(f"{beta:.1g}"), short)

    start = trial(method, usual, args.beta)
    lower = trial(method, LOWER * usual, args.beta)
    if both:
        adapter = dpo_rate("lora", parameters)
        others = [trial("lora", adapter, args.beta), trial("lora", adapter, HIGHER * args.beta)]
    else:
        others = [
            trial(method, usual, HIGHER * args.beta),
            trial(method, HIGHER * usual, args.beta),
        ]
    return (start, others[0], lower, others[1])


@dataclass(frozen=True)
class Plan:
    """The rounds of a search; a unit of work is one epoch over all train rows."""

    trials: tuple[Trial, ...]
    epochs: float  # of the usual recipe
    longer: bool  # whether the winner is also tried for twice as long
    budget: float

    def next_round(self, results: Sequence[TrialResult]) -> tuple[Trial, ...]:
        """Return the trials of the round after these results; none where the search is over."""
        last = max((r.round for r in results), default=0)
        ranked = [r.trial for r in ranking([r for r in results if r.round == last])]
        if last == 0:
            return self.trials
        if last == 1:
            return tuple(replace(t, epochs=self.epochs) for t in ranked[:2])
        if last == 2 and self.longer:
            return (replace(ranked[0], epochs=2 * self.epochs),)
        return ()

    @property
    def count(self) -> int:
        return len(self.trials) + 2 + self.longer

    @property
    def trained(self) -> float:
        """The epochs of all trials, on part of the rows."""
        return sum(t.epochs for t in self.trials) + self.epochs * (4 if self.longer else 2)

    @property
    def work(self) -> float:
        """The work of all trials, their references and the training that follows."""
        held_out = 1 / PARTS
        references = 2 * len({t.method for t in self.trials}) / PASSES
        final = self.epochs * (2 if self.longer else 1)
        return self.trained * (1 - held_out + held_out / PASSES) + references + final

    def sentence(self) -> str:
        return (
            f"Searching for the recipe: {self.count} trainings on part of the train prompts, then"
            f" one on all, as much work as {math.ceil(self.work)} epochs at most. One epoch of"
            f" TRL's defaults computes as much as {self.budget:.0f}. To train once: --recipe fast"
        )


def plan(args: DPOArguments, trials: Sequence[Trial], saved: float, *, forced: bool) -> Plan | str:
    """Return the largest plan within an epoch of TRL's defaults, or why there is none.

    `saved` is how many times as many token positions TRL's batches have. `forced` takes the
    smallest plan anyway.
    """
    budget = saved * TRL_PASSES / PASSES
    for count, longer in ((TRIALS, True), (TRIALS, False), (2, False)):
        made = Plan(tuple(trials[:count]), args.epochs, longer, budget)
        if made.work <= budget:
            return made
    if forced:
        return made
    return (
        "One training: so few pairs share a prompt that a search for the recipe would take longer"
        " than an epoch of TRL's defaults (to search anyway: --recipe search)"
    )

"""How many prompts and votes a verdict takes, by the rule that decides. Pure: no I/O."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from palate.core.markdown import count
from palate.core.project import Settings
from palate.core.schema import Prompt
from palate.core.splits import eval_missing, more_prompts
from palate.core.typed import read
from palate.evaluate.decision import MARGIN, Claim, claims, decide, share
from palate.evaluate.sequential import DECIDES, PRIOR, evidence

MOST = 2_000  # votes looked ahead
DRAWS = 2_000  # futures drawn of a comparison that has begun
RATES = (0.75, 0.6)  # win rates that a plan speaks of


@dataclass(frozen=True)
class Plan:
    """How soon evaluations decide where the tuned model is preferred at `rate`.

    `half` and `most`: prompts with one vote each within which half, and four in five, of such
    evaluations decide. `share`: how many decide within the prompts that are there.
    """

    rate: float
    half: int | None
    most: int | None
    share: float


@cache
def plan(rate: float, prompts: int, decides: float = DECIDES) -> Plan:
    """Return the plan for decisive votes that share no prompt; exact, without simulation."""
    decided = stopping(rate, decides)
    within = [int(np.argmax(decided >= q)) if decided[-1] >= q else None for q in (0.5, 0.8)]
    return Plan(rate, within[0], within[1], float(decided[min(prompts, MOST)]))


@cache
def stopping(rate: float, decides: float = DECIDES) -> NDArray[np.float64]:
    """Return the chance to have decided by each number of votes, shape (MOST + 1,)."""
    chance, gone = np.zeros(MOST + 2), 0.0  # of each number of wins, undecided so far
    chance[0], decided = 1.0, np.zeros(MOST + 1)
    for n in range(1, MOST + 1):
        moved = chance * (1 - rate)
        moved[1:] += chance[:-1] * rate
        wins = np.arange(n + 1)
        over = _log_evidence(wins, n - wins) >= np.log(decides)
        gone += float(moved[: n + 1][over].sum())
        moved[: n + 1][over] = 0.0
        chance, decided[n] = moved, gone
    return decided


def least_wins(votes: int, decides: float = DECIDES) -> int | None:
    """Return the fewest wins that decide among so many decisive votes; None where none would."""
    more = range(votes // 2 + 1, votes + 1)
    return next((w for w in more if evidence(w, votes - w) >= decides), None)


@dataclass(frozen=True)
class ToGo:
    """Further votes within which half, and four in five, of comparisons like this one decide.

    None: not within the look-ahead. `share` decide within `left` further votes.
    """

    half: int | None
    most: int | None
    share: float


def to_go(wins: float, losses: float, claim: Claim, left: int, seed: int = 0) -> ToGo:
    """Return how many more decisive votes decide, over futures that the votes so far allow.

    The win rate is drawn from its posterior, each further vote from it. Each is on a new prompt, so
    the clustered variance grows by that of one vote, and the design effect shrinks toward 1.
    """
    if claim.decided:
        return ToGo(0, 0, 1.0)
    random = np.random.default_rng(seed)
    effect = claim.design_effect or 1.0
    rate = random.beta(wins / effect + PRIOR, losses / effect + PRIOR, size=(DRAWS, 1))
    won = (random.random((DRAWS, MOST), dtype=np.float32) < rate).cumsum(1)
    steps = np.arange(1, MOST + 1)
    effects = ((wins + losses) * effect + steps) / (wins + losses + steps)
    e = _log_evidence((wins + won) / effects, (losses + steps - won) / effects)
    reached = e >= np.log(claim.decides)
    first = np.where(reached.any(1), reached.argmax(1) + 1, np.inf)
    half, most = (np.quantile(first, q, method="higher") for q in (0.5, 0.8))
    count = [None if np.isinf(x) else int(x) for x in (half, most)]
    return ToGo(count[0], count[1], float((first <= left).mean()))


def _log_evidence(wins: NDArray, losses: NDArray) -> NDArray[np.float64]:
    """Return the logarithm of `evidence` for arrays."""
    mixture = betaln(wins + PRIOR, losses + PRIOR) - betaln(PRIOR, PRIOR)
    return mixture + (wins + losses) * np.log(2)


def of_one_person(wins: int, losses: int, ties: int, margin: float) -> dict[str, object]:
    """Return the fields of a verdict that follow where one person voted, once per prompt."""
    results = [1.0] * wins + [0.0] * losses + [0.5] * ties
    prompts, people = claims([(i, 0, result) for i, result in enumerate(results)])
    decision = decide(wins, losses, prompts, margin)
    ahead = to_go(wins, losses, prompts, 0) if decision == "open" else None
    return {
        "about_prompts": asdict(prompts), "about_people": asdict(people), "decision": decision,
        "ahead": ahead and asdict(ahead),
    }  # fmt: skip


@dataclass(frozen=True)
class _Counts:
    """What every verdict without a version holds."""

    wins: int
    losses: int
    ties: int
    votes: int
    prompts: int
    annotators: int
    margin: float = MARGIN


def from_version_0(data: dict[str, object], source: object) -> dict[str, object]:
    """Return a verdict's file without `version` as version 1 has it.

    Its points were bare lists, the first files held hardly more than the counts, and all votes were
    taken as independent: right where one person voted, and once per prompt.
    """
    counts = read(_Counts, data, source)
    empty = {
        "lost": 0, "win_rate_with_identical": None, "margin": MARGIN, "people": [],
        "strengths": {}, "again": {"same": 0, "n": 0}, "agreed": {"same": 0, "n": 0},
        "confounds": None, "moves": [],
    }  # fmt: skip
    names, data = ("votes", "win_rate", "low", "high"), empty | data
    if isinstance(moves := data["moves"], list):
        points = [dict(zip(names, m, strict=False)) if isinstance(m, list) else m for m in moves]
        data = data | {"moves": points}
    return data | _claims_of(counts)


def _claims_of(counts: _Counts) -> dict[str, object]:
    """Return the claims that follow from counts alone, if any do."""
    if counts.votes != counts.prompts or counts.annotators != 1:
        return {"about_prompts": None, "about_people": None, "ahead": None, "decision": "open"}
    return of_one_person(counts.wins, counts.losses, counts.ties, counts.margin)


def planned(prompts: int, number: int = 1) -> str:
    """Return how many prompts a verdict takes, and what those that are there can show.

    `number`: see `decision.share`.
    """
    sentences, decides = [], DECIDES / share(number)
    if number > 1:
        sentences.append(
            f"These prompts already served {count(number - 1, 'earlier tuned model')}, so this one"
            " needs clearer votes on them."
        )
    usual, close = (plan(rate, prompts, decides) for rate in RATES)
    sentences.append(
        "If the tuned model is preferred 3 times in 4, half of evaluations decide within"
        f" {usual.half:,} prompts and four in five within {usual.most:,}; if 6 times in 10, within"
        f" {close.half:,} and {close.most:,}. Ties are not counted."
    )
    return " ".join([*sentences, _there(prompts, decides), "You can look at any time."])


def _there(prompts: int, decides: float) -> str:
    there = f"There {'is' if prompts == 1 else 'are'} {count(prompts, 'eval prompt')}"
    wins = least_wins(prompts, decides)
    if wins is None:
        least = next(n for n in range(prompts, MOST) if least_wins(n, decides) is not None)
        if not prompts:
            return f"There are no eval prompts yet. It takes at least {least} to decide anything."
        return f"{there}, which cannot decide anything: it takes at least {least}."
    at = f"decide at {wins:,}:{prompts - wins:,} or clearer"
    if wins == prompts:
        at = f"can only decide at {wins}:0, which takes every vote for the same model"
    part = 100 * plan(RATES[0], prompts, decides).share
    return (
        f"{there}: with one vote each they {at}. With a look after every vote, {part:.0f}% of"
        " evaluations decide if the tuned model is preferred 3 times in 4."
    )


def shortage(project_id: str, settings: Settings, prompts: Sequence[Prompt]) -> str:
    """Return how many eval prompts the verdict lacks and what adds them; "" where none lack."""
    lacking = eval_missing(settings, prompts)
    if not lacking:
        return ""
    total = lacking + sum(p.split == "eval" for p in prompts)
    part = 100 * plan(RATES[0], total).share
    more = count(lacking, "eval prompt" if lacking == total else "more eval prompt")
    decide = "would decide" if lacking == total else f"would make {total:,}, which decide"
    return (
        f"{more} {decide} in {part:.0f}% of such evaluations: {more_prompts(project_id, lacking)}"
    )

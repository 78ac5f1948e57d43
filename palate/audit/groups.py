"""Whether people fall into two groups by taste, and how sure that is. Pure: no I/O.

People of one group agree more often with each other than with those of the other. The division that
shows this most is compared with the one that shows it most when people are exchanged at random on
each pair, so that neither chance nor the search for the best division makes groups. It does not
tell two groups from a taste that differs gradually.
"""

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from palate.audit.finding import Finding
from palate.audit.rows import Row
from palate.collect.labels import UNNAMED, pseudonym
from palate.core.markdown import count
from palate.core.rates import Rate, exact
from palate.core.schema import digest
from palate.core.splits import normal

NOBODY = {"", UNNAMED}  # annotators of rows that do not say who judged
MIN_PEOPLE = 4  # two in each group: agreement within a group takes two people
MIN_SHARED = 40  # pairs that two people or more decided
MOST_PEOPLE, MOST_PAIRS = 60, 5_000  # that are compared
ALL_DIVISIONS = 11  # people; with more, divisions are searched from a few starts
LEVEL = 0.01
SHUFFLES, ENOUGH = 499, 5  # as many at least as good end the shuffling: p is above the level
NONE = -np.inf
SHOWN = 12  # names of a group


@dataclass(frozen=True)
class Group:
    """The people of a group, and their share of all, with a 95% interval for people like these."""

    people: tuple[str, ...]
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Groups:
    """What is known of groups by taste among the people of a source."""

    compared: int  # people
    pairs: int  # that two of them or more decided
    p: float | None = None  # of a division that shows as much by chance; None: too little to test
    groups: tuple[Group, ...] = ()  # two, the larger first; none where chance explains the division
    # two people's agreement, on prompts that did not form the groups
    within: Rate = field(default_factory=lambda: Rate(0, 0))
    between: Rate = field(default_factory=lambda: Rate(0, 0))


@dataclass(frozen=True)
class Answers:
    """Answers on pairs that two people or more decided; one place in each array for an answer."""

    people: tuple[str, ...]
    prompts: tuple[str, ...]  # of each pair
    person: np.ndarray
    pair: np.ndarray
    value: np.ndarray  # 1 for one text of the pair, -1 for the other

    @classmethod
    def of(cls, strict: Sequence[Row]) -> "Answers":
        """Return the answers; of a person's several on a pair, the last one."""
        said: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
        for r in strict:
            if r.annotator not in NOBODY:
                key = normal(r.prompt), min(r.left, r.right), max(r.left, r.right)
                said[key][r.annotator] = 1 if r.winner == key[1] else -1
        shared = [(key, who) for key, who in said.items() if len(who) > 1]
        shared.sort(key=lambda item: digest(*item[0]))
        counts = Counter(who for _, own in shared for who in own)
        people = sorted(who for who, _ in counts.most_common(MOST_PEOPLE))
        place = {who: i for i, who in enumerate(people)}
        prompts: list[str] = []
        rows: list[tuple[int, int, int]] = []
        for (prompt, *_), own in shared:
            known = {place[who]: value for who, value in own.items() if who in place}
            if len(known) > 1 and len(prompts) < MOST_PAIRS:
                rows += [(who, len(prompts), value) for who, value in sorted(known.items())]
                prompts.append(prompt)
        columns = np.array(rows, int).reshape(-1, 3).T
        return cls(tuple(people), tuple(prompts), *columns)

    def table(self, person: np.ndarray | None = None) -> np.ndarray:
        """Return people by pairs: 1, -1, or 0 where somebody did not answer."""
        table = np.zeros((len(self.people), len(self.prompts)), np.float32)
        table[self.person if person is None else person, self.pair] = self.value
        return table


def find(strict: Sequence[Row], seed: int = 0) -> Groups:
    """Return the groups among the people of rows with a strict preference."""
    answers = Answers.of(strict)
    people, pairs = len(answers.people), len(answers.prompts)
    if people < MIN_PEOPLE or pairs < MIN_SHARED:
        return Groups(people, pairs)
    table = answers.table()
    best, division = divide(table)
    if best == NONE:
        return Groups(people, pairs)
    p = by_chance(answers, best, np.random.default_rng(seed))
    if p > LEVEL:
        return Groups(people, pairs, p)
    return Groups(people, pairs, p, _groups(answers, division), *held_out(answers, table))


def _groups(answers: Answers, division: np.ndarray) -> tuple[Group, ...]:
    sides = []
    for side in (division, ~division):
        own, everybody = int(side.sum()), len(division)
        names = tuple(who for who, is_in in zip(answers.people, side, strict=True) if is_in)
        sides.append(Group(names, own / everybody, exact(own, everybody)))
    return tuple(sorted(sides, key=lambda g: -len(g.people)))


def by_chance(answers: Answers, best: float, rng: np.random.Generator) -> float:
    """Return how often people who are exchanged at random divide as well.

    Those who decided the same pairs of a prompt change places on all of these together. The first
    few that divide as well end the count: J. Besag, P. Clifford, "Sequential Monte Carlo p-values",
    Biometrika 78 (1991).
    """
    block, slot, members = _blocks(answers)
    as_good = 0
    for n in range(1, SHUFFLES + 1):
        keys = np.where(members < 0, np.inf, rng.random(members.shape))
        order = np.argsort(keys, axis=1)
        shuffled = np.take_along_axis(members, order, axis=1)
        as_good += divide(answers.table(shuffled[block, slot]))[0] >= best
        if as_good == ENOUGH:
            return as_good / n
    return (as_good + 1) / (SHUFFLES + 1)


def _blocks(answers: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return block and slot of each answer, and the people of each block, -1 for no one.

    A block has the pairs of a prompt that the same people decided.
    """
    own: dict[int, list[int]] = defaultdict(list)
    for person, pair in zip(answers.person.tolist(), answers.pair.tolist(), strict=True):
        own[pair].append(person)
    known: dict[tuple[str, tuple[int, ...]], int] = {}
    of_pair = {
        pair: known.setdefault((answers.prompts[pair], tuple(people)), len(known))
        for pair, people in own.items()
    }
    members = np.full((len(known), max(len(people) for _, people in known)), -1)
    for (_, people), number in known.items():
        members[number, : len(people)] = people
    block = np.array([of_pair[pair] for pair in answers.pair.tolist()])
    slot = np.array(
        [own[pair].index(who) for who, pair in zip(answers.person, answers.pair, strict=True)]
    )
    return block, slot, members


def divide(table: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the best division into two groups of two people or more, and how much it shows."""
    known = np.abs(table)
    agreed, shared = table @ table.T, known @ known.T
    np.fill_diagonal(agreed, 0)
    np.fill_diagonal(shared, 0)
    n = len(table)
    if n <= ALL_DIVISIONS:  # the first person is in the first group
        numbers = np.arange(2 ** (n - 1))
        sides = (numbers[:, None] >> np.arange(n - 1)) & 1 == 1
        divisions = np.column_stack([np.ones(len(sides), bool), sides])
        shown = contrast(divisions, agreed, shared)
        return float(shown.max()), divisions[int(shown.argmax())]
    excess = agreed - shared * (agreed.sum() / max(shared.sum(), 1.0))
    vectors = np.linalg.eigh(excess)[1][:, ::-1]
    return max(
        (_climbed(vectors[:, k] > 0, agreed, shared) for k in range(3)),
        key=lambda division: division[0],
    )


def _climbed(
    division: np.ndarray, agreed: np.ndarray, shared: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the division after moving one person at a time for as long as that shows more."""
    best = float(contrast(division[None], agreed, shared)[0])
    while True:
        moved = division[None] ^ np.eye(len(division), dtype=bool)
        shown = contrast(moved, agreed, shared)
        if (most := float(shown.max())) <= best:
            return best, division
        best, division = most, moved[int(shown.argmax())]


def contrast(divisions: np.ndarray, agreed: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Return by how much each group agrees more within itself than with the other: the lesser.

    The difference is over its standard error, were all answers independent. `agreed` is agreements
    less disagreements of two people, `shared` how many pairs both decided.
    """
    first = divisions.astype(np.float32)
    second = 1 - first
    sums = [((g @ agreed) * g).sum(1) / 2 for g in (first, second)]
    sizes = [((g @ shared) * g).sum(1) / 2 for g in (first, second)]
    other, between = agreed.sum() / 2 - sum(sums), shared.sum() / 2 - sum(sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = [
            (s / n - other / between) / np.sqrt(1 / n + 1 / between)
            for s, n in zip(sums, sizes, strict=True)
        ]
    lesser = np.minimum(*shown)
    return np.where(np.isfinite(lesser), lesser, NONE)


def held_out(answers: Answers, table: np.ndarray) -> tuple[Rate, Rate]:
    """Return how often two people of one group agree, and two of different groups.

    Each half of the prompts forms groups, and the agreement is that on the other half.
    """
    half = np.array([int(digest("half", p), 16) % 2 for p in answers.prompts])
    rows: dict[bool, list[tuple[bool, str]]] = {True: [], False: []}
    for part in (0, 1):
        shown, division = divide(table[:, half != part])
        if shown == NONE:
            continue
        for pair in np.flatnonzero(half == part):
            who = np.flatnonzero(table[:, pair])
            for x, y in combinations(who, 2):
                same = bool(table[x, pair] == table[y, pair])
                rows[bool(division[x] == division[y])].append((same, answers.prompts[pair]))
    return _rate(rows[True]), _rate(rows[False])


def _rate(rows: Sequence[tuple[bool, str]]) -> Rate:
    return Rate.of_pairings([same for same, _ in rows], [prompt for _, prompt in rows])


def to_json(groups: Groups) -> Mapping[str, object]:
    return {
        "people_compared": groups.compared,
        "pairs": groups.pairs,
        "p": groups.p,
        "groups": [
            {"people": list(g.people), "share": g.share, "interval": list(g.interval)}
            for g in groups.groups
        ],
        "agreement_within": groups.within.to_json(),
        "agreement_between": groups.between.to_json(),
    }


def finding(groups: Groups, project: str) -> Finding:
    """Return what is known of groups by taste, and the commands that train on one of them."""
    people = f"{count(groups.compared, 'person', 'people')} on {count(groups.pairs, 'pair')}"
    if not groups.groups:
        return Finding(
            "note",
            f"No groups by taste are shown among {people} that several of them decided"
            f" (p = {groups.p:.2g}).",
            "Where they disagree, chance explains it, or the groups differ too little to show.",
        )
    sizes = "; ".join(
        f"{count(len(g.people), 'person', 'people')} ({100 * g.share:.0f}%, for other people like"
        f" these {100 * g.interval[0]:.0f}–{100 * g.interval[1]:.0f}%): {some_of(g.people)}"
        for g in groups.groups
    )
    commands = " or: ".join(
        f"palate train {project} --annotators {shlex.quote(','.join(map(_typed, g.people)))}"
        for g in groups.groups
    )
    return Finding(
        "note",
        f"People disagree by taste: {people} that several of them decided form two groups. {sizes}."
        f" On prompts that did not form the groups, two people of one group agree on"
        f" {groups.within.words()}, two of different groups on {groups.between.words()}. People who"
        f" are exchanged at random divide as well with p = {groups.p:.2g}.",
        f"Nothing is divided unless you ask. To train on one group: {commands}",
    )


def _typed(name: str) -> str:
    """Return the name as a list with commas can hold it."""
    return pseudonym(name) if "," in name else name


def some_of(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")

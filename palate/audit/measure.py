"""The figures of an audit: counts, leaks, biases and baselines. Pure: no I/O.

Every rate is a `Rate`, which knows its prompts and people.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from palate.audit import baselines
from palate.audit.baselines import Accuracy
from palate.audit.groups import NOBODY, Groups, find
from palate.audit.rows import Row, Rows
from palate.collect.pairs import Doubted
from palate.core.rates import Rate, cyclic_triads
from palate.core.similar import alike, spoken_words
from palate.core.splits import normal
from palate.evaluate.confounds import FORMATS

FORMAT_ROWS = 20  # in which one text has a format; with fewer it is not tested
BASELINE_ROWS = 60  # with a strict preference; with fewer a baseline means nothing


@dataclass(frozen=True)
class Leak:
    """Rows of a held-out split whose prompt or texts, or ones like them, are in training."""

    split: str
    rows: int
    prompts: int
    alike: int  # rows whose prompt is only like one of the training split
    texts: int
    lookup: Accuracy | None  # of the training split's wins, on this split
    examples: list[str]


@dataclass(frozen=True)
class Fit:
    """Lengths in tokens under a model's tokenizer; rows by number."""

    model: str
    parameters: int
    sampled: int
    tokens: dict[str, int] = field(default_factory=dict)  # prompt_/completion_, _median/_longest
    max_length: int = 0
    overlong: list[int] = field(default_factory=list)
    changed_prompts: list[int] = field(default_factory=list)
    ends: bool = True  # whether the template ends an answer with the EOS token
    positions: dict[str, int] = field(
        default_factory=dict
    )  # of an epoch: in TRL's batches, in packed trees
    problem: str = ""


@dataclass
class Audit:
    """All figures of a source; `json_report` gives them to scripts."""

    source: str
    rows: int
    usable: int
    problems: dict[str, list[int]]
    kinds: dict[str, int]
    prompts: int
    texts: int
    candidates: Counter[int]  # number of texts → prompts with as many
    annotators: int
    named: bool  # whether the rows say who judged; else several people look like one
    splits: dict[str, int]
    identical: list[int]
    duplicates: int  # rows that repeat an earlier one of the same person, or of nobody named
    contradictions: int  # pairs of which both texts were chosen
    repeated: bool  # whether a pair was judged more than once
    cycles: Rate  # of one person's triads; none where rows repeat and nobody is named
    leaks: list[Leak]
    longer: Rate
    second: Rate | None  # None if the source does not say which side was shown first
    formats: dict[str, Rate]
    words: dict[str, float]
    lookup: dict[str, Accuracy] = field(default_factory=dict)  # by row, by prompt
    baseline: dict[str, Accuracy] = field(default_factory=dict)
    length_rule: Accuracy | None = None
    sampled: int = 0  # rows that the baselines used
    learned: bool = True  # whether baselines were wanted
    fit: Fit | None = None
    excluded: int = 0  # people whose judgements the project's owner does not count
    remarks: Mapping[str, int] = field(default_factory=dict)  # on rows that are used, counted
    doubted: tuple[Doubted, ...] = ()  # labels that the project's reward finds unlikely
    project: str = "OWNER/NAME"  # in commands; a file has none yet
    groups: Groups | None = None  # of people, by taste; None where nothing was to be learned

    @property
    def biases(self) -> "Biases":
        return Biases(self.longer, self.second, self.formats)

    @property
    def tests(self) -> int:
        return self.biases.tests

    @property
    def common_formats(self) -> dict[str, Rate]:
        return self.biases.common_formats


@dataclass(frozen=True)
class Biases:
    """How often the longer text, the second one, and the one with each format won."""

    longer: Rate
    second: Rate | None
    formats: dict[str, Rate]

    @property
    def tests(self) -> int:
        """How many biases were tested: length, side, and formats with enough rows."""
        tested = [
            self.longer,
            *([self.second] if self.second else []),
            *self.common_formats.values(),
        ]
        return sum(rate.p is not None for rate in tested)

    @property
    def common_formats(self) -> dict[str, Rate]:
        return {name: rate for name, rate in self.formats.items() if rate.n >= FORMAT_ROWS}


def measure(data: Rows, learn: bool = True) -> Audit:
    """Return the figures of the rows; `learn` also fits the baselines."""
    rows = data.rows
    strict = [r for r in rows if r.choice in ("left", "right") and r.left != r.right]
    texts: dict[str, set[str]] = defaultdict(set)
    for r in rows:
        texts[normal(r.prompt)] |= {r.left, r.right}
    biases = biases_of(strict, sided=data.sided)
    people = {r.annotator for r in rows}
    named = not people <= NOBODY
    lengths = [len(spoken_words(t)) for group in texts.values() for t in group]
    result = Audit(
        source=data.source,
        rows=data.total,
        usable=len(rows),
        problems=data.problems,
        kinds=dict(Counter(r.choice for r in rows)),
        prompts=len(texts),
        texts=sum(map(len, texts.values())),
        candidates=Counter(map(len, texts.values())),
        annotators=len(people),
        excluded=data.excluded,
        remarks=data.remarks,
        doubted=data.doubted,
        named=named,
        splits=dict(Counter(r.split for r in rows if r.split)),
        identical=[r.number for r in rows if r.left == r.right],
        duplicates=_duplicates(rows),
        contradictions=_contradictions(strict),
        repeated=_repeats(strict),
        cycles=cycles(strict) if named or not _repeats(strict) else Rate(0, 0),
        leaks=leaks(strict),
        longer=biases.longer,
        second=biases.second,
        formats=biases.formats,
        words={"median": statistics.median(lengths), "longest": max(lengths)} if lengths else {},
    )
    result.learned = learn
    result.project = data.project or result.project
    if learn:
        result.groups = find(strict)
    if learn and len(strict) >= BASELINE_ROWS:
        _learn(result, strict)
    return result


def _learn(result: Audit, strict: Sequence[Row]) -> None:
    rows = baselines.sample(strict)
    result.sampled = len(rows)
    held_out, words = baselines.held_out, baselines.shared_words(rows)
    result.lookup["by row"] = held_out(rows, baselines.lookup, by_prompt=False)
    result.baseline["by row"] = held_out(rows, words, by_prompt=False)
    if len({normal(r.prompt) for r in rows}) < 2:
        return
    result.lookup["by prompt"] = held_out(rows, baselines.lookup, by_prompt=True)
    result.length_rule = held_out(rows, baselines.longer, by_prompt=True)
    result.baseline["by prompt"] = held_out(rows, words, by_prompt=True)


def _duplicates(rows: Iterable[Row]) -> int:
    seen = Counter(
        (normal(r.prompt), frozenset((r.left, r.right)), _value(r), r.annotator) for r in rows
    )
    return sum(n - 1 for n in seen.values())


def _repeats(strict: Sequence[Row]) -> bool:
    """Tell whether a pair was judged more than once."""
    return len({(normal(r.prompt), frozenset((r.left, r.right))) for r in strict}) < len(strict)


def _value(row: Row) -> str:
    return row.winner if row.choice in ("left", "right") else row.choice


def _contradictions(strict: Iterable[Row]) -> int:
    winners: dict[tuple[str, frozenset[str]], set[str]] = defaultdict(set)
    for r in strict:
        winners[normal(r.prompt), frozenset((r.left, r.right))].add(r.winner)
    return sum(len(w) > 1 for w in winners.values())


def cycles(strict: Iterable[Row]) -> Rate:
    """Return how many triads of texts are cyclic, by person; the last choice on a pair counts."""
    winners: dict[tuple[str, str], dict[tuple[str, str], str]] = defaultdict(dict)
    for r in strict:
        pair = min(r.left, r.right), max(r.left, r.right)
        winners[r.annotator, normal(r.prompt)][pair] = r.winner
    return cyclic_triads(winners)


def leaks(strict: Sequence[Row]) -> list[Leak]:
    """Return the held-out splits that share prompts or pairs of texts with the training split."""
    train = [r for r in strict if r.split == "train"]
    known = {r.prompt for r in train}
    prompts = {normal(prompt) for prompt in known}
    texts = {t for r in train for t in (r.left, r.right)}
    result = []
    for split in sorted({r.split for r in strict if r.split and r.split != "train"}):
        rows = [r for r in strict if r.split == split]
        shared = [r for r in rows if normal(r.prompt) in prompts]
        like = alike((r.prompt for r in rows if normal(r.prompt) not in prompts), known)
        near = [r for r in rows if r.prompt in like]
        seen = [r for r in rows if r.left in texts and r.right in texts]
        if shared or near or seen:
            result.append(
                Leak(
                    split=split,
                    rows=len(rows),
                    prompts=len(shared),
                    alike=len(near),
                    texts=len(seen),
                    lookup=baselines.tested(train, rows, baselines.lookup),
                    examples=list(dict.fromkeys(r.prompt[:80] for r in [*shared, *near]))[:3],
                )
            )
    return result


def biases_of(strict: Sequence[Row], *, sided: bool) -> Biases:
    """Return the biases of rows with a strict preference; `sided`: the sides are those shown."""
    prompts = {text: normal(text) for text in {r.prompt for r in strict}}

    def rate(hits: Sequence[bool], rows: Sequence[Row]) -> Rate:
        people = [r.annotator for r in rows]
        return Rate.of(hits, [prompts[r.prompt] for r in rows], people, chance=0.5)

    unequal = [r for r in strict if len(r.left) != len(r.right)]
    sides = [(r, r.winner, r.loser) for r in strict]
    texts = {text for _, *both in sides for text in both}
    formats = {}
    for name, has in FORMATS.items():
        having = {text for text in texts if has(text)}
        differing = [
            (r, won) for r, winner, loser in sides if (won := winner in having) != (loser in having)
        ]
        if differing:
            formats[name] = rate([won for _, won in differing], [r for r, _ in differing])
    return Biases(
        rate([len(r.winner) > len(r.loser) for r in unequal], unequal),
        rate([r.choice == "right" for r in strict], strict) if sided else None,
        formats,
    )

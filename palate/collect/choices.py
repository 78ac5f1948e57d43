"""What the values of a choice column mean, decided once from all of them. Pure: no I/O.

Exact text comes first, then the name of a model or of a column, then codes. Values that could mean
one thing or the other are asked about: `decide` raises UsageError, which names the flags that say.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from palate.collect.cells import is_nothing
from palate.core.errors import UsageError

Choice = Literal["left", "right", "tie", "neither"]
MEANS: dict[Choice, str] = {
    "left": "the first", "right": "the second", "tie": "a tie", "neither": "both bad",
}  # fmt: skip
TIE = re.compile(
    r"ties?|tied|draw|equal|same|(about )?the same|no[ _]preference|both[ _]?good"
    r"|tie ?\((?!.*bad).*\)|(\[\[)?a ?= ?b(\]\])?"
)
BOTH_BAD = re.compile(r"both[ _]?(are[ _])?bad|tie ?\(.*bad.*\)")
NOUN = (
    r"(?:(?:model|response|answer|output|option|completion|candidate|text|assistant|side|reply"
    r"|summary|chat|item)s?[ _-]*)?"
)
MUCH = r"(?:(?:much|far|clearly|strongly|significantly|somewhat|slightly|a (?:bit|little|lot)) )?"
BETTER = rf"(?:[ _](?:is[ _])?{MUCH}(?:better|wins|won|preferred))?"
FIRST = re.compile(rf"{NOUN}(a|left|first|1st){BETTER}|(\[\[)?a ?>>? ?b(\]\])?")
SECOND = re.compile(rf"{NOUN}(b|right|second|2nd){BETTER}|(\[\[)?(b ?>>? ?a|a ?<<? ?b)(\]\])?")
NUMBERED = re.compile(rf"{NOUN}(?<=[^\W\d]|[ _-])([012])")
YES, NO = {"true", "yes", "t", "y", "1"}, {"false", "no", "f", "n", "0"}
# words in a column's name that turn its meaning round
WORSE = {"worse", "worst", "loser", "lost", "loses", "lose", "rejected", "bad", "not", "disliked"}
# whose judgement a column holds, which is no side
PEOPLE = {"annotator", "rater", "judge", "worker", "user", "labeler", "labeller", "evaluator"}
SCALES = ("overall_preference", "preference_strength")  # of HelpSteer: below 0 is the first
USUAL_A, USUAL_B = ("a", "left", "first"), ("b", "right", "second")
BY_MODEL = "the name of its model"
SHOWN = 8  # values in a message


@dataclass(frozen=True)
class Case:
    """The choice of one row, with what it may name: the texts and their models."""

    value: object
    texts: tuple[str, str]
    models: tuple[str, str] | None = None


@dataclass(frozen=True)
class Given:
    """What the user says that values mean."""

    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    tie: tuple[str, ...] = ()

    def meanings(self) -> dict[str, Choice]:
        sides: tuple[tuple[Choice, tuple[str, ...]], ...] = (
            ("left", self.first), ("right", self.second), ("tie", self.tie),
        )  # fmt: skip
        meanings: dict[str, Choice] = {}
        for choice, values in sides:
            for value in map(code, values):
                if meanings.setdefault(value, choice) != choice:
                    raise UsageError(f"--first, --second and --tie: {value!r} cannot be two.")
        return meanings


@dataclass(frozen=True)
class Codebook:
    """What the column's values mean: `of` a row's choice, None where that is not known."""

    of: Callable[[Case], Choice | None]
    words: str  # for the user


def code(value: object) -> str:
    """Return a value as codes are compared: 1.0 is 1, True is true."""
    word = re.sub(r"\s+", " ", str(value).strip().casefold())
    return re.sub(r"(?<=\d)\.0+$", "", word)


def decide(
    cases: Sequence[Case], column: str, sides: tuple[str, str], given: Given, source: str
) -> Codebook:
    """Return what the values of a column mean; `sides` are the columns of the two texts.

    Raises UsageError where that is uncertain.
    """
    fixed = given.meanings()
    full = [c for c in cases if not is_nothing(c.value)]
    rest = [c for c in full if code(c.value) not in fixed]
    ties = {v: t for v in {code(c.value) for c in rest} if (t := _tie(v))}
    if not rest or {"left", "right"} <= set(fixed.values()):
        return _codebook(lambda case: None, fixed, {}, _words(fixed))
    if WORSE & set(tokens(column)):
        raise _ask(source, column, full, f"{column!r} may name the one that lost")
    texts = (_by_text, "the text itself"), (_by_model, BY_MODEL)
    for of, words in texts:
        if any(map(of, rest)) and all(of(c) or code(c.value) in ties for c in rest):
            return _codebook(of, fixed, ties, ", ".join([words, *_listed(fixed | ties)]))
    plain = [c for c in rest if code(c.value) not in ties]
    codes = _codes({code(c.value) for c in plain}, column, sides)
    by_code = (lambda c: codes.get(code(c.value))), _words(fixed | codes | ties)
    if not plain:
        return _codebook(by_code[0], fixed, ties, by_code[1])
    counted = [(sum(of(c) is not None for c in plain), of, w) for of, w in (*texts, by_code)]
    counted = [reading for reading in counted if reading[0]]
    if not counted or not _nested([of for _, of, _ in counted], plain):
        raise _ask(source, column, full, "")
    most, of, words = max(counted, key=lambda reading: reading[0])
    if most * 2 < len(plain):
        raise _ask(source, column, full, "")
    return _codebook(of, fixed, ties, words)


def _codebook(
    of: Callable[[Case], Choice | None],
    fixed: Mapping[str, Choice],
    ties: Mapping[str, Choice],
    words: str,
) -> Codebook:
    def read(case: Case) -> Choice | None:
        if is_nothing(case.value):
            return None
        value = code(case.value)
        return fixed.get(value) or of(case) or ties.get(value)

    return Codebook(read, words)


def _nested(readings: Sequence[Callable[[Case], Choice | None]], cases: Sequence[Case]) -> bool:
    """Tell whether one reading explains all that the others do, and says the same there."""
    readings_of = [[of(c) for c in cases] for of in readings]
    widest = max(readings_of, key=lambda answers: sum(a is not None for a in answers))
    return all(
        answer is None or answer == best
        for answers in readings_of
        for answer, best in zip(answers, widest, strict=True)
    )


def _by_text(case: Case) -> Choice | None:
    return _side(str(case.value).strip(), [text.strip() for text in case.texts])


def _by_model(case: Case) -> Choice | None:
    if case.models is None:
        return None
    return _side(str(case.value).strip().casefold(), [m.strip().casefold() for m in case.models])


def _side(value: str, names: Sequence[str]) -> Choice | None:
    if names[0] == names[1]:
        return None
    return "left" if value == names[0] else "right" if value == names[1] else None


def _tie(value: str) -> Choice | None:
    return "neither" if BOTH_BAD.fullmatch(value) else "tie" if TIE.fullmatch(value) else None


def _codes(values: set[str], column: str, sides: tuple[str, str]) -> dict[str, Choice]:
    """Return what codes mean; empty where the set as a whole is uncertain."""
    named: dict[str, Choice] = {}
    a, b = code(sides[0]), code(sides[1])
    for value in values:
        if value in (a, b) and a != b:
            named[value] = "left" if value == a else "right"
        elif FIRST.fullmatch(value):
            named[value] = "left"
        elif SECOND.fullmatch(value):
            named[value] = "right"
    rest = values - set(named)
    if not rest:
        return named
    numbers = _numbers(rest, column, sides) or _flags(rest, column, sides) or _numbered(rest)
    return {} if named and numbers else named or numbers


def _numbered(values: set[str]) -> dict[str, Choice]:
    """Return what "response 1" and "response 2" mean, or 0 and 1; one of them alone is unclear."""
    places = {v: int(m[1]) for v in values if (m := NUMBERED.fullmatch(v))}
    numbers = sorted(set(places.values()))
    if len(places) < len(values) or numbers not in ([1, 2], [0, 1]):
        return {}
    return {v: "left" if place == numbers[0] else "right" for v, place in places.items()}


def _numbers(values: set[str], column: str, sides: tuple[str, str]) -> dict[str, Choice]:
    """Return what numbers mean: places, or a scale with the first at its lower end."""
    own = [_own(side, other) for side, other in (sides, sides[::-1])]
    both = {o[0] for o in own if len(o) == 1 and o[0].isdigit()}
    if len(both) == 2 and values == both:  # response_0 and response_1: 0 and 1 name them
        return {own[0][0]: "left", own[1][0]: "right"}
    try:
        amounts = {v: float(v) for v in values if re.fullmatch(r"[-+]?\d+(\.\d+)?", v)}
    except ValueError:
        return {}
    if len(amounts) < len(values) or side_named(column, sides):
        return {}
    numbers = set(amounts.values())
    if numbers <= {1, 1.5, 2} and (numbers >= {1, 2} or (1.5 in numbers and len(numbers) > 1)):
        middle = 1.5
    elif code(column) == "preference" and 1 <= min(numbers) < 1.5 < max(numbers) <= 2:
        middle = 1.5  # alpaca_eval's: 1 and the chance that the second is better
    elif numbers <= set(range(-3, 4)) and (
        code(column) in SCALES or (min(numbers) < 0 < max(numbers) and max(map(abs, numbers)) > 1)
    ):
        middle = 0
    else:
        return {}
    return {
        v: "left" if n < middle else "right" if n > middle else "tie" for v, n in amounts.items()
    }


def _flags(values: set[str], column: str, sides: tuple[str, str]) -> dict[str, Choice]:
    """Return what yes and no mean in a column that is about one of the texts."""
    side = side_named(column, sides)
    if not side or not values <= YES | NO | {"0.5"}:
        return {}
    other: Choice = "right" if side == "left" else "left"
    return {v: side if v in YES else other if v in NO else "tie" for v in values}


def side_named(column: str, sides: tuple[str, str]) -> Choice | None:
    """Return which of the two texts the name of a column is about, None if neither or both."""
    words = tokens(column)
    if PEOPLE & set(words):
        return None
    is_a, is_b = (_names(words, side, other) for side, other in (sides, sides[::-1]))
    if not is_a and not is_b and _own(*sides) != ["b"]:
        is_a, is_b = (bool(set(words) & set(usual)) for usual in (USUAL_A, USUAL_B))
    return None if is_a == is_b else "left" if is_a else "right"


def _names(words: Sequence[str], side: str, other: str) -> bool:
    """Tell whether a column's words name this text rather than the other one.

    A number alone may count anything, so it has to follow the word that it follows in the name.
    """
    own = tokens(side)
    for word in _own(side, other):
        before = own[own.index(word) - 1] if own.index(word) else None
        for i, part in enumerate(words):
            if part == word and (not word.isdigit() or (i and words[i - 1] == before)):
                return True
    return False


def _own(side: str, other: str) -> list[str]:
    """Return the words in the name of one text's column that the other's lacks."""
    return [t for t in tokens(side) if t not in tokens(other)]


def tokens(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+|\d+", spaced.casefold())


def _words(codes: Mapping[str, Choice]) -> str:
    return ", ".join(_listed(codes)) or "nothing"


def _listed(codes: Mapping[str, Choice]) -> list[str]:
    """Return what each value means, in words."""
    listed = [f"{value} is {MEANS[choice]}" for value, choice in sorted(codes.items())]
    if len(listed) <= SHOWN:
        return listed
    try:
        return _ranges({float(value): choice for value, choice in codes.items()})
    except ValueError:
        return [*listed[:SHOWN], f"and {len(listed) - SHOWN} more"]


def _ranges(codes: Mapping[float, Choice]) -> list[str]:
    """Return what numbers mean in order, those between two that mean the same as one range."""
    runs = [(c, [n for n, _ in run]) for c, run in groupby(sorted(codes.items()), lambda x: x[1])]
    return [
        f"{run[0]:.15g}{f' to {run[-1]:.15g}' if len(run) > 1 else ''} is {MEANS[choice]}"
        for choice, run in runs
    ]


def _ask(source: str, column: str, cases: Iterable[Case], why: str) -> UsageError:
    codes = Counter(code(c.value)[:40] for c in cases)
    listed = ", ".join(f"{v!r} ({n:,})" for v, n in codes.most_common(SHOWN))
    more = f" and {len(codes) - SHOWN:,} other values" if len(codes) > SHOWN else ""
    return UsageError(
        f"{source}, field {column!r}: it is not certain which of the two texts the values mean:"
        f" {listed}{more}. {why and f'{why}. '}Say it with --first VALUE --second VALUE"
        " --tie VALUE, leaving out what does not occur."
    )

"""Ratings of single answers, as pairs: the higher rating is better, equal ones are a tie."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from palate.collect.cells import BadCell, is_nothing, shown
from palate.collect.columns import Columns, pair_of
from palate.collect.rows import Record, Table
from palate.collect.shapes import Shaped, Unit, build, dict_of, has, list_of

RATINGS = ("overall_score", "helpfulness", "score", "rating", "reward", "fine-grained_score")
SCORES = (  # columns next to chosen and rejected
    ("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"), ("rating_chosen", "rating_rejected"),
)  # fmt: skip
LIST_RATINGS = ("ratings", "scores", "rating", "rewards")
ANSWERS = ("response", "completion", "answer", "output", "text")
LISTS = ("completions", "responses", "generations", "candidates", "outputs")
PROMPTS = ("prompt", "instruction", "question")


def rated_lists(table: Table, columns: Columns) -> Shaped | None:
    """Read rows with several answers and a rating of each, such as UltraFeedback's."""
    column = next((c for c in LISTS if has(table, c, (list, tuple))), None)
    if column is None or {"chosen", "rejected"} <= set(table.columns) or columns.a:
        return None
    first = next(e for row in table.rows for e in list_of(row.get(column)))
    if isinstance(first, Mapping):
        rating = columns.choice or next((r for r in RATINGS if r in first), None)
        answer = next((a for a in ANSWERS if a in first), None)
        used = {column: f"texts, and their {rating} as choice"}
        inner = [f"{column}.{key}" for key in first if key not in (rating, answer)]
    else:
        rating = columns.choice or next((r for r in LIST_RATINGS if r in table.columns), None)
        answer, inner = "", []
        used = {column: "texts", str(rating): "choice: the higher rating"}
    if rating is None or answer is None:
        return None

    def pairs() -> Iterator[tuple[int, Unit]]:
        for row, number in zip(table.rows, table.numbers, strict=True):
            entries = list_of(row.get(column))
            if answer:
                rated = [(dict_of(e).get(answer), dict_of(e).get(rating)) for e in entries]
            else:
                scores = list_of(row.get(rating))
                rated = list(zip(entries, scores, strict=False))
                if len(entries) != len(scores):
                    problem = f"expected {len(entries)} ratings, found {len(scores)}"
                    yield number, BadCell(str(rating), problem, "choice")
                    continue
            rest = {k: v for k, v in row.items() if k not in (column, rating)}
            yield from _compared(number, rest, rated, str(rating))

    return _rated(table, columns, pairs, "ratings of several answers", used, inner)


def rated_rows(table: Table, columns: Columns) -> Shaped | None:
    """Read rows with one answer and its rating, such as HelpSteer's: rows of a prompt are pairs."""
    answer = next((a for a in ANSWERS[:3] if a in table.columns), None)
    rating = next((r for r in (columns.choice, *RATINGS) if r and r in table.columns), None)
    prompt = columns.prompt or next((p for p in PROMPTS if p in table.columns), None)
    if not (answer and rating and prompt) or columns.a or "chosen" in table.columns:
        return None

    def pairs() -> Iterator[tuple[int, Unit]]:
        groups: dict[str, list[tuple[int, Record]]] = {}
        for row, number in zip(table.rows, table.numbers, strict=True):
            groups.setdefault(repr(row.get(prompt)), []).append((number, row))
        for rows in groups.values():
            rated = [(row.get(answer), row.get(rating)) for _, row in rows]
            rest = {k: v for k, v in rows[0][1].items() if k not in (answer, rating)}
            yield from _compared(rows[0][0], rest, rated, str(rating))

    used = {prompt: "prompt", answer: "texts", rating: "choice: the higher rating"}
    return _rated(table, columns, pairs, "ratings of one answer a row", used, [])


def _rated(
    table: Table,
    columns: Columns,
    pairs: Callable[[], Iterator[tuple[int, Unit]]],
    name: str,
    used: dict[str, str],
    inner: list[str],
) -> Shaped:
    new, aside = build(table, pairs())
    if not new.rows:
        new = replace(new, columns=(*table.columns, "first", "second", "choice"))
    prompt = columns.prompt or next((p for p in PROMPTS if p in table.columns), None)
    if prompt:
        used.setdefault(prompt, "prompt")
    own = Columns(prompt, "first", "second", "choice", columns.annotator, given=columns.given)
    return Shaped(new, own, name, used, (*table.columns, *inner), aside)


def _compared(
    number: int, rest: Record, rated: Sequence[tuple[object, object]], rating: str
) -> Iterator[tuple[int, Unit]]:
    """Yield the pairs of a prompt's answers; the higher rating is better, equal ones are a tie."""
    if len(rated) < 2:
        yield number, "with one answer alone to a prompt"
    for (first, x), (second, y) in combinations(rated, 2):
        try:
            scores = _score(x, rating), _score(y, rating)
        except BadCell as error:
            yield number, error
            continue
        choice = "tie" if scores[0] == scores[1] else "a" if scores[0] > scores[1] else "b"
        if first == second:
            yield number, "of two answers with the same text"
            continue
        yield number, rest | {"first": first, "second": second, "choice": choice}


def _score(value: object, column: str) -> float:
    if not is_nothing(value) and not isinstance(value, bool):
        try:
            return float(str(value))
        except ValueError:
            pass
    seen = "nothing" if is_nothing(value) else shown(value)
    raise BadCell(column, f"expected a number, found {seen}", "choice")


def contradictions(table: Table) -> Counter[str]:
    """Count the preferences that the scores next to them do not support."""
    counts: Counter[str] = Counter()
    columns = pair_of(table, SCORES)
    if columns is None:
        return counts
    for row in table.rows:
        try:
            chosen, rejected = (_score(row.get(column), column) for column in columns)
        except BadCell:
            continue
        if chosen <= rejected:
            how = "the same" if chosen == rejected else "a higher"
            counts[f"whose rejected text has {how} score"] += 1
    return counts

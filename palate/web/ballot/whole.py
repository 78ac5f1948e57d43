"""A pair with aspects is answered in all of them or not at all. Pure: no I/O.

The first aspect's answer closes a pair, so the page sends it last. An answer in it that comes
without the others, or another one's undo alone, waits in the browser until the rest is there.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from palate.core.ledger import place, standing_judgements
from palate.core.schema import Event, Purpose

Key = tuple[str, str, Purpose]  # annotator, pair, purpose


class Whole:
    """What people have said on each pair in the project's aspects."""

    def __init__(self, aspects: Sequence[str]):
        self._aspects = tuple(aspects)
        self._said: dict[Key, list[Event]] = defaultdict(list)

    def note(self, events: Iterable[Event]) -> None:
        for e in events if self._aspects else ():
            self._said[_key(e)].append(e)

    def early(self, events: Iterable[Event]) -> set[str]:
        """Return the ids of those events that would leave a pair answered in part.

        Of a person's events on a pair, the first ones are kept as far as they leave it whole.
        """
        new: dict[Key, list[Event]] = defaultdict(list)
        for e in events if self._aspects else ():
            if e.kind != "flag":
                new[_key(e)].append(e)
        held: set[str] = set()
        for key, own in new.items():
            own.sort(key=place)
            kept = next((n for n in range(len(own), 0, -1) if self._is_whole(key, own[:n])), 0)
            held |= {e.event_id for e in own[kept:]}
        return held

    def _is_whole(self, key: Key, new: Sequence[Event]) -> bool:
        said = {e.aspect for e in standing_judgements([*self._said[key], *new], key[-1])}
        return self._aspects[0] not in said or said.issuperset(self._aspects)


def _key(e: Event) -> Key:
    return e.annotator, e.pair_id, e.purpose

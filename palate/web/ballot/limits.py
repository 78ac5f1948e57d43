"""What one person may do: which questions they may answer, and how much they may send. Pure."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable

from palate.core.schema import PURPOSES, Event, Purpose, to_json

BURST_BYTES = 400_000
BYTES_A_SECOND = 1_500
EVENTS_ON_A_PAIR = 50


class Budgets:
    """How much each person may still add: `BURST_BYTES` at once, then `BYTES_A_SECOND`.

    That is enough for labels that piled up offline; a flood stays in the browser that sends it.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}  # annotator → bytes, and since when
        self._on_pair: Counter[tuple[str, str]] = Counter()

    def spend(self, event: Event, now: float) -> bool:
        """Take the event from its person's budget at `now`, in seconds; return whether it fits."""
        left, since = self._left.get(event.annotator, (BURST_BYTES, now))
        left = min(BURST_BYTES, left + BYTES_A_SECOND * (now - since)) - len(to_json(event))
        if left < 0:
            return False
        self._left[event.annotator] = left, now
        return True

    def note(self, events: Iterable[Event]) -> None:
        """Count events that were accepted, here or elsewhere."""
        self._on_pair.update((e.annotator, e.pair_id) for e in events)

    def is_full(self, annotator: str, pair_id: str, batch: Iterable[Event]) -> bool:
        """Tell whether the person has said enough about the pair, with what `batch` adds."""
        more = sum(e.pair_id == pair_id for e in batch)
        return self._on_pair[annotator, pair_id] + more >= EVENTS_ON_A_PAIR


def seal(key: bytes, annotator: str, purpose: Purpose, pair_id: str) -> str:
    """Return the id of a question on the page: it shows nothing, and nobody else can use it.

    A pair's id comes from its texts and the names of its models, so it would unblind a vote. This
    is deterministic encryption with a synthetic IV (Rogaway and Shrimpton 2006).
    """
    plain = f"{PURPOSES.index(purpose)}{pair_id}".encode()
    tag = _mac(key, b"tag", annotator.encode(), plain)[:16]
    return (tag + _xor(plain, _mac(key, b"stream", tag))).hex()


def unseal(key: bytes, annotator: str, sealed: str) -> tuple[Purpose, str] | None:
    """Return the purpose and the pair's id, or None if the id is not this person's."""
    try:
        content = bytes.fromhex(sealed)
    except ValueError:
        return None
    tag, hidden = content[:16], content[16:]
    plain = _xor(hidden, _mac(key, b"stream", tag))
    if not hmac.compare_digest(tag, _mac(key, b"tag", annotator.encode(), plain)[:16]):
        return None
    text = plain.decode()
    return PURPOSES[int(text[0])], text[1:]


def _mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"\x1f".join(parts), hashlib.sha256).digest()


def _xor(text: bytes, seed: bytes) -> bytes:
    stream = hashlib.shake_256(seed).digest(len(text))
    return bytes(a ^ b for a, b in zip(text, stream, strict=True))

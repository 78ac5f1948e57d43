"""Which of a person's answers counts, when they use two devices and no clock can be trusted.

The devices number their events as the page does; the servers take them by the page's protocol.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from samples import BY_ID, PAIRS

from palate.core.ledger import NO_JUDGEMENT, compacted, standing_judgements
from palate.core.schema import Event
from palate.label.assignment import Question
from palate.web.ballot.event_parsing import Numbers, Shown, parse_event

QUESTIONS = [Question(p) for p in PAIRS[:2]]
KINDS = ("label", "label", "tie", "skip", "rewrite", "undo")
START = datetime(2026, 1, 1, tzinfo=UTC)
Said = tuple[int, dict[str, object]]  # the question, and the event as the page sends it


@dataclass
class Device:
    """Numbers events as `outbox.js` does, and remembers which it can take back."""

    name: str
    sequence: int = 0
    said: list[Said] = field(default_factory=list)
    answered: list[Said] = field(default_factory=list)

    def does(self, kind: str, question: int, choice: str) -> None:
        if kind == "undo":
            if not self.answered:
                return
            question, taken_back = self.answered.pop()
        self.sequence += 1
        raw = {"event_id": f"{self.name}-{len(self.said):07}", "kind": kind, "choice": choice}
        raw |= {"sequence": self.sequence, "text": f"Better, says {self.name} {len(self.said)}"}
        if kind == "undo":
            raw["target"] = taken_back["event_id"]
        else:
            self.answered.append((question, raw))
        self.said.append((question, raw))


class Server:
    """Takes events as a ballot does, with a clock of which each reading is drawn."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.numbers = Numbers()

    def take(self, said: Said, hours: int) -> None:
        number, raw = said
        if raw["event_id"] in self.events:
            return
        q = QUESTIONS[number]
        shown = Shown(q, BY_ID[q.pair.a], BY_ID[q.pair.b], "p-1")
        e = parse_event(raw, shown, self.events, 1, self.numbers.following("p-1"))
        time = (START + timedelta(hours=hours)).isoformat(timespec="milliseconds")
        self.events[e.event_id] = e = replace(e, time=time)
        self.numbers.note([e])


def meaning(events: list[Event]) -> dict[str, tuple[str, str | None]]:
    return {e.pair_id: (e.event_id, e.chosen) for e in standing_judgements(events)}


deeds = st.tuples(st.sampled_from(KINDS), st.integers(0, 1), st.sampled_from(["left", "right"]))
hours = st.integers(-9, 9)


@given(st.lists(st.tuples(st.integers(0, 1), deeds, hours), max_size=25))
def test_of_devices_that_take_turns_the_last_answer_counts(turns):
    devices, server = (Device("laptop"), Device("telephone")), Server()
    expected: dict[int, list[str]] = {0: [], 1: []}
    for which, deed, clock in turns:
        device = devices[which]
        device.sequence = max(device.sequence, server.numbers.highest("p-1"))  # when it is used
        count = len(device.said)
        device.does(*deed)
        for said in device.said[count:]:
            server.take(said, clock)
            question, raw = said
            if raw["kind"] == "undo":
                expected[question].remove(raw["target"])
            else:
                expected[question].append(raw["event_id"])
    stands = {e.pair_id: e.event_id for e in standing_judgements(server.events.values())}
    assert stands == {QUESTIONS[q].pair.id: ids[-1] for q, ids in expected.items() if ids}


@given(st.data())
def test_any_order_of_arrival_gives_the_same_answers(data):
    devices = (Device("laptop"), Device("telephone", data.draw(st.integers(0, 5))))
    for device in devices:
        for deed in data.draw(st.lists(deeds, max_size=10)):
            device.does(*deed)

    def arrive() -> list[Event]:
        """Let the events reach two servers in some order, and the ledger in another."""
        servers = Server(), Server()
        home = data.draw(st.permutations(servers))
        left = [list(d.said) for d in devices]
        while any(left):
            which = data.draw(st.sampled_from([i for i, said in enumerate(left) if said]))
            home[which].take(left[which].pop(0), data.draw(hours))
        for device in devices:  # a restart forgot what it was told: everything is sent again
            server = data.draw(st.sampled_from(servers))
            for said in device.said:
                server.take(said, data.draw(hours))
        return data.draw(st.permutations([e for s in servers for e in s.events.values()]))

    one, two = arrive(), arrive()
    assert meaning(one) == meaning(two) == meaning(compacted(one))
    for device in devices:  # a device's own order always holds
        undone = {raw.get("target") for _, raw in device.said}
        places = {raw["event_id"]: n for n, (_, raw) in enumerate(device.said)}
        for number, q in enumerate(QUESTIONS):
            own = [raw for n, raw in device.said if n == number and raw["kind"] not in NO_JUDGEMENT]
            standing = [raw["event_id"] for raw in own if raw["event_id"] not in undone]
            stands = meaning(one).get(q.pair.id, ("", None))[0]
            assert stands not in places or stands == standing[-1]
            assert stands or not standing

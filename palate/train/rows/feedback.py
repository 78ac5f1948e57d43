"""What language models say about train pairs, and how far people can rely on it.

Their answers are events via "judge" in ai/*.jsonl. Nothing that counts people, labels or votes
reads these files. Y. Bai et al., "Constitutional AI: Harmlessness from AI Feedback" (2022), and H.
Lee et al., "RLAIF" (2023), train on such answers; P. Verga et al., "Replacing Judges with Juries"
(2024), ask several models. Only `of_project` and `preferences` read a project.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from palate.core.errors import UsageError
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rates import Rate
from palate.core.schema import Event, Message, Preference, digest
from palate.label import agreement
from palate.label.preferences import disputes, judged
from palate.train.rows.data import Rows

MIN_SHARED = 20  # pairs that both answered: fewer say too little of the others
FOLDS = 5  # of the prompts: a panel's answer to one has its weights from the others
PANEL = "panel"  # who answered, in a row that several judges did


@dataclass(frozen=True)
class Feedback:
    """The answers of one judge, or of a panel, on train pairs, compared with people's."""

    judge: str
    events: Sequence[Event]  # its standing ones: labels, and ties where the order decided
    agreement: Rate  # on pairs that it and a person decided
    undecided: int  # pairs that a person decided and the judge called a tie

    @property
    def weight(self) -> float:
        """What its answer counts where a person's counts 1: 0 at chance, 1 if it always agrees."""
        return weight_of(self.agreement)

    @property
    def problem(self) -> str:
        """Why its answers are not used; empty where they are."""
        low, _ = self.agreement.interval or (0.0, 1.0)
        if self.agreement.n < MIN_SHARED:
            return f"--ai needs {MIN_SHARED} answers of people to compare with."
        if low <= 0.5:
            return "That is not shown to be more than chance, so its answers are not used."
        return ""

    def sentence(self) -> str:
        """Return how often it agrees with people."""
        undecided = (
            f" It decided neither way on {self.undecided:,} more that people decided."
            if self.undecided
            else ""
        )
        if not self.agreement.n:
            return (
                f"{self.judge} and people decided none of the same train pairs, so how far to trust"
                f" it is not known.{undecided}"
            )
        return (
            f"{self.judge} agrees with people on {self.agreement.words()} of the train pairs that"
            f" both decided.{undecided}"
        )


@dataclass(frozen=True)
class Panel:
    """All judges of a project, how they agree with each other, and what they say together."""

    judges: Sequence[Feedback]  # one or more, the first to answer first
    self_consistency: Rate  # of people, shown a pair again

    @property
    def used(self) -> list[Feedback]:
        """The judges whose answers are shown to be better than chance."""
        return [j for j in self.judges if not j.problem]

    @property
    def among(self) -> Rate:
        """How often two judges agree on a pair that both decided."""
        same, prompts = [], []
        for one, other in combinations([_labels(j.events) for j in self.judges], 2):
            for pair in sorted(one.keys() & other.keys()):
                same.append(one[pair].chosen == other[pair].chosen)
                prompts.append(one[pair].prompt_id)
        return Rate.of_pairings(same, prompts)

    @property
    def disputed(self) -> int:
        """How many pairs the judges answer differently."""
        return len(disputes(e for j in self.judges for e in j.events))

    def weights(self) -> dict[str, float]:
        """Return what each judge's answer counts, of those that are used."""
        return {j.judge: j.weight for j in self.used}

    def sentences(self, people: Sequence[Event]) -> list[str]:
        """Return how each judge, and all together, agree with people, and people with themselves.

        `people` are people's standing judgements.
        """
        same = self.self_consistency
        own = (
            f"People, shown a pair again, gave the same answer on {same.words()}."
            if same.n
            else "No pair was shown to a person twice, so how consistent people are is not known."
        )
        lines = [f"{j.sentence()} {j.problem}".strip() for j in self.judges]
        if len(self.judges) > 1:
            lines.append(self._among())
        if len(self.used) > 1:
            weights = ", ".join(f"{who} {w:g}" for who, w in self.weights().items())
            lines.append(f"Together, with weights {weights}: {together(self, people).sentence()}")
        return [*lines, own]

    def _among(self) -> str:
        among, n = self.among, count(len(self.judges), "judge")
        if not among.n:
            return f"No two of the {n} decided the same pair, so how far they agree is not known."
        return f"Two of the {n}, on a pair that both decided, agree on {among.words()}."


def weight_of(rate: Rate) -> float:
    return round(max(0.0, 2 * (rate.rate or 0.0) - 1), 2)


def _labels(events: Sequence[Event]) -> dict[str, Event]:
    return {e.pair_id: e for e in events if e.kind == "label"}


def of_project(project: Project) -> Panel | None:
    """Return what judges said, and how it compares with people; None where none said anything."""
    events = judged(project)
    names = dict.fromkeys(e.annotator for e in events)
    people = standing_judgements(project.labels)
    judges = []
    for name in names:
        own = [e for e in events if e.annotator == name]
        judges.append(Feedback(name, own, *compare(own, people)))
    same = agreement.report(project.labels, project.candidates).self_consistency
    return Panel(judges, same) if judges else None


def compare(judged: Sequence[Event], people: Sequence[Event]) -> tuple[Rate, int]:
    """Return how often a judge prefers what people prefer, and on how many pairs it decided not.

    The rate counts each person's answer on a pair; it is about other prompts like these.
    """
    by_pair = {e.pair_id: e for e in judged}
    shared = [(by_pair[e.pair_id], e) for e in people if e.kind == "label" and e.pair_id in by_pair]
    decided = [(j, e) for j, e in shared if j.kind == "label"]
    rate = Rate.of(
        [j.chosen == e.chosen for j, e in decided],
        [e.prompt_id for _, e in decided],
        [e.annotator for _, e in decided],
        chance=0.5,
    )
    return rate, len({e.pair_id for j, e in shared if j.kind != "label"})


def together(panel: Panel, people: Sequence[Event]) -> Feedback:
    """Return what the used judges say together, and how that agrees with people.

    Agreement is measured with weights from other prompts than the pair's, the answers have those
    of all prompts. Pure.
    """
    if len(panel.used) == 1:
        return panel.used[0]
    checked: list[Event] = []
    for fold in range(FOLDS):
        others = [e for e in people if _fold(e) != fold]
        weights = {j.judge: weight_of(compare(j.events, others)[0]) for j in panel.used}
        checked += [e for e, _ in voted(panel.used, weights) if _fold(e) == fold]
    events = [e for e, _ in voted(panel.used, panel.weights())]
    return Feedback("the panel", events, *compare(checked, people))


def _fold(e: Event) -> int:
    return int(digest("panel", e.prompt_id), 16) % FOLDS


def voted(judges: Sequence[Feedback], weights: Mapping[str, float]) -> list[tuple[Event, float]]:
    """Return for each pair what the judges say together, and the weight of that.

    The weight is the mean over the judges who answered, with a minus for those who prefer the other
    text and nothing for a tie. It is never above the greatest weight of a judge.
    """
    said: dict[str, list[Event]] = {}
    for judge in judges:
        for e in judge.events:
            said.setdefault(e.pair_id, []).append(e)
    rows = []
    for own in said.values():
        first, lead = own[0], 0.0
        for e in own:
            if e.kind == "label":
                lead += weights[e.annotator] * (1 if e.chosen == first.left else -1)
        weight = round(abs(lead) / len(own), 4)
        chosen = (first.left if lead > 0 else first.right) if weight else None
        kind = "label" if chosen else "tie"
        rows.append((replace(first, kind=kind, chosen=chosen), weight))
    return rows


def preferences(
    project: Project, judges: Sequence[Feedback], weights: Mapping[str, float]
) -> list[tuple[Preference, float]]:
    """Return what judges prefer on train pairs that no person judged, with the weight of that.

    The rows have the source "ai".
    """
    prompts = {p.id: p for p in project.prompts if p.split == "train"}
    texts = {c.id: c.text for c in project.candidates}
    by_people = {
        e.pair_id for e in standing_judgements(project.labels) if e.kind in agreement.JUDGED
    }
    who = judges[0].judge if len(judges) == 1 else PANEL
    return [
        (_preference(e, prompts[e.prompt_id].prompt, texts[better], texts[worse], who), weight)
        for e, weight in voted(judges, weights)
        if e.kind == "label" and e.prompt_id in prompts and e.pair_id not in by_people
        for better, worse, _ in e.statements()
        if better in texts and worse in texts
    ]


def _preference(e: Event, prompt: list[Message], better: str, worse: str, who: str) -> Preference:
    return Preference(
        prompt=prompt,
        chosen=[Message(role="assistant", content=better)],
        rejected=[Message(role="assistant", content=worse)],
        strength=None,
        margin=0.0,
        source="ai",
        annotator=who,
        pair_id=e.pair_id,
        prompt_id=e.prompt_id,
        round=e.round,
        aspect=e.aspect,
    )


def usable(project: Project) -> Panel:
    """Return the judges of a project. Raises UsageError where none can be relied on."""
    panel = of_project(project)
    command = f"palate judge {project.id} --labels --model OWNER/NAME"
    if panel is None:
        raise UsageError(f"No judge has answered train pairs of {project.id} yet. Ask: {command}")
    if not panel.used:
        newest = max(panel.judges, key=lambda j: j.events[-1].time)
        advice = (
            f"Have more pairs labelled with: palate label {project.id}, then run"
            if newest.agreement.n < MIN_SHARED
            else "Choose another judge"
        )
        raise UsageError(f"{newest.sentence()} {newest.problem} {advice}: {command}")
    return panel


def rows_line(rows: Rows[Preference], judged: Panel, asked: float | None) -> str:
    """Return how many training rows are a judge's, and what each counts, as `asked` if at all."""
    n, own = sum(r.source == "ai" for r in rows.train), [*rows.weights.values()]
    if not n:
        return "People's answers say all that judges answered, so --ai adds no training row."
    if own:
        return (
            f"{n:,} of {len(rows.train):,} training rows are answers of a panel of"
            f" {len(judged.used)} judges, with weights from {min(own):g} to {max(own):g} (the mean"
            " of the judges' own, less for those who prefer the other answer); a person's has 1."
        )
    who = judged.used[0].judge if len(judged.used) == 1 else f"{len(judged.used)} judges"
    weight = judged.used[0].weight if asked is None else asked
    why = "twice its agreement, less one" if asked is None else "as asked"
    return (
        f"{n:,} of {len(rows.train):,} training rows are answers of {who}, each with weight"
        f" {weight:g} ({why}); a person's has 1."
    )

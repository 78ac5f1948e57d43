"""What a language model says about train pairs, and how far people can rely on it.

Its answers are events via "judge" in ai/*.jsonl. Nothing that counts people, labels or votes reads
these files. Y. Bai et al., "Constitutional AI: Harmlessness from AI Feedback"
(2022), and H. Lee et al., "RLAIF" (2023), train on such answers. Only `of_project` reads a project.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.ledger import JUDGE, standing_judgements
from palate.core.project import Project
from palate.core.rates import Rate
from palate.core.schema import Event, Message, Preference
from palate.core.typed import read_file
from palate.label import agreement

FOLDER = "ai"
MIN_SHARED = 20  # pairs that both answered: fewer say too little of the others


@dataclass(frozen=True)
class Feedback:
    """The answers of one judge on train pairs, compared with people's."""

    judge: str
    events: Sequence[Event]  # its standing ones: labels, and ties where the order decided
    agreement: Rate  # on pairs that it and a person decided
    undecided: int  # pairs that a person decided and the judge called a tie
    self_consistency: Rate  # of people, shown a pair again

    @property
    def weight(self) -> float:
        """What its answer counts where a person's counts 1: 0 at chance, 1 if it always agrees."""
        return round(max(0.0, 2 * (self.agreement.rate or 0.0) - 1), 2)

    def sentence(self) -> str:
        """Return how often it agrees with people, and people with themselves."""
        undecided = (
            f" It decided neither way on {self.undecided:,} more that people decided."
            if self.undecided
            else ""
        )
        people = self.self_consistency
        own = (
            f"People, shown a pair again, gave the same answer on {people.words()}."
            if people.n
            else "No pair was shown to a person twice, so how consistent people are is not known."
        )
        if not self.agreement.n:
            return (
                f"{self.judge} and people decided none of the same train pairs, so how far to trust"
                f" it is not known.{undecided} {own}"
            )
        return (
            f"{self.judge} agrees with people on {self.agreement.words()} of the train pairs that"
            f" both decided.{undecided} {own}"
        )


def paths(project: Project) -> list[str]:
    return sorted(p for p in project.files if p.startswith(f"{FOLDER}/") and p.endswith(".jsonl"))


def read_judged(project: Project) -> list[Event]:
    """Return the standing answers of all judges on train prompts, in time order."""
    files = paths(project)
    local = hub.fetch(project.id, "dataset", project.revision, files) if files else []
    events = [
        e
        for path, file in zip(files, local, strict=True)
        for e in read_file(Event, file, f"{project.id}/{path}")
    ]
    train = {p.id for p in project.prompts if p.split == "train"}
    return [e for e in standing_judgements(events) if e.via == JUDGE and e.prompt_id in train]


def of_project(project: Project, judge: str | None = None) -> Feedback | None:
    """Return what a judge said, and how it compares with people; None where no judge said anything.

    Without a name it is the one that answered last.
    """
    events = read_judged(project)
    if judge is None:
        judge = events[-1].annotator if events else None
    own = [e for e in events if e.annotator == judge]
    if judge is None or not own:
        return None
    people = standing_judgements(project.labels)
    rate, undecided = compare(own, people)
    return Feedback(
        judge,
        own,
        rate,
        undecided,
        agreement.report(project.labels, project.candidates).self_consistency,
    )


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


def preferences(project: Project, feedback: Feedback) -> list[Preference]:
    """Return the judge's preferences on train pairs that no person judged, with the source "ai"."""
    prompts = {p.id: p for p in project.prompts if p.split == "train"}
    texts = {c.id: c.text for c in project.candidates}
    by_people = {
        e.pair_id for e in standing_judgements(project.labels) if e.kind in agreement.JUDGED
    }
    return [
        Preference(
            prompt=prompts[e.prompt_id].prompt,
            chosen=[Message(role="assistant", content=texts[better])],
            rejected=[Message(role="assistant", content=texts[worse])],
            strength=None,
            margin=0.0,
            source="ai",
            annotator=feedback.judge,
            pair_id=e.pair_id,
            prompt_id=e.prompt_id,
            round=e.round,
        )
        for e in feedback.events
        if e.kind == "label" and e.prompt_id in prompts and e.pair_id not in by_people
        for better, worse, _ in e.statements()
        if better in texts and worse in texts
    ]


def usable(project: Project) -> Feedback:
    """Return the newest judge's feedback. Raises UsageError where it cannot be relied on."""
    feedback = of_project(project)
    command = f"palate judge {project.id} --labels --model OWNER/NAME"
    if feedback is None:
        raise UsageError(f"No judge has answered train pairs of {project.id} yet. Ask: {command}")
    low, _ = feedback.agreement.interval or (0.0, 1.0)
    if feedback.agreement.n < MIN_SHARED:
        raise UsageError(
            f"{feedback.sentence()} --ai needs {MIN_SHARED} answers of people to compare with. Have"
            f" more pairs labelled with: palate label {project.id}, then run: {command}"
        )
    if low <= 0.5:
        raise UsageError(
            f"{feedback.sentence()} That is not shown to be more than chance, so its answers are"
            f" not used. Choose another judge: {command}"
        )
    return feedback

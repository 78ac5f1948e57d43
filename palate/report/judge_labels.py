"""A language model answers train pairs: its events go to the project, under ai/."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console

from palate.core import hub, ledger
from palate.core.errors import PalateError, UsageError
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.rounds import in_aspect
from palate.core.schema import Event, Pair, digest, pairs_of
from palate.evaluate.contest import Comparison
from palate.evaluate.judging import Answer
from palate.label.preferences import judged
from palate.train.rows import feedback

MOST_ONE_SIDED = 0.8  # of the pairs with readable replies: beyond it, the order decides
MAX_UNREADABLE = 0.2
MIN_CHECKED = 10  # pairs: a fair judge may say A in both orders on all of a few


def train_pairs(project: Project, judge: str | None = None) -> list[Pair]:
    """Return the train pairs to ask about: those that people decided first, then the others.

    Those that `judge` has answered are not among them. Raises UsageError where there is no pair.
    """
    train = {p.id for p in project.prompts if p.split == "train"}
    decided = {e.pair_id for e in ledger.standing_judgements(project.labels) if e.kind == "label"}
    pairs = pairs_of(c for c in project.candidates if c.prompt_id in train)
    pairs.sort(key=lambda p: (p.id not in decided, digest("judge", p.id)))
    if not pairs:
        raise UsageError(
            f"No train prompt of {project.id} has two different answers to compare. Write some:"
            f" palate candidates {project.id}"
        )
    answered = {e.pair_id for e in judged(project) if e.annotator == judge}
    return [p for p in pairs if p.id not in answered]


def question_of(project: Project) -> str:
    """Return what people are asked about a pair, in the project's aspect."""
    question = project.settings.question
    return f"{question} Judge this aspect alone: {project.aspect}." if project.aspect else question


def comparisons(project: Project, pairs: Sequence[Pair]) -> list[Comparison]:
    """Return the pairs with their texts; the first answer takes the place of the base model's."""
    prompts = {p.id: p.text for p in project.prompts}
    texts = {c.id: c.text for c in project.candidates}
    return [
        Comparison(p.id, p.prompt_id, prompts[p.prompt_id], texts[p.a], texts[p.b]) for p in pairs
    ]


def events_of(
    judge: str,
    pairs: Sequence[Pair],
    answers: Mapping[str, Sequence[Answer | None]],
    number: int,
    time: str,
    aspect: str | None = None,
) -> list[Event]:
    """Return the judge's events: a label where both orders name the same answer, else a tie.

    `answers` are by pair: with b first, with a first. A pair with an unreadable reply has none.
    Raises PalateError for a judge whose replies follow the order, or cannot be read.
    """
    check(judge, len(pairs), [answers[p.id] for p in pairs])
    readable = [p for p in pairs if None not in answers[p.id]]
    events = []
    for p in readable:
        first, second = answers[p.id]
        chosen = {("A", "B"): p.b, ("B", "A"): p.a}.get((str(first), str(second)))
        events.append(
            Event(
                event_id=digest(ledger.JUDGE, judge, p.id, number, *([aspect] if aspect else [])),
                kind="label" if chosen else "tie",
                pair_id=p.id,
                prompt_id=p.prompt_id,
                left=p.a,
                right=p.b,
                chosen=chosen,
                strength=None,
                annotator=judge,
                milliseconds=None,
                time=time,
                round=number,
                via=ledger.JUDGE,
                aspect=aspect,
            )
        )
    return events


def check(judge: str, asked: int, given: Iterable[Sequence[Answer | None]]) -> None:
    """Raise PalateError for a judge that says nothing; `given` are both orders' replies."""
    answers = [tuple(pair) for pair in given if None not in pair]
    if asked - len(answers) > MAX_UNREADABLE * asked:
        raise PalateError(
            f"The replies of {judge} on {asked - len(answers):,} of {count(asked, 'pair')} were"
            " neither A nor B nor tie, so it cannot judge. Choose a larger or an instruction-tuned"
            " model."
        )
    for side in ("A", "B") if len(answers) >= MIN_CHECKED else ():
        same = sum(pair == (side, side) for pair in answers)
        if same > MOST_ONE_SIDED * len(answers):
            raise PalateError(
                f"{judge} said {side} in both orders on {same:,} of {count(len(answers), 'pair')}:"
                " it follows the order, not the answers. Nothing was kept. Choose another --model."
            )
    if len(answers) >= MIN_CHECKED and all(pair == ("tie", "tie") for pair in answers):
        raise PalateError(
            f"{judge} called all {count(len(answers), 'pair')} a tie, which says nothing. Choose"
            " another --model."
        )


def keep(console: Console, project: Project, judge: str, events: Sequence[Event]) -> None:
    """Commit the judge's new events, and print how far it agrees with people."""
    if events:
        path = ledger.event_file("labels").replace("labels", ledger.AI_FOLDER, 1)
        message = f"Add {count(len(events), 'answer')} of a judge"
        hub.commit(project.id, "dataset", {path: ledger.jsonl(events)}, message)
    fresh = in_aspect(Project.load(project.id), project.aspect)
    panel = feedback.of_project(fresh)
    assert panel
    said = next(j for j in panel.judges if j.judge == judge)
    ties = sum(e.kind == "tie" for e in said.events)
    more = feedback.preferences(fresh, [said], {judge: 1.0})
    console.print(
        f"{judge} answered {count(len(said.events), 'train pair')}: {count(ties, 'tie')},"
        f" {count(len(more), 'preference')} on pairs that no person judged."
    )
    for line in panel.sentences(ledger.standing_judgements(fresh.labels)):
        console.print(line, markup=False)
    if panel.disputed and fresh.settings.strategy != "disputed":
        console.print(
            f"Judges answer {count(panel.disputed, 'pair')} differently. To have people asked about"
            ' these first, set strategy = "disputed" in palate.toml.'
        )
    # without such pairs it has nothing to add to what people said
    following = f"train {project.id} --ai" if more else f"candidates {project.id}"
    following += f" --aspect {project.aspect}" if more and project.aspect else ""
    console.print(f"Next: palate {following}")

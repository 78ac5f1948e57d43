"""A language model votes on the pairs of the blind comparison, or answers train pairs."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.core import hub, ledger
from palate.core.errors import PalateError, UsageError
from palate.core.paths import replace
from palate.core.project import Project
from palate.core.rounds import check_aspect, in_aspect
from palate.core.schema import Message, model_of
from palate.evaluate import judging
from palate.evaluate.config import JudgeArguments
from palate.evaluate.contest import Comparison, EvaluationPairs, comparisons
from palate.evaluate.judging import Answer
from palate.evaluate.loading import pairs_to_compare
from palate.report import judge_labels, judges, principles
from palate.report.judges import REPLY_TOKENS, SECOND_TOKENS, Ask
from palate.report.model_card import push_model_card
from palate.terminal.console import PlainConsole
from palate.terminal.progress import Progress
from palate.train.job import RunDir

MAX_UNREADABLE = 0.2  # share of the replies: beyond it, the model does not follow the instructions
Answers = dict[str, list[Answer | None]]  # by pair: with the tuned answer first, with it second
Question = tuple[str, bool]  # a pair's id, and whether the tuned answer comes first


def judge_pairs(args: JudgeArguments) -> None:
    """Ask the judge about every pair in both orders; commit the figures and renew the card."""
    judges.check(args)
    console = PlainConsole()
    project = Project.load(args.project)
    check_aspect(project, args.aspect)
    project = in_aspect(project, args.aspect)
    if args.labels or args.principles:
        (label_pairs if args.labels else propose_principles)(console, project, args)
        return
    compared = pairs_to_compare(project)
    texts = comparisons(compared, project.prompts, project.candidates)[: args.pairs]
    if not texts:
        raise UsageError("Base and tuned model wrote the same text for every prompt.")
    name, ask = judges.judge_of(args)
    models = vars(compared.base), vars(compared.tuned)
    work = RunDir("judge", project.id, name, *models, *_aspect(project))
    answers = ask_all(console, messages_of(project, texts), name, ask, work)
    publish(console, project, compared, texts, name, answers)
    work.remove()


def label_pairs(console: Console, project: Project, args: JudgeArguments) -> None:
    """Let the judge answer train pairs, and keep what it said."""
    judge_labels.train_pairs(project)  # refuses a project without any, before a model is loaded
    name, ask = judges.judge_of(args)
    pairs = judge_labels.train_pairs(project, name)[: args.pairs]
    if not pairs:
        console.print(f"{name} has answered every train pair. Nothing is asked again.")
        judge_labels.keep(console, project, name, [])
        return
    texts = judge_labels.comparisons(project, pairs)
    number = project.settings.round
    work = RunDir("judge labels", project.id, name, number, *_aspect(project))
    answers = ask_all(console, messages_of(project, texts), name, ask, work)
    said = number, ledger.now(), project.aspect
    events = judge_labels.events_of(name, pairs, answers, *said)
    judge_labels.keep(console, project, name, events)
    work.remove()


def propose_principles(console: Console, project: Project, args: JudgeArguments) -> None:
    """Let the judge propose rules from some train labels, and test them on others."""
    examples, labels = principles.labels_of(project)
    labels = labels[: args.pairs or principles.TESTS]
    name, ask = judges.judge_of(args)
    work = RunDir("principles", project.id, project.revision, name, len(labels), *_aspect(project))
    work.hold()
    rules = principles.proposed(console, project, examples, ask, work)
    messages = principles.questions(project, rules, labels)
    answers = ask_all(console, messages, name, ask, work)
    judge_labels.check(name, len(answers), answers.values())
    results = [principles.tested(rule, labels, answers) for rule in rules]
    principles.keep(console, project, name, results, len(examples))
    work.remove()


def ask_all(
    console: Console,
    messages: Mapping[Question, list[Message]],
    name: str,
    ask: Ask,
    work: RunDir,
) -> Answers:
    """Ask about every pair in both orders; replies are kept in `work`, so that it can continue."""
    work.hold()
    file = work.path / "replies.json"  # every reply as it comes: some are paid for
    replies: dict[str, Answer | None] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    todo = [q for q in messages if _key(q) not in replies]
    pairs = dict.fromkeys(pair for pair, _ in messages)
    console.print(
        f"{name}: {len({pair for pair, _ in todo}):,} of {len(pairs):,} pairs to judge, each in"
        " both orders"
    )
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(todo))
        for question, answer in answers_to(todo, messages, ask):
            replies[_key(question)] = answer
            replace(file, json.dumps(replies))
            bar.advance(task)
    return {pair: [replies[_key((pair, first))] for first in (True, False)] for pair in pairs}


def _aspect(project: Project) -> list[str]:
    return [project.aspect] if project.aspect else []


def _key(question: Question) -> str:
    pair, tuned_first = question
    return f"{pair} {'tuned' if tuned_first else 'base'} first"


def messages_of(project: Project, texts: Sequence[Comparison]) -> dict[Question, list[Message]]:
    """Return what the judge is asked about each pair, in both orders."""
    question, rules = judge_labels.question_of(project), project.guidelines
    return {
        (c.pair_id, first): judging.messages(c, question, rules, tuned_first=first)
        for c in texts
        for first in (True, False)
    }


def answers_to(
    todo: Sequence[Question], messages: Mapping[Question, list[Message]], ask: Ask
) -> Iterator[tuple[Question, Answer | None]]:
    """Yield the answer to each question; what cannot be read is asked again, with more room."""
    unread = []
    for question, reply in zip(todo, ask([messages[q] for q in todo], REPLY_TOKENS), strict=True):
        answer = judging.parse_reply(reply.text, is_whole=reply.ended)
        if answer is None:
            unread.append(question)
        else:
            yield question, answer
    again = ask([messages[q] for q in unread], SECOND_TOKENS)
    for question, reply in zip(unread, again, strict=True):
        yield question, judging.parse_reply(reply.text, is_whole=reply.ended)


def publish(
    console: Console,
    project: Project,
    compared: EvaluationPairs,
    texts: Sequence[Comparison],
    name: str,
    answers: Answers,
) -> None:
    """Count, compare with the people's votes, commit judge.json and renew the card.

    Raises PalateError if too few replies could be read.
    """
    tuned = {c.id for c in project.candidates if model_of(c) == compared.tuned}
    given = {c.pair_id: answers[c.pair_id] for c in texts}
    votes = ledger.standing_judgements(project.evaluations)
    report = judging.summary(name, compared, given, texts, votes, tuned)
    report = dataclasses.replace(report, aspect=project.aspect)
    if report.unreadable > MAX_UNREADABLE * 2 * len(texts):
        raise PalateError(
            f"{report.unreadable:,} of {2 * len(texts):,} replies of {name} were neither A nor"
            " B nor tie, so it cannot judge. Choose a larger or an instruction-tuned model."
        )
    text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
    if hub.exists(project.model_repo, "model"):
        hub.commit(project.model_repo, "model", {"judge.json": text}, "Add a judge's figures")
        if "run.json" in hub.describe(project.model_repo, "model")[1]:
            push_model_card(project.id)
    console.print(report.sentence())

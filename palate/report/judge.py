"""A language model votes on the pairs of the blind comparison, and the model's card says how."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.core import hub, ledger
from palate.core.errors import PalateError, UsageError
from palate.core.paths import replace
from palate.core.project import Project
from palate.core.schema import model_of
from palate.evaluate import judging
from palate.evaluate.config import JudgeArguments
from palate.evaluate.contest import Comparison, EvaluationPairs, comparisons
from palate.evaluate.judging import Answer
from palate.evaluate.loading import pairs_to_compare
from palate.report import judges
from palate.report.judges import Ask
from palate.report.model_card import push_model_card
from palate.terminal.progress import Progress
from palate.train.job import RunDir

MAX_UNREADABLE = 0.2  # share of the replies: beyond it, the model does not follow the instructions
PAIRS_PER_SAVE = 8

Answers = dict[str, list[Answer | None]]  # by pair: with the tuned answer first, with it second


def judge_pairs(args: JudgeArguments) -> None:
    """Ask the judge about every pair in both orders; commit the figures and renew the card."""
    judges.check(args)
    console = Console(highlight=False, soft_wrap=True)
    project = Project.load(args.project)
    compared = pairs_to_compare(project)
    texts = comparisons(compared, project.prompts, project.candidates)[: args.pairs]
    if not texts:
        raise UsageError("Base and tuned model wrote the same text for every prompt.")
    name, ask = judges.judge_of(args)
    work = RunDir("judge", project.id, name, vars(compared.base), vars(compared.tuned))
    file = work.path / "answers.json"
    answers: Answers = json.loads(file.read_text("utf-8")) if file.exists() else {}
    todo = [c for c in texts if c.pair_id not in answers]
    console.print(f"{name}: {len(todo):,} of {len(texts):,} pairs to judge, each in both orders")
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(todo))
        for start in range(0, len(todo), PAIRS_PER_SAVE):
            batch = todo[start:][:PAIRS_PER_SAVE]
            answers |= answers_on(project, batch, ask)
            replace(file, json.dumps(answers))
            bar.advance(task, len(batch))
    publish(console, project, compared, texts, name, answers)
    work.remove()


def answers_on(project: Project, texts: Sequence[Comparison], ask: Ask) -> Answers:
    """Return the judge's answers by pair: with the tuned answer first, with it second."""
    question, rules = project.settings.question, project.guidelines
    messages = [
        judging.messages(c, question, rules, tuned_first=first)
        for c in texts
        for first in (True, False)
    ]
    answers = [judging.parse_reply(reply) for reply in ask(messages)]
    return {c.pair_id: answers[2 * i : 2 * i + 2] for i, c in enumerate(texts)}


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

"""A language model votes on the pairs of the blind comparison, and the model's card says how."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.core import hub, ledger
from palate.core.errors import PalateError, UsageError
from palate.core.paths import replace
from palate.core.progress import Progress
from palate.core.project import Project
from palate.core.schema import model_of
from palate.evaluate import judges, judging
from palate.evaluate.config import JudgeArguments
from palate.evaluate.contest import Contest, contest
from palate.evaluate.judges import Ask
from palate.evaluate.judging import Answer, Bout
from palate.report import cards
from palate.train.workdir import WorkDir

MAX_UNREADABLE = 0.2  # share of the replies: beyond it, the model does not follow the instructions
PAIRS_PER_SAVE = 8

Answers = dict[str, list[Answer | None]]  # by pair: with the tuned answer first, with it second


def judge_pairs(args: JudgeArguments) -> None:
    """Ask the judge about every pair in both orders; commit the figures and renew the card."""
    judges.check(args)
    console = Console(highlight=False, soft_wrap=True)
    project = Project.load(args.project)
    contested = contest(project)
    bouts = bouts_of(project, contested)[: args.pairs]
    if not bouts:
        raise UsageError("Base and tuned model wrote the same text for every prompt.")
    name, ask = judges.judge_of(args)
    work = WorkDir("judge", project.id, name, vars(contested.base), vars(contested.tuned))
    file = work.path / "answers.json"
    answers: Answers = json.loads(file.read_text("utf-8")) if file.exists() else {}
    todo = [b for b in bouts if b.pair_id not in answers]
    console.print(f"{name}: {len(todo):,} of {len(bouts):,} pairs to judge, each in both orders")
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(todo))
        for start in range(0, len(todo), PAIRS_PER_SAVE):
            batch = todo[start:][:PAIRS_PER_SAVE]
            answers |= answers_on(project, batch, ask)
            replace(file, json.dumps(answers))
            bar.advance(task, len(batch))
    publish(console, project, contested, bouts, name, answers)
    work.remove()


def bouts_of(project: Project, contested: Contest) -> list[Bout]:
    """Return the pairs to judge, with their texts."""
    prompts = {p.id: p.text for p in project.prompts}
    candidates = {c.id: c for c in project.candidates}
    bouts = []
    for pair in contested.pairs:
        base, tuned = sorted(
            (candidates[pair.a], candidates[pair.b]), key=lambda c: model_of(c) == contested.tuned
        )
        text = prompts[pair.prompt_id]
        bouts.append(Bout(pair.id, pair.prompt_id, text, base.text, tuned.text))
    return bouts


def answers_on(project: Project, bouts: Sequence[Bout], ask: Ask) -> Answers:
    """Return the judge's answers by pair: with the tuned answer first, with it second."""
    question, rules = project.settings.question, project.guidelines
    messages = [
        judging.messages(b, question, rules, tuned_first=first)
        for b in bouts
        for first in (True, False)
    ]
    answers = [judging.read(reply) for reply in ask(messages)]
    return {b.pair_id: answers[2 * i : 2 * i + 2] for i, b in enumerate(bouts)}


def publish(
    console: Console,
    project: Project,
    contested: Contest,
    bouts: Sequence[Bout],
    name: str,
    answers: Answers,
) -> None:
    """Count, compare with the people's votes, commit judge.json and renew the card.

    Raises PalateError if too few replies could be read.
    """
    tuned = {c.id for c in project.candidates if model_of(c) == contested.tuned}
    of_bouts = {b.pair_id: answers[b.pair_id] for b in bouts}
    votes = ledger.standing_judgements(project.evaluations)
    summary = judging.summary(of_bouts, bouts, votes, tuned)
    if summary["unreadable"] > MAX_UNREADABLE * 2 * len(bouts):
        raise PalateError(
            f"{summary['unreadable']:,} of {2 * len(bouts):,} replies of {name} were neither A nor"
            " B nor tie, so it cannot judge. Choose a larger or an instruction-tuned model."
        )
    compared = {"base": vars(contested.base), "tuned": vars(contested.tuned)}
    record = {"judge": name, **compared, **summary}
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if hub.exists(project.model_repo, "model"):
        hub.commit(project.model_repo, "model", {"judge.json": text}, "Add a judge's figures")
        if "run.json" in hub.describe(project.model_repo, "model")[1]:
            cards.push_model_card(project.id)
    console.print(judging.sentence({"judge": name, **summary}))

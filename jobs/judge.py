# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "palate",
#   "accelerate>=1.0,<2",
#   "peft>=0.17,<1",
#   "torch>=2.6,<3",
#   "transformers>=4.56.2,<6",
# ]
# [tool.uv.sources]
# palate = { path = "..", editable = true }
# ///
"""Let a language model vote on the pairs of the blind comparison, beside the people.

It is asked in both orders, and answers that change with the order count as ties. Its figures go to
judge.json in the model's repo, together with how far it agrees with the people; the card never
shows the one without the other. Run it again and it continues.

    python jobs/judge.py me/titles --model Qwen/Qwen2.5-7B-Instruct
    python jobs/judge.py me/titles --model some-model --endpoint http://127.0.0.1:8000/v1
    python jobs/judge.py me/titles --model Qwen/Qwen2.5-72B-Instruct --provider auto

The second asks any OpenAI-compatible server, with the key in JUDGE_API_KEY; the third Hugging
Face's Inference Providers, with your Hub token.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from palate.core import hub, ledger
from palate.core.errors import PalateError, UsageError
from palate.core.progress import Progress
from palate.core.project import Project
from palate.core.schema import Message, model_of
from palate.evaluate import judging
from palate.evaluate.contest import Contest, contest
from palate.evaluate.judging import Answer, Bout
from palate.generate import models
from palate.generate.generation import Sampling, complete
from palate.report import cards
from palate.run.local import run_main
from palate.train.workdir import WorkDir

MOST_UNREADABLE = 0.2  # of the answers: beyond, the model does not do what it is asked
SAVE_EVERY = 8  # pairs
Ask = Callable[[Sequence[list[Message]]], list[str]]


@dataclass(frozen=True)
class Arguments:
    project: tyro.conf.Positional[str]
    """The project, such as me/titles."""
    model: str
    """The judge: a model repo, owner/name[@revision], or the name that the endpoint knows."""
    endpoint: str | None = None
    """The address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1."""
    provider: str | None = None
    """An Inference Provider of Hugging Face, or auto; the model runs here unless one is named."""
    pairs: int | None = None
    """How many pairs to judge; all unless given."""
    batch_size: int = 8
    """Answers written at once by a model that runs here."""


def main(args: Arguments) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if args.endpoint and args.provider:
        raise UsageError("Name an --endpoint or a --provider, not both.")
    project = Project.load(args.project)
    contested = contest(project)
    bouts = bouts_of(project, contested)[: args.pairs]
    if not bouts:
        raise UsageError("Base and tuned model wrote the same everywhere: nothing to judge.")
    name, ask = remote(args) if args.endpoint or args.provider else local(args)
    work = WorkDir("judge", project.id, name, vars(contested.base), vars(contested.tuned))
    file = work.path / "answers.json"
    answers = json.loads(file.read_text("utf-8")) if file.exists() else {}
    left = [b for b in bouts if b.pair_id not in answers]
    console.print(f"{name}: {len(left):,} of {len(bouts):,} pairs to judge, each in both orders")
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(left))
        for start in range(0, len(left), SAVE_EVERY):
            some = left[start : start + SAVE_EVERY]
            answers |= judged(project, some, ask)
            scratch = file.with_suffix(".tmp")
            scratch.write_text(json.dumps(answers), "utf-8")
            scratch.replace(file)
            bar.advance(task, len(some))
    finish(console, project, contested, bouts, name, answers)
    work.remove()


def bouts_of(project: Project, contested: Contest) -> list[Bout]:
    prompts = {p.id: p.text for p in project.prompts}
    candidates = {c.id: c for c in project.candidates}
    found = []
    for pair in contested.pairs:
        base, tuned = sorted(
            (candidates[pair.a], candidates[pair.b]), key=lambda c: model_of(c) == contested.tuned
        )
        text = prompts[pair.prompt_id]
        found.append(Bout(pair.id, pair.prompt_id, text, base.text, tuned.text))
    return found


def judged(project: Project, bouts: Sequence[Bout], ask: Ask) -> dict[str, list[Answer | None]]:
    """Return the answers on each pair: with tuned first, with base first."""
    question, rules = project.settings.question, project.guidelines
    asked = [
        judging.messages(b, question, rules, tuned_first=first)
        for b in bouts
        for first in (True, False)
    ]
    said = [judging.read(reply) for reply in ask(asked)]
    return {b.pair_id: said[2 * i : 2 * i + 2] for i, b in enumerate(bouts)}


def local(args: Arguments) -> tuple[str, Ask]:
    """Return the judge's name and how to ask a model that runs here."""
    source = models.find(args.model)
    loaded = models.load(source)
    likeliest = Sampling(temperature=1e-4, max_new_tokens=6)

    def ask(asked: Sequence[list[Message]]) -> list[str]:
        said = []
        for start in range(0, len(asked), args.batch_size):
            some = asked[start : start + args.batch_size]
            said += [c.text for c in complete(loaded, some, [0] * len(some), likeliest)]
        return said

    return f"{source.repo} at {source.revision[:7]}", ask


def remote(args: Arguments) -> tuple[str, Ask]:
    """Return the judge's name and how to ask it over the network."""
    from huggingface_hub import InferenceClient
    from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

    if args.endpoint:
        key = os.environ.get("JUDGE_API_KEY") or "none"
        client = InferenceClient(base_url=args.endpoint, api_key=key, timeout=120)
    else:
        client = InferenceClient(provider=args.provider, timeout=120)  # ty: ignore

    def ask(asked: Sequence[list[Message]]) -> list[str]:
        said = []
        for each in asked:
            try:
                reply = client.chat_completion(
                    list(each), model=args.model, max_tokens=6, temperature=0.0, seed=0
                )
            except (HfHubHTTPError, InferenceTimeoutError, OSError) as error:
                where = args.endpoint or f"provider {args.provider}"
                raise PalateError(
                    f"The judge at {where} does not answer: {str(error)[:300]}. What it said so far"
                    " is kept; run the same command again to continue."
                ) from error
            said.append(reply.choices[0].message.content or "")
        return said

    return f"{args.model} at {args.endpoint or args.provider}", ask


def finish(
    console: Console,
    project: Project,
    contested: Contest,
    bouts: Sequence[Bout],
    name: str,
    answers: dict[str, list[Answer | None]],
) -> None:
    """Count, compare with the people, and put it beside the weights and onto the card."""
    tuned = {c.id for c in project.candidates if model_of(c) == contested.tuned}
    ours = {b.pair_id: answers[b.pair_id] for b in bouts}
    votes = ledger.standing_judgements(project.evaluations)
    found = judging.summary(ours, bouts, votes, tuned)
    if found["unreadable"] > MOST_UNREADABLE * 2 * len(bouts):
        raise PalateError(
            f"{name} said neither A nor B nor tie in {found['unreadable']:,} of {2 * len(bouts):,}"
            " answers, so it is no judge. Choose a larger or an instruction-tuned model."
        )
    models_ = {"base": vars(contested.base), "tuned": vars(contested.tuned)}
    text = json.dumps({"judge": name, **models_, **found}, indent=2, ensure_ascii=False) + "\n"
    if hub.exists(project.model_repo, "model"):
        hub.commit(project.model_repo, "model", {"judge.json": text}, "Add what a judge says")
        if "run.json" in hub.describe(project.model_repo, "model")[1]:
            cards.push_model_card(project.id)
    console.print(judging.sentence({"judge": name, **found}))


if __name__ == "__main__":
    sys.exit(run_main(main, Arguments, __doc__))

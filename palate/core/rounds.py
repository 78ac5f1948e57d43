"""A project's rounds: which model each has, which model writes, which eval prompts are fresh.

Also the words that a model wants after each prompt; votes in the wild, whose prompts the next round
may take; a project in one of its aspects; which files decide what people are asked; and
`with_setting`, by which a round begins and an owner changes a setting.
"""

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Literal, TypeVar

from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.ledger import AI_FOLDER, PEOPLE_FILE, standing_judgements
from palate.core.project import (
    GOLD_FILE,
    GUIDELINES_FILE,
    REWARD_FILE,
    SETTINGS_FILE,
    Project,
    Settings,
)
from palate.core.schema import Candidate, Event, Message, Model, Pair, Prompt

R = TypeVar("R", Prompt, Candidate)
MOST_WORDS = 200  # of a condition, in characters


def round_tag(number: int) -> str:
    """Return the tag of a model that was trained in the round."""
    return f"round-{number}"


def trained_in(project: Project, number: int) -> str | None:
    """Return the commit of the model that was trained in a round, or None."""
    return hub.tags(project.model_repo, "model").get(round_tag(number))


def newest_model(project: Project) -> str:
    """Return this round's model by its tag: commits to the card move main.

    Raises UsageError, which names the model of an earlier round, where this one has none yet.
    """
    number, repo = project.settings.round, project.model_repo
    trained = hub.tags(repo, "model")
    if round_tag(number) in trained:
        return f"{repo}@{round_tag(number)}"
    train = f"Train it with: palate train {project.id}"
    earlier = [n for n in range(1, number) if round_tag(n) in trained]
    if not earlier:
        raise UsageError(f"There is no model {repo} yet. {train}")
    raise UsageError(
        f"Round {number} of {project.id} has no trained model yet. {train}. To take the newest"
        f" there is: --model {repo}@{round_tag(earlier[-1])}"
    )


def writer_of(project: Project) -> str:
    """Return the model that writes this round's candidates: the last round's, or the base model."""
    last = project.settings.round - 1
    if last < 1 or trained_in(project, last) is None:
        return project.settings.base_model
    return f"{project.model_repo}@{round_tag(last)}"


def condition_of(run: object, source: object) -> str:
    """Return the words after each prompt that a model's run.json asks for; most ask for none.

    Raises BadInput for anything but a short text.
    """
    words = run.get("condition", "") if isinstance(run, dict) else ""
    if not isinstance(words, str) or len(words) > MOST_WORDS:
        problem = f"expected a text of at most {MOST_WORDS} characters"
        raise BadInput(source, problem, field="condition")
    return words


def asked(prompt: list[Message], condition: str) -> list[Message]:
    """Return the prompt as a model with this condition is asked: the words end its last message."""
    if not condition:
        return prompt
    last = prompt[-1]
    content = f"{last['content']}\n\n{condition}"
    return [*prompt[:-1], Message(role=last["role"], content=content)]


def fresh_eval(project: Project) -> list[Prompt]:
    """Return the eval prompts that nobody voted on in an earlier round, in whichever aspect.

    A verdict on prompts that chose what came after would flatter it.
    """
    number = project.settings.round
    votes = project.people.counted(project.read("evaluations"))
    used = {e.prompt_id for e in votes if e.round < number}
    return [p for p in project.prompts if p.split == "eval" and p.id not in used]


def wild_vote(
    event_id: str,
    sides: Sequence[Model],
    better: int,
    prompt: str | None,
    *,
    annotator: str,
    time: str,
    number: int,
    blind: bool,
) -> Event:
    """Return what somebody preferred who tried two models, `sides` as they saw them.

    It names the models, not their answers. Without the person's consent `prompt` is None, and
    nothing in the event depends on it.
    """
    prompt_id = Prompt.of(prompt).id if prompt else secrets.token_hex(8)
    left, right = (_unseen(prompt_id, model) for model in sides)
    return Event(
        event_id=event_id,
        kind="label",
        pair_id=Pair.between(prompt_id, left, right).id,
        prompt_id=prompt_id,
        left=left,
        right=right,
        chosen=(left, right)[better],
        strength=None,
        annotator=annotator,
        milliseconds=None,
        time=time,
        round=number,
        via="try blind" if blind else "try",
        comment=prompt,
        purpose="wild",
    )


def _unseen(prompt_id: str, model: Model) -> str:
    """Return the id of a model's answer whose text nobody keeps."""
    return Candidate.of(prompt_id, "", model=model.repo, revision=model.revision).id


def wild_wins(votes: Iterable[Event], models: Iterable[Model]) -> Counter[Model]:
    """Return how many votes in the wild chose each of the models; 0 for one that lost them all."""
    models, wins = set(models), Counter[Model]()
    for vote in {e.event_id: e for e in votes}.values():
        ids = {_unseen(vote.prompt_id, model): model for model in models}
        wins.update(
            {ids[side]: side == vote.chosen for side in (vote.left, vote.right) if side in ids}
        )
    return wins


def offered(project: Project) -> list[Prompt]:
    """Return the prompts that people gave with a vote in the wild, and that the project lacks."""
    votes = project.people.counted(project.read("wild"))
    known = {p.id for p in project.prompts}
    prompts = {p.id: p for e in votes if e.comment for p in [Prompt.of(e.comment)]}
    return [p for p in prompts.values() if p.id not in known]


def in_aspect(project: Project, name: str | None) -> Project:
    """Return the project with the labels, preferences and votes of one of its aspects.

    Without a name it stays as it is. Raises UsageError for an aspect that it lacks.
    """
    if name is None:
        return project
    if name not in project.settings.aspects:
        has = ", ".join(project.settings.aspects)
        expected = f"one of {has}" if has else "none: its palate.toml has no `aspects`"
        more = "" if has else " Leave --aspect out."
        raise UsageError(f"--aspect {name}: {project.id} has {expected}.{more}")
    return replace(project, aspect=name)


def check_aspect(project: Project, name: str | None) -> None:
    """Raise UsageError where a project has aspects and none is named."""
    if project.settings.aspects and name is None:
        raise UsageError(
            f"{project.id} has the aspects {', '.join(project.settings.aspects)}. Name one, such"
            f" as: --aspect {project.settings.aspects[-1]}"
        )


def weights_of(settings: Settings) -> dict[str, float]:
    """Return what each aspect weighs where they count together, 1 in all; empty without any."""
    weights = settings.weights or [1.0] * len(settings.aspects)
    return {a: w / sum(weights) for a, w in zip(settings.aspects, weights, strict=True)}


def unasked(project: Project) -> Counter[str]:
    """Return how many judgements answer what the project asks no more: they count nowhere."""
    asked = set(project.settings.aspects) or {None}
    standing = standing_judgements(project.people.counted(project.read("labels")))
    return Counter(e.aspect or "the question alone" for e in standing if e.aspect not in asked)


def in_all_aspects(project: Project, config: Literal["labels", "evaluations"]) -> list[Event]:
    """Return the labels or votes of people who count, in every aspect that the project asks."""
    aspects = project.settings.aspects or (None,)
    events = project.people.counted(project.read(config))
    return [e for e in events if e.aspect in aspects or e.kind == "flag"]


def by_aspect(project: Project) -> list[Project]:
    """Return the project in each of its aspects; itself where it has none."""
    return [in_aspect(project, name) for name in project.settings.aspects] or [project]


def question_files(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files, by path and hash, that decide what people are asked, and who is.

    Candidates that annotators wrote are left out: they are asked about in the next round.
    """
    own = (SETTINGS_FILE, GUIDELINES_FILE, GOLD_FILE, PEOPLE_FILE, REWARD_FILE)
    kinds = ("candidates/", "prompts/", f"{AI_FOLDER}/", *own)
    return {
        path: sha
        for path, sha in files.items()
        if path.startswith(kinds) and not path.startswith("candidates/written-")
    }


def unique(rows: Iterable[R]) -> list[R]:
    """Return the first row of each id: two jobs may have written the same one."""
    first: dict[str, R] = {}
    return [first.setdefault(row.id, row) for row in rows if row.id not in first]


def with_setting(text: str, name: str, value: object) -> str:
    """Return the TOML text with another value of a setting, and all else in it as it was."""
    line = re.compile(rf"(?m)^([ \t]*{name}[ \t]*=[ \t]*)[^#\n]*?([ \t]*(?:#.*)?)$")
    toml = json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
    changed, replaced = line.subn(lambda m: f"{m[1]}{toml}{m[2]}", text, count=1)
    if not replaced:
        changed = f"{text.rstrip()}\n{name} = {toml}\n"
    wanted = asdict(Settings.parse(text)) | {
        name: tuple(value) if isinstance(value, list) else value
    }
    if asdict(Settings.parse(changed)) != wanted:
        problem = f"found no line that sets it alone. Write: {name} = {toml}"
        raise BadInput(SETTINGS_FILE, problem, field=name)
    return changed

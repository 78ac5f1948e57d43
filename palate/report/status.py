"""Where a project is in the loop: counts for each step, and the command that comes next."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import comb

from rich.console import Group
from rich.table import Table
from rich.text import Text

from palate.core import hub
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.project import EVAL_PROMPTS, Project
from palate.core.rounds import fresh_eval, trained_in
from palate.core.schema import Candidate, Event
from palate.core.splits import eval_missing
from palate.label.ranking import contenders
from palate.report.rebuilt import of_project


@dataclass(frozen=True)
class Step:
    """One step of the loop: what exists, in words, and whether it is done."""

    name: str
    done: bool
    facts: str
    command: str  # runs this step


def steps(project: Project) -> list[Step]:
    """Return the steps of the loop in order, at the project's revision.

    A project of imported votes has only those from the completions on.
    """
    split, number = {p.id: p.split for p in project.prompts}, project.settings.round
    labels = standing_judgements(project.labels)
    to_label = [c for c in project.candidates if split.get(c.prompt_id) in ("train", "test")]
    to_label = contenders(to_label, labels, number)
    completions = [c for c in project.candidates if split.get(c.prompt_id) == "eval" and c.model]
    votes = standing_judgements(project.evaluations)
    if number > 1:  # what the rounds before it brought is no progress in this one
        labels = [e for e in labels if e.round == number]
        completions = [c for c in completions if c.round == number]
        votes = [e for e in votes if e.round == number]
    revision, files = _trained(project)
    is_judged = "verdict.json" in files and (number == 1 or revision is not None)
    judged = _judged(project, completions, votes, is_judged=is_judged)
    if votes and set(split.values()) == {"eval"}:
        return [_prompts(project), *judged]
    return [
        _prompts(project),
        _candidates(project, to_label),
        _labels(project, labels),
        _preferences(project),
        _model(project, revision),
        *judged,
    ]


def _prompts(project: Project) -> Step:
    sizes = Counter(p.split for p in project.prompts)
    splits = ", ".join(f"{sizes[split]:,} {split}" for split in ("train", "test", "eval"))
    command = f"palate init {project.id} --prompts FILE"
    return Step("prompts", bool(sizes), f"{len(project.prompts):,}: {splits}", command)


def _candidates(project: Project, to_label: list[Candidate]) -> Step:
    texts: dict[str, set[str]] = {}
    for c in to_label:
        texts.setdefault(c.prompt_id, set()).add(c.text)
    pairs = sum(comb(len(own), 2) for own in texts.values())
    facts = f"{len(to_label):,}, which form {count(pairs, 'pair')}"
    return Step("candidates", pairs > 0, facts, f"palate candidates {project.id}")


def _labels(project: Project, standing: Iterable[Event]) -> Step:
    standing = list(standing)
    kinds = Counter(e.kind for e in standing)
    choices = kinds["label"] + kinds["rewrite"]
    parts = [count(choices, "choice"), _some(kinds["tie"], "tie")]
    parts += [f"{kinds['both_bad']:,} both bad"] if kinds["both_bad"] else []
    parts += [_some(kinds["skip"], "skip")]
    pairs = count(len({e.pair_id for e in standing}), "pair")
    people = count(len({e.annotator for e in standing}), "person", "people")
    facts = f"{', '.join(parts)} · {pairs} · {people}"
    return Step("labels", choices > 0, facts, f"palate label {project.id}")


def _some(n: int, noun: str) -> str:
    return count(n, noun) if n else f"no {noun}s"


def _preferences(project: Project) -> Step:
    rows = project.preferences
    rebuilt = of_project(project)
    stale = len(rows) != len(rebuilt.all())
    facts = f"{len(rows):,}" + (", older than the labels" if stale and rows else "")
    done = bool(rows) and not stale
    return Step("preferences", done, facts, f"palate export {project.id}")


def _model(project: Project, revision: str | None) -> Step:
    model = f"{project.model_repo} at {revision[:7]}" if revision else "none yet"
    return Step("model", revision is not None, model, f"palate train {project.id}")


def _judged(
    project: Project, completions: list[Candidate], votes: list[Event], *, is_judged: bool
) -> list[Step]:
    """Return the steps from the completions to the verdict."""
    verdict = "on the card" if is_judged else "none yet"
    return [
        _completions(project, completions),
        Step("votes", bool(votes), f"{len(votes):,} blind", f"palate evaluate {project.id}"),
        Step("verdict", is_judged, verdict, f"palate verdict {project.id}"),
    ]


def _completions(project: Project, completions: list[Candidate]) -> Step:
    """Return the step that answers the eval prompts, or that brings them where there are none."""
    blind = {p.id for p in fresh_eval(project)}
    if not blind and any(p.split == "eval" for p in project.prompts):
        facts = "none: all eval prompts have votes of earlier rounds"
        more = f"palate prompts {project.id} --write {EVAL_PROMPTS} --split eval"
        return Step("completions", False, facts, more)
    if not blind:
        lacking = eval_missing(project.settings, ())
        facts = f"none: there are no eval prompts, and a verdict takes about {lacking}"
        return Step("completions", False, facts, f"palate prompts {project.id} --write {lacking}")
    without = len(blind - {c.prompt_id for c in completions})
    facts = f"{len(completions):,} on eval prompts"
    if completions and without:
        facts += f"; {count(without, 'eval prompt')} without any"
    return Step("completions", not without, facts, f"palate completions {project.id}")


def _trained(project: Project) -> tuple[str | None, list[str]]:
    """Return the revision of the trained model, None without one, and the files of its repo."""
    if not hub.exists(project.model_repo, "model"):
        return None, []
    revision, files = hub.describe(project.model_repo, "model")
    if (number := project.settings.round) > 1:
        return trained_in(project, number), files
    return (revision, files) if "run.json" in files else (None, files)


def picture(project: Project, loop: list[Step]) -> Group:
    """Return the loop for a terminal: a line per step, the next one marked."""
    following = next((step for step in loop if not step.done), None)
    table = Table.grid(padding=(0, 2))
    for step in loop:
        mark, style = ("●", "green") if step.done else ("○", "dim")
        if step is following:
            mark, style = "▶", "bold yellow"
        facts = Text(step.facts, "" if step.done else "dim")
        table.add_row(Text(f"{mark} {step.name}", style), facts)
    number = f", round {project.settings.round}" if project.settings.round > 1 else ""
    where = f"  at {project.revision[:7]} on {hub.endpoint()}{number}"
    title = Text.assemble((project.id, "bold"), where)
    command = following.command if following else f"palate round {project.id}"
    label = "next" if following else "next round"
    return Group(
        title, Text(""), table, Text(""), Text.assemble(f"{label}: ", (command, "bold cyan"))
    )

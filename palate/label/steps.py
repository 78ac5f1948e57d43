"""Where a project is in the loop: counts for each step, what comes next, its jobs on HF Jobs."""

import re
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

from palate.core import hub
from palate.core.errors import PalateError, Unreachable, UsageError
from palate.core.hub_errors import sign_in
from palate.core.ledger import standing_judgements
from palate.core.markdown import count
from palate.core.project import EVAL_PROMPTS, Project
from palate.core.rounds import fresh_eval, in_all_aspects, trained_in
from palate.core.schema import Candidate, Event
from palate.label.preferences import of_aspects
from palate.label.ranking import contenders

if TYPE_CHECKING:
    from huggingface_hub import JobHardwareInfo, JobInfo

ENDED = ("COMPLETED", "ERROR", "CANCELED", "DELETED")
PROJECT_LABEL, JOB_LABEL = "palate-project", "palate-job"


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
    labels = standing_judgements(in_all_aspects(project, "labels"))
    to_label = [c for c in project.candidates if split.get(c.prompt_id) in ("train", "test")]
    to_label = contenders(to_label, labels, number)
    completions = [c for c in project.candidates if split.get(c.prompt_id) == "eval" and c.model]
    votes = standing_judgements(in_all_aspects(project, "evaluations"))
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


def following(loop: Sequence[Step]) -> Step | None:
    """Return the step that comes next; None if all are done."""
    return next((step for step in loop if not step.done), None)


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
    rows = project.read("preferences")
    rebuilt = of_aspects(project)
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
        lacking = project.settings.eval_wanted
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


def jobs_of(project: str) -> "list[JobInfo]":
    """Return the project's jobs, newest first."""
    owner = project.partition("/")[0]
    labels = {PROJECT_LABEL: label_of(project)}
    with job_errors(project):
        jobs = hub.retry(lambda: list(hub.api().list_jobs(labels=labels, namespace=owner)))
    # two projects can share a label
    return [j for j in jobs if any(f"{w}@".startswith(f"{project}@") for w in j.command or ())]


def cancel_job(project: str, job_id: str) -> None:
    with job_errors(project):
        hub.api().cancel_job(job_id=job_id, namespace=project.partition("/")[0])


def hourly_price(info: "JobHardwareInfo") -> float:
    """Return the dollars an hour of a machine of HF Jobs."""
    hours = {"second": 3600, "minute": 60, "hour": 1}[info.unit_label]
    return round(info.unit_cost_micro_usd * hours / 1e6, 4)


def label_of(project: str) -> str:
    """Return the project's name in the letters that a job's label may have."""
    return re.sub(r"[^\w-]", "-", project.replace("/", "--"), flags=re.ASCII)


@contextmanager
def job_errors(project: str) -> Generator[None]:
    """Turn the Hub's refusals to run, show or cancel a job into what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    owner = project.partition("/")[0]
    with hub.readable_errors(project):
        try:
            yield
        except HfHubHTTPError as error:
            reason = (error.server_message or "").rstrip(".")
            status = error.response.status_code
            if status == 402:
                raise PalateError(
                    f"HF Jobs is prepaid, and {owner}'s credit is too low"
                    f" ({reason}). Add credit: {hub.endpoint()}/settings/billing; or run it here:"
                    " --on local"
                ) from None
            if status == 403:
                raise Unreachable(
                    f"The token may not use the jobs of {owner} ({reason}). It needs write access"
                    f" and the right to start jobs. {sign_in()}; or run it here: --on local"
                ) from None
            if status == 404:
                raise UsageError(
                    f"{hub.endpoint()} knows no such job of {owner} ({reason})."
                    f" List them: palate jobs {project}"
                ) from None
            raise

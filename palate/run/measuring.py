"""The report of a comparison: each contestant's figures, its record, its check and its price."""

import json
from collections.abc import Mapping, Sequence

from palate.check.losses import FILE as CHECK_FILE
from palate.check.losses import CheckReport
from palate.core import hub
from palate.core.ledger import now
from palate.core.project import Project
from palate.core.schema import BEST_OF, Candidate, Model
from palate.generate import models
from palate.report.comparison import BASE, VERSION, Entry, Kept, MethodsReport, Share, stored
from palate.reward import record
from palate.reward.measured import Figures, Ruler
from palate.reward.record import RewardRecord, RLRecord
from palate.run.done import answers, same_data
from palate.run.hf_jobs import dollars
from palate.train.records.record import DPORecord, JobRecord, KTORecord, SFTRecord


def report(
    project: Project, made: Mapping[str, Model], seconds: Mapping[str, float], *, paid: bool
) -> MethodsReport:
    """Return what the methods gave; what an earlier report measured of the same is kept.

    `made`: the contestant of each method; the first one was trained. `seconds`: how long a method
    took that keeps no record of it.
    """
    first = _record(next(iter(made.values())))
    base = Model(first.base_model, first.base_revision)
    contestants = {BASE: base, **made}
    written = {name: answers(project, model) for name, model in contestants.items()}
    before = stored(project)
    known = {e.model: e for e in before.entries} if before else {}
    ruler: Ruler | None = None
    entries: list[Entry] = []
    for name, model in contestants.items():
        old, own = known.get(model), written[name]
        if before and old and _still_holds(project, before, old, own):
            figures = old.figures
        else:
            ruler = ruler or Ruler(project, models.find(f"{base.repo}@{base.revision}"))
            figures = ruler.figures(own, written[BASE], _source(model, base))
        took = seconds.get(name, old.seconds if old else None)
        cost = dollars(project.id, model.repo) if paid else None
        if cost is None and old:
            cost = old.dollars
        entries.append(_entry(name, model, figures, took, cost))
    measure = ruler.measure if ruler else before.measure if before else None
    return MethodsReport(VERSION, project.revision, now(), measure, tuple(entries), project.aspect)


def _still_holds(
    project: Project, before: MethodsReport, old: Entry, own: Sequence[Candidate]
) -> bool:
    """Tell whether figures are of the same answers and of the same labels on test prompts."""
    same = before.aspect == project.aspect and same_data(project, before.data_revision)
    return same and old.figures.answers == len(own)


def _source(model: Model, base: Model) -> models.Source | None:
    """Return the tuned model that wrote the answers; None where none did."""
    if model == base or model.revision.startswith(BEST_OF):
        return None
    return models.find(f"{model.repo}@{model.revision}")


def _record(model: Model) -> JobRecord:
    sha, _ = hub.describe(model.repo, "model", model.revision)
    return record.load(hub.fetch(model.repo, "model", sha, ["run.json"])[0].parent)


def _entry(
    name: str, model: Model, figures: Figures, seconds: float | None, cost: float | None
) -> Entry:
    if name == BASE:
        return Entry(name, model, figures)
    if model.revision.startswith(BEST_OF):
        reward = _record(Model(model.repo, "main"))
        accuracy = accuracy_of(reward)
        return Entry(name, model, figures, accuracy, seconds, cost)
    run = _record(model)
    check = check_of(model)
    return Entry(name, model, figures, accuracy_of(run), run.seconds, cost, check, kept_by(run))


def kept_by(run: JobRecord) -> Kept:
    """Return what chose the weights that a training kept."""
    if isinstance(run, RLRecord) and run.held_out.reward is None and run.held_out.decides:
        return "reward"
    # rejection sampling has no test rows
    if isinstance(run, SFTRecord) and run.results.test_loss is not None:
        return "loss"
    return "last"


def accuracy_of(run: JobRecord) -> Share | None:
    """Return how often the method ranks held-out pairs right, where its record has that."""
    share, interval = None, None
    if isinstance(run, DPORecord):
        share = run.results.test_reward_accuracy
        interval = run.results.test_reward_accuracy_interval
    elif isinstance(run, KTORecord):
        share, interval = run.results.pair_accuracy, run.results.pair_interval
    elif isinstance(run, RewardRecord):
        share, interval = run.results.accuracy.rate, run.results.accuracy.interval
    return None if share is None else Share(share, interval)


def check_of(model: Model) -> tuple[str, ...]:
    """Return what tuning cost, an ability each, where `palate check` measured these weights."""
    sha, files = hub.describe(model.repo, "model")
    if CHECK_FILE not in files:
        return ()
    (file,) = hub.fetch(model.repo, "model", sha, [CHECK_FILE])
    value = json.loads(file.read_text("utf-8"))
    checked = CheckReport.from_json(value, f"{model.repo}/{CHECK_FILE}")
    return tuple(f"{a.name} {100 * a.change.difference:+.1f} points" for a in checked.abilities)

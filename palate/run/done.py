"""What is done of a comparison, as the Hub has it, and what the comparison would replace.

Done is a model that the same job made with the same arguments from the same data and base model, or
answers that are there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from palate.core import hub
from palate.core.errors import PalateError, UsageError
from palate.core.project import Project
from palate.core.rounds import round_tag
from palate.core.schema import BEST_OF, Candidate, Model, model_of
from palate.generate.completions import eval_prompts
from palate.label.preferences import judged
from palate.reward import record
from palate.reward.record import RewardRecord, RLRecord
from palate.reward.scoring import find_reward
from palate.run.jobs import job_named
from palate.run.methods import Budget, Method, N
from palate.terminal.ref import Ref
from palate.train.config import FLAGS, RLArguments, SFTArguments, TrainArguments
from palate.train.recipes.recipe import (
    DPO_LEARNING_RATES,
    RL_LEARNING_RATES,
    SFT_LEARNING_RATES,
    scaled,
)
from palate.train.records.record import AnyRecord, DPORecord

Run = AnyRecord | RewardRecord | RLRecord


def at_base(project: Project) -> Project:
    """Return the project with its base model at the commit of now, which all methods begin with."""
    base = Ref.parse(project.settings.base_model)
    sha = hub.describe(base.repo, "model", base.revision)[0]
    return replace(project, settings=replace(project.settings, base_model=f"{base.repo}@{sha}"))


def made(project: Project, method: Method, budget: Budget) -> Model | None:
    """Return what the method made of the project's present data, None if there is none."""
    if method.job == "best":
        contestant = _best(project)
        return contestant if has_answered(Project.load(project.id), contestant) else None
    model = _present(project, method)
    return model if model and not _difference(project, method, budget, model) else None


def in_the_way(project: Project, methods: Sequence[Method], budget: Budget) -> list[str]:
    """Return each model of this round that the methods would replace, and how it differs."""
    lines = []
    for method in methods:
        model = None if method.job == "best" else _present(project, method)
        if model and (difference := _difference(project, method, budget, model)):
            has_verdict = "verdict.json" in hub.describe(model.repo, "model")[1]
            lines.append(f"{model.repo} {difference}{', and has a verdict' * has_verdict}")
    return lines


def why_not(project: Project, method: Method, budget: Budget) -> str:
    """Return why what a job has left is not what the comparison asked for."""
    model = None if method.job == "best" else _present(project, method)
    if model is None:
        return "the job ended well, and left nothing for this comparison"
    return f"{model.repo} {_difference(project, method, budget, model)}"


def _present(project: Project, method: Method) -> Model | None:
    """Return the model of this round in the method's repo."""
    repo = method.repo(project)
    if not hub.exists(repo, "model"):
        return None
    sha = hub.tags(repo, "model").get(round_tag(project.settings.round))
    return Model(repo, sha) if sha else None


def _difference(project: Project, method: Method, budget: Budget, model: Model) -> str | None:
    """Return the first difference from the model that the method would make, None without any."""
    if "run.json" not in hub.describe(model.repo, "model", model.revision)[1]:
        return "has no record of palate"
    (file,) = hub.fetch(model.repo, "model", model.revision, ["run.json"])
    try:
        run = record.load(file.parent)
    except PalateError:  # wrong, or of a newer palate
        return "has a record that this version of palate cannot read"
    spec = job_named(method.job)
    if run.job != spec.script:
        return f"was made by another job ({run.job})"
    wanted: TrainArguments = spec.parse(method.argv(project, budget))
    arguments = {"project": project.id} | run.arguments
    known = {f.name for f in fields(spec.arguments)}
    used = spec.arguments(**{k: v for k, v in arguments.items() if k in known})
    for name, before, now in _differences(run, used, wanted):
        return f"was made {_words(name, before)}, not {_words(name, now)}"
    base, was = Ref.parse(method.start(project)), f"{run.base_model} at {run.base_revision[:7]}"
    if method.starts and not hub.exists(base.repo, "model"):
        return f"began with {was}, not {base.repo}, which is not there yet"
    revision = hub.describe(base.repo, "model", base.revision)[0]
    if (run.base_model, run.base_revision) != (base.repo, revision):
        return f"began with {was}, not {base.repo} at {revision[:7]}"
    return None if same_data(project, run.data_revision) else "learned from other labels"


def _differences(
    run: Run, used: TrainArguments, wanted: TrainArguments
) -> Iterator[tuple[str, object, object]]:
    """Yield each argument that differs, as it was used and as it is wanted.

    What `wanted` leaves open may have any value, except a learning rate that palate would not
    choose. A reward is taken as it is, but not one that learned from some people's labels.
    """
    if isinstance(run, RewardRecord):
        if used.annotators:
            yield "annotators", used.annotators, None
        return
    if isinstance(run, DPORecord) and run.search:
        yield "recipe", "search", "fast"
    before, now = used.identity(), wanted.identity()
    for name in {**now, **before}:
        if name == "base_model":  # its commit is compared
            continue
        is_open = name in now and now[name] is None
        if not is_open and before.get(name) != now.get(name):
            yield name, getattr(used, name), getattr(wanted, name)
    usual = _usual_rate(wanted, run)
    if used.learning_rate != usual:
        yield "learning_rate", used.learning_rate, usual


def _usual_rate(wanted: TrainArguments, run: Run) -> float | None:
    """Return the learning rate that palate chooses for such a training of a model of this size."""
    if isinstance(wanted, SFTArguments):
        return SFT_LEARNING_RATES.get(run.method)
    rates = RL_LEARNING_RATES if isinstance(wanted, RLArguments) else DPO_LEARNING_RATES
    rate = rates.get(run.method)
    return None if rate is None else scaled(rate, run.parameters)


def _words(name: str, value: object) -> str:
    flag = f"--{FLAGS.get(name, name.replace('_', '-'))}"
    if value is None or value is False:
        return f"without {flag}"
    if value is True:
        return f"with {flag}"
    return f"with {flag} {value:g}" if isinstance(value, float) else f"with {flag} {value}"


def same_data(project: Project, revision: str) -> bool:
    """Tell whether the project had the same data to learn from at another revision."""
    if revision == project.revision:
        return True
    try:
        other = replace(Project.load(project.id, revision), aspect=project.aspect)
    except UsageError:  # `palate forget` has removed the commit
        return False
    return all(
        project.contents(config) == other.contents(config)
        for config in ("labels", "preferences", "unpaired")
    ) and _asked(project) == _asked(other)


def _asked(project: Project) -> tuple[object, ...]:
    """Return the prompts that may be learned from, and what judges said of them."""
    prompts = {p.id: p.split for p in project.prompts if p.split != "eval"}
    return prompts, {e.event_id for e in judged(project)}


def _best(project: Project) -> Model:
    """Return the contestant that `palate best` writes."""
    _, reward = find_reward(None, project)
    base = Ref.parse(project.settings.base_model)
    sha = hub.describe(base.repo, "model", base.revision)[0]
    return Model(reward.repo, f"{BEST_OF}{N}.{sha[:12]}.{reward.revision[:12]}")


def answers(project: Project, model: Model) -> list[Candidate]:
    """Return what the model wrote to this round's eval prompts."""
    asked = {p.id for p in eval_prompts(project)}
    return [c for c in project.candidates if c.prompt_id in asked and model_of(c) == model]


def has_answered(project: Project, model: Model) -> bool:
    """Tell whether the model answered every eval prompt of this round."""
    asked = {p.id for p in eval_prompts(project)}
    return asked == {c.prompt_id for c in answers(project, model)}

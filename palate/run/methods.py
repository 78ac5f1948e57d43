"""The methods that `palate compare` knows: each one job, its flags and its model's repo.

What is done is found on the Hub: a model that the same job made with the same arguments from the
same data and base model, or answers that are there.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.project import SETTINGS_FILE, Project
from palate.core.rounds import round_tag, with_setting
from palate.core.schema import BEST_OF, Candidate, Model, model_of
from palate.generate.completions import eval_prompts
from palate.label.preferences import judged
from palate.reward import held_out, record
from palate.reward import rows as reward_rows
from palate.reward.scoring import find_reward
from palate.run.jobs import job_named
from palate.run.spec import JobSpec
from palate.terminal.ref import Ref
from palate.train import feedback
from palate.train.config import TrainArguments
from palate.train.data import read_preferences
from palate.train.unpaired import read_unpaired

N = 16  # answers of which best-of-16 keeps one
PACKAGES_TO_MEASURE = ("torch", "transformers")
PACKAGES = (*PACKAGES_TO_MEASURE, "accelerate", "peft", "trl")  # of palate's extra `train`


@dataclass(frozen=True)
class Budget:
    """What all methods may use alike."""

    epochs: float
    max_new_tokens: int


@dataclass(frozen=True)
class Method:
    """A method: its job as it is typed, and its flags."""

    name: str
    job: str
    flags: tuple[str, ...] = ()
    needs_reward: bool = False
    writes: bool = False  # before it learns, so that the longest answer matters

    def repo(self, project: Project) -> str:
        """Return the repo of its model."""
        return f"{project.id}-{self.name}"

    def argv(self, project: Project, budget: Budget) -> list[str]:
        """Return the job's words."""
        longest = ["--max-new-tokens", str(budget.max_new_tokens)]
        if self.job == "best":
            return [project.id, *self.flags, *longest]
        data = f"{project.id}@{project.revision}"
        if self.job == "reward":
            return [data]
        words = [data, *self.flags, "--output", self.repo(project)]
        return [*words, "--epochs", f"{budget.epochs:g}", *(longest if self.writes else [])]

    def command(self, project: Project, budget: Budget) -> str:
        """Return the `palate` command that runs it."""
        return shlex.join(["palate", self.job, *self.argv(project, budget)])


def _dpo(name: str, *flags: str) -> Method:
    return Method(name, "train", ("--recipe", "fast", *flags))


REWARD = Method("reward", "reward")
METHODS = {
    m.name: m
    for m in (
        Method("sft", "sft"),
        Method("hindsight", "sft", ("--hindsight",)),
        _dpo("dpo"),
        _dpo("ipo", "--loss", "ipo"),
        _dpo("orpo", "--loss", "orpo"),
        _dpo("simpo", "--loss", "simpo", "--beta", "2"),
        _dpo("cpo", "--loss", "cpo"),
        Method("kto", "kto"),
        _dpo("ai-dpo", "--ai"),
        Method(f"best-of-{N}", "best", ("--n", str(N)), needs_reward=True),
        Method("rejection", "sft", ("--from", "best", "--rounds", "1"), True, writes=True),
        Method("rl", "rl", (), needs_reward=True, writes=True),
    )
}


def chosen(text: str) -> list[Method]:
    """Return the methods that are named, and dpo, which the blind comparison needs.

    Raises UsageError for a name that there is not, one that is named twice, and a single one.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise UsageError(
            f"--methods: there is no method {unknown[0]!r}. Expected some of {', '.join(METHODS)}."
        )
    if len(set(names)) < len(names):
        raise UsageError(f"--methods {text} names a method twice. Name each once.")
    if len(names) < 2:
        raise UsageError(
            f"--methods {text} leaves nothing to compare. Name two methods or more, such as"
            " sft,dpo,kto."
        )
    return [METHODS[name] for name in dict.fromkeys(("dpo", *names))]


def check(project: Project, methods: Sequence[Method], *, here: bool) -> None:
    """Raise UsageError for what a method lacks, before any of them has begun.

    With `here` the jobs run on this machine, which measures the answers in any case.
    """
    check_packages(find_spec, here=here)
    eval_prompts(project)
    read_preferences(project)
    names = {m.name for m in methods}
    if "kto" in names:
        read_unpaired(project)
    if "ai-dpo" in names:
        feedback.usable(project)
    if any(m.needs_reward for m in methods):
        reward_rows.read(project)
    if "rl" in names:
        held_out.test_labels(project)


def made(project: Project, method: Method, budget: Budget) -> Model | None:
    """Return what the method made of the project's present data, None if there is none."""
    if method.job != "best":
        return _trained(project, method, budget)
    contestant = _best(project)
    return contestant if has_answered(project, contestant) else None


def check_packages(find: Callable[[str], object], *, here: bool) -> None:
    """Raise UsageError for packages that `find` does not find."""
    needed = PACKAGES if here else PACKAGES_TO_MEASURE
    if missing := [name for name in needed if not find(name)]:
        raise UsageError(
            f"The comparison needs {', '.join(missing)}, which this Python lacks. Install it with:"
            " pip install 'palate[train]'"
        )


def _trained(project: Project, method: Method, budget: Budget) -> Model | None:
    """Return the model that the method trained on the present data, None if there is none.

    It was made by the same job with the same arguments. Any reward is taken as it is.
    """
    repo = method.repo(project)
    if not hub.exists(repo, "model"):
        return None
    sha = hub.tags(repo, "model").get(round_tag(project.settings.round))
    if not sha or "run.json" not in hub.describe(repo, "model", sha)[1]:
        return None
    try:
        run = record.load(hub.fetch(repo, "model", sha, ["run.json"])[0].parent)
    except BadInput:  # of another version of palate
        return None
    spec: JobSpec = job_named(method.job)
    args: TrainArguments = spec.parse(method.argv(project, budget))
    wanted = {k: v for k, v in args.identity().items() if v is not None}
    alike = method == REWARD or all(run.arguments.get(k) == v for k, v in wanted.items())
    base = Ref.parse(project.settings.base_model).repo
    if not (alike and run.base_model == base and same_data(project, run.data_revision)):
        return None
    return Model(repo, sha)


def same_data(project: Project, revision: str) -> bool:
    """Tell whether the project had the same data to learn from at another revision."""
    if revision == project.revision:
        return True
    try:
        other = Project.load(project.id, revision)
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


def with_all_contestants(project: Project) -> Project:
    """Return the project, in which the blind comparison is between every two models."""
    if project.settings.compare == "all":
        return project
    text = with_setting(project.text(SETTINGS_FILE), "compare", "all")
    hub.commit(project.id, "dataset", {SETTINGS_FILE: text}, "Compare every two models")
    return Project.load(project.id)

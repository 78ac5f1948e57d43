"""The methods that `palate compare` knows: each one job, its flags and its model's repo."""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

from palate.core import hub
from palate.core.errors import UsageError
from palate.core.project import SETTINGS_FILE, Project
from palate.core.rounds import check_aspect, in_aspect, round_tag, with_setting
from palate.generate.completions import eval_prompts
from palate.reward import held_out
from palate.reward import rows as reward_rows
from palate.run.jobs import job_named
from palate.train.rows import feedback
from palate.train.rows.data import read_preferences
from palate.train.rows.unpaired import read_unpaired

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
    """A method: its job as it is typed, its flags, and the method whose model it starts from."""

    name: str
    job: str
    flags: tuple[str, ...] = ()
    needs_reward: bool = False
    writes: bool = False  # before it learns, so that the longest answer matters
    starts: str | None = None  # the base model's where None

    def repo(self, project: Project) -> str:
        """Return the repo of its model."""
        return project.reward_repo if self.job == "reward" else f"{project.id}-{self.name}"

    def start(self, project: Project) -> str:
        """Return the model that it starts from."""
        if self.starts is None:
            return project.settings.base_model
        return f"{METHODS[self.starts].repo(project)}@{round_tag(project.settings.round)}"

    def argv(self, project: Project, budget: Budget) -> list[str]:
        """Return the job's words, for the project's aspect where it has some."""
        longest = ["--max-new-tokens", str(budget.max_new_tokens)]
        aspect = ["--aspect", project.aspect] if project.aspect else []
        if self.job == "best":
            reward = f"{project.reward_repo}@{round_tag(project.settings.round)}"
            return [project.id, *self.flags, *longest, *(["--reward", reward] if aspect else [])]
        data = f"{project.id}@{project.revision}"
        if self.job == "reward":
            return [data, *aspect]
        words = [data, *self.flags, *aspect, "--output", self.repo(project)]
        words += ["--base-model", self.start(project)] if self.starts else []
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

    Where sft is among them, rl starts from its model, as in InstructGPT (L. Ouyang et al., 2022).
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
    methods = [METHODS[name] for name in dict.fromkeys(("dpo", *names))]
    if "sft" not in names or "rl" not in names:
        return methods
    others = [m for m in methods if m.name != "rl"]
    return [*others, replace(METHODS["rl"], starts="sft")]  # once that model is there


def with_reward(methods: Sequence[Method]) -> list[Method]:
    """Return the methods, and before them the reward where one of them needs it."""
    return [*([REWARD] if any(m.needs_reward for m in methods) else []), *methods]


def compared_in(project: Project, aspect: str | None) -> Project:
    """Return the project in one aspect. Raises UsageError where it has some and none is named."""
    check_aspect(project, aspect)
    return in_aspect(project, aspect)


def check(project: Project, methods: Sequence[Method], budget: Budget, *, here: bool) -> None:
    """Raise UsageError for what a method lacks, before any of them has begun.

    With `here` the jobs run on this machine, which measures the answers in any case.
    """
    check_packages(find_spec, here=here)
    if not 0 < budget.epochs < math.inf:
        raise UsageError(f"--epochs {budget.epochs:g}: expected more than 0, such as 3.")
    if budget.max_new_tokens < 1:
        raise UsageError(f"--max-new-tokens {budget.max_new_tokens}: expected 1 or more.")
    for method in with_reward(methods):
        job_named(method.job).parse(method.argv(project, budget))
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


def check_packages(find: Callable[[str], object], *, here: bool) -> None:
    """Raise UsageError for packages that `find` does not find."""
    needed = PACKAGES if here else PACKAGES_TO_MEASURE
    if missing := [name for name in needed if not find(name)]:
        raise UsageError(
            f"The comparison needs {', '.join(missing)}, which this Python lacks. Install it with:"
            " pip install 'palate[train]'"
        )


def with_all_contestants(project: Project) -> Project:
    """Set that the blind comparison is between every two models; return the project."""
    text = with_setting(project.text(SETTINGS_FILE), "compare", "all")
    hub.commit(project.id, "dataset", {SETTINGS_FILE: text}, "Compare every two models")
    return Project.load(project.id)

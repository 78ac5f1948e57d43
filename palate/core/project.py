"""A project is one Hub dataset repo: its settings, its rows at a revision, and related repos."""

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Literal, overload

from palate import __version__
from palate.core import hub
from palate.core.errors import BadInput, UsageError
from palate.core.ledger import People
from palate.core.schema import (
    ROWS,
    STRATEGIES,
    Candidate,
    Config,
    Event,
    Gold,
    Preference,
    Prompt,
    Row,
    Unpaired,
)
from palate.core.typed import ASPECTS, WEIGHTS, are_aspects, read_file, read_text

SETTINGS_FILE = "palate.toml"
GUIDELINES_FILE = "guidelines.md"
GOLD_FILE = "gold.jsonl"
REWARD_FILE = "reward.json"  # what the reward says about the project's labels
EVAL_PROMPTS = 60  # 9 in 10 evaluations decide if the tuned model is preferred 3 times in 4
MOST_EVAL = 0.4  # of the prompts, where `eval` is a number of them
# an earlier palate refuses these settings, so only other values are written
LATER = ("steps", "paused", "aspects", "weights")
LISTS = {"annotators": str, "aspects": str, "weights": (int, float)}
_REPO_ID = re.compile(r"[\w.\-]+/[\w.\-]+")


@dataclass(frozen=True)
class Settings:
    """The settings in `palate.toml`. `test` and `eval` count prompts, not pairs.

    `eval` is the number of eval prompts that a verdict takes, of which a project's first prompts
    give at most 40%; or, below 1, the fraction of prompts that are eval prompts.
    """

    question: str = "Which answer is better?"
    base_model: str = "Qwen/Qwen2.5-0.5B-Instruct"
    license: str = "other"
    round: int = 1
    seed: int = 0
    test: float = 0.1
    eval: float | int = EVAL_PROMPTS
    annotators: str | tuple[str, ...] = "anyone"  # or an organisation, or a list of people
    annotators_per_pair: int = 1
    strategy: str = "ranking"
    repeats: float = 0.05  # share of a person's pairs that is asked again, for consistency
    compare: str = "newest"  # or "all": every two models with completions of eval prompts
    steps: int = 3  # of how much better an answer is that people choose from; 4 adds "barely"
    paused: bool = False  # whether nobody is asked for labels now
    aspects: tuple[str, ...] = ()  # what each pair is judged by, one after the other
    weights: tuple[float, ...] = ()  # of the aspects where they count together; equal without

    @property
    def eval_wanted(self) -> int:
        """How many eval prompts a verdict takes: the default number if `eval` is a fraction."""
        return EVAL_PROMPTS if isinstance(self.eval, float) else self.eval

    @classmethod
    def parse(cls, text: str, source: object = SETTINGS_FILE) -> "Settings":
        """Return the settings of a TOML text, or raise BadInput naming the field."""
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # also of numbers with 5,000 digits
            raise BadInput(source, f"not valid TOML: {error}") from None
        known = {f.name: type(f.default) for f in fields(cls)}
        for name, value in values.items():
            if name not in known:
                problem = f"unknown setting; expected one of {', '.join(known)}. This is palate"
                problem += f" {__version__}; if a newer one wrote it, install that"
                raise BadInput(source, problem, field=name)
            want = known[name]
            if name in LISTS and isinstance(value, list):
                fits = [isinstance(v, LISTS[name]) and not isinstance(v, bool) for v in value]
                if not value or not all(fits):
                    what = "numbers" if name == "weights" else "names"
                    raise BadInput(source, f"expected {what}, found {value!r}", field=name)
                values[name] = tuple(value)
            elif isinstance(value, bool) is not (want is bool) or not (
                isinstance(value, want)
                or (want is float and isinstance(value, int))
                or (name == "eval" and isinstance(value, float))
            ):
                kind = "list" if want is tuple else want.__name__
                raise BadInput(source, f"expected {kind}, found {value!r}", field=name)
        settings = cls(**values)
        settings._check(source)
        return settings

    def _check(self, source: object) -> None:
        eval_fraction = self.eval if isinstance(self.eval, float) else MOST_EVAL
        if not (self.test > 0 and self.eval > 0 and self.test + eval_fraction < 1):
            problem = "`test` and `eval` are fractions that leave room for `train`; `eval` may"
            raise BadInput(source, f"{problem} also be a whole number of prompts")
        weighted = len(self.weights) in (0, len(self.aspects))
        for name, valid, expected in (
            ("strategy", self.strategy in STRATEGIES, f"one of {', '.join(STRATEGIES)}"),
            ("annotators_per_pair", 1 <= self.annotators_per_pair < 2**31, "at least 1"),
            ("steps", self.steps in (3, 4), "3 or 4"),
            ("compare", self.compare in ("newest", "all"), "newest or all"),
            ("round", 1 <= self.round < 2**31, "a whole number from 1"),
            ("seed", abs(self.seed) < 2**63, "a number of 64 bits"),
            ("repeats", 0 <= self.repeats < 1, "a fraction from 0 to 1"),
            ("aspects", not self.aspects or are_aspects(self.aspects), ASPECTS),
            ("weights", weighted and all(0 < w < 1e9 for w in self.weights), WEIGHTS),
        ):
            if not valid:
                problem = f"expected {expected}, found {getattr(self, name)!r}"
                raise BadInput(source, problem, field=name)

    def dump(self) -> str:
        """Return TOML that `parse` reads back to the same settings."""
        lines = [
            # TOML allows fewer characters than JSON: not U+007F
            f"{name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", r"\u007f")
            for name, value in asdict(self).items()
            if name not in LATER or value != getattr(Settings, name)
        ]
        return "# Settings of this palate project.\n" + "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Project:
    """The project `id` at commit `revision`. Rows are read on demand, and checked.

    Labels, preferences and votes are those in its `aspect`, the first one; `read` returns all.
    """

    id: str
    revision: str
    settings: Settings
    files: tuple[str, ...] = field(repr=False)
    aspect: str | None = field(default=None, kw_only=True)

    @classmethod
    def load(cls, project_id: str, revision: str = "main") -> "Project":
        """Read the project from the Hub at `revision` (branch, tag or commit)."""
        check_id(project_id)
        return cls.at(project_id, *hub.describe(project_id, "dataset", revision))

    @classmethod
    def at(cls, project_id: str, sha: str, files: Sequence[str]) -> "Project":
        """Read the project at a commit that holds `files`, as `hub.describe` returns them."""
        if SETTINGS_FILE not in files:
            raise UsageError(
                f"The dataset repo {project_id} has no {SETTINGS_FILE}, so it is not a palate"
                f" project. Create one with: palate init {project_id} --prompts FILE"
            )
        source = f"{project_id}/{SETTINGS_FILE}"
        text = read_text(hub.fetch(project_id, "dataset", sha, [SETTINGS_FILE])[0], source)
        settings = Settings.parse(text, source)
        first = next(iter(settings.aspects), None)
        return cls(project_id, sha, settings, tuple(files), aspect=first)

    @property
    def model_repo(self) -> str:
        return f"{self.id}-dpo"

    @property
    def sft_repo(self) -> str:
        return f"{self.id}-sft"

    @property
    def kto_repo(self) -> str:
        return f"{self.id}-kto"

    @property
    def rl_repo(self) -> str:
        return f"{self.id}-rl"

    @property
    def reward_repo(self) -> str:
        return f"{self.id}-reward-{self.aspect}" if self.aspect else f"{self.id}-reward"

    @property
    def model_repos(self) -> tuple[str, ...]:
        """The repos of all models that palate makes of the project."""
        rewards = [f"{self.id}-reward-{a}" for a in self.settings.aspects] or [self.reward_repo]
        return self.model_repo, self.sft_repo, self.kto_repo, self.rl_repo, *rewards

    def is_trained(self) -> bool:
        """Tell whether the model repo has a model that palate trained."""
        repo = self.model_repo
        return hub.exists(repo, "model") and "run.json" in hub.describe(repo, "model")[1]

    def paths(self, config: Config) -> list[str]:
        """Return the repo paths of a config's files, sorted."""
        return sorted(p for p in self.files if p.startswith(f"{config}/") and p.endswith(".jsonl"))

    @property
    def guidelines(self) -> str:
        """The owner's instructions to annotators, in Markdown; empty without guidelines.md."""
        return self.text(GUIDELINES_FILE)

    def text(self, path: str) -> str:
        """Return the content of a file; empty if there is none."""
        if path not in self.files:
            return ""
        (file,) = hub.fetch(self.id, "dataset", self.revision, [path])
        return read_text(file, f"{self.id}/{path}")

    def gold(self) -> list[Gold]:
        """Return the warm-up pairs of gold.jsonl, which every annotator gets early."""
        if GOLD_FILE not in self.files:
            return []
        file = hub.fetch(self.id, "dataset", self.revision, [GOLD_FILE])[0]
        return list(read_file(Gold, file, f"{self.id}/{GOLD_FILE}"))

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        return self.read("prompts")

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self.read("candidates")

    @property
    def people(self) -> People:
        """Whose events count."""
        return People.at(self.id, self.revision, self.files)

    @property
    def labels(self) -> tuple[Event, ...]:
        """The label events of people who count, in the project's aspect; `read` returns all."""
        return self._counted("labels")

    @property
    def preferences(self) -> tuple[Preference, ...]:
        return tuple(row for row in self.read("preferences") if row.aspect == self.aspect)

    @property
    def evaluations(self) -> tuple[Event, ...]:
        """The votes of people who count, in the project's aspect; `read` returns all."""
        return self._counted("evaluations")

    def _counted(self, config: Literal["labels", "evaluations"]) -> tuple[Event, ...]:
        events = self.people.counted(self.read(config))
        return tuple(e for e in events if e.aspect == self.aspect or e.kind == "flag")

    @overload
    def read(self, config: Literal["prompts"]) -> tuple[Prompt, ...]: ...
    @overload
    def read(self, config: Literal["candidates"]) -> tuple[Candidate, ...]: ...
    @overload
    def read(self, config: Literal["preferences"]) -> tuple[Preference, ...]: ...
    @overload
    def read(self, config: Literal["unpaired"]) -> tuple[Unpaired, ...]: ...
    @overload
    def read(self, config: Literal["labels", "evaluations", "wild"]) -> tuple[Event, ...]: ...
    @overload
    def read(self, config: Config) -> tuple[Row, ...]: ...
    def read(self, config: Config) -> tuple[Row, ...]:
        """Return the checked rows of a config, in file order. Raises BadInput for a wrong row."""
        if config not in ROWS:
            raise ValueError(f"expected one of {', '.join(ROWS)}, found {config!r}")
        sources = tuple(f"{self.id}/{path}" for path in self.paths(config))
        return _rows(config, sources, self.contents(config))

    def contents(self, config: Config) -> tuple[Path, ...]:
        """Return the local files of a config: the same ones, at any revision, for the same rows."""
        return _contents(self, config)


@lru_cache(64)  # Spaces and jobs read the same files several times, at one revision or another
def _rows(config: Config, sources: tuple[str, ...], files: tuple[Path, ...]) -> tuple[Row, ...]:
    both = zip(sources, files, strict=True)
    return tuple(row for source, file in both for row in _file_rows(config, file, source))


@lru_cache(64)
def _contents(project: Project, config: Config) -> tuple[Path, ...]:
    paths = project.paths(config)
    local = hub.fetch(project.id, "dataset", project.revision, paths) if paths else []
    # the cache of the Hub's client holds each content once, under whichever revision it is read
    return tuple(file.resolve() for file in local)


@lru_cache(4096)  # each commit of a Space adds a file
def _file_rows(config: Config, file: Path, source: str) -> tuple[Row, ...]:
    return tuple(read_file(ROWS[config], file, source))


def check_id(project_id: str) -> None:
    """Raise UsageError unless the id looks like `me/titles`."""
    if not _REPO_ID.fullmatch(project_id):
        raise UsageError(f"A project is named like me/titles (owner/name), not {project_id!r}.")

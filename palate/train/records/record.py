"""`run.json`: what a training run did, as versioned dataclasses. Cards are rendered from it alone.

Version 3 keeps the weights of DPO's last step. Version 2 measures on prompts that did not choose
the checkpoint, row by row, and has the checks of inferred pairs. Version 1 names its version.
A fact that is missing is an error, except in the curve: None was not measured at that step.
"""

import json
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Literal, cast

from palate.audit.finding import Finding
from palate.core.errors import BadInput
from palate.core.markdown import count
from palate.core.rates import Rate
from palate.core.typed import read, version_of
from palate.generate.samples import Samples
from palate.train.config import Method
from palate.train.packed.packing import Positions
from palate.train.recipes.trials import SearchFacts
from palate.train.records.best import BestFacts
from palate.train.records.choice import SweepFacts
from palate.train.records.kto_results import KTOResults
from palate.train.records.points import DPOPoint, KTOPoint, SFTPoint
from palate.train.records.results import DPOResults, SFTResults, comparisons

VERSION = 3
FILE = "run.json"


@dataclass(frozen=True)
class Hardware:
    """Device name, CPU cores that the run may use, and the peak of the device's memory."""

    device: str
    cores: int
    peak_memory_gb: float


@dataclass(frozen=True)
class SplitPrompts:
    """Number of prompts per split."""

    train: int
    test: int
    eval: int


@dataclass(frozen=True)
class SplitRows:
    """Number of rows per split."""

    train: int
    test: int


@dataclass(frozen=True)
class DataFacts:
    """Rows and prompts used, how people labelled, and what was left out (reason → count)."""

    train: int
    test: int
    prompts: SplitPrompts
    annotators: int
    implied: int  # training rows that were inferred from other answers
    implied_checks: Rate  # inferred pairs that people were asked about and decided the other way
    labels: int
    agreement: Rate
    alpha: float | None
    self_consistency: Rate
    guidelines: str
    question: str
    taste: str
    left_out: dict[str, int]  # of the preferences
    dropped: dict[str, int]  # of the rows
    # 95%, for other prompts; None in older files
    alpha_interval: tuple[float, float] | None = field(default=None, kw_only=True)
    ai: int = field(default=0, kw_only=True)  # training rows that a judge answered
    judge: str = field(default="", kw_only=True)
    judge_agreement: Rate | None = field(default=None, kw_only=True)  # with people
    # what each aspect weighs where one answer is better; empty in a project without aspects
    aspects: dict[str, float] = field(default_factory=dict, kw_only=True)
    judges: dict[str, Rate] = field(default_factory=dict, kw_only=True)  # of a panel
    judges_agree: Rate | None = field(default=None, kw_only=True)  # with each other
    people_chosen: int = field(default=0, kw_only=True)  # with --annotators; 0 without
    people_in_all: int = field(default=0, kw_only=True)  # who judged; 0 without


@dataclass(frozen=True)
class SFTDataFacts(DataFacts):
    """The same, with the preferences behind the answers."""

    comparisons: SplitRows


@dataclass(frozen=True)
class KTODataFacts(DataFacts):
    """The same, with the answers called good or bad; `train` and `test` count those."""

    good: int  # training rows
    bad: int
    good_weight: float
    bad_weight: float
    sources: dict[str, int]  # of the training rows


@dataclass(frozen=True)
class JobRecord:
    """What every training job records, of a model that writes or of one that scores."""

    version: int
    palate: str
    project: str
    data_revision: str
    base_model: str
    base_revision: str
    model: str
    round: int
    license: str
    command: str
    arguments: dict[str, str | int | float | bool | None]
    seed: int
    method: str
    why: tuple[str, ...]
    audit: tuple[Finding, ...]
    versions: dict[str, str]
    hardware: Hardware
    started: str
    seconds: float
    parameters: int
    trainable_parameters: int
    alarms: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return cast("dict[str, object]", _plain(self))

    def text(self) -> str:
        """Return the content of `run.json`."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, folder: Path) -> None:
        """Write `run.json`; done last, so that its existence means that training is over."""
        (folder / FILE).write_text(self.text(), "utf-8")


@dataclass(frozen=True)
class RunRecord(JobRecord):
    """What the training of a model that writes records."""

    method: Method
    samples: Samples


@dataclass(frozen=True)
class DPORecord(RunRecord):
    """What `palate train` records."""

    job: Literal["dpo"]
    data: DataFacts
    history: tuple[DPOPoint, ...]
    results: DPOResults
    positions: Positions
    sweep: SweepFacts | None  # of an earlier version
    search: SearchFacts | None = field(default=None, kw_only=True)

    def sentence(self) -> str:
        """Return the result in one line."""
        r = self.results
        if r.test_reward_accuracy is None:
            return "No test prompt has labels, so nothing is known about the result."
        doubt = "one prompt says nothing about others"
        if r.test_reward_accuracy_interval:
            low, high = (100 * x for x in r.test_reward_accuracy_interval)
            doubt = f"95% interval {low:.1f}–{high:.1f}"
        where = count(r.test_prompts, "held-out prompt") if r.test_prompts else "held-out prompts"
        return (
            f"On {where}, the model prefers what people"
            f" preferred in {100 * r.test_reward_accuracy:.1f}% of {count(r.test_rows, 'pair')}"
            f" ({doubt}). Step {r.best_step}, {self.seconds:.0f} s."
        )

    def comparisons(self) -> list[str]:
        """Return what is known of the model against each simple rule, a sentence each."""
        return comparisons(self.results)


@dataclass(frozen=True)
class SFTRecord(RunRecord):
    """What `palate sft` records."""

    job: Literal["sft"]
    data: SFTDataFacts
    history: tuple[SFTPoint, ...]
    results: SFTResults
    best: BestFacts | None = field(default=None, kw_only=True)
    condition: str = field(default="", kw_only=True)  # the words that follow each prompt

    def sentence(self) -> str:
        """Return the result in one line."""
        r = self.results
        if self.best:
            return f"{self.best.sentence()} {self.seconds:.0f} s."
        if r.test_loss is None:
            return "No preferred answer was held out, so nothing is known about the result."
        return (
            f"test loss {r.base_test_loss:.4f} → {r.test_loss:.4f} a token (perplexity"
            f" {r.base_test_perplexity:.1f} → {r.test_perplexity:.1f}) on {r.test_rows:,}"
            f" answers, best at step {r.best_step}, {self.seconds:.0f} s"
        )


@dataclass(frozen=True)
class KTORecord(RunRecord):
    """What `palate kto` records."""

    job: Literal["kto"]
    data: KTODataFacts
    history: tuple[KTOPoint, ...]
    results: KTOResults

    def sentence(self) -> str:
        """Return the result in one line."""
        r = self.results
        if r.separation is None:
            return "No good and bad answers were held out, so nothing is known about the result."
        low, high = (100 * x for x in r.separation_interval or (0.0, 1.0))
        doubt = f"95% interval {low:.1f}–{high:.1f}" if r.separation_interval else "too few prompts"
        return (
            f"held-out good answers score above bad ones in {100 * r.separation:.1f}% of the pairs"
            f" ({doubt}, {r.good:,} good, {r.bad:,} bad), step {r.best_step}, {self.seconds:.0f} s"
        )

    def comparisons(self) -> list[str]:
        """Return what is known of the model on held-out comparisons by people."""
        r = self.results
        if r.pair_accuracy is None:
            return []
        doubt = "on one prompt"
        if r.pair_interval:
            low, high = (100 * x for x in r.pair_interval)
            doubt = f"95% interval for other prompts {low:.1f}–{high:.1f}"
        return [
            f"The preferred answer has the higher reward in {100 * r.pair_accuracy:.1f}% of"
            f" {count(r.pairs, 'held-out comparison')} ({doubt})."
        ]


AnyRecord = DPORecord | SFTRecord | KTORecord
RECORDS: dict[str, type[AnyRecord]] = {"dpo": DPORecord, "sft": SFTRecord, "kto": KTORecord}


def from_json(value: object, source: object = FILE) -> AnyRecord:
    """Return the record that parsed JSON holds, of any version up to this one.

    Raises BadInput naming the first fact that is missing or wrong, and PalateError for a record of
    a newer palate.
    """
    version = version_of(value, VERSION, source)
    job = value.get("job") if isinstance(value, dict) else None
    if not isinstance(value, dict) or job not in RECORDS:
        raise BadInput(source, f"expected dpo, sft or kto, found {job!r}", field="job")
    return read(RECORDS[job], upgraded(value, version), source)


def upgraded(value: dict[str, object], version: int) -> dict[str, object]:
    """Return the record with what earlier versions did not have."""
    missing: dict[str, dict[str, object]] = {}
    if version < 2:
        missing["data"] = {"implied_checks": Rate(0, 0).to_json()}
        dpo = {"test_prompts": None, "test_ties": 0, "leads": {}} if value["job"] == "dpo" else {}
        missing["results"] = {"cross_fitted": False} | dpo
    if version < 3 and value["job"] == "dpo":
        missing.setdefault("results", {})["kept"] = "lowest loss"
    known = {k: m | part for k, m in missing.items() if isinstance(part := value.get(k), dict)}
    return {**value, **known, "version": VERSION}


def load(folder: Path) -> AnyRecord:
    """Return the record of the model in `folder`."""
    return parse((folder / FILE).read_text("utf-8"))


def parse(text: str, source: object = FILE) -> AnyRecord:
    """Return the record that the text of a `run.json` holds; raises as `from_json` does."""
    try:
        return from_json(json.loads(text), source)
    except json.JSONDecodeError as error:
        raise BadInput(source, f"not JSON: {error}") from None


def _plain(value: object) -> object:
    """Return dataclasses as dicts and tuples as lists."""
    if isinstance(value, Rate):
        return _plain(value.to_json())
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value

"""`run.json` of a reward, and of a model that learned from one. Their cards need nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from palate.core.errors import BadInput
from palate.core.schema import Model
from palate.core.typed import read, version_of
from palate.reward.config import Method
from palate.reward.figures import RewardResults
from palate.train.records import record, rl_results
from palate.train.records.points import RLPoint
from palate.train.records.record import AnyRecord, DataFacts, JobRecord, RunRecord
from palate.train.records.rl_results import HeldOut, RLResults

VERSION = 0  # of both records


@dataclass(frozen=True)
class ProbeFacts:
    """Where the head is, and how strongly its weights were held small, which folds chose.

    Several layers were compared before the layer was fixed by depth.
    """

    layer: int
    layers: int  # of the base model
    penalty: float
    compared: tuple[int, ...]  # layers


@dataclass(frozen=True)
class RewardRecord(JobRecord):
    """What `palate reward` records."""

    job: Literal["reward"]
    method: Method
    data: DataFacts
    ties: int
    answers: int  # distinct ones, each computed once
    probe: ProbeFacts | None
    results: RewardResults
    begun_with: ProbeFacts | None = None  # the probe whose layers a training changed

    def sentence(self) -> str:
        """Return the result in one line."""
        r = self.results
        if not r.accuracy.n:
            return "Nothing was held out, so nothing is known about the result."
        error = r.calibration_error
        off = "" if error is None else f", calibration error {100 * error:.1f} points"
        return f"held-out accuracy {r.accuracy.words()}{off}, {self.seconds:.0f} s"

    def comparisons(self) -> list[str]:
        """Return what is known of the reward against each simple rule, a sentence each."""
        return self.results.comparisons()


@dataclass(frozen=True)
class RLRecord(RunRecord):
    """What `palate rl` records."""

    job: Literal["rl"]
    data: DataFacts
    history: tuple[RLPoint, ...]
    results: RLResults
    reward: Model | None  # None with --halves
    held_out: HeldOut
    raised: HeldOut | None = None  # with --halves: the reward of one half

    def sentence(self) -> str:
        """Return the result in one line."""
        return f"{rl_results.sentence(self.results)}, {self.seconds:.0f} s."

    def comparisons(self) -> list[str]:
        """Return what is known of the gap between both rewards."""
        return [rl_results.gap(self.results, self.held_out)]


SCORED: dict[str, type[RewardRecord | RLRecord]] = {"reward": RewardRecord, "rl": RLRecord}


def load(folder: Path) -> AnyRecord | RewardRecord | RLRecord:
    """Return the record of the model in `folder`, of whatever job."""
    return parse((folder / record.FILE).read_text("utf-8"), record.FILE)


def parse(text: str, source: object) -> AnyRecord | RewardRecord | RLRecord:
    """Return the record that the text of a `run.json` holds. Raises BadInput for a wrong one."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(source, f"not JSON: {error}") from None
    if not isinstance(value, dict) or value.get("job") not in SCORED:
        return record.from_json(value, source)
    version_of(value, VERSION, source)
    return read(SCORED[value["job"]], value, source)

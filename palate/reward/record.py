"""`run.json` of a reward: what `palate reward` did. Its card is rendered from it alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from palate.core.errors import BadInput
from palate.core.typed import read, version_of
from palate.reward.config import Method
from palate.reward.figures import RewardResults
from palate.train import record
from palate.train.record import AnyRecord, DataFacts, JobRecord

VERSION = 0  # of a reward's record


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


def load(folder: Path) -> AnyRecord | RewardRecord:
    """Return the record of the model in `folder`, of whatever job."""
    return parse((folder / record.FILE).read_text("utf-8"), record.FILE)


def parse(text: str, source: object) -> AnyRecord | RewardRecord:
    """Return the record that the text of a `run.json` holds. Raises BadInput for a wrong one."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(source, f"not JSON: {error}") from None
    if not isinstance(value, dict) or value.get("job") != "reward":
        return record.from_json(value, source)
    version_of(value, VERSION, source)
    return read(RewardRecord, value, source)

"""compare.json of a project: what each method gave, measured alike, and its table.

The dataset's card is rendered from it. Only `stored` and `keep` do I/O.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from palate.core import hub
from palate.core.errors import BadInput
from palate.core.markdown import count
from palate.core.project import Project
from palate.core.schema import BEST_OF, Model
from palate.core.typed import read, version_of
from palate.evaluate.ratings import RatingList
from palate.reward.best import divergence
from palate.reward.measured import Figures, Measure

VERSION = 0
FILE = "compare.json"
BASE, RL = "base", "rl"
BY_LOSS = ("sft", "hindsight")  # methods whose weights the loss on test prompts chooses
HEAD = ("method", "pairs right, held out", "reward, held out", "more than base", "KL", "characters",
        "end", "minutes", "cost", "check", "place")  # fmt: skip
NONE = "–"
# of the checked weights, those that the held-out reward scored highest, those with the lowest loss
# on answers to test prompts, or those of the last step
Kept = Literal["reward", "loss", "last"]


@dataclass(frozen=True)
class Share:
    """How often a method ranks held-out pairs right, with its interval for other prompts."""

    share: float
    interval: tuple[float, float] | None

    def cell(self) -> str:
        """Return "64.1% (58–70%)"."""
        if self.interval is None:
            return f"{100 * self.share:.1f}%"
        low, high = (100 * x for x in self.interval)
        return f"{100 * self.share:.1f}% ({low:.0f}–{high:.0f}%)"


@dataclass(frozen=True)
class Entry:
    """A contestant: a method and the model that wrote, or that chose among the base's answers."""

    method: str
    model: Model
    figures: Figures
    accuracy: Share | None = None  # on held-out pairs, where the method has one
    seconds: float | None = None
    dollars: float | None = None  # where it ran on HF Jobs
    check: tuple[str, ...] = ()  # what tuning cost, where `palate check` measured it
    kept: Kept | None = None  # what chose the weights; None in older files


@dataclass(frozen=True)
class MethodsReport:
    """What the methods gave on the same data."""

    version: int
    data_revision: str
    time: str
    measure: Measure | None  # None where test prompts have too few labels for a held-out reward
    entries: tuple[Entry, ...]
    aspect: str | None = None  # in which all methods learned and are measured, where there are some

    @classmethod
    def from_json(cls, value: object, source: object = FILE) -> "MethodsReport":
        """Return the report that parsed JSON holds. Raises BadInput for a wrong one."""
        version_of(value, VERSION, source)
        return read(cls, value, source)

    def text(self) -> str:
        """Return the content of compare.json."""
        value = asdict(self)
        if self.aspect is None:
            del value["aspect"]  # as reports were before
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def rows(self, rated: Sequence[RatingList] = ()) -> list[list[str]]:
        """Return the cells of the table, a list for each contestant; `rated` gives the places."""
        places = {r.model: r.place for r in rated[0].ratings} if rated else {}
        return [_cells(entry, places) for entry in self.entries]

    def lines(self) -> list[str]:
        """Return the table for a terminal, a line for each contestant, and what the figures are."""
        names = (None, "pairs right", "reward", "than base", "KL", "characters", "end", "min",
                 "cost", "check")  # fmt: skip
        lines = []
        for cells in self.rows():
            known = [
                f"{name} {cell}"
                for name, cell in zip(names, cells, strict=False)
                if name and cell != NONE
            ]
            lines.append(f"{cells[0]}: {', '.join(known)}")
        return [*lines, *self.notes()]

    def notes(self) -> list[str]:
        """Return what the columns are, in sentences."""
        n = self.entries[0].figures.answers
        lines = [f"All methods learned in the aspect {self.aspect}."] if self.aspect else []
        lines += [
            f"Each wrote {count(n, 'answer')} to the eval prompts, with equal seeds. Intervals are"
            " 95%, for other prompts.",
            "KL, in nats an answer, is from the base model, at the tokens of the model's own"
            " answers. End: share of answers that ended before the limit.",
        ]
        if not self.measure:
            return [*lines, "Test prompts have too few labels for a held-out reward."]
        return [*lines, self.measure.sentence(), *self._chosen()]

    def _chosen(self) -> list[str]:
        """Return which methods kept weights that the test prompts' labels chose."""
        lines = []
        by_loss = [
            e.method
            for e in self.entries
            if e.kept == "loss" or (e.kept is None and e.method in BY_LOSS)
        ]
        if by_loss:
            lines.append(
                f"{' and '.join(by_loss)} kept the weights with the lowest loss on preferred"
                f" answers to test prompts, so {'their' if len(by_loss) > 1 else 'its'} figures may"
                " be too high."
            )
        by_reward = {e.kept for e in self.entries if e.method == RL} - {"last", "loss"}
        for kept in by_reward:
            lines.append(
                f"rl {'kept' if kept else 'may have kept'} the weights that such a reward scored"
                " highest, on train prompts, so its figures may be too high."
            )
        return lines


def _cells(entry: Entry, places: dict[Model, str]) -> list[str]:
    figures = entry.figures
    seconds, dollars = entry.seconds, entry.dollars
    return [
        entry.method,
        entry.accuracy.cell() if entry.accuracy else NONE,
        figures.reward.cell() if figures.reward else NONE,
        figures.change.cell() if figures.change and entry.method != BASE else NONE,
        _apart(entry),
        f"{figures.characters:.0f}",
        f"{100 * figures.ended:.0f}%",
        NONE if seconds is None else f"{seconds / 60:.1f}",
        NONE if dollars is None else f"${dollars:.2f}",
        " ".join(entry.check) or NONE,
        places.get(entry.model, NONE),
    ]


def _apart(entry: Entry) -> str:
    if entry.model.revision.startswith(BEST_OF):
        n = int(entry.model.revision.removeprefix(BEST_OF).partition(".")[0])
        return f"at most {divergence(n):.1f}"
    if entry.method == BASE:
        return "0"
    return f"{entry.figures.kl.mean:.1f}" if entry.figures.kl else NONE


def stored(project: Project) -> MethodsReport | None:
    """Return the project's report, None without any. Raises BadInput for a wrong one."""
    text = project.text(FILE)
    if not text:
        return None
    source = f"{project.id}/{FILE}"
    try:
        return MethodsReport.from_json(json.loads(text), source)
    except json.JSONDecodeError as error:
        raise BadInput(source, f"not JSON: {error}") from None


def keep(project: Project, report: MethodsReport) -> None:
    """Commit the report to the project."""
    hub.commit(project.id, "dataset", {FILE: report.text()}, "Add what each method gave")

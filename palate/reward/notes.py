"""What a reward says about the labels that made it, kept in the project as reward.json."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from palate.core import hub
from palate.core.project import REWARD_FILE, Project
from palate.core.schema import Preference
from palate.label.strategies import NOTES_VERSION, Doubt, RewardNotes
from palate.train.job import RunDir

SHARE = 0.05  # of the labels, that people are asked about once more
UNLIKELY = 1 / 3  # to the reward


def doubts(rows: Sequence[Preference], leads: np.ndarray, temperature: float) -> tuple[Doubt, ...]:
    """Return the choices with the lowest probability; `leads` are those of the chosen answers.

    Each lead is by a probe of other prompts. Pure.
    """
    chances = expit(leads / temperature)
    order = sorted(range(len(rows)), key=lambda i: (chances[i], rows[i].pair_id))
    most = max(1, round(SHARE * len(rows)))
    return tuple(
        Doubt(rows[i].annotator, rows[i].pair_id, round(float(chances[i]), 4))
        for i in order[:most]
        if chances[i] < UNLIKELY
    )


def keep(run_dir: RunDir, project: Project, found: tuple[Doubt, ...]) -> None:
    """Keep the notes in the run's folder until they are pushed."""
    notes = RewardNotes(NOTES_VERSION, project.settings.round, found)
    (run_dir.path / REWARD_FILE).write_text(notes.text(), "utf-8")


def push(run_dir: RunDir, project: Project) -> int:
    """Commit the notes to the project; return how many labels they doubt."""
    file = run_dir.path / REWARD_FILE
    if not file.exists():
        return 0
    text = file.read_text("utf-8")
    hub.commit(project.id, "dataset", {REWARD_FILE: text}, "Add what the reward doubts")
    return len(RewardNotes.parse(text, REWARD_FILE).doubts)

"""What a reward says about the labels that made it, kept in the project as reward.json."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit

from palate.core import hub
from palate.core.project import REWARD_FILE, Project
from palate.core.schema import Message, Preference
from palate.label.strategies import Doubt, RewardNotes
from palate.reward.probe import Space
from palate.reward.rows import Answers
from palate.train.job import RunDir

SHARE = 0.05  # of the labels, that people are asked about once more
UNLIKELY = 1 / 3  # to the reward
DIRECTIONS = 32  # of a candidate's vector


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


def others(project: Project, answers: Answers) -> dict[tuple[str, str], list[Message]]:
    """Return the chats of the answers that may still be asked about, by prompt id and text.

    Only the strategy `uncertain` wants them: each costs as much as a labelled one.
    """
    if project.settings.strategy != "uncertain":
        return {}
    prompts = {p.id: p.prompt for p in project.prompts if p.split != "eval"}
    return {
        (c.prompt_id, c.text): [*prompts[c.prompt_id], Message(role="assistant", content=c.text)]
        for c in project.candidates
        if c.prompt_id in prompts and (c.prompt_id, c.text) not in answers.places
    }


def vectors(
    project: Project, places: Mapping[tuple[str, str], int], features: np.ndarray, known: np.ndarray
) -> dict[str, tuple[float, ...]]:
    """Return the features of candidates in a few directions: those in which answers differ most.

    `places` says where a candidate's features are, `known` which are of labelled answers. Pure.
    """
    if project.settings.strategy != "uncertain":
        return {}
    projected = directions(features, known)
    return {
        c.id: tuple(float(f"{x:.4g}") for x in projected[places[c.prompt_id, c.text]])
        for c in project.candidates
        if (c.prompt_id, c.text) in places
    }


def directions(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return all features in the directions in which the known answers differ most. Pure."""
    space = Space.of(features[known])
    free = (features - np.outer(features @ space.mean, space.mean)) * space.scale
    free = free - free[known].mean(0)
    return free @ np.linalg.svd(free[known], full_matrices=False)[2][:DIRECTIONS].T


def keep(run_dir: RunDir, notes: RewardNotes) -> None:
    """Keep the notes in the run's folder until they are pushed."""
    (run_dir.path / REWARD_FILE).write_text(notes.text(), "utf-8")


def push(run_dir: RunDir, project: Project) -> int:
    """Commit the notes to the project; return how many labels they doubt."""
    file = run_dir.path / REWARD_FILE
    if not file.exists():
        return 0
    text = file.read_text("utf-8")
    hub.commit(project.id, "dataset", {REWARD_FILE: text}, "Add what the reward doubts")
    return len(RewardNotes.parse(text, REWARD_FILE).doubts)

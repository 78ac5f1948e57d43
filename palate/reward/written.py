"""What rejection sampling wrote: a file with a line per prompt, added as it is written."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from palate.core import paths
from palate.core.schema import Message, Prompt
from palate.core.typed import read
from palate.generate import models
from palate.reward.best import Written
from palate.train.rows.data import Answer

CUT = "prompts whose answers were all cut or empty"
ALIKE = "prompts where no answer scored higher than another"


@dataclass(frozen=True)
class Line:
    """What the model of a round wrote to a prompt, and the reward of each answer."""

    round: int  # 0 for the first model
    prompt_id: str
    model: str
    revision: str
    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    rewards: tuple[float, ...]

    @classmethod
    def of(cls, number: int, model: models.Source, written: Written) -> "Line":
        return cls(
            number,
            written.prompt.id,
            model.repo,
            model.revision,
            tuple(written.texts),
            tuple(c.ended for c in written.completions),
            tuple(float(score) for score in written.scores),
        )

    def best(self, prompt: list[Message]) -> Answer | str:
        """Return the answer with the highest reward, or why there is none to learn.

        Answers that were cut off would teach the model not to end. Of equal ones it is the first.
        """
        whole = [i for i, text in enumerate(self.texts) if self.ended[i] and text]
        if not whole:
            return CUT
        best = max(whole, key=lambda i: self.rewards[i])
        below = sum(self.rewards[i] < self.rewards[best] for i in whole)
        if not below:
            return ALIKE
        completion = [Message(role="assistant", content=self.texts[best])]
        return Answer(prompt, completion, self.prompt_id, won=below, lost=0)


class Log:
    """The lines of a run, on disk; a line that a kill left half-written is removed."""

    def __init__(self, file: Path):
        self.file = file
        text = file.read_text("utf-8") if file.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            paths.replace(file, whole)
        rows = [line for line in whole.split("\n") if line]
        self.lines = [read(Line, json.loads(row), file.name) for row in rows]

    def add(self, lines: Sequence[Line]) -> None:
        rows = [json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in lines]
        with self.file.open("a", encoding="utf-8") as file:
            file.write("".join(rows))
        self.lines += lines

    def of(self, number: int, prompts: Sequence[Prompt]) -> list[Line]:
        """Return a round's lines on these prompts, in the prompts' order."""
        known = {line.prompt_id: line for line in self.lines if line.round == number}
        return [known[p.id] for p in prompts if p.id in known]

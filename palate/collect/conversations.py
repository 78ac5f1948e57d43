"""The prompt and the two answers of a row, where the prompt is whole. Pure: no I/O.

A prompt is the system message, earlier turns and the last question. Where the two answers come as
conversations, what both begin with belongs to the prompt.
"""

from collections.abc import Sequence

from palate.collect import cells
from palate.collect.cells import BadCell, Reader, is_nothing
from palate.collect.columns import Roles
from palate.collect.rows import Record
from palate.core.schema import Message


class Conversations:
    """Reads rows of one table, whose columns have these roles."""

    def __init__(self, roles: Roles, reader: Reader, rows: Sequence[Record]) -> None:
        self._roles, self._reader = roles, reader
        texts = [row.get(c) for row in rows for c in (roles.first, roles.second)]
        full = [text for text in texts if not is_nothing(text)]
        # hh-rlhf's, if nearly all are: an answer may quote a dialogue
        transcripts = sum(map(cells.is_transcript, full))
        self._are_transcripts = bool(full) and transcripts >= 0.9 * len(full)

    def read(self, row: Record) -> tuple[str | list[Message], str, str]:
        """Return prompt, first and second answer of a row; no prompt if the table has none.

        Raises BadCell where the row has no such thing, or something that palate cannot keep.
        """
        roles = self._roles
        common, answers = self._answers(row)
        lead = self._lead(row)
        if not lead and not common:
            whole = roles.is_preference or not isinstance(row.get(roles.first), str)
            if roles.prompt or roles.template or whole:
                column = roles.prompt or "prompt"
                raise BadCell(column, "expected a prompt, found nothing", "prompt")
            return "", *answers
        messages = self._joined(lead, common)
        messages = self._with_system(row, messages)
        if messages[-1]["role"] == "assistant":
            problem = "expected a question before the answers, found two answers in a row"
            raise BadCell(roles.first, problem, "text")
        messages = self._with_media(row, messages)
        single = len(messages) == 1 and messages[0]["role"] == "user"
        return (messages[0]["content"] if single else messages), *answers

    def _answers(self, row: Record) -> tuple[list[Message], tuple[str, str]]:
        """Return what both sides begin with, and how each goes on."""
        roles = self._roles
        sides = [self._side(row.get(c), c) for c in (roles.first, roles.second)]
        size = min(map(len, sides)) - 1
        same = 0
        while same < size and sides[0][same] == sides[1][same]:
            same += 1
        for column, side in zip((roles.first, roles.second), sides, strict=True):
            if side[-1]["role"] != "assistant":
                problem = "expected an answer at the end, found a turn of the user"
                raise BadCell(column, problem, "text")
            if len(side) > same + 1:
                problem = (
                    f"expected two conversations that differ in the last answer alone, found"
                    f" {len(side) - same} messages after what they share"
                )
                raise BadCell(f"{roles.first}, {roles.second}", problem, "text")
        texts = [
            cells.text(side[-1]["content"], column)
            for column, side in zip((roles.first, roles.second), sides, strict=True)
        ]
        return sides[0][:same], (texts[0], texts[1])

    def _side(self, value: object, column: str) -> list[Message]:
        if self._are_transcripts and isinstance(value, str):
            if not cells.is_transcript(value):
                problem = f"expected a dialogue that begins with Human:, found {cells.shown(value)}"
                raise BadCell(column, problem, "text")
            return cells.transcript(value, column)
        turns = self._reader.turns(value, column)
        if turns is not None:
            return turns
        return [Message(role="assistant", content=cells.text(value, column))]

    def _lead(self, row: Record) -> list[Message]:
        """Return what the columns other than the answers say of the prompt."""
        roles = self._roles
        if roles.tools and not _is_empty_list(row.get(roles.tools)):
            problem = "expected a prompt without tools, which palate cannot show"
            raise BadCell(roles.tools, problem, "prompt")
        history = self._reader.history(row.get(roles.history), roles.history or "")
        lead: list[Message] = []
        if roles.template:
            text = cells.text(roles.template.fill(row), "prompt", "prompt")
            lead = [Message(role="user", content=text)]
        elif roles.prompt and not (
            is_nothing(row.get(roles.prompt)) and self._may_lack_prompt(row)
        ):
            lead = self._reader.prompt(row.get(roles.prompt), roles.prompt)
        if roles.input and not is_nothing(row.get(roles.input)) and lead:
            more = cells.text(row.get(roles.input), roles.input, "prompt")
            lead = [*lead[:-1], Message(role="user", content=f"{lead[-1]['content']}\n{more}")]
        start = next((i for i, m in enumerate(lead) if m["role"] != "system"), len(lead))
        return [*lead[:start], *history, *lead[start:]]

    def _may_lack_prompt(self, row: Record) -> bool:
        """Tell whether the answers bring the prompt with them."""
        return not isinstance(row.get(self._roles.first), str)

    def _joined(self, lead: list[Message], common: list[Message]) -> list[Message]:
        """Return the prompt of which columns say a part and the conversations another."""
        if not lead or not common:
            return lead or common
        if _begins(common, lead):
            return common
        questions = [m["content"].strip() for m in common if m["role"] == "user"]
        spoken = [m for m in lead if m["role"] != "system"]
        if len(spoken) == 1 and spoken[0]["content"].strip() in questions:
            return common if common[0]["role"] == "system" else [*lead[: -len(spoken)], *common]
        if common[0]["role"] == "assistant":
            return [*lead, *common]
        column = self._roles.prompt or self._roles.history or "prompt"
        problem = f"is not what {self._roles.first} begins with"
        raise BadCell(column, f"expected the prompt that both answers have; it {problem}", "prompt")

    def _with_system(self, row: Record, messages: list[Message]) -> list[Message]:
        column = self._roles.system
        if column is None or is_nothing(row.get(column)):
            return messages
        said = cells.text(row.get(column), column, "prompt")
        if messages[0]["role"] != "system":
            return [Message(role="system", content=said), *messages]
        if messages[0]["content"].strip() != said.strip():
            problem = "expected the system message that the conversation has, found another"
            raise BadCell(column, problem, "prompt")
        return messages

    def _with_media(self, row: Record, messages: list[Message]) -> list[Message]:
        """Return the prompt with a mark for each image: other images make another prompt."""
        marks = [cells.media(row.get(c)) for c in self._roles.media if not is_nothing(row.get(c))]
        if not marks:
            return messages
        last = messages[-1]
        content = "\n".join([last["content"], *marks])
        return [*messages[:-1], Message(role=last["role"], content=content)]


def _begins(messages: Sequence[Message], start: Sequence[Message]) -> bool:
    return len(start) <= len(messages) and all(
        m["role"] == s["role"] and m["content"].strip() == s["content"].strip()
        for m, s in zip(messages, start, strict=False)
    )


def _is_empty_list(value: object) -> bool:
    return is_nothing(value) or (isinstance(value, str) and value.strip() in ("[]", "null", "{}"))

"""Prompts like those of a project, written by a model that is shown some of them."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from palate.core.errors import UsageError
from palate.core.schema import Message, Prompt
from palate.generate.engines import Engine
from palate.generate.generation import Completion, OneLine, Sampling, seed_of
from palate.generate.new_prompts import Seen

EXAMPLES = 8  # that the model sees at a time
TRIES = 5  # for each prompt wanted
BATCH = 16
TIMES_AS_LONG = 2  # as the longest example
TIMES_AS_SHORT = 3  # as the shortest
BYTES_PER_TOKEN = 3  # about 4 letters of English, 1 character of Chinese
AROUND = 16  # tokens
MOST_TOKENS = 1_024
FIRST = "Write one entry of a list. Reply with the entry alone."
MORE = (
    "Write one more entry: like these in kind, length and style, and about something else."
    " Reply with the entry alone."
)
_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)]|#+)\s+")  # of a list's entry, or of a heading
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("`", "`"), ("**", "**"))


@dataclass(frozen=True)
class Form:
    """What a project's prompts share: the messages before the last, and the text around its part.

    `parts` are what differs: of "Write a title about: tea" the word "tea".
    """

    before: list[Message]
    role: str
    start: str
    end: str
    parts: list[str]

    @classmethod
    def of(cls, prompts: Sequence[Prompt]) -> "Form":
        """Return the form that most of the prompts have; raises UsageError without prompts."""
        if not prompts:
            raise UsageError("The project has no prompts to write more like. Add some with --add.")
        usual, _ = Counter(_shape(p) for p in prompts).most_common(1)[0]
        alike = [p.prompt for p in prompts if _shape(p) == usual]
        texts = [messages[-1]["content"] for messages in alike]
        start, end = _shared(texts)
        parts = [t[len(start) : len(t) - len(end)].strip() for t in texts]
        return cls(alike[0][:-1], alike[0][-1]["role"], start, end, parts)

    @property
    def is_one_line(self) -> bool:
        return not any("\n" in part for part in self.parts)

    @property
    def tokens(self) -> int:
        """How many tokens a new part may take, with a few for what models write around it."""
        longest = max(len(part.encode()) for part in self.parts)
        return min(MOST_TOKENS, AROUND + TIMES_AS_LONG * longest // BYTES_PER_TOKEN)

    def prompt(self, part: str, model: str, revision: str) -> Prompt:
        """Return the prompt around a new part, marked as written by the model."""
        last = Message(role=self.role, content=f"{self.start}{part}{self.end}")
        return Prompt.of([*self.before, last], model=model, revision=revision)

    def part(self, reply: str) -> str:
        """Return the new part that a reply holds, without what models write around it."""
        text = reply.strip()
        if self.is_one_line:
            text = next((line for line in text.splitlines() if line.strip()), "")
        text = _MARK.sub("", text).strip()
        for first, last in _QUOTES:
            if len(text) > len(first + last) and text.startswith(first) and text.endswith(last):
                text = text[len(first) : -len(last)].strip()
        start, end = self.start.strip(), self.end.strip()
        text = text.removeprefix(start) if start else text
        return (text.removesuffix(end) if end else text).strip()

    def problem(self, part: str) -> str | None:
        """Return what makes it no prompt of this kind, or None."""
        if not part:
            return "empty"
        if not any(c.isalpha() for c in part):
            return "without a word"
        lengths = [len(p) for p in self.parts]
        if len(part) > TIMES_AS_LONG * max(lengths) or TIMES_AS_SHORT * len(part) < min(lengths):
            return "much longer or shorter than the prompts there"
        return None


@dataclass
class Written:
    """New prompts, the part of each that differs, and how many replies were left out, and why."""

    prompts: list[Prompt] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def write_prompts(
    engine: Engine, prompts: Sequence[Prompt], number: int, seed: int = 0
) -> Iterator[Written]:
    """Yield what there is after each batch, until it is `number` prompts or the tries are used up.

    Prompts that a model wrote are no examples, unless there are no others.
    """
    form = Form.of([p for p in prompts if p.model is None] or prompts)
    loaded, write = engine.load()
    model, revision = loaded.repo, loaded.revision
    seen, written = Seen(prompts), Written()
    kind = OneLine if form.is_one_line else Sampling
    sampling = kind(temperature=0.9, top_p=0.95, max_new_tokens=form.tokens)
    asked = 0
    while asked < TRIES * number and len(written.prompts) < number:
        size = min(BATCH, TRIES * number - asked, number - len(written.prompts) + 2)
        requests = [_request(form.parts, seed, asked + i) for i in range(size)]
        seeds = [seed_of(seed, "prompts", asked + i) for i in range(size)]
        asked += size
        for reply in write(loaded, requests, seeds, sampling):
            part = form.part(reply.text)
            problem = form.problem(part) or _unfinished(reply, form)
            prompt = form.prompt(part, model, revision)
            if problem is None and seen.problem(prompt):
                problem = "much like another prompt"
            if problem:
                written.dropped[problem] += 1
            elif len(written.prompts) < number:
                written.prompts.append(prompt)
                written.parts.append(part)
        yield written


def _request(parts: Sequence[str], seed: int, number: int) -> list[Message]:
    """Return a chat in which the examples were answers, and one more is asked for.

    A small model imitates its own turns; asked about a list, it describes lists. Each request
    shows other examples.
    """
    shown = random.Random(f"{seed}/{number}").sample(parts, min(EXAMPLES, len(parts)))
    ask = Message(role="user", content=MORE)
    answers = [Message(role="assistant", content=part) for part in shown]
    turns = [message for answer in answers for message in (ask, answer)]
    return [Message(role="user", content=FIRST), *turns[1:], ask]


def _unfinished(reply: Completion, form: Form) -> str | None:
    """Return what is wrong with a reply that was cut off before its entry ended."""
    is_whole = reply.ended or ("\n" in reply.text.strip() and form.is_one_line)
    return None if is_whole else "cut off"


def _shape(p: Prompt) -> str:
    """Return what prompts of one form have in common, their last text left out."""
    return repr((p.prompt[:-1], p.prompt[-1]["role"]))


def _shared(texts: Sequence[str]) -> tuple[str, str]:
    """Return what all texts begin and end with, in whole words; "" twice if one has no more."""
    if len(set(texts)) < 2:
        return "", ""
    start = re.sub(r"\S+$", "", _beginning(texts))
    rests = [t[len(start) :] for t in texts]
    end = re.sub(r"^\S+", "", _beginning([r[::-1] for r in rests])[::-1])
    if any(len(r) <= len(end) or not r[: len(r) - len(end)].strip() for r in rests):
        return "", ""
    return start, end


def _beginning(texts: Sequence[str]) -> str:
    """Return what all texts begin with, character by character."""
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((i for i, (x, y) in pairs if x != y), min(len(first), len(last)))]

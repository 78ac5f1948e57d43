"""Projects in memory for cards, text that tries to break a card, and how a card is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt

from palate.core.project import SETTINGS_FILE, Project, Settings
from palate.core.rounds import wild_vote
from palate.core.schema import Candidate, Event, Message, Model, Pair, Prompt, Unpaired
from palate.evaluate.verdict import Verdict
from palate.label import preferences
from palate.report.cards import RESULTS_FILE
from palate.report.model_card import model_files
from palate.train.records import record

NASTY = [
    "</td></table><script>alert(1)</script>",
    "a | b | c",
    "````\n# out of the fence\n```",
    "---\nlicense: mit\n---",
    "![x](http://example.com/x.png) [y](javascript:alert)",
    "line\n\n# heading\n- item\n> quote\u2028next\r\nlast",
    "*a* _b_ **c** `d` $e$ &lt; &#60; \\",
    "{{ run.seed }} {% raw %}",
    "\ud800 lone, \u202e turned",
    "    indented",
]
PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")


def text_of(files: Mapping[str, str | bytes]) -> str:
    """Return the card among its files, which has no gaps and shows every picture."""
    text = files["README.md"]
    assert isinstance(text, str)
    assert "[More Information Needed]" not in text
    for path in files:
        known = path in ("README.md", RESULTS_FILE)
        assert known or f"]({path})" in text, f"{path} is not shown"
    return text


def body(card: str) -> str:
    return DatasetCard(card, ignore_metadata_errors=True).text


def shape(text: str) -> list[str]:
    """Return the document's structure: its block and inline tokens but for plain text's."""
    flat = [t for block in PARSER.parse(text) for t in (block, *(block.children or []))]
    plain = ("text", "code_inline")
    return [t.type for t in flat if t.type not in plain and t.content != "<br>"]


@dataclass(frozen=True)
class InMemory(Project):
    """A project whose rows lie in memory; whatever else it does, Project does it."""

    memory: dict[str, list] = field(default_factory=dict, hash=False)

    def read(self, config: str) -> tuple[Any, ...]:
        return tuple(self.memory.get(config, ()))

    def contents(self, config: str) -> tuple[Path, ...]:
        return (Path(uuid4().hex),)  # like no other: tests change the memory


def event(prompt: Prompt, a: Candidate, b: Candidate, n: int, **changes: Any) -> Event:
    return replace(
        Event(
            event_id=f"e{n}",
            kind="label",
            pair_id=Pair.of(a, b).id,
            prompt_id=prompt.id,
            left=a.id,
            right=b.id,
            chosen=a.id,
            strength=None,
            annotator="ann",
            milliseconds=900,
            time=f"2026-11-20T21:00:{n:02}.000Z",
            round=1,
            via="ballot",
        ),
        **changes,
    )


def thumb(prompt: Prompt, text: str) -> Unpaired:
    answer = [Message(role="assistant", content=text)]
    return Unpaired(prompt.prompt, answer, True, "ann", prompt.id)


def tried(prompt: str) -> Event:
    sides = [Model("me/base", "c" * 40), Model("me/titles-dpo", "d" * 40)]
    when = {"time": "2026-01-01T00:00:00.000Z", "number": 1}
    return wild_vote(uuid4().hex, sides, 1, prompt, annotator="ann", blind=True, **when)


def project(
    text: str = "Title",
    annotator: str = "ann",
    *,
    strength: int | None = None,
    prompts: int = 6,
    written: bool = True,
) -> InMemory:
    """Return a project with a pair of candidates for each prompt, and one label on each.

    A model wrote the first candidate of each pair, unless `written` is False.
    """
    splits = ("train", "train", "test", "eval", "train", "train")
    ps = [Prompt.of(f"{text} {i}", splits[i % 6]) for i in range(prompts)]
    sampling = {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 32, "seed": 0}
    by = {"model": "me/base", "revision": "c" * 40, "sampling": sampling} if written else {}
    cs = [(Candidate.of(p.id, f"{text} a", **by), Candidate.of(p.id, f"{text} b")) for p in ps]
    events = [
        event(p, a, b, n, annotator=annotator, strength=strength)
        for n, (p, (a, b)) in enumerate(zip(ps, cs, strict=True))
    ]
    flat = [c for pair in cs for c in pair]
    rebuilt = preferences.rebuild(ps, flat, events)
    memory = {
        "prompts": ps,
        "candidates": flat,
        "labels": events,
        "preferences": rebuilt.rows["train"] + rebuilt.rows["test"],
        "evaluations": events[3:4],
        "unpaired": [thumb(ps[0], f"{text} a")],
        "wild": [tried(f"{text} of my own")],
    }
    return project_of(memory, list(preferences.preference_files(rebuilt)))


def project_of(memory: dict[str, list], extra: list[str]) -> InMemory:
    files = [f"{c}/0001.jsonl" for c, rows in memory.items() if rows and c != "preferences"]
    return InMemory(
        "me/titles",
        "d" * 40,
        Settings(license="cc-by-4.0"),
        (SETTINGS_FILE, *files, *extra),
        memory,
    )


def readme(facts: dict[str, Any], verdict: Verdict | None = None) -> str:
    """Return the model card of a run's facts."""
    return text_of(model_files(record.from_json(facts), verdict))

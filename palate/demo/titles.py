"""The titles that ship with palate: what the tiny writer is trained on. Reads one shipped file."""

import json
from functools import cache
from pathlib import Path

PROMPT = "Write a title for a video about {topic}."
CORPUS = Path(__file__).with_name("titles.jsonl")


@cache
def corpus() -> dict[str, list[str]]:
    """Return the shipped titles by topic, in the file's order."""
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").split("\n") if line]
    return {row["topic"]: row["titles"] for row in rows}


def topics() -> list[str]:
    """Return the topics in the file's order."""
    return list(corpus())


def titles() -> list[tuple[str, str]]:
    """Return every (topic, title) in the file's order."""
    return [(topic, title) for topic, group in corpus().items() for title in group]


def prompt_for(topic: str) -> str:
    """Return the prompt that asks for a title about `topic`."""
    return PROMPT.format(topic=topic)

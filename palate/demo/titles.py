"""The titles that ship with palate: what the tiny writer is trained on. Reads one shipped file."""

import json
from functools import cache
from pathlib import Path

PROMPT = "Write a title for a video about {topic}."
# topics that no title ships for: the second round's eval prompts, which nobody has voted on
MORE_TOPICS = """
ferry boats, lichens, harmonicas, paper mills, door handles, hedgehogs, salt pans,
marmalade, chess clocks, canal locks, tide pools, typewriters, bread ovens, alpine huts,
compass needles, rice terraces, snow ploughs, bell ropes, drum kits, bus timetables,
sea shanties, fountain pens, peat bogs, night markets, pocket watches, cable cars, walnut
trees, rowing boats, paper kites, garden gnomes, roller skates, cello strings, market
gardens, lost property offices, weather vanes, mountain passes, tin toys, school canteens,
glass marbles, harbour seals
"""
CORPUS = Path(__file__).with_name("titles.jsonl")


@cache
def corpus() -> dict[str, list[str]]:
    """Return the shipped titles by topic, in the file's order."""
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").split("\n") if line]
    return {row["topic"]: row["titles"] for row in rows}


def topics() -> list[str]:
    """Return the topics in the file's order."""
    return list(corpus())


def more_topics() -> list[str]:
    return [topic.strip() for topic in " ".join(MORE_TOPICS.split()).split(",")]


def titles() -> list[tuple[str, str]]:
    """Return every (topic, title) in the file's order."""
    return [(topic, title) for topic, group in corpus().items() for title in group]


def prompt_for(topic: str) -> str:
    """Return the prompt that asks for a title about `topic`."""
    return PROMPT.format(topic=topic)

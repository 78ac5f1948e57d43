"""The text of palate reads as English: none of the words that give a translation away."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "shall": r"\bshall\b",
    "anew": r"\banew\b",
    "of its own": r"\bof (?:its|their|one's|his|her|our) own\b",
    "by itself": r"\bby itself\b",
    "whoever": r"\bwhoever\b",
    "lies in": r"\b(?:lies?|lay|lain) (?:in|at|on|there|here|beside|next|between|where)\b",
    "stands in": r"\b(?:stands?|stood) (?:in|at|on|there|here|beside|below|above|for)\b",
    "beside": r"\bbeside\b",
    "95 %": r"[\d}] %(?! ?[\d({}])",  # but not `{% if n > 10 %}` and not modulo
    "1 people": r"\b1 (?:people|labels|votes|pairs|prompts|rows)\b",
    "come along": r"\bcomes? along\b",
    "what is said": r"\bwhat (?:is|was) said\b",
}
FOLDERS = ("palate", "jobs", "spaces", "cards", "docs", "benchmarks")
KINDS = {".py", ".md", ".j2", ".html", ".js", ".css"}
FILES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(f for d in FOLDERS for f in (ROOT / d).rglob("*") if f.suffix in KINDS),
]


def phrases(text: str) -> list[str]:
    """Return the forbidden phrases of a text with their lines, such as "3: shall (We shall …)"."""
    return [
        f"{number}: {name} ({line.strip()[:80]})"
        for number, line in enumerate(text.splitlines(), 1)
        for name, pattern in FORBIDDEN.items()
        if re.search(pattern, line, re.I)
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_no_forbidden_phrase(file):
    assert phrases(file.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("You shall label.", "shall"),
        ("The file lies in a folder.", "lies in"),
        ("It agrees in 95 % of pairs.", "95 %"),
        ('f"{100 * rate:.1f} %"', "95 %"),
        ("by 1 people", "1 people"),
    ],
)
def test_a_phrase_is_seen(line, phrase):
    assert [p.split(": ")[1].split(" (")[0] for p in phrases(line)] == [phrase]


@pytest.mark.parametrize("line", ["x = n % 2", "{% if n > 10 %}", '"%.1f" % (3,)', "f(7) % PRIME"])
def test_code_is_no_phrase(line):
    assert phrases(line) == []

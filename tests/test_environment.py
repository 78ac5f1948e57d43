"""docs/environment.md names every environment variable of the code, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "environment.md").read_text("utf-8")
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
NAMED = {name for row in ROWS for name in re.findall(r"`([A-Z][A-Z_]+)`", row.split("|")[1])}
FILES = sorted(f for folder in ("palate", "jobs", "spaces") for f in (ROOT / folder).rglob("*.py"))
PREFIXED = re.compile(
    r"(PALATE|HF|ARGILLA|JUDGE|SERVER|SBATCH|XDG|OAUTH|OPENID|GRADIO|OWNER|EMBEDDED|ACCELERATE"
    r"|UV)_[A-Z_]+"
)


def variables(text: str) -> Iterator[str]:
    """Yield the names in a module: by their prefix, or because `os.environ` is asked for them."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if PREFIXED.fullmatch(node.value):
                yield node.value
        elif isinstance(node, ast.Subscript | ast.Call | ast.Compare):
            asked = re.match(r"os\.environ(?:\.\w+\(|\[)'(\w+)'", ast.unparse(node))
            asked = asked or re.match(r"'(\w+)' (?:not )?in os\.environ", ast.unparse(node))
            if asked:
                yield asked[1]


FOUND = {name for file in FILES for name in variables(file.read_text("utf-8"))}


def test_every_variable_of_the_code_is_in_the_document():
    assert sorted(FOUND - NAMED) == []


def test_every_variable_of_the_document_is_in_the_code():
    text = "".join(f.read_text("utf-8") for f in FILES)
    assert sorted(name for name in NAMED - FOUND if name not in text) == []


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("os.environ.get('PORT', '1')", ["PORT"]),
        ("os.environ['PORT']", ["PORT"]),
        ("x = 'PORT' in os.environ", ["PORT"]),
        ("KEY = 'PALATE_NEW'", ["PALATE_NEW"]),
        ("print('PORT')", []),
    ],
)
def test_a_variable_is_seen_however_it_is_read(line, names):
    assert list(dict.fromkeys(variables(f"import os\n{line}\n"))) == names

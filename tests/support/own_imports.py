"""Which modules of palate a file imports, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "palate"


def modules() -> dict[str, Path]:
    """Return every module of palate by its name without `palate.`."""
    files = {p.relative_to(PACKAGE).with_suffix(""): p for p in PACKAGE.rglob("*.py")}
    return {".".join(p.parts).removesuffix("__init__").rstrip("."): f for p, f in files.items()}


def imports(file: Path, known: dict[str, Path]) -> Iterator[tuple[str, bool]]:
    """Yield each own module that a file imports, and whether a function does it.

    The embedded Argilla's process imports its own package by the top-level name `embedded`.
    """
    tree = ast.parse(file.read_text("utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] == "embedded":
                name = f"palate.argilla.server.{name}"
            own = name.removeprefix("palate").lstrip(".")
            if name.split(".")[0] == "palate":
                yield own if own in known else own.rpartition(".")[0], node in inside

"""The law of imports: a room imports itself and the rooms before it, wherever the import is.

Also where `Any` may be.
"""

import ast

import pytest
from own_imports import PACKAGE, imports, modules

ROOMS = (
    *("core", "terminal", "collect", "generate", "label", "evaluate", "audit", "train"),
    *("reward", "check", "report", "pack", "argilla", "run", "web", "demo", "commands", "cli"),
)
SERVERS = ("localhub", "argilla.server")  # reached over HTTP: they import nothing else of palate
# what a command or a job needs is imported when it is called: `palate --help` needs none of it
START = ("commands", "cli", "__main__", "run.jobs")
# these subclass TRL's or Transformers' classes, which takes seconds to import
HEAVY = (
    *(
        f"train.trainers.{m}"
        for m in ("callbacks", "dpo_trainer", "kto_trainer", "looks", "trainer")
    ),
    *("reward.trainer", "reward.rl_trainer"),
)


def room(module: str) -> str:
    return next((s for s in SERVERS if f"{module}.".startswith(f"{s}.")), module.split(".")[0])


KNOWN = modules()
ARROWS = [(m, *arrow) for m, file in KNOWN.items() for arrow in imports(file, KNOWN)]


def allowed(source: str, target: str) -> bool:
    """Tell whether `source` may import `target`, both modules without `palate.`."""
    here, there = room(source), room(target)
    if here == there or not target:
        return True
    if here in SERVERS or there in SERVERS:
        return here in ("", "demo", "commands")
    if here in ("", "__main__"):
        return True
    return ROOMS.index(there) < ROOMS.index(here)


def test_every_module_has_a_room():
    strangers = {room(m) for m in KNOWN} - {*ROOMS, *SERVERS, "", "__main__"}
    assert not strangers


def test_a_room_imports_only_what_comes_before_it():
    assert [f"{s} imports {t}" for s, t, _ in ARROWS if not allowed(s, t)] == []


def test_own_modules_are_imported_at_the_top():
    hidden = [
        f"{s} imports {t} inside a function"
        for s, t, inside in ARROWS
        if inside and not {s, room(s)} & {*START} and not t.startswith(HEAVY)
    ]
    assert hidden == []


def test_no_circles():
    targets: dict[str, set[str]] = {}
    for source, target, _ in ARROWS:
        if source != target and source:  # palate's own names are imported when they are used
            targets.setdefault(source, set()).add(target)
    done: set[str] = set()
    circles: list[str] = []

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            circles.append(" → ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for target in targets.get(module, ()):
                # a package's __init__ only says what its rooms hold
                walk(target, (*path, module))
            done.add(module)

    for module in KNOWN:
        walk(module, ())
    assert circles == []


def test_no_module_is_imported_under_the_name_of_another():
    names = {name for module in KNOWN for name in module.split(".")}
    files = [*KNOWN.values(), *(PACKAGE.parent / "jobs").glob("*.py")]
    aliases = [
        f"{file.name}: {node.module}.{alias.name} as {alias.asname}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "palate"
        for alias in node.names
        if alias.asname in names
    ]
    assert aliases == []


@pytest.mark.parametrize("folder", ["spaces", "jobs"])
def test_palate_imports_neither_spaces_nor_jobs(folder):
    text = "".join(f.read_text("utf-8") for f in KNOWN.values())
    assert f"\nfrom {folder}" not in text
    assert f"\nimport {folder}" not in text


def test_any_is_for_torch_and_trl():
    lines = {
        (module, node.lineno)
        for module, file in KNOWN.items()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Name) and node.id == "Any"
    }
    assert len(lines) < 90
    # `terminal` has the fields of rich, which are untyped as well
    rooms = {room(module) for module, _ in lines}
    assert rooms == {"generate", "train", "reward", "demo", "web", "terminal"}

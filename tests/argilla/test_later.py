"""The embedded server imports what few people need only when somebody needs it."""

import sys

import pytest

from palate.argilla.server.embedded import later

NAME = "a_module_that_is_imported_later"


def test_a_module_is_imported_when_something_of_it_is_used(tmp_path, monkeypatch):
    code = (
        "class Kind:\n    name = 'a kind'\n\n\ndef double(n, *, more=0):\n    return 2 * n + more\n"
    )
    (tmp_path / f"{NAME}.py").write_text(code)
    (tmp_path / "user.py").write_text(f"from {NAME} import Kind, double, missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with later(NAME):
        import user
    assert NAME not in sys.modules
    assert user.double(2, more=1) == 5
    assert user.Kind.name == "a kind"
    assert sys.modules[NAME].Kind is type(user.Kind())
    with pytest.raises(AttributeError, match="missing"):
        user.missing()
    for name in (NAME, "user"):
        monkeypatch.delitem(sys.modules, name)

"""Code that runs in the server's own environment, around an unmodified argilla-server."""

import importlib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType


class _Name:
    """A name of a module, which is imported once the name is used."""

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> object:
        return getattr(self._found(), name)

    def __call__(self, *args: object, **options: object) -> object:
        return self._found()(*args, **options)

    def _found(self) -> object:
        return getattr(importlib.import_module(self._module), self._name)


class _Module(ModuleType):
    def __getattr__(self, name: str) -> _Name:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


@contextmanager
def later(name: str) -> Generator[None]:
    """Let what is imported in the block import the module `name` at its first use."""
    sys.modules[name] = _Module(name)
    try:
        yield
    finally:
        del sys.modules[name]

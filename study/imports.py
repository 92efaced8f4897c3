"""Imports that a library makes unasked, and that take longer than what it is wanted for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType


class _Absent(MetaPathFinder):
    """Finds one module missing."""

    def __init__(self, name: str):
        self._name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self._name:
            raise ModuleNotFoundError(name)


@contextmanager
def absent(name: str) -> Iterator[None]:
    """In here a module is not found, unless it is imported already: for a library that can do without it."""
    finder = _Absent(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def standing_for(name: str, other: ModuleType) -> Iterator[None]:
    """In here another module stands for a submodule, unless that is imported already: for who asks little of it."""
    if name in sys.modules:
        yield
        return
    parent, _, child = name.rpartition(".")
    package = sys.modules[parent]
    sys.modules[name] = other
    setattr(package, child, other)
    try:
        yield
    finally:
        del sys.modules[name]
        delattr(package, child)

"""Imports that a library makes unasked, and that take longer than what it is wanted for."""

from __future__ import annotations

import sys
import threading
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
    """In here another module stands for a submodule, unless that is imported already: for who asks little of it.

    In the main thread only: two threads could take the module from each other, half imported.
    """
    is_alone = threading.current_thread() is threading.main_thread()
    if (
        not is_alone or sys.modules.setdefault(name, other) is not other
    ):  # at once, lest another thread imports it
        yield
        return
    parent, _, child = name.rpartition(".")
    package = sys.modules[parent]
    try:
        setattr(package, child, other)
        yield
    finally:
        if sys.modules.get(name) is other:
            del sys.modules[name]
        if vars(package).get(child) is other:
            delattr(package, child)

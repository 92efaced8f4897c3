"""A YAML file as plain values, with the place of each in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from study.errors import BadInput, Problem

KeyPath = tuple[str | int, ...]


class Places:
    """Where each key path of a file stands: `file:line:column`, or the option that set it."""

    def __init__(self, file: str):
        self.file = file
        self._keys: dict[KeyPath, str] = {}
        self._values: dict[KeyPath, str] = {}

    def of_key(self, path: KeyPath) -> str:
        """The place of a key, or of the nearest thing around it that has one."""
        return self._nearest(self._keys, path)

    def of_value(self, path: KeyPath) -> str:
        """The place of a value, or of the nearest thing around it that has one."""
        return self._nearest(self._values, path)

    def mark(self, path: KeyPath, key: str, value: str) -> None:
        """Note the places of one key and its value."""
        self._keys[path], self._values[path] = key, value

    def _nearest(self, places: dict[KeyPath, str], path: KeyPath) -> str:
        while path and path not in places:
            path = path[:-1]
        return places.get(path, self.file)


def read_yaml(path: str | Path) -> tuple[Any, Places]:
    """The file's content as dicts, lists and scalars, and where everything stands."""
    places = Places(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "is no UTF-8 text"
        raise BadInput([Problem(str(path), f"cannot be read: {reason}")]) from error
    return _parse(text, places), places


def parse_value(text: str, where: str) -> Any:
    """One YAML value, as an option gives it."""
    return _parse(text, Places(where))


def _parse(text: str, places: Places) -> Any:
    try:
        return _plain(_load(text, places.file), (), places)
    except RecursionError as error:
        raise BadInput([Problem(places.file, "YAML syntax: nested too deeply")]) from error


def _load(text: str, where: str) -> Any:
    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        problem = (error.problem or error.context or "cannot be parsed").split("\n")[0]
        raise BadInput([Problem(place, f"YAML syntax: {problem}")]) from error
    except (YAMLError, ValueError) as error:
        raise BadInput([Problem(where, f"YAML syntax: {str(error).splitlines()[0]}")]) from error


def _plain(node: Any, path: KeyPath, places: Places) -> Any:
    """ruamel's annotated nodes as plain Python values; their places go into `places`."""
    if isinstance(node, CommentedMap):
        for key in node:
            places.mark((*path, key), _place(places, path, node.lc.key, key), _place(places, path, node.lc.value, key))
        return {key: _plain(value, (*path, key), places) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            place = _place(places, path, node.lc.item, index)
            places.mark((*path, index), place, place)
        return [_plain(value, (*path, index), places) for index, value in enumerate(node)]
    for plain in (bool, int, float, str):  # bool first: it is an int
        if isinstance(node, plain):
            return plain(node)
    if node is None:
        return None
    raise BadInput([Problem(places.of_value(path), f"a value of the kind {type(node).__name__!r} has no use here")])


def _place(places: Places, path: KeyPath, position: Callable, key: Any) -> str:
    """Where an entry stands; what a merge (`<<`) brought in stands where its mapping does."""
    try:
        line, column = position(key)
    except (KeyError, TypeError):
        return places.of_value(path)
    return f"{places.file}:{line + 1}:{column + 1}"

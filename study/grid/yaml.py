"""A YAML file as plain values, with the place of each in the file.

Only YAML's own plain types are made, so a file cannot name code to run. Aliases and merges (`<<`)
are followed and counted, since a small file can stand for a huge tree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from study.errors import BadInput, shown
from study.grid.files import read_file

KeyPath = tuple[str | int, ...]
MOST_BYTES = 200_000  # of a file: some seconds of parsing
MOST_VALUES = 100_000  # of a file, counting what aliases repeat each time
_TAG = "tag:yaml.org,2002:"
_TAGS = {f"{_TAG}{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")}


class Places:
    """Where each key path of a file stands: `file:line:column`, or the option that set it."""

    def __init__(self, file: str):
        self.file = file
        self._keys: dict[KeyPath, str] = {}
        self._values: dict[KeyPath, str] = {}
        self._count = 0

    def of_key(self, path: KeyPath) -> str:
        """The place of a key, or of the nearest thing around it that has one."""
        return self._nearest(self._keys, path)

    def of_value(self, path: KeyPath) -> str:
        """The place of a value, or of the nearest thing around it that has one."""
        return self._nearest(self._values, path)

    def mark(self, path: KeyPath, key: str, value: str) -> None:
        """Note the places of one key and its value."""
        self._keys[path], self._values[path] = key, value

    def at(self, mark: Any) -> str:
        """The place of one of YAML's marks."""
        return f"{self.file}:{mark.line + 1}:{mark.column + 1}" if mark else self.file

    def note(self, node: Node, path: KeyPath = ()) -> None:
        """Note the places of all that is in a node; `BadInput` for what has no use in a grid."""
        self._count += 1
        if self._count > MOST_VALUES:
            raise BadInput.at(self.file, f"YAML: stands for more than {MOST_VALUES:,} values")
        place = self.at(node.start_mark)
        if node.tag not in _TAGS:
            kind = str(node.tag).removeprefix(_TAG)
            raise BadInput.at(place, f"a value of type {shown(kind)} cannot be used here")
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.mark((*path, index), self.at(item.start_mark), self.at(item.start_mark))
                self.note(item, (*path, index))
        elif isinstance(node, MappingNode):
            self._note_mapping(node, path)

    def _note_mapping(self, node: MappingNode, path: KeyPath) -> None:
        merges = [value for key, value in node.value if key.tag == f"{_TAG}merge"]
        for merged in merges:  # first, since the mapping's own keys override them
            for other in reversed(merged.value) if isinstance(merged, SequenceNode) else [merged]:
                self.note(other, path)
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            place = self.at(key.start_mark)
            if not (isinstance(key, ScalarNode) and key.tag == f"{_TAG}str"):
                raise BadInput.at(place, "a key must be text; put it in quotes")
            self.mark((*path, key.value), place, self.at(value.start_mark))
            self.note(value, (*path, key.value))

    def _nearest(self, places: dict[KeyPath, str], path: KeyPath) -> str:
        while path and path not in places:
            path = path[:-1]
        return places.get(path, self.file)


def read_yaml(path: str | Path) -> tuple[Any, Places]:
    """The content of a file as plain values with text for keys, and the place of each."""
    try:
        text = read_file(path, MOST_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:  # ValueError: a strange path, or not UTF-8 text
        reason = getattr(error, "strerror", None) or error
        raise BadInput.at(str(path) or "''", f"cannot be read: {reason}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> tuple[Any, Places]:
    """The value that a text stands for, and the places in it; `where` is a file or an option."""
    places, yaml = Places(where), YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        if node is not None:
            places.note(node)
        return yaml.load(text), places
    except MarkedYAMLError as error:
        place = places.at(error.problem_mark or error.context_mark)
        message = ", ".join(filter(None, (error.context, error.problem))).splitlines()[0]
        raise BadInput.at(place, f"YAML: {message}") from error
    except RecursionError as error:
        raise BadInput.at(where, "YAML: nested too deeply, or in itself") from error
    except (YAMLError, ArithmeticError, LookupError, ValueError) as error:
        message = next(iter(str(error).splitlines()), "cannot be parsed")
        raise BadInput.at(where, f"YAML: {message}") from error

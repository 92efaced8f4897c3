"""Parse a YAML file into plain values, and note the place of each value in the file.

Only YAML's own plain types are allowed, so a file cannot make Python run code. YAML's aliases and
merges (`<<`) are followed. They let a few lines of YAML stand for a huge number of values. So the
number of values is limited, and a value that aliases repeat counts each time.
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
MOST_BYTES = 200_000  # largest size of a file, which takes a few seconds to parse
MOST_VALUES = 100_000  # largest number of values in a file, repetitions by aliases included
MOST_DIGITS = 1_000  # largest length of an integer; Python refuses a few thousand digits
_TAG = "tag:yaml.org,2002:"
_TAGS = {f"{_TAG}{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")}


class Places:
    """Says where each key and each value of a grid file was set.

    The path of a key or a value is the tuple of the keys and list indices that lead to it. A place
    is a text. This text is either `file:line:column` or the option `--set` that set the value.
    """

    def __init__(self, file: str):
        self.file = file
        # for each path: the place of the key and the place of its value
        self._places: dict[KeyPath, tuple[str, str]] = {}
        self._count = 0

    def of_key(self, path: KeyPath) -> str:
        """Return the place of the key with this path.

        If no place was recorded for this key, return the place of the nearest key above it that has
        one, or else the name of the file.
        """
        return self._nearest(path)[0]

    def of_value(self, path: KeyPath) -> str:
        """Return the place of the value with this path.

        If no place was recorded for this value, return the place of the nearest value around it
        that has one, or else the name of the file.
        """
        return self._nearest(path)[1]

    def mark(self, path: KeyPath, key: str, value: str) -> None:
        """Record `key` as the place of the key at `path`, and `value` as the place of its value."""
        self._places[path] = key, value

    def at(self, mark: Any) -> str:
        """Return the place of a mark, which is a position given by the YAML library.

        If `mark` is None, return the name of the file.
        """
        return f"{self.file}:{mark.line + 1}:{mark.column + 1}" if mark else self.file

    def note(self, node: Node, path: KeyPath = ()) -> None:
        """Record the places of all keys and values inside a YAML node. `path` leads to the node.

        Raises `BadInput` if the type of a value is not allowed, or if there are too many values.
        """
        self._count += 1
        if self._count > MOST_VALUES:
            raise BadInput.at(
                self.file, f"YAML: more than {MOST_VALUES:,} values, counting repeats by aliases"
            )
        place = self.at(node.start_mark)
        if node.tag not in _TAGS:
            kind = str(node.tag).removeprefix(_TAG)
            message = f"a value of type {shown(kind)} is not allowed; put it in quotes"
            raise BadInput.at(place, message)
        if node.tag == f"{_TAG}int" and len(node.value) > MOST_DIGITS:
            raise BadInput.at(place, f"an integer may have at most {MOST_DIGITS:,} digits")
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                place = self.at(item.start_mark)
                self.mark((*path, index), place, place)
                self.note(item, (*path, index))
        elif isinstance(node, MappingNode):
            self._note_mapping(node, path)

    def _note_mapping(self, node: MappingNode, path: KeyPath) -> None:
        merges = [value for key, value in node.value if key.tag == f"{_TAG}merge"]
        for merged in merges:  # noted first, since the mapping's own keys override them
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

    def _nearest(self, path: KeyPath) -> tuple[str, str]:
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, (self.file, self.file))


def read_yaml(path: str | Path) -> tuple[Any, Places]:
    """Return the content of a YAML file as plain values, and the place of each value.

    Raises `BadInput` if the file cannot be read or is invalid.
    """
    try:
        text = read_file(path, MOST_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:  # ValueError: an impossible path, or not UTF-8
        reason = getattr(error, "strerror", None) or error
        raise BadInput.at(str(path) or "''", f"cannot be read: {reason}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> tuple[Any, Places]:
    """Parse a YAML text, and return its content as plain values and the place of each value.

    `where` names the file or the option that holds the text. Raises `BadInput` for invalid YAML.
    """
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
        raise BadInput.at(where, "YAML: nested too deeply, or a value contains itself") from error
    except (YAMLError, ArithmeticError, LookupError, ValueError) as error:
        message = next(iter(str(error).splitlines()), "cannot be parsed")
        raise BadInput.at(where, f"YAML: {message}") from error

"""A YAML file as plain values, with the place of each in the file.

The values are made from YAML's own tree of nodes, by the few tags that have a use here, so that a file cannot name
what is to be made of it. Aliases and merges (`<<`) are followed, and counted: a small file can stand for a huge tree.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from study.errors import BadInput, Problem, shown
from study.grid.files import read_file

KeyPath = tuple[str | int, ...]
MOST_BYTES = 200_000  # of a file: some seconds of parsing
MOST_NODES = 100_000  # of the tree, what aliases repeat counted each time
MOST_LEVELS = 40
MOST_BRACKETS = 200  # open at a time, those in text too: ruamel takes the square of them
_TAG = "tag:yaml.org,2002:"
_SCALARS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null")}


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
    """The file's content as dicts with text for keys, lists and scalars, and where everything stands."""
    places = Places(str(path) or repr(""))
    try:
        text = read_file(path, MOST_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (
            "is no UTF-8 text" if isinstance(error, UnicodeError) else error
        )
        raise BadInput([Problem(places.file, f"cannot be read: {reason}")]) from error
    return _Plain(places).tree(text), places


def parse_value(text: str, where: str) -> Any:
    """One YAML value, as an option gives it."""
    if len(text) > MOST_BYTES:
        raise BadInput([Problem(where, f"is longer than {MOST_BYTES:,} characters")])
    return _Plain(Places(where)).tree(text)


class _Plain:
    """Makes plain values of YAML's nodes; their places go into `places`."""

    def __init__(self, places: Places):
        self._places, self._nodes = places, 0
        self._yaml = YAML(typ="safe", pure=True)

    def tree(self, text: str) -> Any:
        """The one value that a text stands for."""
        with warnings.catch_warnings(
            action="ignore", category=YAMLWarning
        ):  # of anchors, of old numbers
            node = self._node(text)
            return None if node is None else self._value(node, ())

    def _node(self, text: str) -> Node | None:
        if max(accumulate(text, _open_brackets, initial=0)) > MOST_BRACKETS:
            raise self._refusal("nested too deeply")
        try:
            return self._yaml.compose(text)
        except RecursionError as error:
            raise self._refusal("nested too deeply") from error
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{self._places.file}:{mark.line + 1}:{mark.column + 1}" if mark else None
            raise self._refusal(_first_line(error.problem or error.context), place) from error
        except (YAMLError, ValueError) as error:
            raise self._refusal(_first_line(str(error))) from error

    def _refusal(self, what: str, place: str | None = None) -> BadInput:
        return BadInput([Problem(place or self._places.file, f"YAML syntax: {what}")])

    def _value(self, node: Node, path: KeyPath) -> Any:
        self._count(node, path)
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node)
        kind = str(node.tag).removeprefix(_TAG)
        raise BadInput(
            [Problem(self._place(node), f"a value of the kind {shown(kind)} has no use here")]
        )

    def _item(self, node: Node, path: KeyPath) -> Any:
        self._places.mark(path, self._place(node), self._place(node))
        return self._value(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        found = {}
        for key, (key_node, value_node) in self._entries(node, path).items():
            self._places.mark((*path, key), self._place(key_node), self._place(value_node))
            found[key] = self._value(value_node, (*path, key))
        return found

    def _entries(
        self, node: MappingNode, path: KeyPath, level: int = 0
    ) -> dict[str, tuple[Node, Node]]:
        """The entries of a mapping by key; its own go before those that a merge brings."""
        own, merged = {}, {}
        for key_node, value_node in node.value:
            self._count(key_node, path, level)
            if key_node.tag == f"{_TAG}merge":
                for other in self._merged(value_node):
                    merged = self._entries(other, path, level + 1) | merged
                continue
            key = self._key(key_node)
            if key in own:
                raise self._refusal(f"found duplicate key {shown(key)}", self._place(key_node))
            own[key] = (key_node, value_node)
        return own | {key: nodes for key, nodes in merged.items() if key not in own}

    def _merged(self, node: Node) -> Iterator[MappingNode]:
        """The mappings that `<<` brings in, the one that counts most first."""
        for other in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(other, MappingNode):
                raise self._refusal("'<<' wants a mapping, or a list of them", self._place(other))
            yield other

    def _key(self, node: Node) -> str:
        key = self._scalar(node) if isinstance(node, ScalarNode) and node.tag in _SCALARS else None
        if not isinstance(key, str):
            what = shown(key) if isinstance(node, ScalarNode) else "this"
            raise BadInput(
                [
                    Problem(
                        self._place(node),
                        f"a key must be text, and {what} is none; put it in quotes",
                    )
                ]
            )
        return key

    def _scalar(self, node: ScalarNode) -> Any:
        try:
            return self._yaml.constructor.construct_object(node)
        except (ArithmeticError, LookupError, ValueError) as error:
            kind = str(node.tag).removeprefix(_TAG)
            raise self._refusal(
                f"{shown(node.value)} is no {kind} that can be used", self._place(node)
            ) from error

    def _count(self, node: Node, path: KeyPath, level: int = 0) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise self._refusal(f"stands for more than {MOST_NODES:,} values")
        if len(path) + level > MOST_LEVELS:
            raise self._refusal(
                f"nested too deeply, or in itself: more than {MOST_LEVELS} levels",
                self._place(node),
            )

    def _place(self, node: Node) -> str:
        return f"{self._places.file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _open_brackets(before: int, character: str) -> int:
    return before + 1 if character in "[{" else max(before - 1, 0) if character in "]}" else before


def _first_line(text: str | None) -> str:
    line = next(iter((text or "").splitlines()), "cannot be parsed")
    return line if len(line) < 200 else f"{line[:200]} …"

"""Read the settings that a user's own cell or task takes from the signature of its function.

A keyword-only argument whose default is a number, a text, true or false is a setting. In grid files
and in the results it is called `cell.NAME` or `task.NAME`. Its type is that of its default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from math import isfinite
from typing import Any

KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
OWNERS = ("task.", "cell.")  # how the names of own settings begin


def keywords(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the settings that a function takes, with their defaults.

    An integer is a floating-point default if the argument is annotated as `float`.
    """
    found = {}
    for argument in signature(function).parameters.values():
        default = argument.default
        if argument.kind is argument.KEYWORD_ONLY and type(default) in KINDS:
            is_float = argument.annotation in (float, "float") and type(default) is int
            found[argument.name] = float(default) if is_float else default
    return found


def is_own(name: str) -> bool:
    """Return whether `name` is the name of an own setting, such as `task.gap`."""
    return name.startswith(OWNERS)


def own_names(names: Iterable[Any]) -> list[str]:
    """Return those of the names, such as columns, that are own settings, sorted."""
    return sorted(name for name in names if is_own(name))


def fits(value: object, kind: type) -> bool:
    """Return whether a setting of one of the `KINDS` may have this value."""
    if kind is float:
        return type(value) in (int, float) and isfinite(value)  # type: ignore[arg-type]
    return type(value) is kind and (kind is not int or -(2**63) <= value < 2**63)  # type: ignore[operator]

"""Errors: what was wrong, where, what is allowed, and the nearest match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Problem:
    """One fault of the input; `where` is `file:line:column` or an option's name."""

    where: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.message}" if self.where else self.message)


class BadInput(Exception):
    """Input that cannot be used. The command has written nothing and exits with 2."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def at(cls, where: str, message: str) -> BadInput:
        """The error for a single problem."""
        return cls([Problem(where, message)])


class EnvironmentFault(RuntimeError):
    """This machine cannot train: a library does not load, or workers die before they begin a run.

    No run is to blame, so the grid ends with exit code 1, and stored runs are kept.
    """


def what_failed(error: OSError) -> str:
    """Why a file could not be used, and which file, if that is known."""
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


class SettingError(ValueError):
    """A setting that makes no run, be it by its value or in combination with others."""

    def __init__(self, key: str, message: str):
        self.key = key
        super().__init__(message)


MOST_SHOWN = 100  # characters of a value in a message


def shown(value: object) -> str:
    """A value as Python writes it, on one line; a long value is cut short."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 20]} … {text[-15:]}"


def printable(text: str) -> str:
    """Text in which characters that control a terminal are written as escapes such as `\\x1b`."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def nearest(name: str, allowed: Iterable[str]) -> str:
    """` (did you mean 'lr'?)`, or an empty text if no allowed name is close."""
    by_lower: dict[str, str] = {}
    for option in allowed:
        by_lower.setdefault(option.lower(), option)
    matches = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[matches[0]]}'?)" if matches else ""


def unknown(kind: str, name: object, allowed: Iterable[str]) -> str:
    """The message for a name that is not allowed; it lists the allowed names."""
    allowed = list(allowed)
    names = ", ".join(allowed) or "none"
    return f"unknown {kind} {shown(name)}{nearest(str(name), allowed)}; allowed: {names}"

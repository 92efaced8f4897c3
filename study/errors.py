"""Bad input: what was wrong, where, what is allowed, and the nearest match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input; `where` is `file:line:column` or an option's name."""

    where: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.message}" if self.where else self.message)


class BadInput(Exception):
    """Input that cannot be used. The command exits with 2 and has written nothing."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def at(cls, where: str, message: str) -> BadInput:
        """A single problem."""
        return cls([Problem(where, message)])


def what_failed(error: OSError) -> str:
    """Why a file could not be used, and which one where that is known."""
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


class SettingError(ValueError):
    """A setting whose value, or combination with others, cannot make a run."""

    def __init__(self, key: str, message: str):
        self.key = key
        super().__init__(message)


MOST_SHOWN = 100  # characters of a value in a message


def shown(value: object) -> str:
    """A value as Python writes it, on one line, and cut short where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 20]} … {text[-15:]}"


def printable(text: str) -> str:
    """Text with the characters that would control a terminal written out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def nearest(name: str, allowed: Iterable[str]) -> str:
    """` (did you mean 'lr'?)`, or nothing when no allowed name is close."""
    by_lower: dict[str, str] = {}
    for option in allowed:
        by_lower.setdefault(option.lower(), option)
    found = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[found[0]]}'?)" if found else ""


def unknown(kind: str, name: object, allowed: Iterable[str]) -> str:
    """The message for a name that is not allowed, with those that are."""
    allowed = list(allowed)
    names = ", ".join(allowed) or "none"
    return f"unknown {kind} {shown(name)}{nearest(str(name), allowed)}; allowed: {names}"

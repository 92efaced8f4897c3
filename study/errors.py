"""Define the exceptions, and write messages that say what was wrong, where, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TextIO


@dataclass(frozen=True)
class Problem:
    """One fault in the user's input: `message` says what is wrong, and `where` says at which place.

    `where` is, for example, `file:line:column`, a folder or an option; "" if there is no place.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.message}" if self.where else self.message)


class BadInput(Exception):
    """Raised for input that cannot be used; `problems` lists every fault.

    A command that raises it prints the problems and ends with exit code 2.
    """

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def at(cls, where: str, message: str) -> BadInput:
        """Return a `BadInput` with a single problem: `message`, at the place `where`."""
        return cls([Problem(where, message)])


class EnvironmentFault(RuntimeError):
    """Raised if no run at all can be trained, for example because a library does not load.

    No single run is to blame, so no run is stored as failed. The command `study grid` stops with
    exit code 1 and keeps the runs that are already stored.
    """


def what_failed(error: OSError) -> str:
    """Return why a file could not be used, followed by the name of the file if it is known."""
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


class SettingError(ValueError):
    """Raised for a setting that is invalid by itself or in combination with other settings.

    `key` is the name of the setting.
    """

    def __init__(self, key: str, message: str):
        self.key = key
        super().__init__(message)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Let the error pass from a worker process to its parent."""
        return type(self), (self.key, str(self))


MOST_SHOWN = 100  # longest value in a message, in characters; a longer value is shortened


def shown(value: object) -> str:
    """Return a value as Python writes it, shortened if it is too long for a message."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write integers with thousands of digits
        return "a number with thousands of digits"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 20]} … {text[-15:]}"


def printable(text: str) -> str:
    """Return the text with unprintable characters written as escapes such as `\\x1b`.

    Printed as they are, these characters could control the terminal.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def echo(
    *texts: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False
) -> None:
    """Print as `print` does, but make everything except line breaks and spaces `printable`.

    Commands print through this function, since stored results may be a stranger's, and the names
    and reasons in them could hold anything.
    """
    text = re.sub(r"[^\n\t\xa0]+", lambda found: printable(found[0]), sep.join(map(str, texts)))
    print(text, end=end, file=file, flush=flush)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint at the allowed name most like `name`, such as ` (did you mean 'lr'?)`.

    Returns "" if no allowed name is similar.
    """
    by_lower: dict[str, str] = {}
    for option in allowed:
        by_lower.setdefault(option.lower(), option)
    matches = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[matches[0]]}'?)" if matches else ""


def unknown(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Return the message for a name that is not allowed. The message lists the allowed names.

    `kind` says what the name should have been, such as `cell`.
    """
    allowed = list(allowed)
    names = ", ".join(allowed) or "none"
    return f"unknown {kind} {shown(name)}{nearest(str(name), allowed)}; allowed: {names}"

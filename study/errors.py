"""Define the package's exceptions, and functions that write parts of error messages."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TextIO


@dataclass(frozen=True)
class Problem:
    """One fault in the user's input.

    `message` says what is wrong. `where` names the place of the fault, such as `file:line:column`,
    a folder or an option. It is "" if there is no place.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.message}" if self.where else self.message)


class BadInput(Exception):
    """Raised for input that cannot be used.

    The attribute `problems` lists every fault in the input. A command that raises this exception
    prints the problems and ends with exit code 2.
    """

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def at(cls, where: str, message: str) -> BadInput:
        """Return a `BadInput` with one problem, which has this `message` and the place `where`."""
        return cls([Problem(where, message)])


class EnvironmentFault(RuntimeError):
    """Raised if no run at all can be trained, for example because a library cannot be loaded.

    No single run is to blame, so no run is stored as failed. The command `study grid` stops with
    exit code 1 and keeps the runs that are already stored.
    """


def what_failed(error: OSError) -> str:
    """Return the reason for an `OSError`, followed by the file's name if the error has one."""
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason


class SettingError(ValueError):
    """Raised for a setting that is invalid by itself or in combination with other settings.

    `key` is the name of the setting, and `message` says what is wrong with it.
    """

    def __init__(self, key: str, message: str):
        self.key = key
        super().__init__(message)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Return what pickle needs to send this error from a worker process to its parent."""
        return type(self), (self.key, str(self))


MOST_SHOWN = 100  # longest value in a message, in characters; a longer value is shortened


def shown(value: object) -> str:
    """Return the value's `repr`, shortened if it is too long for a message."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write integers with thousands of digits
        return "a number with thousands of digits"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 20]} … {text[-15:]}"


def printable(text: str) -> str:
    """Return the text with unprintable characters written as escapes such as `\\x1b`.

    An unprintable character that is printed unescaped could control the terminal.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


UNREAD: set[TextIO] = set()  # streams that nothing reads; texts printed to them are dropped


def echo(
    *texts: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False
) -> None:
    """Print texts as `print` does, but escape unprintable characters (see `printable`).

    Line breaks, tabs and no-break spaces are not escaped. Commands print through this function,
    since stored results may come from a stranger and contain any characters. If what reads the
    texts has ended, as `head` does, or if the terminal was closed, the command goes on without it.
    The stream is then in `UNREAD`.
    """
    text = re.sub(r"[^\n\t\xa0]+", lambda found: printable(found[0]), sep.join(map(str, texts)))
    stream: TextIO = file or sys.stdout
    try:
        print(text, end=end, file=stream, flush=flush)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        UNREAD.add(stream)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # takes what is unprinted


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint such as ` (did you mean 'lr'?)` for a `name` that is not allowed.

    The hint gives the most similar name in `allowed`. It is "" if no allowed name is similar.
    """
    by_lower: dict[str, str] = {}
    for option in allowed:
        by_lower.setdefault(option.lower(), option)
    matches = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[matches[0]]}'?)" if matches else ""


def unknown(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Return an error message for a `name` that is not allowed.

    The message lists the `allowed` names. `kind` is the kind of thing that is named, such as
    `cell`.
    """
    allowed = list(allowed)
    names = ", ".join(allowed) or "none"
    return f"unknown {kind} {shown(name)}{nearest(str(name), allowed)}; allowed: {names}"

"""Shared by all commands: how a command is made and run, exit codes, and common options."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

from study.errors import BadInput, EnvironmentFault, Problem, what_failed

DONE, NOT_ALL_WELL, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes
INTERRUPTED_LINE = "interrupted: repeat the command to go on"

Count = Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
Names = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]  # repeatable


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def command(name: str, examples: str) -> App:
    """An app with one command; decorate the command's function with `@app.default`.

    The function's docstring becomes the help: its first line and its section on the parameters.
    """
    return App(
        name=name,
        help_epilogue=f"Examples:\n\n{examples}",
        help_format="plaintext",
        version_flags=(),
        suppress_keyboard_interrupt=False,  # `run` handles it
        default_parameter=Parameter(negative=""),
        group_parameters=Group("Options"),
    )


def run(app: App, arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's, and return its exit code.

    Bad input is reported on stderr, one line per problem.
    """
    options: dict[str, Any] = {"exit_on_error": False, "print_error": False}
    try:
        return app(arguments, result_action="return_value", **options) or DONE
    except CycloptsError as error:
        return _report(BAD_INPUT, str(error))
    except BadInput as error:
        return _report(BAD_INPUT, *map(str, error.problems))
    except OSError as error:
        return _report(BAD_INPUT, str(Problem("", what_failed(error))))
    except MemoryError:
        return _report(BAD_INPUT, "this needs more memory than there is")
    except EnvironmentFault as error:
        return _report(NOT_ALL_WELL, str(error))
    except KeyboardInterrupt:
        print(INTERRUPTED_LINE, file=sys.stderr)
        return INTERRUPTED


def _report(code: int, *errors: str) -> int:
    """Print the errors and return the exit code."""
    print(*(f"error: {text}" for text in errors), sep="\n", file=sys.stderr)
    return code


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """In this context SIGTERM, which batch systems send before they kill, acts like Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

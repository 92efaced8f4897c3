"""What all commands share: how one is made and run, its exit codes, and options that several take."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

from study.errors import BadInput, Problem, what_failed

DONE, NOT_ALL_WELL, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes
LINE = "interrupted: repeat the command to go on"

Count = Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
Names = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]  # repeatable


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def command(name: str, examples: str) -> App:
    """An app of one command; decorate its function with `@app.default`.

    The function's docstring is the help: a first line, and a numpy-style section on its parameters.
    """
    return App(
        name=name,
        help_epilogue=f"Examples:\n\n{examples}",
        help_format="plaintext",
        version_flags=(),
        suppress_keyboard_interrupt=False,  # `run` says what to do next
        default_parameter=Parameter(negative=""),
        group_parameters=Group("Options"),
    )


def run(app: App, arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's; its exit code. Says what was wrong, one line per problem."""
    options: dict[str, Any] = {"exit_on_error": False, "print_error": False}
    try:
        return app(arguments, result_action="return_value", **options) or DONE
    except CycloptsError as error:
        return _refused(str(error))
    except BadInput as error:
        return _refused(*map(str, error.problems))
    except OSError as error:
        return _refused(str(Problem("", what_failed(error))))
    except MemoryError:
        return _refused("this needs more memory than there is")
    except KeyboardInterrupt:
        print(LINE, file=sys.stderr)
        return INTERRUPTED


def _refused(*lines: str) -> int:
    print(*(f"error: {line}" for line in lines), sep="\n", file=sys.stderr)
    return BAD_INPUT


@contextmanager
def terminates_as_interrupted() -> Iterator[None]:
    """In here SIGTERM, which a batch system sends before it kills, interrupts as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

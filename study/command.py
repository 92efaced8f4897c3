"""Make and run the commands, and define the exit codes and options that all commands share."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

from study.errors import UNREAD, BadInput, EnvironmentFault, Problem, echo, what_failed

DISTRIBUTION = "recurrent-state-study"  # the name of this package to pip
# by module: the extra of this package that installs it
EXTRAS = {"pypandoc": "paper", "typst": "paper"}
DONE, NOT_ALL_WELL, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes
CALL: dict[str, Any] = {  # how to call an app: errors are raised, and the result is returned
    "exit_on_error": False, "print_error": False, "result_action": "return_value",
}  # fmt: skip
INTERRUPTED_LINE = "interrupted: repeat the command to go on"

Count = Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
# an option that may be given several times
Names = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


def cores() -> int:
    """Return the number of processors that this process may use.

    A quota that a container sets counts, and so does the variable LOKY_MAX_CPU_COUNT.
    """
    from joblib import cpu_count  # heavy, and needed only here

    return cpu_count()


def command(name: str, examples: str) -> App:
    """Return a cyclopts app for the command `name`.

    The caller decorates the function of the command with `@app.default`. The command's help shows
    the first line of this function's docstring, then its section on parameters, then `examples`.
    `examples` is a text with one command line per line. The function returns an exit code, or None
    if it is done and all its work was to print.
    """
    return App(
        name=name,
        help_epilogue=f"Examples:\n\n{examples}",
        help_format="plaintext",
        version_flags=(),
        suppress_keyboard_interrupt=False,  # `run` handles Ctrl-C
        default_parameter=Parameter(negative=""),
        group_parameters=Group("Options"),
    )


def with_use(app: App) -> App:
    """Return an app that takes the option `--use` and passes all other arguments to `app`."""
    if app.meta.default_command is None:
        app.meta.group_parameters = Group("Options")
        app.meta.suppress_keyboard_interrupt = False  # `run` handles Ctrl-C
        app.meta.default(partial(_launch, app))
    return app.meta


def _launch(
    app: App,
    *arguments: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    use: Names = (),
) -> int | None:
    """Load the files given by `--use`, and pass all other arguments to `app`.

    Parameters
    ----------
    use
        A Python file that adds cells, optimizers, tasks, initialisations or figures of your own
        (see docs/extending.md). May be given several times.
    """
    if not use:
        return app(arguments, **CALL)
    from study.model import using  # heavy, and needed only here

    with using(use):
        return app(arguments, **CALL)


def run(app: App, arguments: Sequence[str] | None = None) -> int:
    """Run the app with the given arguments, by default `sys.argv[1:]`, and return the exit code.

    Expected errors, such as bad input, are not raised. They are printed to stderr instead, one line
    per problem and without a traceback. If a command has only printed, and nothing read it, the
    exit code is 1.
    """
    if arguments is None:  # this process is the command's own
        os.environ["MPLBACKEND"] = "Agg"  # files only; no display, and none that may be misspelt
    with _open_streams():
        code = _call(app, arguments)
        echo(end="", flush=True)  # here rather than at the end of Python, which would complain
        if code is None:
            return NOT_ALL_WELL if sys.stdout in UNREAD else DONE
        return code


def _call(app: App, arguments: Sequence[str] | None) -> int | None:
    """Call the app, print expected errors, and return the exit code (see `command`)."""
    if sys.platform == "win32":
        use = "use Linux or macOS, or the Windows Subsystem for Linux"
        return _report(BAD_INPUT, f"the study does not run on Windows; {use}")
    try:
        return with_use(app)(arguments, **CALL)
    except CycloptsError as error:
        return _report(BAD_INPUT, str(error))
    except BadInput as error:
        return _report(BAD_INPUT, *map(str, error.problems))
    except ImportError as error:
        cause = error.__cause__ or error  # cyclopts raises its own error for a command's module
        name = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if name not in EXTRAS:
            raise
        install = f"pip install '{DISTRIBUTION}[{EXTRAS[name]}]'"
        return _report(BAD_INPUT, f"this command needs the package {name}; type: {install}")
    except OSError as error:
        return _report(BAD_INPUT, str(Problem("", what_failed(error))))
    except MemoryError:
        return _report(BAD_INPUT, "not enough memory: free some, or give the command less to do")
    except EnvironmentFault as error:
        return _report(NOT_ALL_WELL, str(error))
    except KeyboardInterrupt:
        echo(INTERRUPTED_LINE, file=sys.stderr)
        return INTERRUPTED


def _report(code: int, *errors: str) -> int:
    """Print each text in `errors` to stderr on its own line, and return the exit code `code`."""
    echo(*(f"error: {text}" for text in dict.fromkeys(errors)), sep="\n", file=sys.stderr)
    return code


@contextmanager
def _open_streams() -> Iterator[None]:
    """Make standard streams that a shell has closed (`>&-`) pipes that nothing reads.

    If they stayed closed, the next file to be opened would get the number of one of them, and
    whatever is printed to that number would end up in the file.
    """
    with ExitStack() as stack:
        if sys.stdin is None:
            os.open(os.devnull, os.O_RDONLY)
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None:
                number = os.open(os.devnull, os.O_WRONLY)  # the lowest free one, which is its own
                reads, writes = os.pipe()
                os.close(reads)
                os.dup2(writes, number)
                os.close(writes)
                unread = os.fdopen(number, "w", buffering=1, encoding="utf-8")
                stack.enter_context(redirect(unread))
        yield


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Make the signals SIGTERM and SIGHUP act like Ctrl-C within this context.

    Batch systems send SIGTERM to a process shortly before they kill it, and a terminal that is
    closed sends SIGHUP. A signal that is ignored, as `nohup` ignores SIGHUP, stays ignored. Python
    allows this change only in the main thread, so the context does nothing in any other thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

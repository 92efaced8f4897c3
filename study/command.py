"""What all commands have in common: Ctrl-C ends them with a line and exit code 130, while they import too.

But a command that was started to ignore Ctrl-C, as a shell starts what a script puts in the background, goes on.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130  # exit code
LINE = "interrupted: repeat the command to go on"


def heeds_interrupts() -> bool:
    """Whether Ctrl-C is meant for this process."""
    return signal.getsignal(signal.SIGINT) != signal.SIG_IGN


def leave_on_interrupt() -> None:
    """From now on Ctrl-C ends this process at once: for moments in which there is nothing to tidy up.

    An exception would not do: raised while modules are imported, some extensions make another one of it.
    """
    if heeds_interrupts():
        signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    os.write(2, f"{LINE}\n".encode())  # what Python keeps of stderr may be in use just now
    os._exit(INTERRUPTED)


@contextmanager
def terminates_as_interrupted() -> Iterator[None]:
    """SIGTERM, which a scheduler sends before it kills, is a KeyboardInterrupt in here: other processes may be up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_command(main: Callable[[], int]) -> int:
    """The exit code of a command; while it runs Ctrl-C is a KeyboardInterrupt, which may tidy up.

    An interrupted command ends here: an extension that was being imported may abort where Python ends as it does else.
    """
    if heeds_interrupts():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = INTERRUPTED
    try:
        code = main()
    except KeyboardInterrupt:
        print(LINE, file=sys.stderr)
    finally:
        _flush()
        leave_on_interrupt()
        gc.freeze()  # else Python looks for garbage in all that is left before it ends, for a tenth of a second
    if code == INTERRUPTED:
        atexit._run_exitfuncs()  # such as multiprocessing's
        _flush()
        os._exit(code)
    return code


def _flush() -> None:
    with suppress(OSError):  # such as a reader that went away
        sys.stdout.flush()

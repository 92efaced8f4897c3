"""What a run may take: seconds of processor time, and memory of the process that trains it."""

from __future__ import annotations

import faulthandler
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

WATCHDOG, GRACE_SECONDS = 20.0, 60.0  # of a run that hangs: so many times its limit, and these


class RanTooLong(Exception):
    """A run used more processor time than it may."""


class EnvironmentFault(RuntimeError):
    """This machine cannot train: a library does not load, or workers die before they begin a run.

    No run is to blame, so the grid ends, and what is stored is kept.
    """


@dataclass(frozen=True)
class Limits:
    """Bounds for each run; `None` stands for no limit."""

    run_seconds: float | None = None
    worker_mebibytes: int | None = None

    def bound_memory(self) -> None:
        """Limit the memory of this process (on Linux); asking for more raises `MemoryError`."""
        if self.worker_mebibytes is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (self.worker_mebibytes * 2**20, hard))

    @contextmanager
    def timed(self) -> Iterator[Callable[[], None]]:
        """A check for an engine to call between evaluations, which raises `RanTooLong`.

        It counts processor time, so a busy machine fails no run. What never comes to its next
        evaluation is ended, with its process, by a watchdog on the wall clock.
        """
        if self.run_seconds is None:
            yield lambda: None
            return
        seconds, end = self.run_seconds, process_time() + self.run_seconds

        def check() -> None:
            if process_time() > end:
                raise RanTooLong(f"ran longer than {seconds:g} s of processor time (--run-seconds)")

        faulthandler.dump_traceback_later(WATCHDOG * seconds + GRACE_SECONDS, exit=True)
        try:
            yield check
        finally:
            faulthandler.cancel_dump_traceback_later()

"""Limits for each run: seconds of processor time, and memory of the process that trains it."""

from __future__ import annotations

import faulthandler
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

# A run that hangs is killed after WATCHDOG times its limit and GRACE_SECONDS more.
WATCHDOG, GRACE_SECONDS = 20.0, 60.0


class RanTooLong(Exception):
    """A run used more processor time than its limit."""


@dataclass(frozen=True)
class Limits:
    """Limits for each run; `None` means no limit."""

    run_seconds: float | None = None
    worker_mebibytes: int | None = None

    def bound_memory(self) -> None:
        """Limit the memory of this process (on Linux): beyond it, Python raises `MemoryError`."""
        if self.worker_mebibytes is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (self.worker_mebibytes * 2**20, hard))

    @contextmanager
    def timed(self) -> Iterator[Callable[[], None]]:
        """Give a check that an engine calls at each evaluation; it may raise `RanTooLong`.

        The check counts processor time, so no run fails because the machine is busy. If a run never
        reaches its next evaluation, a watchdog on the wall clock ends its process.
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

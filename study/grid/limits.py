"""Limits for each run: its processor time in seconds, and the memory of its worker process."""

from __future__ import annotations

import faulthandler
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

# A run that hangs is killed after `WATCHDOG * run_seconds + GRACE_SECONDS` of wall-clock time.
WATCHDOG, GRACE_SECONDS = 20.0, 60.0


class RanTooLong(Exception):
    """Raised if a run uses more processor time than its limit."""


@dataclass(frozen=True)
class Limits:
    """Limits for each run: seconds of processor time, and MiB of memory of the worker process.

    `None` means no limit.
    """

    run_seconds: float | None = None
    worker_mebibytes: int | None = None

    def bound_memory(self) -> None:
        """Limit the memory of this process to `worker_mebibytes` (on Linux only).

        Beyond the limit, Python raises `MemoryError`.
        """
        if self.worker_mebibytes is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (self.worker_mebibytes * 2**20, hard))

    @contextmanager
    def timed(self) -> Iterator[Callable[[], None]]:
        """Provide a function `check` that engines call at each evaluation during this context.

        `check` raises `RanTooLong` if the run has used more than `run_seconds` of processor time.
        Processor time does not depend on how busy the machine is, so a busy machine makes no run
        fail. If a run never reaches its next evaluation, a watchdog ends the process after some
        wall-clock time (see `WATCHDOG`).
        """
        if self.run_seconds is None:
            yield lambda: None
            return
        seconds, end = self.run_seconds, process_time() + self.run_seconds

        def check() -> None:
            if process_time() > end:
                raise RanTooLong(f"used more than {seconds:g} s of processor time (--run-seconds)")

        faulthandler.dump_traceback_later(WATCHDOG * seconds + GRACE_SECONDS, exit=True)
        try:
            yield check
        finally:
            faulthandler.cancel_dump_traceback_later()

"""Limits for each run: its processor time in seconds, and the memory of its worker process."""

from __future__ import annotations

import faulthandler
import math
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

# A run that never reaches its next evaluation is ended, with its process, after
# `WATCHDOG * run_seconds + GRACE_SECONDS`. Time in which the process is stopped does not count.
WATCHDOG, GRACE_SECONDS = 10.0, 60.0
TICK_SECONDS = 0.5


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
        fail. If a run never reaches its next evaluation, because it loops, sleeps or waits for
        ever, a watchdog ends the process (see `WATCHDOG`).
        """
        if self.run_seconds is None:
            yield lambda: None
            return
        seconds, end = self.run_seconds, process_time() + self.run_seconds

        def check() -> None:
            if process_time() > end:
                raise RanTooLong(f"used more than {seconds:g} s of processor time (--run-seconds)")

        is_over = threading.Event()
        threading.Thread(target=_watch, args=(is_over, seconds), daemon=True).start()
        try:
            yield check
        finally:
            is_over.set()


def _watch(is_over: threading.Event, run_seconds: float) -> None:
    """End this process, with a traceback on stderr, unless the event is set in time.

    Time is counted in ticks, since a process that is stopped (by SIGSTOP) makes none.
    """
    for _ in range(math.ceil((WATCHDOG * run_seconds + GRACE_SECONDS) / TICK_SECONDS)):
        if is_over.wait(TICK_SECONDS):
            return
    faulthandler.dump_traceback()  # says where the run hangs
    os._exit(1)

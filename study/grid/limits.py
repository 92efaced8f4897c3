"""Limit the processor time of each run, and the memory of each worker process."""

from __future__ import annotations

import faulthandler
import math
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

# If a run takes longer than `WATCHDOG * run_seconds + GRACE_SECONDS`, its process is ended. Time in
# which the process is stopped does not count.
WATCHDOG, GRACE_SECONDS = 10.0, 60.0
TICK_SECONDS = 0.5


class RanTooLong(Exception):
    """Raised if a run uses more processor time than its limit."""


@dataclass(frozen=True)
class Limits:
    """Limits on the time and the memory that the training of a run may use.

    `run_seconds` limits the processor time of a run, in seconds. `worker_mebibytes` limits the
    memory of a worker process, in MiB. `None` means no limit.
    """

    run_seconds: float | None = None
    worker_mebibytes: int | None = None

    def bound_memory(self) -> None:
        """Limit the memory of this process to `worker_mebibytes` (on Linux only).

        If the process needs more memory than that, Python raises `MemoryError`.
        """
        if self.worker_mebibytes is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (self.worker_mebibytes * 2**20, hard))

    @contextmanager
    def timed(self) -> Iterator[Callable[[], None]]:
        """Limit the time of one run, which is trained inside the `with` block.

        The block gets a function without arguments, which the run's engine calls at each
        evaluation. The first call of the function starts the clock, so that loading libraries does
        not count. A later call raises `RanTooLong` if the run has used more than `run_seconds` of
        processor time since then. Processor time does not depend on how busy the machine is, so a
        busy machine makes no run fail.

        A run that hangs never calls the function. So a watchdog ends the process if the block takes
        much longer than `run_seconds` (see `WATCHDOG`). The watchdog is a thread, which does not
        run while C code holds the interpreter's lock. Therefore, a timer of the operating system
        also ends the process. It allows twice as many seconds, counted in processor time.
        """
        if self.run_seconds is None:
            yield lambda: None
            return
        seconds, end = self.run_seconds, math.inf

        def check() -> None:
            nonlocal end
            now = process_time()
            end = min(end, now + seconds)
            if now > end:
                raise RanTooLong(f"used more than {seconds:g} s of processor time (--run-seconds)")

        ticks = math.ceil((WATCHDOG * seconds + GRACE_SECONDS) / TICK_SECONDS)
        is_over = threading.Event()
        threading.Thread(target=_watch, args=(is_over, ticks), daemon=True).start()
        signal.setitimer(signal.ITIMER_PROF, 2 * ticks * TICK_SECONDS)  # its signal ends a process
        try:
            yield check
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            is_over.set()


def _watch(is_over: threading.Event, ticks: int) -> None:
    """End this process unless the event `is_over` is set in time.

    The process ends after `ticks` waits of TICK_SECONDS each. The waits are counted, so time in
    which the process is stopped (by SIGSTOP) does not count. Before the process ends, a traceback
    on stderr says where the run hangs.
    """
    for _ in range(ticks):
        if is_over.wait(TICK_SECONDS):
            return
    faulthandler.dump_traceback()  # says where the run hangs
    os._exit(1)

"""What a run may take: seconds of its own, and memory of the process that trains it.

A compiled loop heeds no signal, so the time limit is a watchdog outside Python (`faulthandler`): it writes
where the run was and ends the process. The memory limit is the system's own on a process's data
(RLIMIT_DATA, on Linux): what asks for more gets an error, which becomes the run's row.
"""

from __future__ import annotations

import faulthandler
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Limits:
    """None: no limit."""

    run_seconds: float | None = None
    worker_mebibytes: int | None = None

    def bound_memory(self) -> None:
        """Limit the memory of this process from now on."""
        if self.worker_mebibytes is not None:
            most = self.worker_mebibytes * 2**20
            resource.setrlimit(
                resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1])
            )

    @contextmanager
    def timed(self, note: TextIO) -> Iterator[None]:
        """End this process if what is inside takes longer than `run_seconds`, and leave in `note` where it was."""
        assert self.run_seconds is not None
        faulthandler.dump_traceback_later(self.run_seconds, exit=True, file=note)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def reason(self, overran: str) -> str:
        """Why a run has no result whose process ended; `overran` is what `timed` left, if anything."""
        if overran:
            return f"{overran.strip()}\nran longer than {self.run_seconds:g} s (--run-seconds) and was stopped"
        bound = f" (a worker may take {self.worker_mebibytes} MiB)" if self.worker_mebibytes else ""
        return (
            "the worker process died on this run, and again with no other run beside it: "
            f"it was killed, ran out of memory{bound}, or crashed outside Python"
        )

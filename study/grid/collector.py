"""What a grid does with the rows that its workers send: counts, judges and stores them, and hears Ctrl-C meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable
from time import monotonic

import pyarrow as pa

from study.command import heeds_interrupts
from study.errors import printable
from study.grid.progress import Progress
from study.grid.store import Store
from study.grid.train import Row
from study.runs import table_of

FLUSH_SECONDS = 2.0  # between parts at first
MOST_TIMES = 6.0  # as long later: a part costs time, now and when it is joined


class FailFast(Exception):
    """A run failed and the command was to stop there."""


class Interrupts:
    """While it is entered, Ctrl-C (if it is heeded) and SIGTERM raise KeyboardInterrupt, and are remembered.

    Remembered, because Python drops an exception that is raised while it clears up an object.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupts:
        numbers = (signal.SIGTERM, *[signal.SIGINT] * heeds_interrupts())
        self._previous = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt


class Collector:
    """Receives rows from the workers, a list a pack, and stores them every few seconds."""

    def __init__(
        self, store: Store, progress: Progress, learn: Callable[[pa.Table], None], fail_fast: bool,
        interrupts: Interrupts,
    ):  # fmt: skip
        self.store, self.progress, self.learn = store, progress, learn
        self.fail_fast, self.interrupts = fail_fast, interrupts
        self._rows: list[Row] = []
        self._flushed, self._wait = monotonic(), FLUSH_SECONDS

    def __call__(self, rows: list[Row]) -> None:
        self.keep(rows)
        self.learn(table_of(rows))
        self.progress.add([row["status"] for row in rows])
        for row in rows:
            if row["status"] == "failed":
                last = printable((row["reason"] or "").strip().rpartition("\n")[2])
                self.progress.say(f"failed: run {row['run_id']}: {last}")
        if monotonic() - self._flushed >= self._wait:
            self.flush()
        if self.fail_fast and self.progress.statuses["failed"]:
            raise FailFast
        if self.interrupts.asked:
            raise KeyboardInterrupt

    def keep(self, rows: list[Row]) -> None:
        """Take rows to be stored with the next part."""
        self._rows += rows

    def flush(self) -> None:
        """Put what came in on the disk."""
        self.store.append(self._rows)
        self._rows, self._flushed = [], monotonic()
        self._wait = min(1.5 * self._wait, MOST_TIMES * FLUSH_SECONDS)

"""What a grid does with the rows that its workers send: counts, judges and stores them, and hears Ctrl-C meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.compute

from study.command import heeds_interrupts
from study.errors import printable
from study.grid.progress import Progress
from study.grid.store import Store
from study.grid.train import Row
from study.runs import as_failed, batch_of, fault, received, table_of

pc: Any = pyarrow.compute  # makes its functions when it is imported

FLUSH_SECONDS = 2.0  # between parts at first
MOST_TIMES = 6.0  # as long later: a part costs time, now and when it is joined
LATE, PACKED_AHEAD = (
    20,
    2_000,
)  # when a twentieth is left the part of all rows is begun, if they are as many


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
    """Receives rows from the workers, a message a pack, and stores them every few seconds.

    `order` has the identities of all rows that there will be, sorted.
    """

    def __init__(
        self, store: Store, progress: Progress, learn: Callable[[pa.RecordBatch], None], fail_fast: bool,
        interrupts: Interrupts, order: Sequence[str] = (),
    ):  # fmt: skip
        self.store, self.progress, self.learn = store, progress, learn
        self.fail_fast, self.interrupts = fail_fast, interrupts
        self._batches: list[pa.RecordBatch] = []
        self._flushed, self._wait = monotonic(), FLUSH_SECONDS
        self._order = order if len(order) >= PACKED_AHEAD else ()

    def __call__(self, message: pa.Buffer) -> None:
        rows = received(message)
        self._batches.append(rows)
        self.learn(rows)
        self.progress.add(rows["status"].to_pylist())
        self._say_failed(rows.filter(pc.equal(rows["status"], "failed")))
        is_time = monotonic() - self._flushed >= self._wait
        if is_time or (self.fail_fast and fault(table_of([rows])) is not None):
            self.flush()
        if self._order and LATE * (self.progress.total - self.progress.done) <= self.progress.total:
            self._pack_ahead()
        if self.fail_fast and self.progress.statuses["failed"]:
            raise FailFast
        if self.interrupts.asked:
            raise KeyboardInterrupt

    def _judged(self, rows: pa.Table) -> pa.Table:
        """Rows of which some are no results: those are failed runs', and said to be."""
        judged = as_failed(rows)
        self.progress.turned(rows["status"].to_pylist(), judged["status"].to_pylist())
        self._say_failed(judged.filter(pc.not_equal(rows["status"], judged["status"])))
        return judged

    def _say_failed(self, rows: pa.Table | pa.RecordBatch) -> None:
        for row in rows.select(["run_id", "reason"]).to_pylist():
            last = printable((row["reason"] or "").strip().rpartition("\n")[2])
            self.progress.say(f"failed: run {row['run_id']}: {last}")

    def _pack_ahead(self) -> None:
        """Begin with what takes longest at the end, while others still train."""
        self.flush()
        self.store.pack_ahead(self._order)
        self._order = ()

    def keep(self, rows: list[Row]) -> None:
        """Take rows to be stored with the next part."""
        self._batches.append(batch_of(rows))

    def flush(self) -> None:
        """Put what came in on the disk."""
        rows = table_of(self._batches)
        is_sound = fault(rows) is None
        self.store.append_table(rows if is_sound else self._judged(rows), is_sound=is_sound)
        self._batches, self._flushed = [], monotonic()
        self._wait = min(1.5 * self._wait, MOST_TIMES * FLUSH_SECONDS)

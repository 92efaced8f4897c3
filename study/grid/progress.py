"""Show the progress of a running grid as a bar on a terminal, or as a line per minute in a log."""

from __future__ import annotations

import sys
from collections import Counter
from time import monotonic

import pyarrow as pa
from tqdm import tqdm

from study.errors import echo

LOG_SECONDS = 60.0


class Progress:
    """Shows how many of `total` runs have been trained, and counts the trained runs by status."""

    def __init__(self, total: int):
        self.statuses: Counter = Counter()
        self._started = self._logged = monotonic()
        self._bar = tqdm(
            total=total, unit="run", disable=not sys.stderr.isatty(), file=sys.stderr,
            smoothing=0.05, dynamic_ncols=True,
        )  # fmt: skip

    def add(self, rows: pa.Table) -> None:
        """Count the newly trained runs in `rows`, and print for each failed run why it failed."""
        self.statuses.update(rows["status"].to_pylist())
        counts = ", ".join(f"{count:,} {status}" for status, count in self.statuses.most_common())
        self._bar.set_postfix_str(counts, refresh=False)
        self._bar.update(len(rows))
        for row in rows.select(["run_id", "status", "reason"]).to_pylist():
            if row["status"] == "failed":
                last_line = row["reason"].strip().rpartition("\n")[2]
                self._print(f"failed: run {row['run_id']}: {last_line}")
        now = monotonic()
        if self._bar.disable and now - self._logged >= LOG_SECONDS:
            self._logged, done = now, self.statuses.total()
            left = duration((now - self._started) / done * (self._bar.total - done))
            self._print(f"{done:,} of {self._bar.total:,} runs, {counts}; about {left} left")

    def _print(self, line: str) -> None:
        with tqdm.external_write_mode(file=sys.stderr):  # keeps the bar intact
            echo(line, file=sys.stderr)

    def close(self) -> None:
        """Stop updating the bar, and leave it on the terminal."""
        self._bar.close()


def disk_size(count: float) -> str:
    """Return a number of bytes as a text such as `850 kB`, `1.2 MB` or `33 GB`."""
    unit, size = next(((u, s) for u, s in (("GB", 1e9), ("MB", 1e6)) if count >= s), ("kB", 1e3))
    return f"{float(f'{count / size:.2g}'):,g} {unit}"


def duration(seconds: float) -> str:
    """Return a number of seconds as a text such as `45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"

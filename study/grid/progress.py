"""What a running grid shows: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
from collections import Counter
from time import monotonic

from tqdm import tqdm

LOG_SECONDS = 60.0


class Progress:
    """Counts rows by status."""

    def __init__(self, total: int):
        self.statuses: Counter = Counter()
        self.total, self.done = total, 0
        self._started = self._logged = monotonic()
        self._on_terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            unit="run",
            disable=not self._on_terminal,
            file=sys.stderr,
            smoothing=0.05,
            dynamic_ncols=True,
        )

    def add(self, statuses: list[str]) -> None:
        """Some runs have their rows."""
        self.statuses.update(statuses)
        self.done += len(statuses)
        self._bar.set_postfix_str(self.counts(), refresh=False)
        self._bar.update(len(statuses))
        if not self._on_terminal and monotonic() - self._logged >= LOG_SECONDS:
            self._logged = monotonic()
            self.say(
                f"{self.done:,} of {self.total:,} runs, {self.counts()}; about {duration(self.left())} left"
            )

    def note(self, statuses: list[str]) -> None:
        """Rows that took no training: counted, and no sign of the pace."""
        self.statuses.update(statuses)

    def turned(self, before: list[str], after: list[str]) -> None:
        """The statuses of some rows that were counted are others."""
        self.statuses.subtract(before)
        self.statuses.update(after)

    def counts(self) -> str:
        """`312 solved, 20 unsolved`."""
        return ", ".join(
            f"{count:,} {status}" for status, count in self.statuses.most_common() if count
        )

    def left(self) -> float:
        """Seconds left at the pace so far."""
        return (monotonic() - self._started) / max(self.done, 1) * (self.total - self.done)

    def say(self, line: str) -> None:
        """A line that does not tear the bar."""
        tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"

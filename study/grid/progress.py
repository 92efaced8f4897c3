"""What a running grid shows: a bar on a terminal, a line per minute in a log."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from time import monotonic

from tqdm import tqdm

LOG_SECONDS = 60.0


class Progress:
    """Counts rows by status, of `total` runs to train."""

    def __init__(self, total: int):
        self.statuses: Counter = Counter()
        self._started = self._logged = monotonic()
        self._bar = tqdm(
            total=total, unit="run", disable=not sys.stderr.isatty(), file=sys.stderr,
            smoothing=0.05, dynamic_ncols=True,
        )  # fmt: skip
        self._done, self.total = 0, total

    def add(self, statuses: Iterable[str]) -> None:
        """Some runs have their rows."""
        new = Counter(statuses)
        self.statuses += new
        self._done += new.total()
        self._bar.set_postfix_str(self.counts(), refresh=False)
        self._bar.update(new.total())
        now = monotonic()
        if self._bar.disable and now - self._logged >= LOG_SECONDS:
            self._logged = now
            left = (now - self._started) / self._done * (self.total - self._done)
            self.say(
                f"{self._done:,} of {self.total:,} runs, {self.counts()}; about {duration(left)} left"
            )

    def counts(self) -> str:
        """`312 solved, 20 unsolved`."""
        return ", ".join(f"{count:,} {status}" for status, count in self.statuses.most_common())

    def say(self, line: str) -> None:
        """Print a line that does not tear the bar."""
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

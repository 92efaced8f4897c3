"""The grid command with every call of an engine timed, for `benchmarks.overhead`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np

from benchmarks.bare import LEAST
from study.engines import Outcome, engine_of
from study.grid import train
from study.grid.train import Row
from study.runs.settings import Run

CALL = np.dtype(
    [("began", "f8"), ("ended", "f8"), ("processor", "f8")]
)  # seconds: since 1970 twice, and of its thread
PACKED = Struct("=ddd")  # the same, in a tenth of NumPy's time: what is timed waits for it
MOST_CALLS = 1_000_000  # of a process; what is not used takes no room


def main(folder: str, arguments: list[str]) -> int:
    """The grid command; each process notes each call of an engine in a file of its own in `folder`."""
    from study.grid.__main__ import (
        run_grid,  # the command's own: the processes that train import this module, and not that one
    )
    from study.grid.options import parse

    return run_grid(parse(arguments), work=partial(timed_run, folder))


def timed_run(folder: str, run: Run, **options: Any) -> Callable[[], Row]:
    """A run as the grid trains it, with the engine's part timed."""
    train.engine_of = _timer(folder).engine_of
    return train.trained(run, **options)


def calls(folder: Path) -> list[np.ndarray]:
    """The calls of each process, an array of CALL each."""
    noted = (np.fromfile(path, CALL) for path in sorted(folder.iterdir()))
    return [process[process["ended"] > 0] for process in noted]


class _Timer:
    """Stands for every engine of a process, and notes its calls in a file in memory, which outlives the process."""

    def __init__(self, folder: str):
        with open(Path(folder) / str(os.getpid()), "w+b") as file:
            file.truncate(MOST_CALLS * PACKED.size)
            self._room = mmap(file.fileno(), 0)
        self._loaded: set[tuple[str, str, str]] = set()
        self._place = 0

    def engine_of(self, run: Run) -> _Timer:
        """This one."""
        return self

    def train(self, run: Run) -> Outcome:
        """The engine's, timed; what the engine imports at first, and the loop that it loads, is no training."""
        engine, kind = engine_of(run), (run.engine, run.cell, run.dtype)
        if kind not in self._loaded:
            self._loaded.add(kind)
            engine.train(run.model_copy(update=LEAST))
        began, spent = time.time(), time.thread_time()
        try:
            return engine.train(run)
        finally:
            PACKED.pack_into(
                self._room, self._place, began, time.time(), time.thread_time() - spent
            )
            self._place += PACKED.size


_timer = cache(_Timer)

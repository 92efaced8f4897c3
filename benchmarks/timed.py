"""The grid command with every call of an engine timed, for `benchmarks.overhead`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.engines import Outcome
    from study.runs import Run
    from study.train import Row

CALL = Struct("=ddd")  # seconds: began and ended, since 1970; of the processor, in its thread
MOST_CALLS = 1_000_000  # of a process; what is not used takes no room


def main(folder: str, arguments: list[str]) -> int:
    """The grid command; each process notes each call of an engine in a file of its own in `folder`."""
    from study.grid import run_grid  # the command's own: the processes that train import this module, and not that one
    from study.options import parse

    return run_grid(parse(arguments), work=partial(timed_run, folder))


def timed_run(folder: str, run: Run, **options: Any) -> Callable[[], Row]:
    """A run as the grid trains it, with the engine's part timed."""
    return _timer(folder).trained(run, **options)


class _Timer:
    """Stands for every engine of a process, and notes its calls in a file in memory, which outlives the process."""

    def __init__(self, folder: str):
        from benchmarks.bare import LEAST  # here, as a worker of the grid: the command itself imports none of it
        from study import train
        from study.engines import engine_of

        self.trained, self._engine_of, self._least = train.trained, engine_of, LEAST
        train.engine_of = self.engine_of
        with open(Path(folder) / str(os.getpid()), "w+b") as file:
            file.truncate(MOST_CALLS * CALL.size)
            self._room = mmap(file.fileno(), 0)
        self._loaded: set[tuple[str, str, str]] = set()
        self._place = 0

    def engine_of(self, run: Run) -> _Timer:
        """This one."""
        return self

    def train(self, run: Run) -> Outcome:
        """The engine's, timed; what the engine imports at first, and the loop that it loads, is no training."""
        engine, kind = self._engine_of(run), (run.engine, run.cell, run.dtype)
        if kind not in self._loaded:
            self._loaded.add(kind)
            engine.train(run.model_copy(update=self._least))
        began, spent = time.time(), time.thread_time()
        try:
            return engine.train(run)
        finally:
            CALL.pack_into(self._room, self._place, began, time.time(), time.thread_time() - spent)
            self._place += CALL.size


_timer = cache(_Timer)

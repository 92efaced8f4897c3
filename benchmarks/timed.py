"""The grid command with every call of an engine timed, for `benchmarks.overhead`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.bare import LEAST
from study import train
from study.engines import Outcome, engine_of
from study.runs import Run
from study.train import Row

CALL = np.dtype([("began", "f8"), ("ended", "f8"), ("processor", "f8")])  # seconds: since 1970 twice, and of its thread
MOST_CALLS = 1_000_000  # of a process; what is not used takes no room
_loaded: set[tuple[str, str, str]] = set()


def main(folder: str, arguments: list[str]) -> int:
    """The grid command; each process notes each call of an engine in a file of its own in `folder`."""
    from study.grid import run_grid  # the command's own: the processes that train import this module, and not that one
    from study.options import parse

    return run_grid(parse(arguments), work=partial(timed_run, folder))


def timed_run(folder: str, run: Run, **options: Any) -> Callable[[], Row]:
    """A run as the grid trains it, with the engine's part timed."""
    train.engine_of = partial(_timed, folder)
    return train.trained(run, **options)


def calls(folder: Path) -> list[np.ndarray]:
    """The calls of each process, an array of CALL each."""
    noted = (np.fromfile(path, CALL) for path in sorted(folder.iterdir()))
    return [process[process["ended"] > 0] for process in noted]


def _timed(folder: str, run: Run) -> SimpleNamespace:
    return SimpleNamespace(train=partial(_train, folder))


def _train(folder: str, run: Run) -> Outcome:
    engine, kind = engine_of(run), (run.engine, run.cell, run.dtype)
    if kind not in _loaded:  # what an engine imports, and the loop that it loads, is no training
        _loaded.add(kind)
        engine.train(run.model_copy(update=LEAST))
    began, spent = time.time(), time.thread_time()
    try:
        return engine.train(run)
    finally:
        room, number = _room(folder), next(_number)
        room[number] = began, time.time(), time.thread_time() - spent


_number = count()


@cache
def _room(folder: str) -> np.ndarray:
    """Room for more calls than there will be: a file in memory, which a worker that is killed leaves, and no write."""
    return np.memmap(Path(folder) / str(os.getpid()), CALL, "w+", shape=(MOST_CALLS,))

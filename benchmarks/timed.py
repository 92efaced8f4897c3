"""The grid command with every call of an engine timed, for `benchmarks.overhead`."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np

from benchmarks.bare import LEAST
from study import train
from study.engines import Outcome, engine_of
from study.runs import Run
from study.train import Row

CALL = np.dtype([("began", "f8"), ("ended", "f8"), ("processor", "f8")])  # seconds: since 1970 twice, and of its thread
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
    return [np.fromfile(path, CALL) for path in sorted(folder.iterdir())]


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
        _file(folder).write(struct.pack("3d", began, time.time(), time.thread_time() - spent))


@cache
def _file(folder: str) -> BinaryIO:
    return open(Path(folder) / str(os.getpid()), "wb", buffering=0)  # a worker is killed at the end

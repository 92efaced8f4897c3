"""What happens in a worker process: it trains the runs of a pack, and notes on the disk how far it is."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from joblib.externals.loky import process_executor

from study.engines import engine_of
from study.grid.limits import Limits
from study.grid.machine import is_ready
from study.grid.train import Row, row_of
from study.runs import Run

SELDOM = (
    20_000,
    50,
    50,
)  # new objects, and searches of younger ones, before Python searches for garbage


@dataclass(frozen=True)
class Job:
    """A run to train, whether its weights are to be kept, and its identity, if known: who plans has it at hand."""

    run: Run
    keep_weights: bool = False
    run_id: str = ""


@dataclass(frozen=True)
class Pack:
    """Jobs that one process trains one after another; `number` is its name in this execution."""

    number: int
    jobs: tuple[Job, ...]


Work = Callable[
    [Job, int], Callable[[], Row]
]  # (job, runs at once) -> what makes the row of a trained run
Bundle = Callable[[list[Row]], Any]  # a pack's rows -> what is sent of them, such as a table


def work_on(
    train: Callable[..., Callable[[], Row]], invocation: str, job: Job, at_once: int
) -> Callable[[], Row]:
    """Train one run; what makes its row."""
    return train(
        job.run,
        keep_weights=job.keep_weights,
        runs_at_once=at_once,
        invocation=invocation,
        run_id=job.run_id,
    )


def died(invocation: str, limits: Limits, job: Job, overran: str) -> Row:
    """The row of a run whose process ended; `overran` says where it was when its time was up."""
    return row_of(job.run, {"status": "failed", "reason": limits.reason(overran)}, 1, invocation)


def begin(parent: int, limits: Limits) -> None:
    """In a new worker: die with the parent, even if it is killed. Ctrl-C is the parent's (see `processes`)."""
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    limits.bound_memory()
    seldom_collect()
    # loky looks at a worker between packs: it replaces one that has grown by 300 MB, which torch makes it, again and
    # again; and without psutil it collects garbage each time, for 0.2 s. What a worker may take is `--worker-memory`'s.
    process_executor._MEMORY_LEAK_CHECK_DELAY = process_executor._MAX_MEMORY_LEAK_SIZE = float(
        "inf"
    )


def seldom_collect() -> None:
    """Let Python look for garbage seldom, and never in what there is now.

    What is imported stays, and runs leave hardly any: to search all that costs 0.1 s of torch's import alone.
    """
    gc.freeze()
    gc.set_threshold(*SELDOM)


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def train_pack(
    work: Work, pack: Pack, at_once: int, notes: Path, limits: Limits, bundle: Bundle
) -> tuple[int, Any]:
    """The rows of one pack, bundled, with a note on the disk that it began, and where it matters of the job it is at.

    It matters where no other pack runs beside it, which could be what kills a process, or a job may overrun its time.
    """
    finished, is_limited = [], limits.run_seconds is not None
    late = late_note(notes, pack)
    with (
        open(note(notes, pack), "wb", buffering=0) as begun,
        open(late, "w") if is_limited else nullcontext() as over,
    ):
        train = partial(_in_time, work, limits, over) if over else work
        for job in pack.jobs:
            if is_limited or at_once == 1 or not finished:
                begun.write(b".")  # a byte for each job, or for the first
            finished.append(train(job, at_once))
    rows = bundle([row() for row in finished])
    note(notes, pack).unlink()
    late.unlink(missing_ok=True)
    return pack.number, rows


def _in_time(work: Work, limits: Limits, late: TextIO, job: Job, at_once: int) -> Callable[[], Row]:
    """Work on a run that may take so long; an engine compiles before its time begins to count."""
    if job.run.device == "cpu" and not is_ready(job.run):
        engine_of(job.run).prepare(job.run)
    with limits.timed(late):
        return work(job, at_once)


def note(notes: Path, pack: Pack) -> Path:
    """Where a pack notes the jobs it began, or that it began."""
    return notes / str(pack.number)


def late_note(notes: Path, pack: Pack) -> Path:
    """Where a pack notes that a run overran its time."""
    return notes / f"{pack.number}.late"

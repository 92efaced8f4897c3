"""Many runs on several processes, with joblib, and what to do when one of them dies.

Runs travel in packs, which are only parcels: what a run computes does not depend on them. A process
that is killed, or runs out of memory, takes joblib's whole call down with it. Each pack therefore notes
the run it is at. When a process dies, packs that had begun are suspects and get a second try, one at
a time, so that no other can be blamed; a pack that dies again is narrowed to the run that kills it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from study.runs import Run

Row = dict
MOST_IN_PACK = 500
MOST_FUTILE = 3


@dataclass(frozen=True)
class Job:
    """A run to train, and whether its weights are to be kept."""

    run: Run
    keep_weights: bool = False


@dataclass(frozen=True)
class Pack:
    """Jobs that one process trains one after another; `number` is its name in this execution."""

    number: int
    jobs: tuple[Job, ...]


Work = Callable[[Job, int], Row]  # (job, runs at once) -> row


class WorkersDie(RuntimeError):
    """Worker processes die before they reach a run: there is no run to blame, and no use in going on."""


def make_packs(jobs: Iterable[tuple[Job, float]], seconds: float, most: int = MOST_IN_PACK) -> list[tuple[Job, ...]]:
    """Cut jobs, each with its estimated cost in seconds, into packs that take about `seconds` each."""
    packs, pack, total = [], [], 0.0
    for job, cost in jobs:
        pack.append(job)
        total += cost
        if total >= seconds or len(pack) >= most:
            packs.append(tuple(pack))
            pack, total = [], 0.0
    return [*packs, tuple(pack)] if pack else packs


def execute(
    packs: Sequence[tuple[Job, ...]],
    work: Work,
    *,
    processes: int,
    deliver: Callable[[list[Row]], None],
    died: Callable[[Job], Row],
    notes: Path,
) -> None:
    """Do the work of all packs; `deliver` gets each pack's rows as it is done, in any order.

    `died(job)` makes the row of a job that killed its process when it ran with no other beside it.
    `notes` is an empty folder for the workers' notes.
    """
    execution = _Execution(work, processes, deliver, died, notes)
    try:
        execution.run([Pack(number, jobs) for number, jobs in enumerate(packs)])
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


class _Execution:
    def __init__(
        self,
        work: Work,
        processes: int,
        deliver: Callable[[list[Row]], None],
        died: Callable[[Job], Row],
        notes: Path,
    ):
        self.work, self.processes, self.deliver, self.died, self.notes = work, processes, deliver, died, notes

    def run(self, packs: list[Pack]) -> None:
        """All packs together; after a death the suspects one by one, then the rest together again."""
        futile = 0
        while packs:
            left = self._together(packs, self.processes)
            suspects = [pack for pack in left if self._at(pack) is not None]
            futile = futile + 1 if len(left) == len(packs) and not suspects else 0
            if futile == MOST_FUTILE:
                raise WorkersDie(f"worker processes died {futile} times before they began a run")
            for suspect in suspects:
                self._second_try(suspect)
            packs = [pack for pack in left if pack not in suspects]

    def _together(self, packs: list[Pack], at_once: int) -> list[Pack]:
        """Train packs, `at_once` of them at a time; those unfinished when a process died."""
        unfinished = {pack.number: pack for pack in packs}
        # joblib trains in the parent for n_jobs=1, where a killer would take the grid with it:
        # two processes, of which only one is given work, keep it apart.
        parallel: Any = Parallel(
            n_jobs=max(2, at_once),
            backend="loky",
            return_as="generator_unordered",
            batch_size=1,  # pyright: ignore[reportArgumentType]
            pre_dispatch=at_once if at_once == 1 else 2 * at_once,  # pyright: ignore[reportArgumentType]
            initializer=_begin_worker,
            initargs=(os.getpid(),),
        )
        tasks = (delayed(_train_pack)(self.work, pack, at_once, self.notes) for pack in packs)
        try:
            with _quiet_joblib(), closing(parallel(tasks)) as results:
                for number, rows in results:
                    del unfinished[number]
                    self.deliver(rows)
        except BrokenProcessPool:
            return list(unfinished.values())
        return []

    def _second_try(self, pack: Pack) -> None:
        """Train a suspect by itself; if it dies again, find the run that does it."""
        self._note(pack).unlink()
        if not self._together([pack], 1):
            return
        culprit = self._at(pack)
        if culprit is None:
            raise WorkersDie("a worker process died twice, the second time before it began a run")
        if len(pack.jobs) == 1:
            self.deliver([self.died(culprit)])
            return
        for jobs in ((culprit,), tuple(job for job in pack.jobs if job is not culprit)):
            self._note(pack).touch()
            self._second_try(Pack(pack.number, jobs))

    def _note(self, pack: Pack) -> Path:
        return self.notes / str(pack.number)

    def _at(self, pack: Pack) -> Job | None:
        """The job that an unfinished pack had come to, or None if it had not begun."""
        note = self._note(pack)
        begun = note.stat().st_size if note.exists() else 0
        return pack.jobs[begun - 1] if begun else None


@contextmanager
def _quiet_joblib() -> Iterator[None]:
    """Without joblib's warnings that packs were cancelled, or a large worker restarted: both are wanted."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*which were still being processed.*")
        warnings.filterwarnings("ignore", message="A worker stopped")
        yield


def _begin_worker(parent: int) -> None:
    """In a new worker: leave Ctrl-C to the parent, and die with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _train_pack(work: Work, pack: Pack, at_once: int, notes: Path) -> tuple[int, list[Row]]:
    """In the worker: the rows of one pack, with a note on the disk of the job it is at."""
    rows = []
    with open(notes / str(pack.number), "wb", buffering=0) as note:  # a byte for each job begun
        for job in pack.jobs:
            note.write(b".")
            rows.append(work(job, at_once))
    (notes / str(pack.number)).unlink()
    return pack.number, rows

"""Train packs of runs on worker processes of this machine, with joblib.

A worker trains the runs of a pack one after another; how runs are packed changes no number. When a
worker dies, joblib ends all workers, and `every_row` finds the run that was to blame.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import Any, Protocol

from joblib import Parallel, delayed, parallel_config

from study.errors import EnvironmentFault
from study.grid.limits import Limits
from study.grid.train import Job, PackTraining, Row, prepare
from study.runs import Run

MOST_FUTILE = 10  # deaths of workers in a row without any pack finished in between

Ids = tuple[str, ...]  # the runs of a pack by their identities
JobOf = Callable[[str], Job]  # makes the job of an identity


class Workers(Protocol):
    """Processes that train packs."""

    def train(
        self, packs: Sequence[Ids], training: PackTraining, job: JobOf, alone: bool
    ) -> Generator[list[Row], None, list[Ids]]:
        """Yield the rows of each pack as it finishes; return the packs lost with their workers.

        The packs are trained side by side, or one after another if `alone`.
        """
        ...


def every_row(
    workers: Workers, packs: Sequence[Ids], training: PackTraining, job: JobOf
) -> Generator[list[Row]]:
    """Train all packs and yield their rows as they come, in any order: one row per run.

    The runs of packs that were lost with a worker are tried again in packs of one, at first side by
    side and then alone. If a run is lost while it is alone, it has failed.
    """
    lost = yield from workers.train(packs, training, job, alone=False)
    single = [(run_id,) for pack in lost for run_id in pack]
    for pack in (yield from workers.train(single, training, job, alone=False)):
        if (yield from workers.train([pack], training, job, alone=True)):
            yield [training.died(job(pack[0]))]


class Pool:
    """Worker processes on this machine, started when they are first needed."""

    def __init__(self, jobs: int, limits: Limits):
        self.jobs = self.runs_at_once = jobs
        self._limits = limits

    def prepare(self, runs: Iterable[Run]) -> None:
        """Let engines load and compile for these runs; `EnvironmentFault` if a worker dies."""
        try:
            for _ in self._results((delayed(prepare)(run) for run in runs), alone=False):
                pass
        except BrokenProcessPool as error:
            raise EnvironmentFault("a worker process died before it began a run") from error

    def train(
        self, packs: Sequence[Ids], training: PackTraining, job: JobOf, alone: bool
    ) -> Generator[list[Row], None, list[Ids]]:
        """See `Workers`; `EnvironmentFault` if workers die again and again."""
        lost, left, futile = [], list(packs), 0
        while left:
            started, done = list[Ids](), set[str]()
            tasks = _tasks(training, job, left, started)
            try:
                with closing(self._results(tasks, alone)) as results:
                    for rows in results:
                        done.update(row["run_id"] for row in rows)
                        yield rows
                return lost
            except BrokenProcessPool:
                lost += [pack for pack in started if done.isdisjoint(pack)]
                left, futile = left[len(started) :], 0 if done else futile + 1
                if futile == MOST_FUTILE:
                    message = f"workers died {futile} times in a row before they finished anything"
                    raise EnvironmentFault(message) from None
                self.prepare([job(pack[0]).run for pack in lost[-1:]])  # fails if none can start
        return lost

    def _results(self, tasks: Iterable[Any], alone: bool) -> Generator[Any]:
        """The results of joblib's delayed calls as they come; few calls are handed out ahead.

        With one process joblib would train in this very process, and a run that kills it would end
        the grid. So there are always two, and for one job only one call is handed out at a time.
        """
        with parallel_config(
            "loky",
            n_jobs=max(self.jobs, 2),
            inner_max_num_threads=1,
            initializer=_begin,
            initargs=(os.getpid(), self._limits),
        ):
            parallel: Any = Parallel(
                return_as="generator_unordered",
                batch_size=1,  # pyright: ignore[reportArgumentType]
                pre_dispatch=1 if alone or self.jobs == 1 else 2 * self.jobs,  # pyright: ignore[reportArgumentType]
                max_nbytes=None,
            )
        with warnings.catch_warnings():  # joblib warns of cancelled calls and replaced workers
            warnings.filterwarnings("ignore", module="joblib")
            with closing(parallel(tasks)) as results:
                yield from results


def _tasks(
    training: PackTraining, job: JobOf, packs: Sequence[Ids], started: list[Ids]
) -> Iterator[Any]:
    """A call per pack, made when joblib takes it, since a million jobs would fill the memory."""
    for pack in packs:
        started.append(pack)
        yield delayed(training)(tuple(map(job, pack)))


def _begin(parent: int, limits: Limits) -> None:
    """Set up a new worker: it ignores Ctrl-C, and ends when its parent ends, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    limits.bound_memory()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

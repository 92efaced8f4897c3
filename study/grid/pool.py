"""Train packs of runs on worker processes of this machine, with joblib.

A pack is a parcel of runs that a worker trains one after another; how runs are packed changes no
number. When a worker dies, joblib ends them all, and `every_row` finds the run that was to blame.
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
from functools import partial
from typing import Any

from joblib import Parallel, delayed, parallel_config

from study.grid.limits import EnvironmentFault, Limits
from study.grid.train import Job, Pack, PackTraining, Row, prepare
from study.runs import Run

MOST_FUTILE = 10  # deaths of workers in a row with nothing done in between

Ids = tuple[str, ...]  # the runs of a pack by their identities
Together = Callable[[Sequence[Ids], bool], Generator[list[Row], None, list[Ids]]]


def every_row(
    packs: Sequence[Ids], together: Together, died: Callable[[str], Row]
) -> Generator[list[Row]]:
    """Train all packs and yield their rows as they come, in any order: one row per run.

    `together(packs, alone)` trains packs side by side, or one after another if `alone`, and
    returns those that were lost with a worker. Their runs are tried again in packs of one, at first
    side by side; a run that is lost with no other beside it gets the row that `died` makes.
    """
    lost = yield from together(packs, False)
    lost = yield from together([(run_id,) for pack in lost for run_id in pack], False)
    for pack in lost:
        if (yield from together([pack], True)):
            yield [died(pack[0])]


class Pool:
    """So many worker processes of this machine, started when they are first needed."""

    def __init__(self, jobs: int, limits: Limits):
        self.jobs = self.runs_at_once = jobs
        self._limits = limits

    def prepare(self, runs: Iterable[Run]) -> None:
        """Let engines load and compile what these runs need; else `EnvironmentFault`."""
        try:
            for _ in self._results((delayed(prepare)(run) for run in runs), alone=False):
                pass
        except BrokenProcessPool as error:
            raise EnvironmentFault("a worker process died before it began a run") from error

    def train(
        self, packs: Sequence[Ids], training: PackTraining, job: Callable[[str], Job]
    ) -> Generator[list[Row]]:
        """The rows of every pack, pack by pack; `job` makes the job of an identity."""
        together = partial(self._together, training, job)
        return every_row(packs, together, lambda run_id: training.died(job(run_id)))

    def _together(
        self, training: PackTraining, job: Callable[[str], Job], packs: Sequence[Ids], alone: bool
    ) -> Generator[list[Row], None, list[Ids]]:
        lost, left, futile = [], list(packs), 0
        while left:
            taken, done = [], set()
            tasks = _tasks(training, job, left, taken)
            try:
                with closing(self._results(tasks, alone)) as results:
                    for number, rows in results:
                        done.add(number)
                        yield rows
                return lost
            except BrokenProcessPool:
                begun = len(taken)
                lost += [pack for number, pack in enumerate(left[:begun]) if number not in done]
                left, futile = left[begun:], 0 if done else futile + 1
                if futile == MOST_FUTILE:
                    message = f"workers died {futile} times in a row before they finished anything"
                    raise EnvironmentFault(message) from None
                self.prepare([job(pack[0]).run for pack in lost[-1:]])  # do they live that long?
        return lost

    def _results(self, tasks: Iterable[Any], alone: bool) -> Generator[Any]:
        """Results of joblib's delayed calls as they come, with few calls handed out ahead of time.

        With one process joblib would train in this one, and a run that kills it would end the grid.
        So there are always two, of which one rests if only one call is handed out at a time.
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
        with warnings.catch_warnings():  # about calls cut short and workers replaced, as is wanted
            warnings.filterwarnings("ignore", module="joblib")
            with closing(parallel(tasks)) as results:
                yield from results


def _tasks(
    training: PackTraining, job: Callable[[str], Job], packs: Sequence[Ids], taken: list[Ids]
) -> Iterator[Any]:
    """A call for each pack, made when joblib takes it: a million jobs would fill the memory."""
    for number, pack in enumerate(packs):
        taken.append(pack)
        yield delayed(_train_numbered)(number, training, tuple(map(job, pack)))


def _train_numbered(number: int, training: PackTraining, pack: Pack) -> tuple[int, list[Row]]:
    return number, training(pack)


def _begin(parent: int, limits: Limits) -> None:
    """In a new worker: leave Ctrl-C to the parent, but end with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    limits.bound_memory()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

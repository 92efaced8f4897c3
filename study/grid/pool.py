"""Train packs of runs in worker processes on this machine, with joblib.

A pack is a group of runs that a worker trains one after another. How runs are divided into packs
does not change any result. If a worker dies, joblib ends all workers. Then the function `every_row`
finds out which run makes workers die.
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
from multiprocessing import get_context
from typing import Any, Protocol

import pyarrow as pa
from joblib import Parallel, delayed, parallel_config

from study.errors import EnvironmentFault, what_failed
from study.grid.limits import Limits
from study.grid.train import Job, PackTraining, prepare
from study.model import use, used_files
from study.runs import Run

# number of threads and processes that joblib starts in this process, and that one worker has
OWN_THREADS, THREADS_OF_WORKER = 6, 4
MOST_FUTILE = 10  # give up if workers die this many times in a row and no pack is finished

Ids = tuple[str, ...]  # the identities of the runs in a pack
JobOf = Callable[[str], Job]  # returns the job of the run with a given identity


class Workers(Protocol):
    """Worker processes that train packs (groups of runs), on this machine or on a cluster."""

    def train(
        self, packs: Sequence[Ids], training: PackTraining, job: JobOf, alone: bool
    ) -> Generator[pa.Table, None, list[Ids]]:
        """Yield the rows of each pack when the pack is finished, and return the lost packs.

        A pack is a group of runs, given as a tuple of their identities. A pack is lost if its
        worker died. `job` returns the job for an identity, and `training` trains the jobs of a
        pack. The packs are trained in parallel, or one at a time if `alone` is true.
        """
        ...


def every_row(
    workers: Workers, packs: Sequence[Ids], training: PackTraining, job: JobOf
) -> Generator[pa.Table]:
    """Train all packs, and yield the rows of each pack (one per run) when the pack is finished.

    A pack is a group of runs that is sent to a worker at once. The arguments are those of
    `Workers.train`. If a worker dies while it trains a pack, each run of the pack is trained again
    in a pack of its own. If a worker also dies on such a single run, the run is trained once more,
    while no other run is training. If a worker dies even then, the run gets a row with the status
    `failed`.
    """
    lost = yield from workers.train(packs, training, job, alone=False)
    single = [(run_id,) for pack in lost for run_id in pack]
    for pack in (yield from workers.train(single, training, job, alone=False)):
        if (yield from workers.train([pack], training, job, alone=True)):
            yield training.died(job(pack[0]))


class Pool:
    """Worker processes on this machine, which start when they are first needed.

    `jobs` is the number of processes. Raises `EnvironmentFault` if the system does not let this
    user have so many processes and threads, or none of the locks that processes share.
    """

    def __init__(self, jobs: int, limits: Limits):
        _try_threads(OWN_THREADS + THREADS_OF_WORKER * jobs)
        _try_lock()
        self.jobs = self.runs_at_once = jobs
        self._limits = limits

    def prepare(self, runs: Iterable[Run]) -> None:
        """Load the engines (training code) of the runs in workers, which compile what is missing.

        Several workers share this work: each next compiles what no other has begun. Raises
        `EnvironmentFault` if a worker dies.
        """
        runs = tuple(runs)
        tasks = [delayed(prepare)(*runs)] * min(self.jobs, len(runs) + 1)
        try:
            for _ in self._results(tasks, alone=False):
                pass
        except BrokenProcessPool as error:
            raise EnvironmentFault("a worker process died before it began a run") from error

    def train(
        self, packs: Sequence[Ids], training: PackTraining, job: JobOf, alone: bool
    ) -> Generator[pa.Table, None, list[Ids]]:
        """Train packs (groups of runs) in the workers, as `Workers.train` describes.

        Raises `EnvironmentFault` if workers keep dying.
        """
        lost, left, futile = [], list(packs), 0
        while left:
            started, done = list[Ids](), set[str]()
            tasks = _tasks(training, job, left, started)
            try:
                with closing(self._results(tasks, alone)) as results:
                    for rows in results:
                        done.update(rows["run_id"].to_pylist())
                        yield rows
                return lost
            except BrokenProcessPool:
                lost += [pack for pack in started if done.isdisjoint(pack)]
                left, futile = left[len(started) :], 0 if done else futile + 1
                if futile == MOST_FUTILE:
                    message = f"workers died {futile} times in a row before they finished anything"
                    raise EnvironmentFault(message) from None
                # This raises `EnvironmentFault` if no worker can start.
                self.prepare([job(pack[0]).run for pack in lost[-1:]])
        return lost

    def _results(self, tasks: Iterable[Any], alone: bool) -> Generator[Any]:
        """Let the workers carry out `tasks`, and yield each result when it is ready.

        `tasks` are delayed calls of joblib, which gets only a few of them in advance. If `jobs` is
        1 or `alone` is true, joblib gets one call at a time. Even then there are two workers. With
        one worker, joblib would train in this process, and a run that kills its process would end
        the grid.
        """
        with parallel_config(
            "loky",
            n_jobs=max(self.jobs, 2),
            inner_max_num_threads=1,
            initializer=_begin,
            initargs=(os.getpid(), self._limits, tuple(used_files())),
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


def _try_threads(number: int) -> None:
    """Start the given number of threads at once, and end them again.

    Raises `EnvironmentFault` if the system refuses to start so many threads. This is tried before
    the workers start, since joblib would wait for ever if the workers reached a limit of the
    system. A limit such as `ulimit -u` counts threads and processes together.
    """
    may_end, threads = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(number):
            thread = threading.Thread(target=may_end.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        message = f"the system does not allow the {number} processes and threads that workers need"
        raise EnvironmentFault(
            f"{message}: raise the limit (ulimit -u) or use fewer --jobs"
        ) from error
    finally:
        may_end.set()
        for thread in threads:
            thread.join()


def _try_lock() -> None:
    """Make a lock of the kind that workers share, and raise `EnvironmentFault` if this fails.

    Linux keeps such locks in /dev/shm, and no variable moves them.
    """
    try:
        get_context("fork").Lock()
    except OSError as error:
        message = f"no memory can be shared with workers: {what_failed(error)}"
        raise EnvironmentFault(f"{message}; make room in /dev/shm, or let it be written") from error


def _tasks(
    training: PackTraining, job: JobOf, packs: Sequence[Ids], started: list[Ids]
) -> Iterator[Any]:
    """Yield a delayed call of joblib for each pack, and append the pack to `started`.

    A pack is a group of runs, given as a tuple of their identities. `job` returns the job for a
    run's identity. Jobs are created only when joblib asks for the next call, since a million jobs
    would fill the memory.
    """
    for pack in packs:
        started.append(pack)
        yield delayed(training)(tuple(map(job, pack)))


def _begin(parent: int, limits: Limits, files: tuple[str, ...]) -> None:
    """Set up a new worker process: limit its memory as `limits` says, and load the user's files.

    The worker ignores Ctrl-C and a closed terminal. It ends when its parent process ends, even if
    the parent was killed by SIGKILL. `parent` is the process number of the parent.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    limits.bound_memory()
    use(files)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)

"""A Dask cluster of processes on this machine, to be disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import distributed
import psutil

from study.grid.train import trained

GRID = """
name: cluster
defaults:
  {engine: torch, hidden_size: 4, length: 6, max_updates: 60, eval_every: 5, final_sequences: 20, long_sequences: 4}
blocks:
  only:
    vary:
      cell: [lstm, gru, rnn_tanh]
      seed: {range: [0, 8]}
"""
RUNS = 24
ENVIRONMENT = (
    os.environ
    | {
        "PYTHONPATH": os.pathsep.join(
            map(str, (Path(__file__).parent.parent, Path(__file__).parent))
        ),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",  # of a worker that says nothing; its default is 5 minutes
    }
)


def slowly(run, **options) -> Callable[[], dict]:
    """Training that leaves time to disturb it."""
    time.sleep(0.3)
    return trained(run, **options)


class DaskCluster:
    """A scheduler and workers, each a process of its own; they speak over TCP."""

    def __init__(self, folder: Path, deaths: int = 1):
        """`deaths`: how many more than one a task may cost before it is given up."""
        self.file = folder / "scheduler.json"
        self.environment = ENVIRONMENT | {
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(deaths)
        }
        # Idle, it ends by itself, and its workers with it: a test that is ended cannot tidy up.
        where = ("--port", "0", "--scheduler-file", self.file, "--idle-timeout", "300")
        self.scheduler = self._start("dask", "scheduler", *where)
        self.workers: list[subprocess.Popen] = []
        wait_until(self.file.exists)

    def _start(self, *command) -> subprocess.Popen:
        words = [sys.executable, "-m", *map(str, command), "--no-dashboard"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(words, env=self.environment, cwd=self.file.parent, **quiet)

    def worker(self, *options: str) -> None:
        """Start one, by itself unless the options name a nanny."""
        how = ["--nthreads", "1", *(options or ["--no-nanny"])]
        self.workers.append(self._start("dask", "worker", "--scheduler-file", self.file, *how))

    @property
    def alive(self) -> list[subprocess.Popen]:
        """The workers that run."""
        return [worker for worker in self.workers if worker.poll() is None]

    def wait_for(self, workers: int) -> None:
        """Until so many workers are there."""
        with distributed.Client(scheduler_file=str(self.file), set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def close(self) -> None:
        """End all of it: nannies before the workers that they would start again."""
        for process in [*self.workers, self.scheduler]:
            children = (
                psutil.Process(process.pid).children(recursive=True)
                if process.poll() is None
                else []
            )
            for each in (process, *children):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()


@contextmanager
def a_cluster(
    folder: Path, workers: int = 2, *options: str, deaths: int = 1
) -> Iterator[DaskCluster]:
    """A cluster whose workers are there."""
    cluster = DaskCluster(folder, deaths)
    try:
        for _ in range(workers):
            cluster.worker(*options)
        cluster.wait_for(workers)
        yield cluster
    finally:
        cluster.close()


def arguments(folder: Path, cluster: DaskCluster, *more: str) -> list[str]:
    """Of a command that trains the grid on a cluster."""
    (folder / "grid.yaml").write_text(GRID)
    where = ["--backend", "dask", "--scheduler", str(cluster.file)]
    return [
        str(folder / "grid.yaml"),
        "--out",
        str(folder / "out"),
        "--pack-size",
        "2",
        *where,
        *more,
    ]


def wait_until(condition: Callable[[], object], seconds: float = 120) -> bool:
    """Whether it came to hold."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def once_it_trains(out: Path, act: Callable[[], None]) -> threading.Thread:
    """Do something when the first rows are on the disk, in a thread."""

    def wait_and_act() -> None:
        if wait_until(lambda: list(out.glob("rows-*"))):
            act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread

"""Train runs on a Dask cluster that is already running.

The command `study grid --backend dask --scheduler ADDRESS` uses this module. Runs are divided into
packs. A pack is a group of runs that a worker trains one after another. Dask gets each pack as one
task. If a worker dies, Dask gives its tasks to other workers. Dask's setting
`distributed.scheduler.allowed-failures` says how many workers may die on a task. If more die, Dask
gives up on the task. Then the function `every_row` finds out which run of the pack makes workers
die.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from study.command import DISTRIBUTION
from study.errors import BadInput, EnvironmentFault, Problem
from study.grid.pool import Ids, JobOf
from study.grid.provenance import package_versions, source_digest
from study.grid.train import Pack, PackTraining
from study.model import use, used_files

CONNECT_SECONDS = 10
# Tasks submitted in advance per worker, so that no worker waits and new workers find tasks.
AHEAD = 4


class ClusterLost(EnvironmentFault):
    """Raised if the connection to the scheduler is lost, or if a worker cannot train its runs."""


class Cluster:
    """A connection to a Dask scheduler, which passes runs to its workers.

    `address` is the scheduler's address, or the path of its scheduler file, which ends in `.json`.
    Raises `BadInput` if Dask is not installed, or if the scheduler cannot be reached or has no
    workers. Also raises `BadInput` if a worker has several threads, cannot load the user's files,
    or has other package versions than this machine. Other versions could change the results.
    """

    def __init__(self, address: str):
        self._address = address
        try:
            self._dask: Any = import_module("distributed")
        except ImportError as error:
            raise self._unfit(f"needs Dask; type: pip install '{DISTRIBUTION}[cluster]'") from error
        # This module reports lost connections itself.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            if address.endswith(".json"):
                address = json.loads(Path(address).read_text(encoding="utf-8"))["address"]
            # Check the address first. A client made with a malformed address stays half open, and
            # if it is garbage-collected while another client starts, both wait for a lock.
            import_module("distributed.comm").resolve_address(address)
            self._client = self._dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._unfit(f"cannot be reached: {error}") from error
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        self.jobs = len(workers)
        self.runs_at_once = max(Counter(w["host"] for w in workers.values()).values(), default=1)
        if problems := self._problems(workers):
            self._client.close()
            raise self._unfit(*problems)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close(timeout=5)

    def _unfit(self, *problems: str) -> BadInput:
        return BadInput(Problem(f"--scheduler {self._address}", text) for text in problems)

    def _problems(self, workers: dict[str, Any]) -> list[str]:
        """Return a message for each worker that cannot train.

        If there are no workers, return a single message that says so. `workers` maps the address of
        each worker to the scheduler's description of the worker.
        """
        if not workers:
            return ["has no workers; start at least one: dask worker ADDRESS --nthreads 1"]
        here, problems = versions(), []
        for name, there in self._client.run(versions, on_error="return").items():
            if workers.get(name, {"nthreads": 1})["nthreads"] != 1:
                problems.append(f"worker {name} has several threads; start it with --nthreads 1")
            elif not isinstance(there, dict):
                problems.append(f"worker {name} cannot load this package: {there!r}")
            elif other := [package for package in here if there.get(package) != here[package]]:
                listed = ", ".join(f"{p} {there.get(p)} (here {here[p]})" for p in other)
                problems.append(f"worker {name} has other versions than this machine: {listed}")
        if problems or not used_files():
            return problems
        faults = self._client.run(fault_in_files, used_files())
        return [f"worker {name} {fault}" for name, fault in faults.items() if fault]

    def train(
        self, packs: Sequence[Ids], training: PackTraining, job: JobOf, alone: bool
    ) -> Generator[pa.Table, None, list[Ids]]:
        """Train packs (groups of runs) on the cluster.

        `Workers.train` in `study.grid.pool` explains the arguments and the results.
        Raises `ClusterLost` if the connection is lost, or if a worker cannot train its runs.
        """
        lost, left, submitted = [], iter(packs), dict[str, Ids]()

        def submit(count: int) -> list[Any]:
            futures = []
            for pack in islice(left, count):
                work = train_there, versions(), used_files(), training, tuple(map(job, pack))
                futures.append(self._client.submit(*work, pure=False))
                submitted[futures[-1].key] = pack
            return futures

        first = submit(1 if alone else AHEAD * self.jobs)
        futures = self._dask.as_completed(first, loop=self._client.loop)
        for future in futures:
            pack = submitted.pop(future.key)
            try:
                yield future.result()
            except self._dask.KilledWorker:
                lost.append(pack)
            except EnvironmentFault:
                raise
            except CancelledError as error:
                raise ClusterLost(f"the connection to {self._address} was lost") from error
            except Exception as error:  # a worker on another machine may raise anything
                message = f"a worker could not train its runs: {type(error).__name__}: {error}"
                raise ClusterLost(message) from error
            futures.update(submit(1))
        return lost


@cache
def versions() -> dict[str, str | None]:
    """Return the versions of Python, of this package and of the packages that can change a result.

    The result maps names to versions. The version of this package is a hash of its source code. The
    version of a package that is not installed is None.
    """
    return {"study": source_digest(), **package_versions()}


def fault_in_files(files: dict[str, str]) -> str | None:
    """Load the user's files on a worker of the cluster, and return why it cannot, or None.

    `files` is the result of `used_files` on the machine that started the grid.
    """
    try:
        use(files)
    except BadInput as error:
        return f"cannot load a file of yours: {error}; put it at the same path on every machine"
    here = used_files()
    changed = [path for path, content in files.items() if here[path] != content]
    return f"has another version of {changed[0]}; restart the worker" if changed else None


def train_there(
    expected: dict[str, str | None], files: dict[str, str], training: PackTraining, pack: Pack
) -> pa.Table:
    """Train a pack (group of runs) on a worker of the cluster, and return one row per run.

    `expected` and `files` are the results of `versions` and `used_files` on the machine that
    started the grid. Raises `ClusterLost` if the worker has other versions or files. They are
    checked for each pack, since a worker may join the cluster after `Cluster` has checked all
    workers.
    """
    if versions() != expected:
        raise ClusterLost("a worker joined late, with other package versions than this machine")
    if fault := fault_in_files(files):
        raise ClusterLost(f"a worker {fault}")
    return training(pack)

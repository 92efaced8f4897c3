"""Train packs of runs on a Dask cluster that exists: `--backend dask --scheduler tcp://HOST:8786`.

Each pack is a task. Dask itself gives the tasks of a lost worker to others, and gives up one that
lost several (`distributed.scheduler.allowed-failures`); `every_row` then finds the run to blame.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from functools import cache, partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from study.errors import BadInput, Problem
from study.grid.limits import EnvironmentFault
from study.grid.pool import Ids, every_row
from study.grid.provenance import package_versions, source_digest
from study.grid.train import Job, Pack, PackTraining, Row

CONNECT_SECONDS = 10
AHEAD = 4  # tasks per worker, so that late workers find some, and none waits for the next


class ClusterLost(EnvironmentFault):
    """The scheduler is gone, or a worker cannot train what it is given."""


class Cluster:
    """A connection to a scheduler; `BadInput` names workers that cannot train as here."""

    def __init__(self, address: str):
        self._address = address
        try:
            self._dask: Any = import_module("distributed")
        except ImportError as error:
            raise self._unfit("needs Dask: pip install 'study[cluster]'") from error
        for name in ("distributed", "distributed.client"):  # which we report in a line of our own
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            if address.endswith(".json"):
                address = json.loads(Path(address).read_text(encoding="utf-8"))["address"]
            self._client = self._dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._unfit(f"cannot be reached: {error}") from error
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        self.jobs = len(workers)
        self.runs_at_once = max(Counter(w["host"] for w in workers.values()).values(), default=1)
        problems = self._problems(workers)
        if problems:
            self._client.close()
            raise self._unfit(*problems)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close(timeout=5)

    def _unfit(self, *problems: str) -> BadInput:
        return BadInput([Problem(f"--scheduler {self._address}", text) for text in problems])

    def _problems(self, workers: dict[str, Any]) -> list[str]:
        """What is wrong with the workers, by name."""
        if not workers:
            return ["has no workers; start some: dask worker ADDRESS --nthreads 1"]
        found, here = self._client.run(versions, on_error="return"), versions()
        problems = {}
        for name, its in found.items():
            if workers.get(name, {"nthreads": 1})["nthreads"] != 1:
                problems[name] = "has several threads; start it with --nthreads 1"
            elif not isinstance(its, dict):
                problems[name] = f"cannot load this package: {its!r}"
            elif other := [
                f"{k} {its.get(k)} (here {here[k]})" for k in here if its.get(k) != here[k]
            ]:
                problems[name] = f"has other versions: {', '.join(other)}"
        return [f"worker {name} {problem}" for name, problem in problems.items()]

    def train(
        self, packs: Sequence[Ids], training: PackTraining, job: Callable[[str], Job]
    ) -> Generator[list[Row]]:
        """The rows of every pack, pack by pack; `job` makes the job of an identity."""
        together = partial(self._together, training, job)
        return every_row(packs, together, lambda run_id: training.died(job(run_id)))

    def _together(
        self, training: PackTraining, job: Callable[[str], Job], packs: Sequence[Ids], alone: bool
    ) -> Generator[list[Row], None, list[Ids]]:
        lost, left, out = [], iter(packs), dict[str, Ids]()

        def sent(count: int) -> list[Any]:
            futures = []
            for pack in islice(left, count):
                jobs = tuple(map(job, pack))
                futures.append(
                    self._client.submit(train_there, versions(), training, jobs, pure=False)
                )
                out[futures[-1].key] = pack
            return futures

        first = sent(1 if alone else AHEAD * self.jobs)
        waiting = self._dask.as_completed(first, loop=self._client.loop)
        for future in waiting:
            pack = out.pop(future.key)
            try:
                yield future.result()
            except self._dask.KilledWorker:
                lost.append(pack)
            except EnvironmentFault:
                raise
            except CancelledError as error:
                raise ClusterLost(f"the scheduler {self._address} is gone") from error
            except Exception as error:  # whatever a foreign machine may lack
                message = f"a worker could not do its work: {type(error).__name__}: {error}"
                raise ClusterLost(message) from error
            waiting.update(sent(1))
        return lost


@cache
def versions() -> dict[str, str | None]:
    """All that can change a number: this package's source, and versions of others."""
    return {"study": source_digest(), **package_versions()}


def train_there(expected: dict[str, str | None], training: PackTraining, pack: Pack) -> list[Row]:
    """On a worker, which may have joined late: the rows of a pack."""
    if versions() != expected:
        raise ClusterLost("a worker that came late has other versions of this package or others")
    return training(pack)

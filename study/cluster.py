"""The grid on a Dask cluster that exists: `--backend dask --scheduler tcp://host:8786`.

joblib sends packs through its own Dask backend. On the cluster each pack is trained in a process beside the
Dask worker (`schedule.execute` again), so a run that hangs, wants too much memory or kills its process is
found there, and costs the cluster nothing. A Dask worker that is lost all the same has its packs trained by
others; a pack that loses several is narrowed to the run that does it.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from joblib import Parallel, delayed, parallel_config

from study.errors import BadInput, Problem
from study.limits import Limits
from study.provenance import package_versions
from study.schedule import execute
from study.train import Row
from study.workers import Job, Pack, Work

CONNECT_SECONDS = 10
LOST_SECONDS = 30.0  # without the scheduler, after which it is gone
LEAST_IN_FLIGHT = 200  # packs; so many workers may come late and find work at once


class ClusterLost(RuntimeError):
    """The scheduler is gone, or a worker cannot train what it is given."""


class Cluster:
    """A connection to a Dask scheduler; `BadInput` where there is none."""

    def __init__(self, address: str):
        self.address = address
        distributed = _distributed()
        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        try:
            self.client = distributed.Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, ImportError) as error:
            message = f"cannot be reached: {str(error).splitlines()[0] or type(error).__name__}"
            raise BadInput([Problem(f"--scheduler {address}", message)]) from error
        self._refuse_unfit()

    def _refuse_unfit(self) -> None:
        workers = self._workers()
        if not workers:
            self.close()
            message = "has no workers; start some: dask worker ADDRESS --nthreads 1"
            raise BadInput([Problem(f"--scheduler {self.address}", message)])
        if any(worker["nthreads"] != 1 for worker in workers):
            self.close()
            message = "has workers of several threads; a run wants a process: dask worker ADDRESS --nthreads 1"
            raise BadInput([Problem(f"--scheduler {self.address}", message)])

    def _workers(self) -> list[dict[str, Any]]:
        return list(self.client.scheduler_info(n_workers=-1)["workers"].values())

    @property
    def processes(self) -> int:
        """Workers that are there now."""
        return len(self._workers())

    @property
    def runs_at_once(self) -> int:
        """Most workers on one machine."""
        return max(Counter(worker["host"] for worker in self._workers()).values(), default=1)

    def close(self) -> None:
        """Leave the cluster as it is."""
        self.client.close(timeout=1)

    # --- training -------------------------------------------------------------------------------

    def execute(
        self,
        packs: Sequence[tuple[Job, ...]],
        work: Work,
        *,
        deliver: Callable[[list[Row]], None],
        died: Callable[[Job, str], Row],
        limits: Limits,
    ) -> None:
        """As `schedule.execute`: every job has its row delivered, in any order; `ClusterLost` says what went wrong."""

        def together(left: list[Pack], at_once: int | None = None) -> list[Pack]:
            return self._together(left, (work, died, limits), deliver, at_once)

        lost = together([Pack(number, jobs) for number, jobs in enumerate(packs)])
        lost = together([Pack(number, (job,)) for number, job in enumerate(job for pack in lost for job in pack.jobs)])
        for pack in lost:  # each by itself, so that no other can be blamed
            if together([pack], 1):
                deliver([died(pack.jobs[0], "")])

    def _together(self, packs: list[Pack], what: tuple, deliver: Callable, most: int | None) -> list[Pack]:
        """Train packs; those that took Dask workers with them."""
        unfinished = {pack.number: pack for pack in packs}
        if packs:
            with closing(self._results(packs, what, most)) as results:
                for number, rows in results:
                    if rows is not None:
                        del unfinished[number]
                        deliver(rows)
        return list(unfinished.values())

    def _results(self, packs: list[Pack], what: tuple, most: int | None) -> Generator[tuple[int, list[Row] | None]]:
        backend = _backend_class()(client=self.client)
        in_flight, at_once = most or max(LEAST_IN_FLIGHT, 4 * self.processes), self.runs_at_once
        # Asks the cluster nothing: joblib draws from it while it holds a lock that Dask's answers wait for.
        tasks = (delayed(train_apart)(code_version(), pack, at_once, *what) for pack in packs)
        with parallel_config(backend=backend), _watched(self, backend):
            parallel: Any = Parallel(
                n_jobs=-1,
                return_as="generator_unordered",
                batch_size=1,  # pyright: ignore[reportArgumentType]
                pre_dispatch=in_flight,  # pyright: ignore[reportArgumentType]
            )
            try:
                yield from parallel(tasks)
            except CancelledError as error:
                raise ClusterLost(f"the scheduler {self.address} forgot what it was given") from error
            except ClusterLost:
                raise
            except Exception as error:  # whatever a foreign machine may lack
                raise ClusterLost(f"a worker could not do its work: {type(error).__name__}: {error}") from error


@contextmanager
def _watched(cluster: Cluster, backend: Any) -> Iterator[None]:
    """End what waits for a scheduler that is gone: Dask's client would wait for it for ever."""
    done = threading.Event()

    def watch() -> None:
        seen = monotonic()
        while not done.wait(0.5):
            if cluster.client.status == "running":
                seen = monotonic()
            if cluster.client.status == "closed" or monotonic() - seen > LOST_SECONDS:
                backend.fail_all(ClusterLost(f"the scheduler {cluster.address} is gone"))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        message = "needs Dask: pip install 'study[cluster]'"
        raise BadInput([Problem("--backend dask", message)]) from error


@cache
def _backend_class() -> type:
    """joblib's Dask backend, mended; made when asked for, since Dask is an extra."""
    joblib_dask: Any = import_module("joblib._dask")
    killed_worker = _distributed().KilledWorker

    class Backend(joblib_dask.DaskDistributedBackend):
        """Tells joblib of tasks that end in an error; as it is, it waits for their results for ever.

        A pack that lost its workers too often gives (number, None), so that the others go on.
        """

        def __init__(self, **options: Any):
            super().__init__(**options)
            self._waiting: dict[Any, Callable] = {}
            self._gone: Exception | None = None

        def effective_n_jobs(self, n_jobs: int) -> int:
            """At least 2: with one worker joblib would train in this process."""
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func: Any, callback: Any = None) -> Any:
            """Send one batch; `func` holds its single task."""
            pack = func.items[0][1][1]
            future = super().submit(func, callback)
            self._waiting[future] = callback
            future.add_done_callback(lambda done: self._tell(done, pack.number, callback))
            if self._gone:
                self.fail_all(self._gone)
            return future

        def _tell(self, future: Any, number: int, callback: Callable) -> None:
            if self._waiting.pop(future, None) is None:
                return
            error = future.exception()
            if isinstance(error, killed_worker):
                callback([(number, None)])
            elif error is not None:
                callback(error)  # which joblib raises

        def fail_all(self, error: Exception) -> None:
            """End every wait with an error, once the scheduler is gone."""
            self._gone = error
            while self._waiting:
                _, callback = self._waiting.popitem()
                callback(error)

    return Backend


# --- on the cluster -----------------------------------------------------------------------------


def train_apart(
    version: str, pack: Pack, at_once: int, work: Work, died: Callable[[Job, str], Row], limits: Limits
) -> tuple[int, list[Row]]:
    """In a Dask worker: the rows of one pack, trained in a process beside it."""
    if version != code_version():
        raise ClusterLost("a worker has other code or other package versions than this command: install the same")
    rows: list[Row] = []
    with TemporaryDirectory() as notes, _may_have_children():
        counted = _Counted(work, at_once)
        execute(
            [pack.jobs], counted, processes=1, deliver=rows.extend, died=died, notes=Path(notes), limits=limits,
            keep_processes=True,
        )  # fmt: skip
    return pack.number, rows


class _Counted:
    """Work that tells how many runs share the machine, which a single process cannot see."""

    def __init__(self, work: Work, at_once: int):
        self.work, self.at_once = work, at_once

    def __call__(self, job: Job, _: int) -> Row:
        return self.work(job, self.at_once)


@contextmanager
def _may_have_children() -> Iterator[None]:
    """Dask's nanny starts its worker as a daemon, which may have no children; these end with it by themselves."""
    settings: Any = multiprocessing.current_process()._config  # pyright: ignore[reportAttributeAccessIssue]
    daemon = settings.pop("daemon", None)
    try:
        yield
    finally:
        if daemon is not None:
            settings["daemon"] = daemon


@cache
def code_version() -> str:
    """A hash of this package's source and of the versions that can change a number."""
    digest = sha256(repr(package_versions()).encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]

"""The grid on a Dask cluster that exists: `--backend dask --scheduler tcp://host:8786`.

joblib hands out packs, through its Dask backend with a transport that cannot wait for ever. On the cluster
each pack is trained in a process beside the Dask worker (`schedule.execute` again), so a run that hangs, wants
too much memory or kills its process is found there, and costs the cluster nothing. A Dask worker that is lost
all the same has its packs trained by others; a pack that loses several is narrowed to the run that does it.
A watch asks the scheduler every few seconds what it knows of every pack; where it does not answer, has no
workers, or has done with a pack whose rows do not arrive, the grid ends with a message and can go on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any
from uuid import uuid4

from joblib import Parallel, delayed, parallel_config

from study.errors import BadInput, Problem
from study.grid.limits import Limits
from study.grid.provenance import package_versions
from study.grid.schedule import Handed, execute
from study.grid.train import Row
from study.grid.workers import Bundle, Job, Pack, Work

CONNECT_SECONDS = 10
LOOK_SECONDS = 1.0  # from one look of the watch to the next
ANSWER_SECONDS = 10.0  # for an answer of the scheduler
LOST_SECONDS = 30.0  # without any answer, or with a pack that the scheduler has done with and that did not arrive
IDLE_SECONDS = 300.0  # without any worker
LEAST_IN_FLIGHT = 200  # packs; so many workers may come late and find work at once


class ClusterLost(RuntimeError):
    """The scheduler or all workers are gone, or a worker cannot train what it is given."""


class Cluster:
    """A connection to a Dask scheduler; `BadInput` where there is none."""

    def __init__(self, address: str):
        self.address = address
        distributed = _distributed()
        try:
            contact = _contact(address)
            asyncio.run(_greet(contact))
            self.client = distributed.Client(contact, timeout=CONNECT_SECONDS, set_as_default=False)
            self.processes = self._refuse_unfit()
        except (OSError, ValueError, TypeError, ImportError, ClusterLost) as error:
            message = (
                f"cannot be reached: {next(iter(str(error).splitlines()), type(error).__name__)}"
            )
            raise BadInput([Problem(f"--scheduler {address}", message)]) from error

    def _refuse_unfit(self) -> int:
        """The number of workers, each of one thread; else `BadInput`."""
        workers = self.workers()
        if not workers:
            self.close()
            message = "has no workers; start some: dask worker ADDRESS --nthreads 1"
            raise BadInput([Problem(f"--scheduler {self.address}", message)])
        if any(worker["nthreads"] != 1 for worker in workers):
            self.close()
            message = "has workers of several threads; a run wants a process: dask worker ADDRESS --nthreads 1"
            raise BadInput([Problem(f"--scheduler {self.address}", message)])
        return len(workers)

    def ask(self, question: str, **about: Any) -> Any:
        """The scheduler's answer; `ClusterLost` where there is none."""
        try:
            scheduler = self.client.scheduler  # None once the client gave up
            return self.client.sync(
                getattr(scheduler, question), callback_timeout=ANSWER_SECONDS, **about
            )
        except Exception as error:  # whatever a connection may die of
            raise ClusterLost(
                f"the scheduler {self.address} is gone: it gives no answer"
            ) from error

    def workers(self) -> list[dict[str, Any]]:
        """What the scheduler knows of the workers that are there now."""
        return list(self.ask("identity", n_workers=-1)["workers"].values())

    def close(self) -> None:
        """Leave the cluster as it is."""
        self.client.close(timeout=1)

    # --- training -------------------------------------------------------------------------------

    def execute(
        self,
        packs: Iterable[tuple[Job, ...]],
        work: Work,
        *,
        deliver: Callable[[Any], None],
        died: Callable[[Job, str], Row],
        limits: Limits,
        bundle: Bundle = list,
    ) -> None:
        """As `schedule.execute`: every job has its row delivered, in any order; `ClusterLost` says what went wrong."""

        def together(some: Iterable[tuple[Job, ...]], most: int | None = None) -> list[Pack]:
            """Train packs; those that took Dask workers with them."""
            handed = Handed(Pack(number, jobs) for number, jobs in enumerate(some))
            with closing(self._results(handed, (work, died, limits, bundle), most)) as results:
                for number, rows in results:
                    if rows is not None:
                        handed.is_done(number)
                        deliver(rows)
            return handed.end()

        lost = together(packs)
        lost = together((job,) for pack in lost for job in pack.jobs) if lost else []
        for pack in lost:  # each by itself, so that no other can be blamed
            if together([pack.jobs], 1):
                deliver(bundle([died(pack.jobs[0], "")]))

    def _results(
        self, packs: Iterable[Pack], what: tuple, most: int | None
    ) -> Generator[tuple[int, Any]]:
        workers = self.workers()
        at_once = max(
            Counter(worker["host"] for worker in workers).values(), default=1
        )  # on the fullest machine
        # Asks the cluster nothing: joblib draws from it while it holds a lock that Dask's answers wait for.
        tasks = (delayed(train_apart)(code_version(), pack, at_once, *what) for pack in packs)
        backend = _backend_class()(client=self.client)
        with parallel_config(backend=backend), _watched(self, backend):
            parallel: Any = Parallel(
                n_jobs=2,  # more than one; how many there are is the cluster's affair
                return_as="generator_unordered",
                batch_size=1,  # pyright: ignore[reportArgumentType]
                pre_dispatch=most or max(LEAST_IN_FLIGHT, 4 * len(workers)),  # pyright: ignore[reportArgumentType]
            )
            try:
                yield from parallel(tasks)
            except ClusterLost:
                raise
            except Exception as error:  # whatever a foreign machine may lack
                raise ClusterLost(
                    f"a worker could not do its work: {type(error).__name__}: {error}"
                ) from error


def _contact(address: str) -> str:
    """The address, or that in a scheduler file: Dask would wait for ever for a file that is not there.

    `ValueError` or OSError for what can be none: Dask would leave a client half made.
    """
    if address.endswith(".json"):
        try:
            address = str(json.loads(Path(address).read_bytes())["address"])
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("the file names no scheduler") from error
    comm: Any = import_module("distributed.comm")
    scheme, place = comm.parse_address(address)
    comm.registry.get_backend(scheme)
    comm.parse_host_port(place)
    return address


async def _greet(address: str) -> None:
    """OSError unless a Dask scheduler answers there: Dask's client would wait for ever for its first word."""
    distributed = _distributed()
    options = distributed.Security().get_connection_args("client")
    greeting = distributed.core.connect(address, timeout=CONNECT_SECONDS, **options)
    try:
        comm = await asyncio.wait_for(greeting, 2 * CONNECT_SECONDS)
    except TimeoutError as error:
        raise OSError("what listens there does not answer") from error
    comm.abort()


def _distributed() -> Any:
    """Dask, without its log: what becomes of a connection is told in a line of this command's own."""
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        message = "needs Dask: pip install 'study[cluster]'"
        raise BadInput([Problem("--backend dask", message)]) from error
    for name in (
        "distributed",
        "distributed.client",
        "distributed.comm",
        "distributed.core",
        "tornado.application",
    ):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


@cache
def _backend_class() -> type:
    """joblib's Dask backend, mended; made when asked for, since Dask is an extra."""
    joblib_dask: Any = import_module("joblib._dask")
    killed_worker = _distributed().KilledWorker

    class Backend(joblib_dask.DaskDistributedBackend):
        """Follows every task to its end, whatever that is, and tells joblib.

        As it is, it drops a task that ends in an error or whose result cannot be fetched, and joblib waits for
        that one for ever. A pack that lost its workers too often gives (number, None), so that the others go on.
        """

        def __init__(self, **options: Any):
            super().__init__(**options)
            self._waiting: dict[str, Callable] = {}  # by key: joblib's callbacks
            self._over: Exception | None = None

        def start_call(self) -> None:
            """Nothing: each task is followed by itself."""

        def stop_call(self) -> None:
            """Forget what is still awaited; Dask drops what nobody waits for."""
            self._waiting.clear()

        def abort_everything(self, ensure_ready: bool = True) -> None:
            """As `stop_call`, which follows."""

        def effective_n_jobs(self, n_jobs: int) -> int:
            """As asked for: with what the cluster has, joblib would train in this process where that is one."""
            return n_jobs

        @property
        def awaited(self) -> list[str]:
            """Keys of the tasks that have not come to an end."""
            return list(self._waiting)

        def submit(self, func: Any, callback: Any = None) -> str:
            """Send one batch; `func` holds its single task."""
            key = f"pack-{uuid4().hex}"
            self._waiting[key] = callback
            self.client.loop.add_callback(self._follow, key, *func.items[0])
            if self._over:
                self.fail_all(self._over)
            return key

        async def _follow(
            self, key: str, function: Callable, arguments: tuple, options: dict
        ) -> None:
            try:
                outcome = await self.client.submit(function, *arguments, key=key, **options)
            except killed_worker:
                outcome = (arguments[1].number, None)
            except (asyncio.CancelledError, concurrent.futures.CancelledError) as error:
                outcome = ClusterLost(
                    f"the scheduler is gone, or dropped a pack ({getattr(error, 'reason', 'unknown')})"
                )
            except Exception as error:  # of the run's machine, of the connection: joblib raises it
                outcome = error
            self._tell(key, outcome)

        def _tell(self, key: str, outcome: Any) -> None:
            callback = self._waiting.pop(key, None)
            if callback is not None:
                callback(outcome)

        def retrieve_result_callback(self, out: Any) -> list:
            """The results of a batch, of which there is one."""
            if isinstance(out, BaseException):
                raise out
            return [out]

        def fail_all(self, error: Exception) -> None:
            """End every wait with an error, those to come too."""
            self._over = error
            for key in self.awaited:
                self._tell(key, error)

    return Backend


# --- the watch ----------------------------------------------------------------------------------


@contextmanager
def _watched(cluster: Cluster, backend: Any) -> Iterator[None]:
    """End what would wait for ever."""
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(cluster, backend, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(LOOK_SECONDS)  # it may be waiting for an answer


def _watch(cluster: Cluster, backend: Any, done: threading.Event) -> None:
    patience = _Patience()
    while not done.wait(LOOK_SECONDS):
        try:
            patience.look(*_state(cluster, backend))
        except ClusterLost as error:
            backend.fail_all(error)
            return


def _state(cluster: Cluster, backend: Any) -> tuple[bool, dict[str, str | None] | None]:
    """Whether there are workers, and the scheduler's state of each task that is awaited; None without an answer."""
    try:
        return bool(cluster.ask("ncores")), cluster.ask("get_task_status", keys=backend.awaited)
    except ClusterLost:
        return True, None


class _Patience:
    """For how long nothing has come from a cluster that should send something."""

    def __init__(self) -> None:
        self._answered = self._had_workers = monotonic()
        self._settled: dict[
            str, float
        ] = {}  # key of a task that the scheduler has done with: since when

    def look(self, has_workers: bool, states: dict[str, str | None] | None) -> None:
        """`ClusterLost` where patience ends. A task's state is None where the scheduler knows no such task."""
        now = monotonic()
        self._answered = self._answered if states is None else now
        if now - self._answered > LOST_SECONDS:
            raise ClusterLost("the scheduler is gone: it gives no answer")
        self._had_workers = now if has_workers else self._had_workers
        if now - self._had_workers > IDLE_SECONDS:
            raise ClusterLost(f"the cluster has had no worker for {IDLE_SECONDS:.0f} s")
        settled = [
            key
            for key, state in (states or {}).items()
            if state in (None, "memory", "erred", "forgotten")
        ]
        self._settled = {key: self._settled.get(key, now) for key in settled}
        if now - min(self._settled.values(), default=now) > LOST_SECONDS:
            raise ClusterLost("the scheduler has done with a pack, and its rows did not arrive")


# --- on the cluster -----------------------------------------------------------------------------

_ONE_PACK = threading.Lock()  # a Dask worker of several threads may come late


def train_apart(
    version: str,
    pack: Pack,
    at_once: int,
    work: Work,
    died: Callable[[Job, str], Row],
    limits: Limits,
    bundle: Bundle,
) -> tuple[int, Any]:
    """In a Dask worker: the rows of one pack, bundled, trained in a process beside it."""
    if version != code_version():
        raise ClusterLost(
            "a worker has other code or other package versions than this command: install the same"
        )
    rows: list[Row] = []
    with _ONE_PACK, TemporaryDirectory() as notes, _may_have_children():
        counted = _Counted(work, at_once)
        execute(
            [pack.jobs], counted, processes=1, deliver=rows.extend, died=died, notes=Path(notes), limits=limits,
            keep_processes=True,
        )  # fmt: skip
    return pack.number, bundle(rows)


class _Counted:
    """Work that tells how many runs share the machine, which a single process cannot see."""

    def __init__(self, work: Work, at_once: int):
        self.work, self.at_once = work, at_once

    def __call__(self, job: Job, _: int) -> Callable[[], Row]:
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
    root = Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]

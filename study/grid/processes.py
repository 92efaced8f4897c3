"""The worker processes of this machine: here they are started, deaf to Ctrl-C, and ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from joblib.executor import get_memmapping_executor
from joblib.externals.loky import reusable_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker

from study.grid.limits import Limits
from study.grid.workers import begin

LIBRARIES = ("OMP", "MKL", "OPENBLAS", "BLIS", "NUMBA", "NUMEXPR")
POOLS = (*(f"{name}_NUM_THREADS" for name in LIBRARIES), "VECLIB_MAXIMUM_THREADS")
ONE_THREAD = {
    name: os.environ.get(name, "1") for name in POOLS
}  # in each worker, unless it was asked for otherwise


def start_processes(processes: int, limits: Limits) -> None:
    """Start so many, if they are not there, without waiting for it."""
    with children_deaf_to_interrupts():
        executor_of(processes, limits).submit(os.getpid)


def end_processes() -> None:
    """End the worker processes at once: they have nothing to tidy up, and an interpreter takes a second to do so."""
    pool: Any = reusable_executor._executor  # to ask loky for it would make one where there is none
    if pool is None:
        return
    # loky's own thread fails, with a traceback, over a call that it has not taken yet when it is told to end.
    thread, until = pool._executor_manager_thread, time.monotonic() + 1.0
    while (
        thread is not None
        and thread.is_alive()
        and not pool._work_ids.empty()
        and time.monotonic() < until
    ):
        time.sleep(0.001)
    pool.shutdown(wait=True, kill_workers=True)


def executor_of(processes: int, limits: Limits) -> Any:
    """The worker processes there are, if they are as they should be, or new ones, which start with the first call."""
    return get_memmapping_executor(
        processes, initializer=begin, initargs=(os.getpid(), limits), env=ONE_THREAD
    )


@contextmanager
def children_deaf_to_interrupts() -> Iterator[None]:
    """Processes that start inside never hear Ctrl-C, not even while they import; the parent hears it afterwards.

    SIGTERM too: an exception in the middle of a start would leave loky with a process that it does not know.
    """
    with _later(signal.SIGINT), _later(signal.SIGTERM):
        with _one_thread():
            for tracker in (
                resource_tracker,
                loky_tracker,
            ):  # else started with the first process, and lets Ctrl-C in
                tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start inside have one thread in each library: loky's tracker imports NumPy, whose threads spin."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _later(number: int) -> Iterator[None]:
    """A signal that this process handles is handled at the end; the mask alone would not do, since it is a thread's."""
    handler, came = signal.getsignal(number), []
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(number, lambda *_: came.append(number))
    try:
        yield
    finally:
        signal.signal(number, handler)
        if came:
            signal.raise_signal(number)

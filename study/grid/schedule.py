"""Many runs on several processes, with joblib, and what to do when one of them dies.

Runs travel in packs, which are only parcels: what a run computes does not depend on them. A process
that is killed, or runs out of memory, takes all the others' packs with it. Each pack therefore notes that it
began. When a process dies, packs that had begun are suspects and get a second try, one at a time, so that no
other can be blamed, with a note of the run they are at: a pack that dies again is narrowed to the run that kills it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from threading import Lock
from typing import Any

from joblib import delayed

from study.grid.limits import Limits
from study.grid.processes import (
    children_deaf_to_interrupts,
    end_processes,
    executor_of,
    start_processes,
)
from study.grid.train import Row
from study.grid.workers import Bundle, Job, Pack, Work, late_note, note, train_pack

NO_LIMITS = Limits()
AHEAD = 2  # calls for each process: one to work on, and one that waits when it is done
MOST_IN_PACK = 1_000
MOST_FUTILE = 3


class WorkersDie(RuntimeError):
    """Worker processes die before they reach a run: there is no run to blame, and no use in going on."""


def make_packs(
    jobs: Iterable[tuple[Job, float]], seconds: Callable[[str], float], most: int | None = None
) -> Iterator[tuple[Job, ...]]:
    """Cut jobs, each with its estimated cost in seconds, into packs of one engine's, when they are asked for.

    `seconds(engine)` says how much a pack may cost that is begun just now; `most` is its largest number of jobs.
    """
    most = most or MOST_IN_PACK
    for engine, members in groupby(jobs, lambda job: job[0].run.engine):
        pack, total, enough = [], 0.0, seconds(engine)
        for job, cost in members:
            pack.append(job)
            total += cost
            if total >= enough or len(pack) >= most:
                yield tuple(pack)
                pack, total, enough = [], 0.0, seconds(engine)
        if pack:
            yield tuple(pack)


def execute(
    packs: Iterable[tuple[Job, ...]],
    work: Work,
    *,
    processes: int,
    deliver: Callable[[Any], None],
    died: Callable[[Job, str], Row],
    notes: Path,
    limits: Limits = NO_LIMITS,
    bundle: Bundle = list,
    keep_processes: bool = False,
) -> None:
    """Do the work of all packs; `deliver` gets each pack's rows as it is done, in any order.

    A pack is taken when a process will soon want it, so that the first begins while later ones are not made.
    `died(job, overran)` makes the row of a job that killed its process when it ran with no other beside
    it, or, with `overran` saying where it was, overran its time. `notes` is an empty folder for the
    workers' notes. `bundle` is what a process makes of a pack's rows before it sends them. `keep_processes`
    leaves the processes waiting for the next call.
    """
    execution = _Execution(work, processes, deliver, died, notes, limits, bundle)
    try:
        execution.run(Pack(number, jobs) for number, jobs in enumerate(packs))
    except BaseException:
        keep_processes = False
        raise
    finally:
        if not keep_processes:
            end_processes()


class Processes:
    """The worker processes of this machine, for what is asked before packs are made; `execute` uses the same ones."""

    def __init__(self, processes: int, limits: Limits = NO_LIMITS):
        self._processes, self._limits = processes, limits

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """As Python's `map`; None, for no answer, from the item on at which a process died."""
        answers, taken, left = [], [], iter(items)
        with suppress(BrokenProcessPool), _quiet_loky():
            tasks = (delayed(function)(taken.append(item) or item) for item in left)
            with closing(_results(tasks, self._processes, self._limits, in_order=True)) as results:
                answers.extend(results)
        taken.extend(left)
        return answers + [None] * (len(taken) - len(answers))

    def start(self) -> None:
        """Start them, which takes them half a second, without waiting for it."""
        start_processes(self._processes, self._limits)

    def end(self) -> None:
        """Let no process remain."""
        end_processes()


def _results(
    tasks: Iterable[Any], processes: int, limits: Limits, in_order: bool
) -> Generator[Any]:
    """Results of joblib's delayed calls on worker processes, in their order or as they come; few are taken ahead.

    It works on joblib's executor itself. `joblib.Parallel` asks a hundred times a second whether a call is done, which
    takes 0.6 % of a core from the training; and one process would be this one, where a killer takes the grid with it.
    """
    tasks, waiting = iter(tasks), list[Future]()
    with children_deaf_to_interrupts():  # whatever starts processes is in here
        executor = executor_of(processes, limits)
    while True:
        with children_deaf_to_interrupts():
            for function, arguments, keywords in islice(tasks, AHEAD * processes - len(waiting)):
                waiting.append(executor.submit(function, *arguments, **keywords))
        if not waiting:
            return
        done = _one_done(waiting[:1] if in_order else waiting)
        waiting.remove(done)
        yield done.result()


def _one_done(calls: Sequence[Future]) -> Future:
    while not (done := wait(calls, timeout=1.0, return_when=FIRST_COMPLETED).done):
        pass  # it looks up each second, for a Ctrl-C that came to another thread
    return min(
        done, key=lambda call: call.exception() is not None
    )  # what is done is not to be done again


class Handed:
    """Packs as they are handed out, to whichever thread asks: which are out, and none any more once it is over."""

    def __init__(self, packs: Iterable[Pack]):
        self._packs, self._lock, self._is_over = iter(packs), Lock(), False
        self._out: dict[int, Pack] = {}
        self.done = 0  # packs that came back

    def __iter__(self) -> Iterator[Pack]:
        return self

    def __next__(self) -> Pack:
        with self._lock:
            if self._is_over:
                raise StopIteration
            pack = next(self._packs)
            self._out[pack.number] = pack
            return pack

    def is_done(self, number: int) -> None:
        """A pack came back."""
        del self._out[number]
        self.done += 1

    def end(self) -> list[Pack]:
        """Hand out no more; the packs that are still out."""
        with self._lock:
            self._is_over = True
            return list(self._out.values())


@dataclass
class _Execution:
    work: Work
    processes: int
    deliver: Callable[[Any], None]
    died: Callable[[Job, str], Row]
    notes: Path
    limits: Limits
    bundle: Bundle
    futile: int = field(
        default=0, init=False
    )  # deaths in a row with nothing done and nothing begun

    def run(self, packs: Iterator[Pack]) -> None:
        """All packs together; after a death the suspects one by one, then the rest together again."""
        while (first := next(packs, None)) is not None:
            packs = self._until_death(chain([first], packs))

    def _until_death(self, packs: Iterator[Pack]) -> Iterator[Pack]:
        """Train packs until a process dies, if one does, and then the suspects; the packs that are left."""
        handed = Handed(packs)
        if self._together(handed, self.processes):
            return packs
        out = handed.end()
        left = [self._without_late(pack) for pack in out]
        suspects = [pack for pack in left if self._at(pack) is not None]
        self.futile = 0 if handed.done or suspects or left != out else self.futile + 1
        if self.futile == MOST_FUTILE:
            raise WorkersDie(f"worker processes died {self.futile} times before they began a run")
        for suspect in suspects:
            self._second_try(suspect)
        return chain([pack for pack in left if pack not in suspects and pack.jobs], packs)

    def _without_late(self, pack: Pack) -> Pack:
        """An unfinished pack, without the run that overran its time: that one has its row now."""
        late = late_note(self.notes, pack)
        overran = late.read_text() if late.exists() else ""
        job = self._at(pack)
        if not overran or job is None:
            return pack
        late.unlink()
        note(self.notes, pack).unlink()
        self._deliver_death(job, overran)
        return Pack(pack.number, tuple(other for other in pack.jobs if other is not job))

    def _deliver_death(self, job: Job, overran: str) -> None:
        self.deliver(self.bundle([self.died(job, overran)]))

    def _together(self, packs: Handed, at_once: int) -> bool:
        """Train packs, `at_once` of them at a time; whether all were, and no process died."""
        what = (at_once, self.notes, self.limits, self.bundle)
        tasks = (delayed(train_pack)(self.work, pack, *what) for pack in packs)
        try:
            with (
                _quiet_loky(),
                closing(_results(tasks, at_once, self.limits, in_order=False)) as results,
            ):
                for number, rows in results:
                    packs.is_done(number)
                    self.deliver(rows)
        except BrokenProcessPool:
            end_processes()  # others may still be at work, and change the notes that tell how far they are
            return False
        return True

    def _second_try(self, pack: Pack) -> None:
        """Train a suspect by itself; if it dies again, find the run that does it."""
        note(self.notes, pack).unlink()
        if self._together(Handed([pack]), 1):
            return
        rest = self._without_late(pack)
        if rest is not pack:  # the time limit's doing; the others have done nothing
            return self._try_again(rest.jobs, pack.number)
        culprit = self._at(pack)
        if culprit is None:
            raise WorkersDie("a worker process died twice, the second time before it began a run")
        if len(pack.jobs) == 1:
            self._deliver_death(culprit, "")
            return
        for jobs in ((culprit,), tuple(job for job in pack.jobs if job is not culprit)):
            self._try_again(jobs, pack.number)

    def _try_again(self, jobs: tuple[Job, ...], number: int) -> None:
        if jobs:
            pack = Pack(number, jobs)
            note(self.notes, pack).touch()
            self._second_try(pack)

    def _at(self, pack: Pack) -> Job | None:
        """The job an unfinished pack had come to, or its first if it does not note each; None: it had not begun."""
        path = note(self.notes, pack)
        begun = path.stat().st_size if path.exists() else 0
        return pack.jobs[begun - 1] if begun else None


@contextmanager
def _quiet_loky() -> Iterator[None]:
    """Without loky's warning that a large worker was restarted, which is wanted."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped")
        yield

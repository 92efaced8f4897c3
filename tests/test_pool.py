"""Packs, and processes that die: the run that kills is found, and every other run is done."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pytest

from study.grid import processes
from study.grid.limits import Limits
from study.grid.processes import children_deaf_to_interrupts, end_processes, executor_of
from study.grid.schedule import AHEAD, NO_LIMITS, Handed, Processes, WorkersDie, execute, make_packs
from study.grid.workers import Job, Pack, note, train_pack
from study.runs.settings import Run

JOBS = [Job(Run(seed=seed)) for seed in range(12)]


def done(job: Job, at_once: int, **more) -> Callable[[], dict]:
    return partial(dict, {"seed": job.run.seed, "status": "done", "at_once": at_once} | more)


def kills(job: Job, at_once: int, culprits: tuple[int, ...]) -> Callable[[], dict]:
    """A run that takes its process with it, whenever it is tried."""
    if job.run.seed in culprits:
        os.kill(os.getpid(), signal.SIGKILL)
    return done(job, at_once)


def kills_once(job: Job, at_once: int, culprit: int, flag: Path) -> Callable[[], dict]:
    if job.run.seed == culprit and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return done(job, at_once)


def executed(work, packs, processes=2, limits=NO_LIMITS) -> list[dict]:
    rows = []
    with TemporaryDirectory() as notes:
        execute(
            packs,
            work,
            processes=processes,
            deliver=rows.extend,
            died=lambda job, overran: {
                "seed": job.run.seed,
                "status": "late" if overran else "died",
            },
            notes=Path(notes),
            limits=limits,
        )
    return rows


def test_packs_are_made_as_processes_want_them():
    """A grid of a million runs begins at once, and holds but a few of them."""
    made, made_at_first = [], []

    def packs():
        for job in JOBS:
            made.append(job)
            yield (job,)

    def deliver(rows):
        made_at_first.append(len(made))

    with TemporaryDirectory() as notes:
        execute(packs(), done, processes=1, deliver=deliver, died=lambda *_: {}, notes=Path(notes))
    assert made_at_first == [min(AHEAD + done, len(JOBS)) for done in range(12)]


@pytest.mark.parametrize("processes", [1, 2])
def test_packs_that_are_not_made_yet_outlive_a_process_that_dies(processes):
    work = partial(kills, culprits=(0, 5, 11))
    rows = executed(work, ((job,) for job in JOBS), processes)
    assert statuses(rows) == {seed: "died" if seed in (0, 5, 11) else "done" for seed in range(12)}


def test_nothing_is_done_where_there_are_no_packs():
    assert executed(done, []) == []


def test_what_is_handed_out_is_known_and_ends():
    handed = Handed(Pack(number, (job,)) for number, job in enumerate(JOBS))
    first, second, _ = next(handed), next(handed), next(handed)
    handed.is_done(second.number)
    assert [pack.number for pack in handed.end()] == [first.number, 2]
    assert handed.done == 1
    assert list(handed) == []


def test_a_processes_rows_are_bundled_where_they_are_made():
    rows = []
    with TemporaryDirectory() as notes:
        work = partial(kills, culprits=(3,))
        execute(
            [tuple(JOBS[:3]), tuple(JOBS[3:5])], work, processes=2, deliver=rows.append, notes=Path(notes),
            died=lambda job, _: {"seed": job.run.seed, "status": "died"}, bundle=bundled,
        )  # fmt: skip
    found = {tuple(row["seed"] for row in rows): pid for pid, rows in rows}
    assert set(found) == {(0, 1, 2), (3,), (4,)}
    assert [seeds for seeds, pid in found.items() if pid == os.getpid()] == [(3,)], (
        "the one that died"
    )


@pytest.mark.parametrize(
    ("at_once", "limits", "noted"),
    [(2, NO_LIMITS, 1), (1, NO_LIMITS, 3), (2, Limits(run_seconds=60.0), 3)],
)
def test_a_pack_notes_each_run_where_it_matters_which_one_it_is_at(
    tmp_path, at_once, limits, noted
):
    pack, sizes = Pack(7, tuple(JOBS[:3])), []

    def work(job: Job, at_once: int):
        sizes.append(note(tmp_path, pack).stat().st_size)
        return done(job, at_once)

    train_pack(work, pack, at_once, tmp_path, limits, list)
    assert (sizes[0], sizes[-1]) == (1, noted)
    assert list(tmp_path.iterdir()) == []


def bundled(rows: list[dict]) -> tuple[int, list[dict]]:
    return os.getpid(), rows


def statuses(rows: list[dict]) -> dict[int, str]:
    assert max(Counter(row["seed"] for row in rows).values()) == 1, "a run was delivered twice"
    return {row["seed"]: row["status"] for row in rows}


def test_packs_are_cut_by_cost_and_by_number():
    def sizes(costs, *seconds, most=None):
        enough = iter([*seconds, *seconds[-1:] * 20])
        return [
            len(pack)
            for pack in make_packs(zip(JOBS, costs, strict=False), lambda _: next(enough), most)
        ]

    assert sizes([1.0] * 6, 2.0) == [2, 2, 2]
    assert sizes([1.0] * 5, 2.0) == [2, 2, 1]
    assert sizes([5.0, 0.1, 5.0], 2.0) == [1, 2]
    assert sizes([0.0] * 12, 2.0, most=5) == [5, 5, 2]
    assert sizes([], 2.0) == []
    assert sizes([1.0] * 8, 4.0, 3.0, 1.0) == [4, 3, 1], (
        "each is as large as was wanted when it was begun"
    )


def test_a_pack_has_runs_of_one_engine():
    """Each as large as a pack of that engine may be."""
    engines = ["fused"] * 3 + ["torch"] * 5 + ["fused"] * 2
    jobs = [Job(Run(seed=seed, engine=engine)) for seed, engine in enumerate(engines)]
    packs = list(make_packs([(job, 1.0) for job in jobs], {"fused": 2.0, "torch": 4.0}.__getitem__))
    assert [[job.run.seed for job in pack] for pack in packs] == [
        [0, 1],
        [2],
        [3, 4, 5, 6],
        [7],
        [8, 9],
    ]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_job_is_done_once(processes):
    rows = executed(done, [tuple(JOBS[:5]), tuple(JOBS[5:6]), tuple(JOBS[6:])], processes)
    assert statuses(rows) == dict.fromkeys(range(12), "done")
    assert {row["at_once"] for row in rows} == {processes}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("culprits", [(4,), (0,), (2, 3, 9)])
def test_runs_that_always_kill_their_worker_are_found(processes, culprits):
    packs = [tuple(JOBS[:4]), tuple(JOBS[4:8]), tuple(JOBS[8:])]
    rows = executed(partial(kills, culprits=culprits), packs, processes)
    assert statuses(rows) == {seed: "died" if seed in culprits else "done" for seed in range(12)}


def hangs(job: Job, at_once: int, culprits: tuple[int, ...]) -> Callable[[], dict]:
    """A run that never ends, deaf to signals and with Python's lock in its hand, as a compiled loop may be."""
    if job.run.seed in culprits:
        ctypes.PyDLL(None).sleep(1000)
    return done(job, at_once)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("culprits", [(4,), (0, 1, 11)])
def test_runs_that_hang_are_stopped_and_every_other_is_done(processes, culprits):
    packs = [tuple(JOBS[:4]), tuple(JOBS[4:8]), tuple(JOBS[8:])]
    rows = executed(partial(hangs, culprits=culprits), packs, processes, Limits(run_seconds=1))
    assert statuses(rows) == {seed: "late" if seed in culprits else "done" for seed in range(12)}


def kills_or_hangs(job: Job, at_once: int) -> dict:
    kills(job, at_once, (2, 9))
    return hangs(job, at_once, (3, 8))


def test_runs_that_hang_beside_runs_that_kill():
    packs = [tuple(JOBS[:4]), tuple(JOBS[4:8]), tuple(JOBS[8:])]
    rows = executed(kills_or_hangs, packs, limits=Limits(run_seconds=1))
    expected = dict.fromkeys(range(12), "done") | {2: "died", 9: "died", 3: "late", 8: "late"}
    assert statuses(rows) == expected


def greedy(job: Job, at_once: int) -> Callable[[], dict]:
    if job.run.seed == 5:
        try:
            np.ones(2**30)
        except MemoryError:
            return done(job, at_once, status="no memory")
    return done(job, at_once)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_run_that_asks_for_more_memory_than_a_worker_may_have_is_refused_it():
    rows = executed(greedy, [tuple(JOBS)], limits=Limits(worker_mebibytes=1024))
    assert statuses(rows) == dict.fromkeys(range(12), "done") | {5: "no memory"}


def test_a_worker_killed_once_costs_nothing(tmp_path):
    work = partial(kills_once, culprit=6, flag=tmp_path / "killed")
    rows = executed(work, [tuple(JOBS[:4]), tuple(JOBS[4:8]), tuple(JOBS[8:])])
    assert (tmp_path / "killed").exists()
    assert statuses(rows) == dict.fromkeys(range(12), "done")


def test_no_process_is_at_work_when_the_notes_of_those_that_died_are_read(monkeypatch):
    """loky says that one died before it has ended the others."""
    alive, end = [], Handed.end

    def looks(handed: Handed) -> list[Pack]:
        alive.extend(
            child
            for child in psutil.Process().children()
            if "LokyProcess" in " ".join(child.cmdline())
        )
        return end(handed)

    monkeypatch.setattr(Handed, "end", looks)
    work = partial(slowly_kills, culprit=20)
    rows = executed(work, [(Job(Run(seed=seed)),) for seed in range(60)], processes=3)
    assert statuses(rows) == {seed: "died" if seed == 20 else "done" for seed in range(60)}
    assert alive == []


def slowly_kills(job: Job, at_once: int, culprit: int) -> Callable[[], dict]:
    time.sleep(0.01)
    return kills(job, at_once, (culprit,))


def test_an_error_in_the_receiver_stops_everything(tmp_path):
    class StopNow(Exception):
        pass

    def deliver(rows):
        raise StopNow

    started = time.monotonic()
    with pytest.raises(StopNow):
        execute(
            [(job,) for job in JOBS],
            slow,
            processes=2,
            deliver=deliver,
            died=lambda *_: {},
            notes=tmp_path,
        )
    assert time.monotonic() - started < 20


def slow(job: Job, at_once: int) -> Callable[[], dict]:
    time.sleep(0 if job.run.seed == 0 else 5)
    return done(job, at_once)


class DiesOnArrival:
    """Work that kills the process that unpacks it, before any run begins."""

    def __reduce__(self):
        return die, ()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_end_comes_well_right_after_calls_were_handed_out(monkeypatch):
    """Where an error or Ctrl-C comes at that moment; loky's thread ended with a KeyError."""
    errors = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    for _ in range(3):
        executor = executor_of(2, NO_LIMITS)
        executor.submit(os.getpid).result()
        calls = [executor.submit(time.sleep, 60) for _ in range(3)]
        end_processes()
        assert not any(call.running() for call in calls)
    assert errors == []


def test_workers_that_die_before_a_run_begins_end_it():
    with pytest.raises(WorkersDie):
        executed(DiesOnArrival(), [(job,) for job in JOBS])


@pytest.mark.parametrize("processes", [1, 2])
def test_no_worker_ever_hears_ctrl_c(processes, tmp_path):
    """Not while it imports either, and not one that comes for another that was killed."""
    rows = executed(
        partial(hears_after, flag=tmp_path / "killed"), [(job,) for job in JOBS], processes
    )
    assert len(rows) == len(JOBS)
    assert all(row["deaf"] for row in rows)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def hears_after(job: Job, at_once: int, flag: Path) -> Callable[[], dict]:
    time.sleep(0.2)  # so that each process gets some
    row = kills_once(job, at_once, 3, flag)
    return partial(dict, row(), deaf=signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))


KEPT = []


def grows(job: Job, at_once: int) -> Callable[[], dict]:
    """A run after which its process is larger for good, as it is after importing torch."""
    time.sleep(0.3)
    if job.run.seed == 4:
        KEPT.append(np.ones(50_000_000))
    return done(job, at_once, process=os.getpid())


def test_a_worker_that_grew_is_kept():
    """joblib would begin a new one, and import everything again, each time that one has grown by 300 MB."""
    rows = executed(grows, [(job,) for job in JOBS], processes=1) + executed(
        grows, [(job,) for job in JOBS]
    )
    assert set(statuses(rows[:12]).values()) == {"done"}
    assert (
        len({row["process"] for row in rows[:12]}),
        len({row["process"] for row in rows[12:]}),
    ) == (1, 2)


# --- what a plan asks ---------------------------------------------------------------------------


def pid_or_death(seed: int, dies_at: int) -> tuple[int, int]:
    if seed == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return seed, os.getpid()


@pytest.mark.parametrize("at_once", [1, 2])
def test_processes_answer_in_order_beside_this_one(at_once):
    processes = Processes(at_once)
    try:
        found = processes.map(partial(pid_or_death, dies_at=-1), iter(range(6)))
        assert [seed for seed, _ in found] == list(range(6))
        assert os.getpid() not in {pid for _, pid in found}
        assert len({pid for _, pid in found}) <= at_once
    finally:
        end_processes()
    assert not any(is_alive(pid) for _, pid in found)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_process_that_dies_gives_no_answer_and_the_next_question_has_one(at_once):
    processes = Processes(at_once)
    try:
        assert processes.map(partial(pid_or_death, dies_at=0), range(12)) == [None] * 12
        assert None not in processes.map(partial(pid_or_death, dies_at=-1), range(3))
    finally:
        end_processes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_processes_have_started(number):
    """loky would otherwise be left with a thread that never started, and end with a traceback over it."""
    before, done = signal.signal(number, signal.default_int_handler), []

    def start():
        with children_deaf_to_interrupts():
            os.kill(os.getpid(), number)
            done.append(number)

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert done == [number]


def test_only_what_starts_inside_has_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with processes._one_thread():
        assert {name: os.environ[name] for name in processes.ONE_THREAD} == processes.ONE_THREAD
    assert dict(os.environ) == before

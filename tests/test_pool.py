"""Worker processes that die: the run that kills is found, and every other run is trained."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest

from study.errors import EnvironmentFault
from study.grid.limits import Limits
from study.grid.pool import Pool, every_row
from study.grid.train import Job, PackTraining
from study.runs.settings import Run

RUNS = {run.run_id: run for run in map(Run().with_seed, range(12))}
PACKS = [tuple(RUNS)[i : i + 4] for i in (0, 4, 8)]


def row(job: Job, limits: Limits, *, runs_at_once: int, invocation: str, **more) -> dict:
    """A row that fits its columns, without training."""
    reason = f"{runs_at_once} {os.getpid()}"
    return {
        "run_id": job.run_id,
        **job.run.__dict__,
        "optimizer_settings": "{}",
        "status": "skipped",
        "reason": reason,
        "runs_at_once": runs_at_once,
        "finished_at": 0,
        "invocation": invocation,
    }


def kills(job: Job, *how, culprits: tuple[int, ...], **about) -> dict:
    if job.run.seed in culprits:
        os.kill(os.getpid(), signal.SIGKILL)
    return row(job, *how, **about)


def kills_once(job: Job, *how, flag: Path, **about) -> dict:
    if job.run.seed == 6 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return row(job, *how, **about)


def trained(train, jobs: int = 2) -> dict[int, str]:
    """The status of each run by its seed; each has one row."""
    training = PackTraining("test", jobs, train)
    packs = every_row(Pool(jobs, Limits()), PACKS, training, lambda i: Job(RUNS[i], run_id=i))
    rows = [row for rows in packs for row in rows.to_pylist()]
    assert Counter(row["run_id"] for row in rows) == Counter(list(RUNS))
    assert str(os.getpid()) not in {row["reason"].split()[-1] for row in rows}
    return {row["seed"]: row["status"] for row in rows}


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_run_has_one_row_from_another_process(jobs):
    assert trained(row, jobs) == dict.fromkeys(range(12), "skipped")


@pytest.mark.parametrize(("jobs", "culprits"), [(1, (4,)), (2, (2, 3, 9))])
def test_runs_that_always_kill_their_worker_are_found(jobs, culprits):
    found = trained(partial(kills, culprits=culprits), jobs)
    assert found == {seed: "failed" if seed in culprits else "skipped" for seed in range(12)}


def test_a_worker_killed_once_costs_nothing(tmp_path):
    found = trained(partial(kills_once, flag=tmp_path / "killed"))
    assert (tmp_path / "killed").exists()
    assert found == dict.fromkeys(range(12), "skipped")


def test_workers_that_always_die_end_the_grid(monkeypatch):
    monkeypatch.setattr("study.grid.pool.MOST_FUTILE", 2)
    with pytest.raises(EnvironmentFault, match="died 2 times in a row"):
        trained(partial(kills, culprits=tuple(range(12))), jobs=1)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_shared_memory_that_is_full_or_read_only_is_named(monkeypatch, number):
    def refused(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(type(get_context("fork")), "Lock", refused)
    with pytest.raises(EnvironmentFault, match=f"{os.strerror(number)}; make room in /dev/shm"):
        Pool(1, Limits())


def test_a_run_is_blamed_only_when_it_is_lost_alone():
    """A pack may be lost because of its neighbour, but a run that is lost alone is to blame."""
    calls = []

    class Workers:
        def train(self, packs, training, job, alone):
            calls.append((list(packs), alone))
            yield from (list(pack) for pack in packs if "d" not in pack)
            return [pack for pack in packs if "d" in pack or (pack == ("c",) and not alone)]

    training = SimpleNamespace(died=lambda job: [f"{job} died"])
    rows = list(every_row(Workers(), [("a", "b"), ("c", "d")], training, str))
    assert sorted(chain.from_iterable(rows)) == ["a", "b", "c", "c", "d died"]
    assert [packs for packs, alone in calls if alone] == [[("c",)], [("d",)]]


HANGS = """
import threading, time
from study.grid import limits
limits.WATCHDOG, limits.GRACE_SECONDS = 0, {grace}
with limits.Limits(run_seconds=1).timed():
    print("begun", flush=True)
    {how}
"""


@pytest.mark.parametrize(
    "how", ["time.sleep(1000)", "while True: pass", "threading.Event().wait()"]
)
def test_a_watchdog_ends_a_process_that_sleeps_loops_or_waits_and_says_where(how):
    words = [sys.executable, "-c", HANGS.format(grace=0.2, how=how)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'File "<string>", line 7 in <module>' in done.stderr


def test_a_timer_ends_a_process_that_computes_without_letting_the_watchdog_run():
    """A regular expression holds the interpreter's lock while it backtracks."""
    how = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"
    words = [sys.executable, "-c", HANGS.format(grace=0.2, how=how)]
    assert subprocess.run(words, check=False, timeout=30).returncode == -signal.SIGPROF


def test_no_timer_remains_after_a_run():
    with Limits(run_seconds=1).timed():
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 60
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_time_in_which_a_process_is_stopped_does_not_count():
    """It is stopped for longer than the watchdog waits, and ends by itself soon after."""
    ends = "import os; os.kill(os.getpid(), signal.SIGSTOP); print('ended')"
    words = [sys.executable, "-c", f"import signal{HANGS.format(grace=4, how=ends)}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(5)
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0] == "begun\nended\n"
    assert process.returncode == 0


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv, to become a user without other processes",
)
def test_too_few_processes_and_threads_are_refused_in_one_line(tmp_path):
    """Root has no such limit. The user keeps root's right to read Python's files."""
    (tmp_path / "grid.yaml").write_text("name: a\nblocks: {b: {fixed: {cell: rnn_tanh}}}\n")
    tmp_path.chmod(0o777)
    right = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *right]
    command = f"ulimit -u 14; {sys.executable} -m study grid grid.yaml --out out --jobs 2"
    done = subprocess.run(
        [*user, "bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "raise the limit (ulimit -u)" in done.stderr
    assert not (tmp_path / "out").exists()

"""A Dask cluster of several processes over TCP: the same bits, and what happens when parts of it die."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import study
from study import cluster as cluster_module
from study.errors import BadInput
from study.grid import main, run_grid
from study.options import parse
from study.runs import Run
from study.store import read_rows
from study.train import train_run
from tests.chaos import table

pytest.importorskip("distributed")

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
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parent.parent, Path(__file__).parent))),
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
}

pytestmark = pytest.mark.cluster


class DaskCluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path):
        self.file, self.processes = folder / "scheduler.json", []
        self.scheduler = self._start("dask", "scheduler", "--port", "0", "--scheduler-file", self.file)
        end = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < end:
            time.sleep(0.1)

    def _start(self, *command) -> subprocess.Popen:
        words = [sys.executable, "-m", *map(str, command), "--no-dashboard"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(subprocess.Popen(words, env=ENVIRONMENT, cwd=self.file.parent, **quiet))
        return self.processes[-1]

    def worker(self, threads: int = 1) -> subprocess.Popen:
        return self._start("dask", "worker", "--nthreads", threads, "--scheduler-file", self.file, "--no-nanny")

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def a_cluster(folder: Path, workers: int = 2):
    cluster = DaskCluster(folder)
    try:
        for _ in range(workers):
            cluster.worker()
        import distributed

        with distributed.Client(scheduler_file=str(cluster.file), set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("here")
    (folder / "grid.yaml").write_text(GRID)
    assert main([str(folder / "grid.yaml"), "--out", str(folder / "out"), "--jobs", "2"]) == 0
    return table(folder / "out")


def arguments(folder: Path, cluster: DaskCluster, *more: str) -> list[str]:
    (folder / "grid.yaml").write_text(GRID)
    where = ["--backend", "dask", "--scheduler", str(cluster.file)]
    return [str(folder / "grid.yaml"), "--out", str(folder / "out"), "--pack-size", "2", *where, *more]


def test_the_same_bits_as_here(tmp_path, reference):
    with a_cluster(tmp_path, 3) as cluster:
        assert main(arguments(tmp_path, cluster)) == 0
    assert table(tmp_path / "out") == reference
    assert set(study.load(tmp_path / "out")["runs_at_once"]) == {3}


def slowly(run: Run, **options) -> dict:
    time.sleep(0.3)
    return train_run(run, **options)


def while_it_trains(act) -> threading.Thread:
    """Do something a little later, in a thread."""
    thread = threading.Timer(4.0, act)
    thread.start()
    return thread


def test_a_worker_that_is_killed_and_one_that_comes_late_change_nothing(tmp_path, reference):
    with a_cluster(tmp_path, 2) as cluster:

        def kill_one_and_start_another() -> None:
            cluster.worker()
            cluster.processes[1].kill()

        thread = while_it_trains(kill_one_and_start_another)
        assert run_grid(parse(arguments(tmp_path, cluster)), work=slowly) == 0
        thread.join()
        assert cluster.processes[1].poll() == -signal.SIGKILL
    assert table(tmp_path / "out") == reference


def kills_or_hangs(run: Run, **options) -> dict:
    if (run.cell, run.seed) == ("gru", 7):
        os.kill(os.getpid(), signal.SIGKILL)
    if (run.cell, run.seed) == ("lstm", 2):
        time.sleep(1000)
    return train_run(run, **options)


def test_a_run_that_kills_its_process_or_hangs_costs_no_worker(tmp_path):
    with a_cluster(tmp_path, 2) as cluster:
        options = parse(arguments(tmp_path, cluster, "--run-seconds", "6"))
        assert run_grid(options, work=kills_or_hangs) == 1
        assert all(process.poll() is None for process in cluster.processes)
    frame = study.load(tmp_path / "out").set_index(["cell", "seed"])
    reasons = frame.loc[frame["status"] == "failed", "reason"].to_dict()
    assert len(frame) == 24
    assert set(reasons) == {("gru", 7), ("lstm", 2)}
    assert "ran longer than 6 s" in reasons["lstm", 2]
    assert "the worker process died" in reasons["gru", 7]


def kills_the_worker(run: Run, **options) -> dict:
    """A run that takes the Dask worker itself with it, as a machine that runs out of memory may."""
    if (run.cell, run.seed) == ("gru", 7):
        parent = psutil.Process(os.getppid())
        parent.kill()
        time.sleep(1000)
    return train_run(run, **options)


def test_a_run_that_always_kills_the_dask_worker_is_found_and_the_grid_ends(tmp_path):
    """joblib's Dask backend, as it is, waits for ever for its result."""
    with a_cluster(tmp_path, 2) as cluster:
        stop = threading.Event()

        def replace_the_dead() -> None:
            while not stop.wait(0.5):
                alive = sum(process.poll() is None for process in cluster.processes[1:])
                for _ in range(2 - alive):
                    cluster.worker()

        thread = threading.Thread(target=replace_the_dead)
        thread.start()
        try:
            assert run_grid(parse(arguments(tmp_path, cluster)), work=kills_the_worker) == 1
        finally:
            stop.set()
            thread.join()
    frame = study.load(tmp_path / "out").set_index(["cell", "seed"])
    assert len(frame) == 24
    assert frame.index[frame["status"] == "failed"].tolist() == [("gru", 7)]


def test_without_its_scheduler_the_grid_ends_with_a_message_and_can_go_on(tmp_path, reference, capfd, monkeypatch):
    monkeypatch.setattr(cluster_module, "LOST_SECONDS", 3.0)
    with a_cluster(tmp_path, 2) as cluster:
        thread = while_it_trains(cluster.scheduler.kill)
        started = time.monotonic()
        assert run_grid(parse(arguments(tmp_path, cluster)), work=slowly) == 1
        thread.join()
        assert time.monotonic() - started < 60
    err = capfd.readouterr().err
    assert "is gone" in err or "forgot" in err
    assert "repeat the command to go on" in err
    assert 0 < len(read_rows(tmp_path / "out", ["run_id"])) < 24
    assert main([str(tmp_path / "grid.yaml"), "--out", str(tmp_path / "out"), "--jobs", "2"]) == 0
    assert table(tmp_path / "out") == reference


def test_other_code_on_a_worker_is_refused(tmp_path, capfd, monkeypatch):
    with a_cluster(tmp_path, 1) as cluster:
        monkeypatch.setattr(cluster_module, "code_version", lambda: "another")
        assert main(arguments(tmp_path, cluster)) == 1
    assert "other code or other package versions" in capfd.readouterr().err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "tcp://", "none.json", "://", "tcp://a:b"])
def test_a_scheduler_that_is_not_there(tmp_path, address, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    with pytest.raises(BadInput, match=r"--scheduler .*: cannot be reached"):
        cluster_module.Cluster(address)


def test_workers_that_do_not_fit(tmp_path):
    cluster = DaskCluster(tmp_path)
    try:
        with pytest.raises(BadInput, match="has no workers"):
            cluster_module.Cluster(str(cluster.file))
        cluster.worker(threads=2)
        time.sleep(8)
        with pytest.raises(BadInput, match="workers of several threads"):
            cluster_module.Cluster(str(cluster.file))
    finally:
        cluster.close()


def test_the_backend_and_its_address_go_together(capsys):
    for some in (["--backend", "dask"], ["--scheduler", "tcp://a:1"]):
        with pytest.raises(SystemExit):
            parse(["grid.yaml", *some])
        assert "go together" in capsys.readouterr().err

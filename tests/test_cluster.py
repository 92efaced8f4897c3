"""A Dask cluster of several processes over TCP: the same bits, and what happens when parts of it die."""

import os
import signal
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace

import psutil
import pytest

pytest.importorskip("distributed")

import study
from study.errors import BadInput
from study.grid import cluster as cluster_module
from study.grid import collector
from study.grid.__main__ import main, run_grid
from study.grid.cluster import ClusterLost, _Patience
from study.grid.options import parse
from study.grid.store import read_rows
from study.grid.train import trained
from study.runs.settings import Run
from tests.chaos import table
from tests.dask_cluster import GRID, RUNS, DaskCluster, a_cluster, arguments, once_it_trains, slowly
from tests.misbehaving import RUN_SECONDS, WORKER_MEBIBYTES, check, misbehaves


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("here")
    (folder / "grid.yaml").write_text(GRID)
    assert main([str(folder / "grid.yaml"), "--out", str(folder / "out"), "--jobs", "2"]) == 0
    return table(folder / "out")


@pytest.fixture(autouse=True)
def stored_at_once(monkeypatch):
    monkeypatch.setattr(collector, "FLUSH_SECONDS", 0.1)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A cluster as `dask worker` starts it, for tests that leave it as it is."""
    with a_cluster(tmp_path_factory.mktemp("cluster"), 2, "--nanny") as cluster:
        yield cluster


def test_the_same_bits_as_here(tmp_path, healthy, reference):
    assert main(arguments(tmp_path, healthy)) == 0
    assert table(tmp_path / "out") == reference
    assert set(study.load(tmp_path / "out")["runs_at_once"]) == {2}


def test_every_run_that_misbehaves_has_a_row_with_the_reason_and_costs_no_worker(tmp_path, healthy):
    before = processes_of(healthy)
    limits = ["--run-seconds", str(RUN_SECONDS), "--worker-memory", str(WORKER_MEBIBYTES)]
    assert run_grid(parse(arguments(tmp_path, healthy, *limits)), work=misbehaves) == 1
    check(study.load(tmp_path / "out"), RUNS)
    assert processes_of(healthy) == before


def processes_of(cluster: DaskCluster) -> list[int]:
    """The Dask workers, which their nannies started."""
    with cluster_module._distributed().Client(
        scheduler_file=str(cluster.file), set_as_default=False
    ) as client:
        return sorted(client.run(os.getpid).values())


def test_a_worker_that_is_killed_and_one_that_comes_late_change_nothing(tmp_path, reference):
    with a_cluster(tmp_path) as cluster:

        def kill_one_and_start_another() -> None:
            cluster.worker()
            cluster.workers[0].kill()

        thread = once_it_trains(tmp_path / "out", kill_one_and_start_another)
        assert run_grid(parse(arguments(tmp_path, cluster)), work=slowly) == 0
        thread.join()
        assert cluster.workers[0].poll() == -signal.SIGKILL
    assert table(tmp_path / "out") == reference


def kills_the_worker(run: Run, **options) -> Callable[[], dict]:
    """A run that takes the Dask worker itself with it, as a machine that runs out of memory may."""
    if (run.cell, run.seed) == ("gru", 7):
        psutil.Process(os.getppid()).kill()
        time.sleep(1000)
    return trained(run, **options)


def test_a_run_that_always_kills_the_dask_worker_is_found_and_the_grid_ends(tmp_path):
    """joblib's Dask backend, as it is, waits for ever for its result."""
    with a_cluster(tmp_path, 2, "--nanny", deaths=0) as cluster:
        assert run_grid(parse(arguments(tmp_path, cluster)), work=kills_the_worker) == 1
        assert len(cluster.alive) == 2
    frame = study.load(tmp_path / "out").set_index(["cell", "seed"])
    assert len(frame) == RUNS
    assert frame.index[frame["status"] == "failed"].tolist() == [("gru", 7)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_scheduler_the_grid_ends_with_a_message_and_can_go_on(
    tmp_path, reference, capfd, monkeypatch, how
):
    """Killed, it breaks the connection; stopped, it keeps it and says nothing."""
    monkeypatch.setattr(cluster_module, "LOST_SECONDS", 3.0)
    monkeypatch.setattr(cluster_module, "ANSWER_SECONDS", 1.0)
    with a_cluster(tmp_path) as cluster:
        thread = once_it_trains(tmp_path / "out", lambda: cluster.scheduler.send_signal(how))
        assert run_grid(parse(arguments(tmp_path, cluster)), work=slowly) == 1
        thread.join()
        cluster.scheduler.kill()
    err = capfd.readouterr().err
    assert "the scheduler is gone" in err
    assert "repeat the command to go on" in err
    assert "Traceback" not in err
    assert 0 < len(read_rows(tmp_path / "out", ["run_id"])) < RUNS
    assert main([str(tmp_path / "grid.yaml"), "--out", str(tmp_path / "out"), "--jobs", "2"]) == 0
    assert table(tmp_path / "out") == reference


def test_without_any_worker_the_grid_ends_with_a_message(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(cluster_module, "IDLE_SECONDS", 2.0)
    with a_cluster(tmp_path, 1) as cluster:
        thread = once_it_trains(tmp_path / "out", cluster.workers[0].kill)
        assert run_grid(parse(arguments(tmp_path, cluster)), work=slowly) == 1
        thread.join()
    assert "the cluster has had no worker for 2 s" in capfd.readouterr().err
    assert 0 < len(read_rows(tmp_path / "out", ["run_id"])) < RUNS


def test_results_that_cannot_be_fetched_end_the_grid(tmp_path, healthy, capfd, monkeypatch):
    """joblib's Dask backend, as it is, drops such an error and waits."""

    async def cannot(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(cluster_module._distributed().Client, "_gather", cannot)
    assert main(arguments(tmp_path, healthy)) == 1
    assert "could not do its work: OSError: no route to host" in capfd.readouterr().err


def test_results_that_never_arrive_end_the_grid(tmp_path, healthy, capfd, monkeypatch):
    async def never(*_, **__):
        await cluster_module.asyncio.sleep(1000)

    monkeypatch.setattr(cluster_module, "LOST_SECONDS", 2.0)
    monkeypatch.setattr(cluster_module._distributed().Client, "_gather", never)
    assert main(arguments(tmp_path, healthy)) == 1
    assert "has done with a pack, and its rows did not arrive" in capfd.readouterr().err


def test_patience_ends_with_what_does_not_come_and_not_before(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cluster_module, "monotonic", lambda: clock.now)
    patience = _Patience()

    def look(now: float, *what) -> None:
        clock.now = now
        patience.look(*what)

    look(1e4, True, {"a": "processing", "b": "no-worker"})
    look(1e4 + 29, True, None)
    look(1e4 + 31, True, {"a": "memory"})
    look(
        1e4 + 60, True, {"a": "processing"}
    )  # fetched from a worker that is gone, and trained again
    look(1e4 + 70, True, {"a": "memory", "b": None})
    look(1e4 + 99, False, {"b": None})
    with pytest.raises(ClusterLost, match="did not arrive"):
        look(1e4 + 101, False, {"b": None})
    with pytest.raises(ClusterLost, match="no worker for 300 s"):
        look(1e4 + 371, False, {})
    with pytest.raises(ClusterLost, match="no answer"):
        look(1e4 + 402, True, None)


def test_other_code_on_a_worker_is_refused(tmp_path, healthy, capfd, monkeypatch):
    monkeypatch.setattr(cluster_module, "code_version", lambda: "another")
    assert main(arguments(tmp_path, healthy)) == 1
    assert "other code or other package versions" in capfd.readouterr().err


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:9", "nowhere", "tcp://", "none.json", "://", "tcp://a:b", "empty.json"],
)
def test_a_scheduler_that_is_not_there(tmp_path, address, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    with pytest.raises(BadInput, match=r"--scheduler .*: cannot be reached"):
        cluster_module.Cluster(address)


def test_something_else_that_listens_is_no_scheduler(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            BadInput, match=r"--scheduler .*: cannot be reached: what listens there does not answer"
        ):
            cluster_module.Cluster(address)


def test_workers_that_do_not_fit(tmp_path):
    cluster = DaskCluster(tmp_path)
    try:
        with pytest.raises(BadInput, match="has no workers"):
            cluster_module.Cluster(str(cluster.file))
        cluster.worker("--nthreads", "2", "--no-nanny")
        cluster.wait_for(1)
        with pytest.raises(BadInput, match="workers of several threads"):
            cluster_module.Cluster(str(cluster.file))
    finally:
        cluster.close()


def test_the_backend_and_its_address_go_together(capsys):
    for some in (["--backend", "dask"], ["--scheduler", "tcp://a:1"]):
        with pytest.raises(SystemExit):
            parse(["grid.yaml", *some])
        assert "go together" in capsys.readouterr().err

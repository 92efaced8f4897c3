"""A Dask cluster of two workers: the same bits, and what happens when parts of it die."""

import asyncio
import gc
import logging
import os
import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("distributed")

import dask
from distributed import Client, LocalCluster

from study.__main__ import main
from study.errors import BadInput
from study.grid import __main__ as grid_module
from study.grid import cluster as cluster_module
from study.grid.cluster import Cluster
from study.grid.store import Store
from tests.grids import grid_file, kills_its_worker, statuses, table

pytestmark = pytest.mark.filterwarnings("ignore")  # Dask warns when a worker dies
LOCAL = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}


@pytest.fixture(scope="module")
def cluster():
    few = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with few, LocalCluster(n_workers=2, **LOCAL) as cluster:
        yield cluster


def grid_on(address: str, folder: Path, pack_size: int) -> int:
    """Train the quick grid on the cluster at an address; return the exit code."""
    words = ["grid", grid_file(folder), "--out", str(folder / "out")]
    cluster = ["--backend", "dask", "--scheduler", address]
    return main([*words, *cluster, "--pack-size", str(pack_size)])


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("here")
    assert main(["grid", grid_file(folder), "--out", str(folder / "out"), "--jobs", "2"]) == 0
    return table(folder / "out")


def test_a_cluster_gives_the_same_bits_as_this_machine(tmp_path, cluster, reference):
    async def in_a_running_loop() -> int:  # as in Jupyter
        return grid_on(cluster.scheduler_address, tmp_path, pack_size=2)

    assert asyncio.run(in_a_running_loop()) == 0
    assert table(tmp_path / "out") == reference


def test_a_run_that_always_kills_its_worker_is_found_and_every_other_is_trained(
    tmp_path, cluster, monkeypatch
):
    """Here Dask gives up on a pack that cost one worker; its nannies start other workers."""
    monkeypatch.setattr(grid_module, "train_job", kills_its_worker)
    assert grid_on(cluster.scheduler_address, tmp_path, pack_size=4) == 1
    assert sorted(statuses(tmp_path / "out")).count("failed") == 1
    assert len(statuses(tmp_path / "out")) == 24


def refusals(cluster: LocalCluster) -> list[str]:
    with pytest.raises(BadInput) as refusal:
        Cluster(cluster.scheduler_address)
    return [problem.message for problem in refusal.value.problems]


def test_workers_without_the_package_are_named(tmp_path, cluster, monkeypatch):
    (tmp_path / "elsewhere.py").write_text("def versions():\n    return {}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cluster_module, "versions", import_module("elsewhere").versions)
    cluster.wait_for_workers(1, timeout=300)
    for said in refusals(cluster):
        assert re.fullmatch(
            r"worker tcp://\S+ cannot load this package: .*ModuleNotFoundError.*", said
        )


def test_workers_with_other_versions_are_named_with_them(tmp_path, cluster, monkeypatch):
    cluster.wait_for_workers(1, timeout=300)
    there = cluster_module.versions()
    cluster_module.versions.cache_clear()
    monkeypatch.setattr(cluster_module, "source_digest", lambda: "mine")
    found = refusals(cluster)
    cluster_module.versions.cache_clear()
    assert found
    for said in found:
        other = f"has other versions than this machine: study {there['study']} (here mine)"
        assert re.fullmatch(rf"worker tcp://\S+ {re.escape(other)}", said)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "nowhere", "tcp://", "none.json", "://", "empty.json"]
)
def test_a_scheduler_that_cannot_be_reached_is_refused(tmp_path, address, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    with pytest.raises(BadInput, match=r"--scheduler .*: cannot be reached"):
        Cluster(address)
    clients = [each for each in gc.get_objects() if isinstance(each, Client)]
    assert not [client for client in clients if client.status == "connecting"]


def test_missing_workers_and_workers_with_several_threads_are_refused():
    with LocalCluster(n_workers=0, **LOCAL) as cluster:
        assert "has no workers" in refusals(cluster)[0]
    with LocalCluster(
        n_workers=1, processes=False, **(LOCAL | {"threads_per_worker": 2})
    ) as cluster:
        assert "has several threads" in refusals(cluster)[0]


def test_without_its_scheduler_the_grid_ends_with_a_line_and_can_go_on(
    tmp_path, reference, capfd, monkeypatch
):
    append = Store.append
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    file = tmp_path / "scheduler.json"
    words = ["scheduler", "--port", "0", "--scheduler-file", str(file), "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    command = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen([*command, *words, "--idle-timeout", "600"], **quiet)
    words = ["worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard"]
    worker = subprocess.Popen([*command, *words, "--no-nanny"], **quiet)

    def append_and_kill(self, rows):
        append(self, rows)
        if rows:
            scheduler.send_signal(signal.SIGKILL)

    monkeypatch.setattr(Store, "append", append_and_kill)
    monkeypatch.setattr(grid_module, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(cluster_module, "AHEAD", 1)
    try:
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=300)
        assert grid_on(str(file), tmp_path, pack_size=1) == 1
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()
    err = capfd.readouterr().err
    assert f"stopped: the connection to {file} was lost; repeat the command to go on" in err
    assert 0 < len(statuses(tmp_path / "out")) < 24
    monkeypatch.undo()
    assert main(["grid", grid_file(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert table(tmp_path / "out") == reference

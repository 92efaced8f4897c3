"""The grid as a user runs it: it always gives the same bits, and an accident loses nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import study
from study.__main__ import main
from study.grid import __main__ as grid_module
from study.grid import store as store_module
from study.grid.store import Store, StoreWarning, read_rows
from study.runs import CURVES, RESULTS
from tests.grids import (
    QUICK,
    REASONS,
    RUNS,
    SMOKE,
    fails,
    fails_tomorrow,
    grid_file,
    kills_its_worker,
    lacks_a_library,
    misbehaves,
    raises,
    statuses,
    table,
)

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    """The smoke grid by one process, uninterrupted."""
    folder = tmp_path_factory.mktemp("reference")
    assert main(["grid", str(SMOKE), "--out", str(folder), "--jobs", "1"]) == 0
    return table(folder)


# --- the same bits ------------------------------------------------------------------------------


def test_the_smoke_grid_has_a_row_for_every_run(reference):
    assert reference.count("'run_id'") == RUNS
    for status in ("solved", "unsolved", "skipped"):
        assert f"'status': '{status}'" in reference


def test_same_bits_for_other_jobs_packs_and_blocks_one_by_one(reference, tmp_path):
    options = ["--jobs", "2", "--pack-size", "1"]
    for block in ("post", "devices", "cells", "engines", "controls"):
        command = ["grid", str(SMOKE), "--out", str(tmp_path), "--only", block, *options]
        assert main(command) == 0
    assert table(tmp_path) == reference


def test_same_bits_in_shares_whose_parts_are_put_together(reference, tmp_path, capfd, monkeypatch):
    """As docs/cluster.md says, for machines that share a folder and no cluster."""
    monkeypatch.chdir(tmp_path)
    for share in ("1/2", "2/2"):
        assert main(["grid", str(SMOKE), "--share", share, "--jobs", "2"]) == 0
    shares = sorted(Path("results").iterdir())
    assert [path.name for path in shares] == ["smoke+share-1-of-2", "smoke+share-2-of-2"]
    assert [len(statuses(share)) for share in shares] == [RUNS / 2] * 2
    Path("results/smoke").mkdir()
    for share in shares:
        for path in [*share.glob("rows-*.parquet"), share / "manifests"]:
            subprocess.run(["cp", "-r", path, "results/smoke"], check=True)
    capfd.readouterr()
    assert main(["grid", str(SMOKE)]) == 0
    said = capfd.readouterr().out
    assert "Every run of this grid was already stored in results/smoke" in said
    assert f"train it again, into another folder: study grid {SMOKE} --out results/mine" in said
    assert "draw its figures: study figures results/smoke" in said
    assert table(Path("results/smoke")) == reference


# --- interruptions ------------------------------------------------------------------------------

# Interrupts itself when it has stored the second part, and prints the ids of its workers.
INTERRUPTED = """
import os, signal, sys
import psutil
from study.__main__ import main
from study.grid import __main__ as grid
from study.grid.store import Store

append, parts, (number, *words) = Store.append, [], sys.argv[1:]

def append_and_interrupt(self, rows):
    append(self, rows)
    parts.append(len(rows))
    if len(parts) == 2:
        children = psutil.Process().children()
        print("workers:", *(c.pid for c in children if "Loky" in " ".join(c.cmdline())), flush=True)
        os.kill(os.getpid(), signal.SIGKILL) if int(number) == 9 else os.killpg(0, int(number))

Store.append = append_and_interrupt
grid.FLUSH_SECONDS = 0.0
sys.exit(main(words))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_same_bits_when_interrupted_and_resumed(reference, tmp_path, number):
    """Killed or asked to stop, it keeps the stored rows, leaves no worker behind, and can go on."""
    words = ["grid", str(SMOKE), "--out", str(tmp_path), "--jobs", "2", "--pack-size", "1"]
    command = [sys.executable, "-c", INTERRUPTED, str(int(number)), *words]
    if number == signal.SIGTERM:  # sent to the parent alone, as by some batch systems
        command[2] = INTERRUPTED.replace("killpg(0,", "kill(os.getpid(),")
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    out, err = process.communicate(timeout=300)
    workers = [int(pid) for pid in out.split("workers:")[1].splitlines()[0].split()]
    assert workers
    assert not psutil.wait_procs(
        [psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], timeout=120
    )[1]
    assert 2 <= len(statuses(tmp_path)) < RUNS
    (manifest,) = (json.loads(path.read_text()) for path in tmp_path.glob("manifests/*.json"))
    if number == signal.SIGKILL:
        assert (process.returncode, manifest["end"]) == (-9, None)
    else:
        assert (process.returncode, manifest["ended"]) == (130, "interrupted"), err
        assert err == "interrupted: repeat the command to go on\n"
    assert main(words) == 0
    assert table(tmp_path) == reference


# --- runs that fail -----------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_every_run_that_misbehaves_has_a_row_with_the_reason_and_the_others_go_on(
    tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(grid_module, "train_job", misbehaves)
    limits = ["--run-seconds", "2", "--worker-memory", "2000"]
    words = ["grid", grid_file(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "2", *limits]
    assert main(words) == 1
    frame = study.load(tmp_path / "out").set_index(["cell", "seed"])
    assert len(frame) == 24
    reasons = frame.loc[frame["status"] == "failed", "reason"].to_dict()
    assert set(reasons) == set(REASONS)
    assert {key: text for key, text in REASONS.items() if text not in reasons[key]} == {}, reasons
    assert frame.index[frame["status"] == "diverged"].tolist() == [("lstm", 3)]
    said = capfd.readouterr()
    assert "6 runs failed: the column `reason` says why" in said.out
    assert said.err.count("failed: run ") == 6
    (manifest,) = (tmp_path / "out" / "manifests").iterdir()
    counted = json.loads(manifest.read_text())["rows_by_status"]
    assert counted == frame["status"].value_counts().to_dict()


def test_failed_runs_are_trained_again_only_on_request(tmp_path, monkeypatch):
    words = ["grid", grid_file(tmp_path), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(grid_module, "train_job", kills_its_worker)
    assert main([*words, "--only", "only"]) == 1
    monkeypatch.undo()
    assert main(words) == 1
    assert statuses(tmp_path / "out").count("failed") == 1
    assert main([*words, "--retry-failed"]) == 0
    assert set(statuses(tmp_path / "out")) <= {"solved", "unsolved"}


def test_fail_fast_stops_at_the_first_failed_run_and_escapes_its_reason(
    tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(grid_module, "train_job", raises)
    words = ["grid", grid_file(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "2"]
    assert main([*words, "--pack-size", "1", "--fail-fast"]) == 1
    assert statuses(tmp_path / "out").count("failed") == 1
    err = capfd.readouterr().err
    assert "RuntimeError: \\x1b[31mred" in err
    assert "\x1b" not in err
    assert err.endswith("stopped at the first failed run; repeat the command to go on\n")


def test_a_fault_of_the_machine_ends_the_grid_and_fails_no_run(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(grid_module, "train_job", lacks_a_library)
    words = ["grid", grid_file(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main([*words, "--pack-size", "1"]) == 1
    assert "engine 'fused' cannot be loaded: libgone.so; repeat" in capfd.readouterr().err
    assert 0 < len(statuses(tmp_path / "out")) < 24
    assert "failed" not in statuses(tmp_path / "out")


def test_a_disk_that_fills_up_keeps_what_was_stored(tmp_path, monkeypatch, capfd):
    write, parts = store_module.atomic_write, []

    def full_after_one(path, content):
        parts.extend([path] if path.name.startswith("rows-") else [])
        if len(parts) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    words = ["grid", grid_file(tmp_path), "--out", str(tmp_path / "out"), "--pack-size", "2"]
    monkeypatch.setattr(store_module, "atomic_write", full_after_one)
    monkeypatch.setattr(grid_module, "FLUSH_SECONDS", 0.0)
    assert main(words) == 2
    err = capfd.readouterr().err
    assert "No space left on device; stored runs are kept, so repeat the command" in err
    assert len(statuses(tmp_path / "out")) == 2
    monkeypatch.undo()
    assert main(words) == 0
    assert len(statuses(tmp_path / "out")) == 24


def test_runs_of_a_damaged_part_are_trained_again(tmp_path, capfd):
    words = ["grid", grid_file(tmp_path), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    before = table(tmp_path / "out")
    (part,) = (tmp_path / "out").glob("rows-*")
    part.write_bytes(part.read_bytes()[:-20])
    assert main(words) == 0
    assert f"{part.name} is damaged" in capfd.readouterr().err
    assert table(tmp_path / "out") == before


def test_a_second_grid_on_one_folder_is_refused(tmp_path, capsys):
    with Store(tmp_path / "out"):
        assert main(["grid", grid_file(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "another process is writing here" in capsys.readouterr().err


def test_a_grid_whose_output_nothing_reads_is_trained(tmp_path, monkeypatch):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as unread:
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, unread)
        assert main(["grid", grid_file(tmp_path), "--out", str(tmp_path / "out")]) == 0
        assert main(["summary", str(tmp_path / "out")]) == 1
    assert statuses(tmp_path / "out").count("failed") == 0
    assert len(statuses(tmp_path / "out")) == 24


# --- plans, options and messages ----------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_shows_the_plan(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", str(SMOKE), "--dry-run", "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    disk = "disk: about 2"
    for text in (f"{RUNS} runs in 5 blocks -> results/smoke", "32 to do", disk, "with 2 workers"):
        assert text in said


def test_an_overridden_grid_has_its_own_results_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", str(SMOKE), "--dry-run", "--set", "grid.hidden_size=[2,3]"]) == 0
    assert "-> results/smoke+grid.hidden_size=2,3-" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *((["--share", share], "--share must be I/N") for share in ("0/3", "4/3", "1", "")),
        (["--only", "cels"], "unknown block 'cels' (did you mean 'cells'?)"),
        (["--backend", "dask"], "--scheduler and --backend dask must be given together"),
        (["--scheduler", "tcp://a:1"], "--scheduler and --backend dask must be given together"),
        (["--out", ""], "--out must name a folder"),
        (["--jobs", "0"], "--jobs"),
        (["--worker-memory", "1"], "--worker-memory"),
        (["--out", str(SMOKE)], "is a file, not a folder; choose another path"),
    ],
)
def test_invalid_options_are_refused_and_nothing_is_written(
    tmp_path, capsys, monkeypatch, options, said
):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", str(SMOKE), *options]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_can_be_the_results_folder(tmp_path, capsys, monkeypatch):
    """Once it holds other things, and once it is empty, as any other folder."""
    (tmp_path / "grid.yaml").write_text("{name: a, blocks: {b: {fixed: {max_updates: 60}}}}")
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["grid", "grid.yaml", "--out", "."]) == 2
    said = "error: .: holds other things, such as 'grid.yaml', and no results; choose a new"
    assert capsys.readouterr().err.startswith(said)
    monkeypatch.chdir(tmp_path / "out")
    for said in ("to do: 1 run,", "was already stored in ., so nothing was trained"):
        assert main(["grid", "../grid.yaml", "--out", ".", "--jobs", "1"]) == 0
        assert said in capsys.readouterr().out


def test_a_folder_holds_one_grid(tmp_path, capsys):
    with Store(tmp_path / "out") as store:
        store.write_plan({"a": []}, "other")
    assert main(["grid", str(SMOKE), "--out", str(tmp_path / "out")]) == 2
    assert "holds the results of grid 'other', not of 'smoke'" in capsys.readouterr().err


def test_two_grids_of_one_name_do_not_share_a_folder_unless_they_share_a_block(tmp_path, capsys):
    words = ["--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main(["grid", grid_file(tmp_path), *words]) == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out").rglob("*"))
    assert main(["grid", grid_file(tmp_path, QUICK.replace("only:", "other:")), *words]) == 2
    said = capsys.readouterr().err
    assert "another grid named 'quick': its blocks are only, not other; choose another" in said
    assert "--out" in said
    assert (
        sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out").rglob("*")) == before
    )
    fewer = QUICK.replace("[lstm, gru, rnn_tanh]", "[lstm, gru]")
    assert main(["grid", grid_file(tmp_path, fewer), *words]) == 0
    call = f"study.load({str(tmp_path / 'out')!r}, unplanned=True)"
    said = capsys.readouterr().out
    assert f"stored runs that are not in this grid: 8 (kept; {call} includes them)" in said
    assert len(study.load(tmp_path / "out", unplanned=True)) == 24


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_folder_with_other_things_is_refused_and_nothing_is_written(
    tmp_path, capsys, monkeypatch, dry
):
    monkeypatch.chdir(tmp_path)
    Path(".notes").mkdir()
    for name in (".notes/one", ".mine.tmp", "parts.json"):
        Path(name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["grid", str(SMOKE), "--out", str(tmp_path), *dry]) == 2
    said = capsys.readouterr().err
    assert "holds other things, such as '.mine.tmp', and no results" in said
    assert "--out" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_without_their_device_are_skipped_with_one_line_per_device(tmp_path, capsys):
    assert main(["grid", str(SMOKE), "--out", str(tmp_path), "--only", "devices"]) == 0
    out = capsys.readouterr().out
    with pytest.warns(StoreWarning, match="39 of 42 planned runs are not stored"):
        frame = study.load(tmp_path)
    for device in set(frame.loc[frame["status"] == "skipped", "device"]):
        assert out.count(f"this machine has no device '{device}'") == 1
    assert frame.loc[frame["device"] == "cpu", "status"].tolist() == ["solved"]


def test_a_grid_prints_its_summary_to_a_log_file_and_writes_a_manifest(tmp_path):
    words = [grid_file(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "2"]
    command = [sys.executable, "-m", "study.grid", *words, "--set", "defaults.length=5"]
    env = os.environ | {"MKL_CBWR": "COMPATIBLE"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=env)
    assert done.stderr == ""
    assert "solved [95 %]" in done.stdout
    assert f"To draw its figures: study figures {tmp_path / 'out'}" in done.stdout
    assert "\r" not in done.stdout
    (path,) = (tmp_path / "out" / "manifests").glob("*.json")
    manifest = json.loads(path.read_text())
    assert manifest["ended"] == "finished"
    assert sum(manifest["rows_by_status"].values()) == 24
    assert manifest["jobs"] == manifest["configuration"]["options"]["jobs"] == 2
    assert manifest["packages"]["torch"]
    assert manifest["variables"]["MKL_CBWR"] == "COMPATIBLE"
    assert len(manifest["code"]["source"]) == 16
    assert manifest["configuration"]["overrides"] == ["defaults.length=5"]
    assert str(tmp_path) not in path.read_text()
    frame = study.load(tmp_path / "out")
    assert set(frame["invocation"]) == {path.stem}
    assert set(frame["runs_at_once"]) == {2}


def test_runs_whose_weights_are_requested_later_are_trained_again(tmp_path):
    words = ["--out", str(tmp_path / "out")]
    assert main(["grid", grid_file(tmp_path), *words]) == 0
    before = table(tmp_path / "out")
    keeping = QUICK.replace("  only:\n", "  only:\n    keep_weights: true\n")
    assert main(["grid", grid_file(tmp_path, keeping), *words]) == 0
    assert study.load(tmp_path / "out", weights=True)["weights"].notna().all()
    rows = read_rows(tmp_path / "out", ["run_id", "loss"]).sort_by("run_id").to_pylist()
    assert all(f"'run_id': '{row['run_id']}'" in before for row in rows)
    assert all(f"'loss': {row['loss']!r}" in before for row in rows)


def test_runs_that_fail_when_trained_again_for_their_weights_keep_their_results(
    tmp_path, capsys, monkeypatch
):
    words = ["--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main(["grid", grid_file(tmp_path), *words]) == 0
    before = table(tmp_path / "out")
    monkeypatch.setattr(grid_module, "train_job", fails)
    keeping = grid_file(tmp_path, QUICK.replace("  only:\n", "  only:\n    keep_weights: true\n"))
    assert main(["grid", keeping, *words]) == 1
    said = capsys.readouterr().out
    assert (
        "24 runs failed when trained again to store weights or curves; the results stored" in said
    )
    assert table(tmp_path / "out") == before
    monkeypatch.undo()
    assert main(["grid", keeping, *words]) == 0
    assert study.load(tmp_path / "out", weights=True)["weights"].notna().all()


def test_runs_are_stored_without_curves_until_these_are_requested(tmp_path, capsys):
    """The rows are otherwise the same, and are summarised without training anything again."""
    lean = QUICK.replace("  only:\n", "  only:\n    keep_curves: false\n")
    for text, name in ((QUICK, "whole"), (lean, "lean")):
        assert main(["grid", grid_file(tmp_path, text), "--out", str(tmp_path / name)]) == 0
    rows = {name: study.load(tmp_path / name, weights=True) for name in ("whole", "lean")}
    assert rows["lean"][list(CURVES)].isna().all(axis=None)
    results = [name for name in RESULTS if name not in CURVES]
    assert rows["lean"][results].equals(rows["whole"][results])
    for command, *options in (["summary"], ["tune", "--block", "only"]):
        capsys.readouterr()
        said = []
        for name in rows:
            assert main([command, str(tmp_path / name), *options]) == 0
            said.append(capsys.readouterr().out)
        assert said[0] == said[1] != ""
    assert main(["compare", str(tmp_path / "lean"), str(tmp_path / "whole"), "--strict"]) == 0
    assert "The learning curves of 24 of these were not compared" in capsys.readouterr().out
    none = "so nothing was trained"
    for text, todo in ((lean, none), (QUICK, "to do: 24 runs"), (lean, none)):
        assert main(["grid", grid_file(tmp_path, text), "--out", str(tmp_path / "lean")]) == 0
        assert todo in capsys.readouterr().out
    assert table(tmp_path / "lean") == table(tmp_path / "whole")


def test_a_clock_that_was_a_day_ahead_does_not_undo_what_is_retried(tmp_path, monkeypatch):
    words = ["grid", grid_file(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "1"]
    monkeypatch.setattr(grid_module, "train_job", fails_tomorrow)
    assert main(words) == 1
    monkeypatch.setattr(grid_module, "train_job", raises)
    assert main([*words, "--retry-failed"]) == 1
    frame = study.load(tmp_path / "out")
    assert set(frame.loc[frame["cell"] == "gru", "reason"]) == {"RuntimeError: \x1b[31mred"}
    assert "failed" not in set(frame.loc[frame["cell"] != "gru", "status"])
    monkeypatch.undo()
    assert main([*words, "--retry-failed"]) == 0

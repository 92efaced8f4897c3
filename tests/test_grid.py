"""The grid as a user runs it: same bits whatever happens, and nothing lost when something does."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

import study
from study.grid import __main__ as grid_module
from study.grid import collector
from study.grid import store as store_module
from study.grid.__main__ import main, run_grid
from study.grid.options import parse
from study.grid.plan import make_plan
from study.grid.progress import Progress
from study.grid.store import Store, StoreWarning, read_rows
from study.grid.train import trained
from study.runs.results import SCHEMA, TIMINGS
from study.runs.settings import Run
from tests.misbehaving import RUN_SECONDS, WORKER_MEBIBYTES, check, misbehaves

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "experiments" / "smoke.yaml"
RUNS = 42

# Some 60 runs of a few hundredths of a second: long enough to be interrupted.
SMALL = """
name: small
defaults:
  {engine: torch, hidden_size: 4, length: 6, max_updates: 60, eval_every: 5, final_sequences: 20, long_sequences: 4}
blocks:
  only:
    vary:
      cell: [lstm, gru, rnn_tanh]
      seed: {range: [0, 20]}
"""


# The same by the fused engine, over at once: where nothing is to be interrupted.
QUICK = SMALL.replace("engine: torch", "engine: fused")


def table(folder: Path) -> str:
    """Every number of a results folder but the timings, to the last bit."""
    rows = read_rows(folder, [name for name in SCHEMA.names if name not in TIMINGS])
    return "\n".join(map(repr, rows.sort_by("run_id").to_pylist()))


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    """The smoke grid by one process, uninterrupted."""
    folder = tmp_path_factory.mktemp("reference")
    assert main([str(SMOKE), "--out", str(folder), "--jobs", "1"]) == 0
    return table(folder)


def start(arguments: list[str], **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "study.grid", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def wait_for_rows(process: subprocess.Popen, folder: Path, seconds: float = 60) -> None:
    """Until some rows are stored and the grid still runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None and not list(folder.glob("rows-*")):
        time.sleep(0.05)


# --- the same bits ------------------------------------------------------------------------------


def test_the_smoke_grid_has_a_row_for_every_run(reference, tmp_path):
    assert reference.count("'run_id'") == RUNS
    for status in ("solved", "unsolved", "skipped"):
        assert f"'status': '{status}'" in reference


@pytest.mark.parametrize(
    "options", [["--jobs", "2"], ["--jobs", "2", "--pack-size", "1"], ["--pack-size", "7"]]
)
def test_same_bits_for_any_number_of_jobs_and_pack_size(reference, tmp_path, options):
    assert main([str(SMOKE), "--out", str(tmp_path), *options]) == 0
    assert table(tmp_path) == reference


def test_same_bits_in_any_order(reference, tmp_path, monkeypatch):
    def shuffled(*arguments):
        plan = make_plan(*arguments)
        random.Random(1).shuffle(plan.todo)
        return plan

    monkeypatch.setattr(grid_module, "make_plan", shuffled)
    assert main([str(SMOKE), "--out", str(tmp_path), "--jobs", "2", "--pack-size", "5"]) == 0
    assert table(tmp_path) == reference


def test_same_bits_block_by_block(reference, tmp_path):
    for block in ("post", "devices", "cells", "engines", "controls"):
        assert main([str(SMOKE), "--out", str(tmp_path), "--only", block]) == 0
    assert table(tmp_path) == reference


def test_same_bits_in_shares_whose_parts_are_put_together(reference, tmp_path, capfd, monkeypatch):
    """As docs/cluster.md says, for machines that share a folder and no cluster."""
    monkeypatch.chdir(tmp_path)
    for share in ("1/3", "2/3", "3/3"):
        assert main([str(SMOKE), "--share", share]) == 0
    shares = sorted(Path("results").iterdir())
    assert [path.name for path in shares] == [f"smoke+share-{number}-of-3" for number in (1, 2, 3)]
    assert [len(read_rows(share, ["run_id"])) for share in shares] == [RUNS / 3] * 3
    Path("results/smoke").mkdir()
    for share in shares:
        for path in [*share.glob("rows-*.parquet"), share / "manifests"]:
            subprocess.run(["cp", "-r", path, "results/smoke"], check=True)
    capfd.readouterr()
    assert main([str(SMOKE)]) == 0
    assert "nothing to train" in capfd.readouterr().out
    assert table(Path("results/smoke")) == reference
    assert set(study.load("results/smoke")["invocation"]) == {
        path.stem for path in Path("results/smoke/manifests").iterdir()
    }


@pytest.mark.parametrize("share", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_a_share_that_is_none(share, capsys):
    with pytest.raises(SystemExit):
        parse(["grid.yaml", f"--share={share}"])
    assert "is no share such as 2/3" in capsys.readouterr().err


def test_same_bits_when_killed_at_random_moments_and_resumed(reference, tmp_path):
    """`kill -9` of the parent, five times; what was stored stays, and the rest follows."""
    rng, stored = random.Random(2), 0
    for _ in range(5):
        process = start([str(SMOKE), "--out", str(tmp_path), "--jobs", "2", "--pack-size", "2"])
        time.sleep(rng.uniform(3.5, 6.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        rows = len(read_rows(tmp_path, ["run_id"]))
        assert rows >= stored, "stored rows were lost"
        stored = rows
    finished = start([str(SMOKE), "--out", str(tmp_path), "--jobs", "2"])
    out, err = finished.communicate(timeout=120)
    assert finished.returncode == 0, out + err
    assert table(tmp_path) == reference


# --- interruptions ------------------------------------------------------------------------------


def grid_file(folder: Path, text: str = SMALL) -> str:
    path = folder / "grid.yaml"
    path.write_text(text)
    return str(path)


LONG = SMALL.replace("range: [0, 20]", "range: [0, 400]")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stores_what_was_done_and_says_how_to_go_on(tmp_path, signal_number):
    folder = tmp_path / "out"
    process = start([grid_file(tmp_path, LONG), "--out", str(folder), "--pack-size", "2"])
    wait_for_rows(process, folder)
    os.killpg(
        process.pid, signal_number
    ) if signal_number == signal.SIGINT else process.send_signal(signal_number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "repeat the command to go on" in err
    assert "Traceback" not in err
    assert 0 < len(read_rows(folder, ["run_id"])) < 1200
    (manifest,) = (json.loads(path.read_text()) for path in folder.glob("manifests/*.json"))
    assert manifest["ended"] == "interrupted"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_the_first_run_leaves_nothing_behind(tmp_path, signal_number):
    process = start([grid_file(tmp_path, LONG), "--out", str(tmp_path / "out")])
    parent, until = psutil.Process(process.pid), time.monotonic() + 60
    while not (workers := [c for c in parent.children() if "LokyProcess" in " ".join(c.cmdline())]):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted: repeat the command to go on\n"), out
    assert not psutil.wait_procs(workers, timeout=5)[1]


def test_a_grid_that_was_started_to_ignore_interrupts_goes_on(tmp_path):
    """As a shell starts what a script puts in the background: Ctrl-C is for the one in front."""
    folder = tmp_path / "out"
    words = [grid_file(tmp_path), "--out", str(folder), "--pack-size", "2"]
    process = start(words, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    wait_for_rows(process, folder)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert len(read_rows(folder, ["run_id"])) == 60


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_is_remembered(tmp_path):
    class InterruptedAtItsEnd:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    with Store(tmp_path / "out") as store:
        before = signal.getsignal(signal.SIGINT)
        with collector.Interrupts() as interrupts:
            collect = collector.Collector(store, Progress(1), lambda rows: None, False, interrupts)
            collect([])
            InterruptedAtItsEnd()  # what it raises goes no further
            with pytest.raises(KeyboardInterrupt):
                collect([])
        assert signal.getsignal(signal.SIGINT) is before


def test_a_first_grid_compiles_once_for_all_workers_and_says_so(tmp_path):
    text = SMALL.replace("engine: torch", "engine: fused").replace(
        "[lstm, gru, rnn_tanh]", "[rnn_relu]"
    )
    fresh = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    fresh.pop("NUMBA_CACHE_DIR", None)
    said = []
    for folder in ("one", "two"):
        process = start(
            [grid_file(tmp_path, text), "--out", str(tmp_path / folder), "--jobs", "2"], env=fresh
        )
        said.append(process.communicate(timeout=300)[1])
        assert process.returncode == 0, said
    assert said == ["compiling, once on this machine: rnn_relu (float32)\n", ""]
    assert table(tmp_path / "one") == table(tmp_path / "two")


def test_a_killed_parent_leaves_no_workers_behind(tmp_path):
    process = start([grid_file(tmp_path, LONG), "--out", str(tmp_path / "out"), "--pack-size", "2"])
    wait_for_rows(process, tmp_path / "out")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


def test_a_killed_worker_costs_nothing(tmp_path):
    folder = tmp_path / "out"
    text = SMALL.replace("range: [0, 20]", "range: [0, 40]")
    process = start([grid_file(tmp_path, text), "--out", str(folder), "--pack-size", "10"])
    wait_for_rows(process, folder)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "LokyProcess" in " ".join(child.cmdline())]
    workers[0].kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    statuses = read_rows(folder, ["status"])["status"].to_pylist()
    assert len(statuses) == 120
    assert "failed" not in statuses


def kills_its_worker(run: Run, **options) -> Callable[[], dict]:
    if (run.cell, run.seed) == ("gru", 7):
        os.kill(os.getpid(), signal.SIGKILL)
    return trained(run, **options)


def test_a_run_that_always_kills_its_worker_is_failed_and_every_other_is_there(tmp_path, capfd):
    options = parse([grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out"), "--jobs", "2"])
    assert run_grid(options, work=kills_its_worker) == 1
    frame = study.load(tmp_path / "out")
    failed = frame[frame["status"] == "failed"]
    assert len(frame) == 60
    assert failed[["cell", "seed"]].to_numpy().tolist() == [["gru", 7]]
    assert "the worker process died on this run" in failed["reason"].iloc[0]

    # Failed runs are not trained again unless that is asked for.
    assert main([grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out")]) == 1
    assert "1 run failed" in capfd.readouterr().out
    assert main([grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out"), "--retry-failed"]) == 0
    assert set(study.load(tmp_path / "out")["status"]) <= {"solved", "unsolved"}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_every_run_that_misbehaves_has_a_row_with_the_reason_and_the_others_go_on(tmp_path):
    arguments = [grid_file(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "2"]
    limits = ["--run-seconds", str(RUN_SECONDS), "--worker-memory", str(WORKER_MEBIBYTES)]
    assert run_grid(parse([*arguments, *limits]), work=misbehaves) == 1
    check(study.load(tmp_path / "out"), 60)


def flatters(run: Run, **options) -> Callable[[], dict]:
    """One run in five has an accuracy that there is none of."""
    row = trained(run, **options)()
    return partial(dict, row, **({"accuracy": 2.0} if run.seed % 5 == 3 else {}))


def test_rows_that_are_no_results_are_failed_runs_and_cost_no_other_run(tmp_path, capfd):
    """They once took all the rows of their part with them, and the grid asked to be repeated, in vain."""
    arguments = [grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert run_grid(parse(arguments), work=flatters) == 1
    frame = study.load(tmp_path / "out")
    is_failed = (frame["seed"] % 5 == 3).tolist()
    assert (frame["status"] == "failed").tolist() == is_failed
    assert sum(is_failed) == 12
    assert set(frame.loc[is_failed, "reason"]) == {
        "the engine returned invalid results: accuracy is 2.0, which must lie between 0 and 1"
    }
    assert capfd.readouterr().err.count("accuracy is 2.0") == 12
    (manifest,) = (tmp_path / "out" / "manifests").iterdir()
    counted = json.loads(manifest.read_text())["rows_by_status"]
    assert counted == frame["status"].value_counts().to_dict()
    assert not list((tmp_path / "out").glob("*.damaged"))


def test_a_grid_does_without_what_takes_long_to_import(tmp_path):
    code = "import sys; from study.grid import main; assert main(sys.argv[1:]) == 0; "
    code += "print(*{'pandas', 'torch', 'scipy.special', 'numba'} & set(sys.modules), sep=',')"
    line = [sys.executable, "-c", code, grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def raises(run: Run, **options) -> Callable[[], dict]:
    if run.seed % 5 == 3:
        run = run.model_copy(update={"cell": "no_such_cell"})
    return trained(run, **options)


def test_fail_fast_stops_at_the_first_failed_run(tmp_path, capfd):
    arguments = [grid_file(tmp_path, LONG), "--out", str(tmp_path / "out"), "--pack-size", "1"]
    assert run_grid(parse([*arguments, "--fail-fast"]), work=raises) == 1
    rows = read_rows(tmp_path / "out", ["status"])["status"].to_pylist()
    assert rows.count("failed") >= 1
    assert len(rows) < 300, "of 1,200"
    err = capfd.readouterr().err
    assert "stopped at the first failed run" in err
    assert "KeyError: 'no_such_cell'" in err


def test_fail_fast_stops_at_a_row_that_is_no_result(tmp_path, capfd):
    """Rows are looked through when they are stored, which may be seconds later."""
    arguments = [
        grid_file(tmp_path, LONG),
        "--out",
        str(tmp_path / "out"),
        "--pack-size",
        "1",
        "--fail-fast",
    ]
    assert run_grid(parse(arguments), work=flatters) == 1
    assert len(read_rows(tmp_path / "out", ["status"])) < 300, "of 1,200"
    assert "stopped at the first failed run" in capfd.readouterr().err


def test_an_error_of_the_grids_own_stores_what_came_in(tmp_path, monkeypatch):
    calls = []

    def learn(self, rows):
        calls.append(len(rows))
        if len(calls) == 3:
            raise ZeroDivisionError

    monkeypatch.setattr("study.grid.plan.Pace.learn", learn)
    arguments = [
        grid_file(tmp_path, QUICK),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
        "--pack-size",
        "5",
    ]
    with pytest.raises(ZeroDivisionError):
        run_grid(parse(arguments))
    assert len(read_rows(tmp_path / "out", ["run_id"])) == sum(calls) == 15


def test_what_a_run_says_moves_no_cursor(tmp_path, capfd):
    arguments = [grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert run_grid(parse(arguments), work=raises_in_red) == 1
    err = capfd.readouterr().err
    assert "\x1b" not in err
    assert "RuntimeError: \\x1b[31mred" in err


def raises_in_red(run: Run, **options) -> Callable[[], dict]:
    row = trained(run, **options)()
    return partial(dict, row, status="failed", reason="RuntimeError: \x1b[31mred")


def test_a_disk_that_fills_up_keeps_what_was_stored(tmp_path, monkeypatch, capfd):
    write, written = store_module.atomic_write, []

    def full_after_one(path, content):
        if written and path.name.startswith("rows-"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)
        written.extend([path] * path.name.startswith("rows-"))

    arguments = [grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out"), "--pack-size", "2"]
    monkeypatch.setattr(store_module, "atomic_write", full_after_one)
    monkeypatch.setattr(collector, "FLUSH_SECONDS", 0.0)
    assert main(arguments) == 2
    err = capfd.readouterr().err
    assert "No space left on device" in err
    assert "what was stored is kept" in err
    assert len(read_rows(tmp_path / "out", ["run_id"])) == 2
    monkeypatch.undo()
    assert main(arguments) == 0
    assert len(read_rows(tmp_path / "out", ["run_id"])) == 60


def test_damaged_results_are_mended(tmp_path, capfd):
    arguments = [grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = table(tmp_path / "out")
    (part,) = (tmp_path / "out").glob("rows-*")
    part.write_bytes(part.read_bytes()[:-20])
    assert main(arguments) == 0
    assert f"{part.name} is damaged" in capfd.readouterr().err
    assert table(tmp_path / "out") == before


def test_a_second_grid_on_one_folder_is_refused(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with Store(tmp_path / "out"):
        assert main([grid_file(tmp_path), "--out", str(tmp_path / "out")]) == 2
        assert "another process is writing here" in capsys.readouterr().err


# --- in view ------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_shows_the_plan(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(SMOKE), "--dry-run", "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    for text in (
        f"{RUNS} runs in 5 blocks -> results/smoke",
        "cells",
        "32 to do",
        "at most",
        "on 2 processes",
    ):
        assert text in said


def test_overrides_have_a_results_folder_of_their_own(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(SMOKE), "--dry-run", "--set", "grid.hidden_size=[2,3]"]) == 0
    assert "-> results/smoke+grid.hidden_size=2,3-" in capsys.readouterr().out


def test_devices_that_are_not_there_are_skipped_with_one_line_each(tmp_path, capsys):
    assert main([str(SMOKE), "--out", str(tmp_path), "--only", "devices"]) == 0
    out = capsys.readouterr().out
    with pytest.warns(StoreWarning, match="39 of 42 planned runs are not stored"):
        frame = study.load(tmp_path)
    for device in set(frame.loc[frame["status"] == "skipped", "device"]):
        assert out.count(f"device '{device}' is not there") == 1
    assert frame.loc[frame["device"] == "cpu", "status"].tolist() == ["solved"]


def test_the_end_of_a_grid_in_a_log_file(tmp_path):
    process = start([grid_file(tmp_path, QUICK), "--out", str(tmp_path / "out"), "--jobs", "2"])
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert err == ""
    assert "solved [95 %]" in out
    assert f"next: python -m study.figures {tmp_path / 'out'}" in out
    assert "\r" not in out


def test_the_manifest_says_where_results_come_from(tmp_path):
    assert (
        main(
            [
                grid_file(tmp_path, QUICK),
                "--out",
                str(tmp_path / "out"),
                "--jobs",
                "2",
                "--set",
                "defaults.length=5",
            ]
        )
        == 0
    )
    (path,) = (tmp_path / "out" / "manifests").glob("*.json")
    manifest = json.loads(path.read_text())
    assert manifest["ended"] == "finished"
    assert sum(manifest["rows_by_status"].values()) == 60
    assert manifest["jobs"] == 2
    assert manifest["packages"]["torch"]
    assert manifest["configuration"]["overrides"] == ["defaults.length=5"]
    assert str(tmp_path) not in path.read_text()
    frame = study.load(tmp_path / "out")
    assert set(frame["invocation"]) == {path.stem}
    assert set(frame["runs_at_once"]) == {2}


def test_weights_asked_for_later_are_trained_again(tmp_path):
    arguments = ["--out", str(tmp_path / "out")]
    assert main([grid_file(tmp_path, QUICK), *arguments]) == 0
    before = table(tmp_path / "out")
    keeping = QUICK.replace("  only:\n", "  only:\n    keep_weights: true\n")
    assert main([grid_file(tmp_path, keeping), *arguments]) == 0
    frame = study.load(tmp_path / "out", weights=True)
    assert frame["weights"].notna().all()
    rows = read_rows(
        tmp_path / "out", [name for name in SCHEMA.names if name not in {*TIMINGS, "weights"}]
    )
    assert "\n".join(map(repr, rows.sort_by("run_id").to_pylist())) == before.replace(
        ", 'weights': None", ""
    )


def test_the_list_of_commands():
    listed = subprocess.run(
        [sys.executable, "-m", "study"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "python -m study.grid" in listed.stdout
    assert listed.stderr == ""


@pytest.mark.parametrize("command", ["grid", "figures", "tune", "audit"])
def test_every_command_has_help_with_an_example(command):
    asked = [sys.executable, "-m", f"study.{command}", "--help"]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "example" in said
    assert f"python -m study.{command} " in said

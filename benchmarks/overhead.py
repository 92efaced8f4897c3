"""What a grid costs beside its training: `python -m benchmarks.overhead`.

The same runs twice, by turns: by the command, as a user gives it, into an empty folder; and by as many bare processes,
each a loop over its part of them that calls the engine and keeps nothing. Overhead is the share of the grid's processor
time, from its start to its end, that the bare loops do without: starting and importing, planning, making rows, sending
and storing them, waiting for the last one, the summary. A bare loop's start and imports do not count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.worker import ROOT
from study import provenance
from study.command import run_command
from study.engines import engine_of
from study.errors import command
from study.files import atomic_write
from study.gridfile import expand, read_grid
from study.plan import STORED_COLUMNS, make_plan
from study.runs import Run
from study.store import StoreWarning, load, read_rows

SECONDS = ("train_seconds", "evaluation_seconds", "final_seconds")


def runs_of(grid: str, part: int, parts: int) -> list[Run]:
    """Every parts-th run of a grid that this machine can train, in the order in which the command does them."""
    expansion = expand(read_grid(grid))
    stored = read_rows(Path("nowhere"), [*STORED_COLUMNS, "weights"])
    stored = stored.append_column("has_weights", stored["weights"].is_valid())
    plan = make_plan(expansion, expansion.blocks, stored, retry_failed=False)
    return [expansion.run(run_id) for run_id in plan.todo[part::parts]]


def bare(grid: str, part: int, parts: int) -> dict[str, float]:
    """Seconds of a loop that does nothing but train, and how many runs it trained."""
    runs = runs_of(grid, part, parts)
    for engine in {engine_of(run) for run in runs}:
        engine.train(runs[0].model_copy(update={"max_updates": 15, "eval_every": 5}))  # imports what it is late to
    started = time.perf_counter()
    for run in runs:
        engine_of(run).train(run)
    return {"seconds": time.perf_counter() - started, "runs": len(runs)}


def bare_processes(grid: str, processes: int) -> dict[str, float]:
    """Seconds of all the loops together, side by side as the grid's workers are."""
    commands = [
        [sys.executable, "-m", "benchmarks.overhead", grid, "--bare", str(part), str(processes)]
        for part in range(processes)
    ]
    loops = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    said = [loop.communicate()[0] for loop in loops]
    if any(loop.returncode for loop in loops):
        raise RuntimeError("a bare loop failed")
    found = [json.loads(text) for text in said]
    return {name: sum(loop[name] for loop in found) for name in ("seconds", "runs")}


def whole_grid(grid: str, processes: int) -> dict[str, float]:
    """Seconds of the command, those before its first row and after its last, and those that its rows say were spent."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "study.grid", grid, "--jobs", str(processes), "--out", f"{folder}/results"]
        started = pd.Timestamp.now("UTC")
        subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
        ended = pd.Timestamp.now("UTC")
        with warnings.catch_warnings(action="ignore", category=StoreWarning):
            rows = load(f"{folder}/results", curves=False)
    trained = rows[rows["status"] != "skipped"]
    finished = trained["finished_at"]
    times = {"seconds": ended - started, "before": finished.min() - started, "after": ended - finished.max()}
    spent = {name: float(trained[name].sum()) for name in SECONDS}
    return {name: time.total_seconds() for name, time in times.items()} | spent | {"runs": len(trained)}


def measured(grid: str, processes: int) -> dict[str, Any]:
    """One turn: the bare loops, then the grid, and the share of its processes' time that they do without."""
    alone, with_all = bare_processes(grid, processes), whole_grid(grid, processes)
    if alone["runs"] != with_all["runs"]:
        raise RuntimeError(f"{alone['runs']} runs in the bare loops, {with_all['runs']} in the grid")
    in_all = processes * with_all["seconds"]
    shares = {
        "overhead": 1 - alone["seconds"] / in_all,
        "outside_the_rows_seconds": 1 - sum(with_all[name] for name in SECONDS) / in_all,
    }
    return {"bare": _rounded(alone, 2), "grid": _rounded(with_all, 2)} | _rounded(shares, 4)


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in values.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("grid", nargs="?", default="experiments/main.yaml", help="a grid file (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks", metavar="FOLDER")
    parser.add_argument("--bare", type=int, nargs=2, metavar=("PART", "PARTS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.bare:
        print(json.dumps(bare(options.grid, *options.bare)))
        return 0
    return command(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    read_grid(options.grid)  # what is wrong with it is said at once
    found: dict[str, Any] = provenance.start_manifest(["python", "-m", "benchmarks.overhead"], options.jobs, {})
    found |= {"grid": options.grid, "turns": []}
    for _ in range(options.turns):
        found["turns"].append(measured(options.grid, options.jobs))
        print(json.dumps(found["turns"][-1]), flush=True)
    atomic_write(options.out / "overhead.json", (json.dumps(found, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

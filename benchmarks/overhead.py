"""What a grid costs beside its training: `python -m benchmarks.overhead`.

The same runs by turns: by the command, as a user gives it, into an empty folder; and before and after it by as many
bare processes, each a loop over its part of them that calls the engine and keeps nothing. Overhead is the share of the
grid's processes' time, from its start to its end, that the bare ones do without. It is taken twice: against the bare
processes from their start, since whoever trains without this harness starts Python and imports an engine too; and
against their loops alone, with all that is imported and every compiled loop loaded beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.worker import ONE_THREAD, ROOT
from study import provenance
from study.command import run_command
from study.errors import command
from study.files import atomic_write
from study.gridfile import expand, read_grid
from study.plan import STORED_COLUMNS, make_plan
from study.store import StoreWarning, load, read_rows

SECONDS = ("train_seconds", "evaluation_seconds", "final_seconds")


def trainable(grid: str) -> list[str]:
    """The runs of a grid that this machine can train, in the order in which the command does them."""
    expansion = expand(read_grid(grid))
    stored = read_rows(Path("nowhere"), [*STORED_COLUMNS, "weights"])
    stored = stored.append_column("has_weights", stored["weights"].is_valid())
    return make_plan(expansion, expansion.blocks, stored, retry_failed=False).todo


def bare_processes(grid: str, run_ids: Sequence[str], processes: int) -> dict[str, float]:
    """Seconds of bare processes together, side by side as the grid's workers are, each on one thread as they are."""
    command = [sys.executable, "-m", "benchmarks.bare", grid]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        started = {}
        for part in range(processes):
            now = time.time()
            loop = stack.enter_context(subprocess.Popen(command, cwd=ROOT, env=os.environ | ONE_THREAD, **pipes))
            started[loop] = {"run_ids": run_ids[part::processes], "started": now}
        for loop, asked in started.items():
            loop.stdin.write(json.dumps(asked))
            loop.stdin.close()
        said = [loop.stdout.read() for loop in started]
    if any(loop.returncode for loop in started):
        raise RuntimeError("a bare loop failed")
    found = [json.loads(text) for text in said]
    return {name: sum(loop[name] for loop in found) for name in ("whole", "loop", "runs")}


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


def measured(grid: dict[str, float], before: dict[str, float], after: dict[str, float], jobs: int) -> dict[str, Any]:
    """One turn: the grid, the bare processes before and after it, and the share of its time that these do without."""
    if not grid["runs"] == before["runs"] == after["runs"]:
        raise RuntimeError(f"{before['runs']:.0f} runs in the bare loops, {grid['runs']:.0f} in the grid")
    in_all = jobs * grid["seconds"]
    bare = {name: (before[name] + after[name]) / 2 for name in ("whole", "loop")}
    shares = {
        "overhead": 1 - bare["whole"] / in_all,
        "outside_loops": 1 - bare["loop"] / in_all,
        "outside_the_rows_seconds": 1 - sum(grid[name] for name in SECONDS) / in_all,
    }
    return {"bare": _rounded(bare, 2), "grid": _rounded(grid, 2)} | _rounded(shares, 4)


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in values.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("grid", nargs="?", default="experiments/main.yaml", help="a grid file (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks", metavar="FOLDER")
    options = parser.parse_args(arguments)
    return command(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    found: dict[str, Any] = provenance.start_manifest(["python", "-m", "benchmarks.overhead"], options.jobs, {})
    found |= {"grid": options.grid, "turns": []}
    run_ids = trainable(options.grid)
    before = bare_processes(options.grid, run_ids, options.jobs)
    for _ in range(options.turns):
        grid = whole_grid(options.grid, options.jobs)
        after = bare_processes(options.grid, run_ids, options.jobs)
        found["turns"].append(measured(grid, before, after, options.jobs))
        before = after
        print(json.dumps(found["turns"][-1]), flush=True)
    atomic_write(options.out / "overhead.json", (json.dumps(found, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

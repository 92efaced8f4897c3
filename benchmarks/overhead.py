"""What a grid costs beside its training: `python -m benchmarks.overhead`.

The command, as a user gives it, with every call of an engine timed: the processor time within them is the training.
Of its processes' time, from the start of the command to its end, the rest lies outside the training; what the host of
a virtual machine took of that time, and what other programs did, is counted apart and left out. It is taken twice: as
it is; and less what bare processes take, as many and side by side, to start Python, import the engines and load the
compiled loops of these runs, since whoever trains them without this harness does that too. All is measured within a
minute of each other, since a machine's speed drifts.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timed import calls
from benchmarks.worker import ONE_THREAD, ROOT
from study.command import run_command
from study.errors import command
from study.grid import provenance
from study.grid.file import expand, read_grid
from study.grid.files import atomic_write
from study.grid.options import positive
from study.grid.plan import STORED_COLUMNS, make_plan
from study.grid.store import read_rows
from study.runs.settings import Run

TIMED = """import sys
from benchmarks import timed
from study.command import run_command
sys.exit(run_command(lambda: timed.main(sys.argv[1], sys.argv[2:])))
"""


PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl


def kinds(grid: str) -> list[Run]:
    """A run for each engine, cell and data type of those runs of a grid that this machine can train."""
    expansion = expand(read_grid(grid))
    stored = read_rows(Path("nowhere"), [*STORED_COLUMNS, "weights"])
    stored = stored.append_column("has_weights", stored["weights"].is_valid())
    runs = map(
        expansion.run, make_plan(expansion, expansion.blocks, stored, retry_failed=False).todo
    )
    return list({(run.engine, run.cell, run.dtype): run for run in runs}.values())


def start_up(runs: Sequence[Run], processes: int) -> float:
    """Mean seconds that bare processes, started side by side, take until they could train these runs."""
    settings = [run.model_dump() for run in runs]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        started: list[Any] = []
        for _ in range(processes):
            asked = {"started": time.time(), "runs": settings}
            line = [sys.executable, "-m", "benchmarks.bare"]
            started.append(
                stack.enter_context(
                    subprocess.Popen(line, cwd=ROOT, env=os.environ | ONE_THREAD, **pipes)
                )
            )
            started[-1].stdin.write(json.dumps(asked))
            started[-1].stdin.close()
        said = [bare.stdout.read() for bare in started]
    if any(bare.returncode for bare in started):
        raise RuntimeError("a bare process failed")
    return float(np.mean([float(text) for text in said]))


def whole_grid(grid: str, processes: int) -> dict[str, float]:
    """Seconds of the command, those before its first training and after its last, and those of all trainings."""
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "calls"
        noted.mkdir()
        grid_options = [
            str(Path(grid).resolve()),
            "--jobs",
            str(processes),
            "--out",
            f"{folder}/results",
        ]
        line = [sys.executable, "-c", TIMED, str(noted), *grid_options]
        started, before, own_before = time.time(), used_so_far(), _of_ended_children()
        done = subprocess.run(
            line,
            cwd=ROOT,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        ended = time.time()
        busy, stolen = used_so_far() - before
        others = (
            max(busy - (_of_ended_children() - own_before), 0.0)
            if processes == os.cpu_count()
            else 0.0
        )
        if done.returncode:
            raise RuntimeError(f"the grid ended with {done.returncode}: {done.stderr.strip()}")
        found = np.concatenate(calls(noted))
    return {
        "seconds": ended - started,
        "before": found["began"].min() - started,
        "after": ended - found["ended"].max(),
        "stolen": stolen,
        "others": others,
        "training": found["processor"].sum(),
        "runs": len(found),
    }


def used_so_far() -> np.ndarray:
    """Seconds that this machine's processors worked, and that a host kept them waiting, as Linux counts; else 0."""
    try:
        user, nice, system, _, _, irq, softirq, stolen = (
            Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
        )
    except OSError:
        return np.zeros(2)
    return np.array([sum(map(int, (user, nice, system, irq, softirq))), int(stolen)]) / os.sysconf(
        "SC_CLK_TCK"
    )


def adopt_orphans() -> None:
    """From now on processes that outlive what started them, such as loky's tracker, are this process's children."""
    with suppress(AttributeError):  # not on Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _of_ended_children() -> float:
    """Processor seconds of all processes that this one started, once they have ended."""
    until = time.monotonic() + 5
    with suppress(ChildProcessError):
        while time.monotonic() < until:
            os.waitpid(-1, os.WNOHANG)
            time.sleep(0.001)
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def measured(grid: dict[str, float], start_ups: tuple[float, float], jobs: int) -> dict[str, Any]:
    """One turn: the grid, a bare process's start before and after it, and what share of its time is no training."""
    in_all, bare = jobs * grid["seconds"] - grid["stolen"] - grid["others"], sum(start_ups) / 2
    outside = in_all - grid["training"]
    shares = {"overhead": (outside - jobs * bare) / in_all, "outside_training": outside / in_all}
    shares["outside_with_others"] = (outside + grid["others"]) / (in_all + grid["others"])
    return {"grid": _rounded(grid, 2), "start_up": round(bare, 2)} | _rounded(shares, 4)


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in values.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "grid",
        nargs="?",
        default="experiments/main.yaml",
        help="a grid file (default: %(default)s)",
    )
    parser.add_argument("--jobs", type=positive, default=2, help="processes (default: %(default)s)")
    parser.add_argument(
        "--turns", type=positive, default=5, help="how often it is timed (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "results" / "benchmarks", metavar="FOLDER"
    )
    options = parser.parse_args(arguments)
    return command(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    found: dict[str, Any] = provenance.start_manifest(
        ["python", "-m", "benchmarks.overhead"], options.jobs, {}
    )
    found |= {"grid": options.grid, "turns": []}
    adopt_orphans()
    runs = kinds(options.grid)
    before = start_up(runs, options.jobs)
    for _ in range(options.turns):
        grid = whole_grid(options.grid, options.jobs)
        after = start_up(runs, options.jobs)
        found["turns"].append(measured(grid, (before, after), options.jobs))
        before = after
        print(json.dumps(found["turns"][-1]), flush=True)
    atomic_write(options.out / "overhead.json", (json.dumps(found, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

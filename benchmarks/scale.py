"""Measure the time and memory needed to plan a grid of a million runs and to load a million rows.

The command `python -m benchmarks.scale` takes half a minute and about 2 GiB of memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.store import manifest_of
from benchmarks.worker import ROOT
from study.command import command, run
from study.grid import atomic_write
from study.grid.store import Store, part_files

MILLION = 1_000_000
GRID = """
name: million
blocks:
  all: {vary: {cell: [lstm, gru, rnn_tanh, rnn_relu], seed: {range: [0, 250000]}}}
"""
PLAN = """
from study.__main__ import main
assert main(['grid', {grid!r}, '--dry-run', '--out', {out!r}]) == 0
"""
LOAD = "import study; assert len(study.load({folder!r}, curves=False, unplanned=True)) == {n}"
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"  # MiB

app = command("python -m benchmarks.scale", "python -m benchmarks.scale --out /tmp/scale")


@app.default
def scale(*, out: Path = ROOT / "results" / "benchmarks") -> None:
    """Measure how long it takes to plan a million runs, and to load a million rows.

    Peak memory is measured too. No run is trained: the plan is made by a dry run.

    Parameters
    ----------
    out
        The folder to write scale.json to.
    """
    costs = manifest_of(["python", "-m", "benchmarks.scale"])
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "million.yaml"
        grid.write_text(GRID)
        costs["dry_run"] = measured(PLAN.format(grid=str(grid), out=f"{folder}/none"))
        write_rows(Path(folder) / "rows", MILLION)
        costs["load"] = measured(LOAD.format(folder=f"{folder}/rows", n=MILLION))
    atomic_write(out / "scale.json", (json.dumps(costs, indent=1) + "\n").encode())
    print(json.dumps({name: costs[name] for name in ("dry_run", "load")}, indent=1))


def measured(code: str) -> dict[str, float]:
    """Run Python code in a new process; return its `seconds` and `peak_mebibytes`.

    `peak_mebibytes` is the largest memory use in MiB. It is correct only on Linux.
    """
    started = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{PEAK}"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seconds = round(perf_counter() - started, 2)
    return {"seconds": seconds, "peak_mebibytes": round(float(done.stdout.splitlines()[-1]))}


def write_rows(folder: Path, n: int) -> None:
    """Write a results folder with n rows, which are copies of rows of `results/main`.

    Each copy gets a `run_id` of its own. The curves and weights of the copies are null.
    """
    (stored,) = part_files(ROOT / "results" / "main")
    rows = pq.read_table(stored)
    for place, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            rows = rows.set_column(place, field, pa.nulls(len(rows), field.type))
    rows = rows.take(np.arange(n) % len(rows))
    ids = pa.array([f"{number:016x}" for number in range(n)])
    rows = rows.set_column(rows.schema.get_field_index("run_id"), rows.schema.field("run_id"), ids)
    with Store(folder) as store:
        store.append(rows)


if __name__ == "__main__":
    sys.exit(run(app))

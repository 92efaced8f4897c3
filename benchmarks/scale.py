"""Measure what a grid of a million runs costs to plan, and its table to load.

`python -m benchmarks.scale` takes half a minute and some 2 GiB of memory.
"""

from __future__ import annotations

import hashlib
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
    """Measure a dry run of a million runs, and loading a table of a million rows.

    Parameters
    ----------
    out
        Folder for scale.json.
    """
    found = manifest_of(["python", "-m", "benchmarks.scale"])
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "million.yaml"
        grid.write_text(GRID)
        found["dry_run"] = measured(PLAN.format(grid=str(grid), out=f"{folder}/none"))
        write_rows(Path(folder) / "rows", MILLION)
        found["load"] = measured(LOAD.format(folder=f"{folder}/rows", n=MILLION))
    atomic_write(out / "scale.json", (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps({name: found[name] for name in ("dry_run", "load")}, indent=1))


def measured(code: str) -> dict[str, float]:
    """Seconds that some code takes in a new Python process, and its peak memory in MiB (Linux)."""
    started = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{PEAK}"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seconds = round(perf_counter() - started, 2)
    return {"seconds": seconds, "peak_mebibytes": round(float(done.stdout.splitlines()[-1]))}


def write_rows(folder: Path, n: int) -> None:
    """A results folder of n rows: copies of the committed main grid's, under other identities.

    Curves and weights are null. The part is named after its checksum, as parts copied by hand are.
    """
    (stored,) = (ROOT / "results" / "main").glob("rows-*.parquet")
    rows = pq.read_table(stored)
    for name in rows.column_names:
        if pa.types.is_list(rows.schema.field(name).type):
            place, field = rows.column_names.index(name), rows.schema.field(name)
            rows = rows.set_column(place, field, pa.nulls(len(rows), field.type))
    rows = rows.take(np.arange(n) % len(rows))
    ids = pa.array([f"{number:016x}" for number in range(n)])
    rows = rows.set_column(rows.column_names.index("run_id"), rows.schema.field("run_id"), ids)
    folder.mkdir()
    path = folder / "new.parquet"
    pq.write_table(rows, path, compression="zstd")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    path.rename(folder / f"rows-{checksum}.parquet")


if __name__ == "__main__":
    sys.exit(run(app))

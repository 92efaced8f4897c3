"""What a large grid costs outside its training: `python -m benchmarks.scale`.

Measured: a dry run of a million runs; a table of a million rows, loaded and drawn; and what the parent process spends
on a run and on a pack, by giving it work that is done at once. From the last two follows a model of throughput: workers
train packs side by side, and one parent takes their rows in, one pack after another. It is simulated up to a thousand
workers, and checked against real workers whose work is to sleep.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heapify, heapreplace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import seaborn as sns

from benchmarks.worker import ROOT
from study.command import run_command
from study.figures import FORMATS, save
from study.figures.theme import COLOURS, DASHES, THEME, Drawing
from study.grid import provenance
from study.grid.files import atomic_write
from study.grid.pool import Pool
from study.grid.store import Store, read_plan, read_rows
from study.grid.train import NO_LIMITS, Job, PackTraining, Row
from study.runs.schema import SCHEMA
from study.runs.settings import Run

MILLION = 1_000_000
FLUSH_SECONDS = 5.0  # as the grid stores rows
PACK_SIZES = (1, 10, 100, 1_000)
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
RUN_SECONDS = (0.02, 0.2)  # some twice and twenty times the mean of the main grid
CHECKED = ((2, 1), (8, 1), (8, 10))  # workers, pack size
SLEEP_SECONDS = RUN_SECONDS[0]
GRID = """
name: million
blocks:
  all: {vary: {cell: [lstm, gru, rnn_tanh, rnn_relu], seed: {range: [0, 250000]}}}
"""


# --- a million runs and a million rows ------------------------------------------------------------


def measured(command: Sequence[str]) -> dict[str, float]:
    """Seconds of a command and the most memory that it had, in MiB."""
    started, most = time.perf_counter(), 0
    process = psutil.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            most = max(most, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.02)
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "peak_mebibytes": round(most / 2**20),
    }


def million_runs(folder: Path) -> dict[str, float]:
    """A dry run of a million runs."""
    grid = folder / "million.yaml"
    grid.write_text(GRID)
    return measured(["-m", "study.grid", str(grid), "--dry-run", "--out", str(folder / "none")])


def million_rows(folder: Path) -> dict[str, dict[str, float]]:
    """A table of a million rows, copies of the headline's under other seeds and identities: loaded, and drawn."""
    store = Store(folder / "rows").open()
    names = [name for name in SCHEMA.names if not name.startswith("curve_") and name != "weights"]
    rows = read_rows(ROOT / "results" / "main")
    plan = set(_headline_ids())
    rows = rows.filter(pa.array([run_id in plan for run_id in rows["run_id"].to_pylist()]))
    ids: list[str] = []
    tables = []
    for copy in range(-(-MILLION // len(rows))):
        mine = [f"{run_id[:-4]}{copy:04x}" for run_id in rows["run_id"].to_pylist()]
        seeds = pa.array(rows["seed"].to_numpy() + 1000 * copy)
        table = rows.select(names).set_column(names.index("run_id"), "run_id", pa.array(mine))
        tables.append(table.set_column(names.index("seed"), "seed", seeds))
        ids += mine
    store.append_table(pa.concat_tables(tables).slice(0, MILLION).sort_by("run_id"))
    store.write_plan({"headline": sorted(ids[:MILLION])}, "main")
    store.close()
    load = f"import study; rows = study.load({str(store.folder)!r}, curves=False); assert len(rows) == {MILLION}"
    draw = ["-m", "study.figures", str(store.folder), "--only", "convergence", "--format", "png"]
    return {"load": measured(["-c", load]), "draw": measured(draw)}


def _headline_ids() -> list[str]:
    plan = read_plan(ROOT / "results" / "main")
    assert plan is not None
    return plan.loc[plan["block"] == "headline", "run_id"].tolist()


# --- the parent -----------------------------------------------------------------------------------


def at_once(row: Row, seconds: float, job: Job, *_: object, **__: object) -> Row:
    """Training that takes no time but a sleep: a stored row under a job's identity, with losses of its own."""
    time.sleep(seconds)
    rng, length = np.random.default_rng(job.run.seed), len(row["curve_loss"])
    losses = {
        name: rng.random(length, np.float32).tolist()
        for name in ("curve_loss", "curve_training_loss")
    }
    return row | losses | {"run_id": job.run_id}


def timed(
    row: Row, runs: Sequence[Run], workers: int, pack: int, seconds: float
) -> tuple[float, float]:
    """Processor seconds of the parent and seconds in all, over some runs, once its workers are there."""
    jobs = {run.run_id: Job(run, run_id=run.run_id) for run in runs}
    ids = list(jobs)
    packs = [tuple(ids[i : i + pack]) for i in range(0, len(ids), pack)]
    training = PackTraining("scale", workers, train=partial(at_once, row, seconds))
    train = partial(Pool(workers, NO_LIMITS).train, training=training, job=jobs.__getitem__)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "rows", print) as store:
        for _ in train([(run_id,) for run_id in ids[: 4 * workers]]):
            pass  # so that the workers are there
        spent, started = time.process_time(), time.perf_counter()
        waiting, flushed = [], started
        for rows in train(packs):
            waiting += rows
            if time.perf_counter() - flushed > FLUSH_SECONDS:
                store.append(waiting)
                waiting, flushed = [], time.perf_counter()
        store.append(waiting)
        return time.process_time() - spent, time.perf_counter() - started


def parent_costs(row: Row) -> dict[str, float]:
    """Processor seconds of the parent for a run and for a pack, by least squares over pack sizes."""
    shapes = [(pack, min(4_000, 1_000 * pack)) for pack in PACK_SIZES]
    spent = [timed(row, _runs(n), 2, pack, 0.0)[0] for pack, n in shapes]
    counts = np.array([(n, -(-n // pack)) for pack, n in shapes], float)
    weights = 1 / counts[:, 0]
    (run, pack), *_ = np.linalg.lstsq(
        counts * weights[:, None], np.array(spent) * weights, rcond=None
    )
    return {"run_seconds": float(max(run, 0)), "pack_seconds": float(max(pack, 0))}


def _runs(count: int) -> list[Run]:
    run = Run.model_validate({})
    return [run.model_copy(update={"seed": seed}) for seed in range(count)]


def _typical_row() -> Row:
    """A row whose curve has about the mean length, which is well above the middle one."""
    rows = read_rows(ROOT / "results" / "main")
    lengths = np.array(
        [len(values) if values is not None else 0 for values in rows["curve_update"].to_pylist()]
    )
    return rows.slice(int(np.argmin(abs(lengths - lengths.mean()))), 1).to_pylist()[0]


# --- the model ------------------------------------------------------------------------------------


def throughput(
    workers: int, pack: int, run_seconds: float, costs: dict[str, float], packs: int = 20_000
) -> float:
    """Runs a second: workers in a loop of training a pack and waiting for the one parent to take it in."""
    service, training = costs["pack_seconds"] + pack * costs["run_seconds"], pack * run_seconds
    done = [training * (1 + i / workers) for i in range(workers)]  # not all at once
    heapify(done)
    free = warm = 0.0
    for number in range(packs):
        free = max(free, done[0]) + service
        heapreplace(done, free + training)
        if number == packs // 2:
            warm = free
    return (packs - packs // 2 - 1) * pack / (free - warm)


def limit(pack: int, costs: dict[str, float]) -> float:
    """Runs a second that the parent can take in, however many workers there are."""
    return 1 / (costs["run_seconds"] + costs["pack_seconds"] / pack)


def simulated(costs: dict[str, float]) -> list[dict[str, float]]:
    """The model over workers, pack sizes and the length of a run."""
    return [
        {
            "workers": workers,
            "pack": pack,
            "run_seconds": run_seconds,
            "runs_a_second": round(throughput(workers, pack, run_seconds, costs), 3),
        }
        for run_seconds in RUN_SECONDS
        for pack in PACK_SIZES
        for workers in WORKERS
    ]


def checked(row: Row, costs: dict[str, float]) -> list[dict[str, float]]:
    """Real workers that sleep, beside what the model says of them."""
    found = []
    for workers, pack in CHECKED:
        runs = _runs(100 * workers * pack if pack == 1 else 20 * workers * pack)
        seconds = timed(row, runs, workers, pack, SLEEP_SECONDS)[1]
        said = throughput(workers, pack, SLEEP_SECONDS, costs)
        found.append(
            {"workers": workers, "pack": pack, "measured": len(runs) / seconds, "model": said}
        )
    return [{name: round(value, 1) for name, value in row.items()} for row in found]


def drawing(found: dict[str, Any]) -> Drawing:
    """Runs a second over workers, a panel a length of run, a line a pack size."""
    table = pd.DataFrame(found["model"])
    with (
        sns.axes_style("ticks"),
        plt.rc_context(THEME),
        plt.rc_context({"figure.constrained_layout.use": True}),
    ):
        figure, axes = plt.subplots(1, len(RUN_SECONDS), figsize=(7.2, 2.6), sharey=True)
        for axis, run_seconds in zip(axes, RUN_SECONDS, strict=True):
            part = table[table["run_seconds"] == run_seconds]
            for pack, colour, dashes in zip(PACK_SIZES, COLOURS, DASHES, strict=False):
                line = part[part["pack"] == pack]
                label = f"{pack:,} run{'s' * (pack > 1)} a pack"
                axis.plot(
                    line["workers"],
                    line["runs_a_second"],
                    color=colour,
                    linestyle=dashes,
                    label=label,
                )
            axis.plot(
                WORKERS,
                np.array(WORKERS) / run_seconds,
                color="#999999",
                linewidth=0.8,
                label="no parent",
            )
            for at in found["checked"] if run_seconds == SLEEP_SECONDS else ():
                colour = COLOURS[PACK_SIZES.index(at["pack"])]
                axis.plot(
                    at["workers"],
                    at["measured"],
                    "o",
                    color=colour,
                    markeredgecolor="black",
                    markersize=5,
                )
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_title(f"runs of {run_seconds:g} s")
            axis.set_xlabel("workers")
        axes[0].set_ylabel("runs a second")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    parent = found["parent"]
    caption = (
        f"Simulated throughput of a grid. The parent spends {1e3 * parent['run_seconds']:.2f} ms on a run and "
        f"{1e3 * parent['pack_seconds']:.2f} ms on a pack (measured, least squares over {len(PACK_SIZES)} pack sizes, "
        "one measurement each, no interval), and takes packs in one after another; workers never wait for anything "
        "else. Grey: as many runs as the workers can train, the line of each pack size until the parent is the limit. "
        f"Points: real workers that sleep for {SLEEP_SECONDS:g} s, one measurement each, no interval."
    )
    return Drawing(figure, table, caption)


# --- the command ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "results" / "benchmarks", metavar="FOLDER"
    )
    options = parser.parse_args(arguments)
    row = _typical_row()
    steps: dict[str, Callable[[], Any]] = {
        "parent": lambda: parent_costs(row),
        "checked": lambda: checked(row, found["parent"]),
        "model": lambda: simulated(found["parent"]),
    }
    found: dict[str, Any] = provenance.start_manifest(["python", "-m", "benchmarks.scale"], 2, {})
    with tempfile.TemporaryDirectory() as folder:
        found["dry_run"] = million_runs(Path(folder))
        found |= {
            f"million_rows_{name}": value for name, value in million_rows(Path(folder)).items()
        }
    for name, step in steps.items():
        found[name] = step()
    atomic_write(options.out / "scale.json", (json.dumps(found, indent=1) + "\n").encode())
    for path in save("scale", drawing(found), options.out / "figures", FORMATS):
        print(path)
    print(json.dumps({name: value for name, value in found.items() if name != "model"}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))

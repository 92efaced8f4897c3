"""An edited cell, a wrong clock, a full disk and a damaged cache, on one results folder.

Each command runs in a process of its own, with a copy of the package in which a cell was added.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from study.grid.store import Store, read_rows
from study.runs.results import RESULTS, SCHEMA, TIMINGS
from tests.grids import statuses

ROOT = Path(__file__).parent.parent
GRID = """
name: all
defaults: {{hidden_size: 4, length: 6, max_updates: 60, eval_every: 5, final_sequences: 9,
  long_sequences: 4}}
blocks:
  only: {{keep_weights: true, vary: {{cell: [leaky, rnn_tanh], seed: {{range: [0, {seeds}]}}}}}}
"""
LEAKY = '''

def leaky(x, state, w):
    """h' = {kept} h + {new} tanh(W_ih x + b_ih + W_hh h + b_hh)"""
    (h,) = state
    candidate = (x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).tanh()
    return ({kept} * h + {new} * candidate,)


CELLS["leaky"] = Cell(leaky, gates=("candidate",))
'''
FIRST, EDITED = LEAKY.format(kept=0.5, new=0.5), LEAKY.format(kept=0.25, new=0.75)
FIRST_SEEDS, MORE_SEEDS, ALL_SEEDS = 2, 4, 6
MOST_BYTES = 8_000  # of a file on the full disk: fewer than a part has, more than a manifest


class Bench:
    """A copy of the package with the cell `leaky`, a grid file, and a compile cache of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copytree(ROOT / "study", folder / "study", ignore=shutil.ignore_patterns("__py*"))
        self.cells = folder / "study" / "model" / "cells.py"
        self.shipped = self.cells.read_text()
        self.cache = folder / "cache"

    def write(self, cell: str, seeds: int) -> None:
        """Change the cell, and train the grid with so many seeds from now on."""
        self.cells.write_text(self.shipped + cell)
        (self.folder / "grid.yaml").write_text(GRID.format(seeds=seeds))

    def grid(self, out: str, *words: str, before: Callable[[], None] | None = None):
        command = [sys.executable, "-m", "study", "grid", "grid.yaml", "--out", out, "--jobs", "1"]
        env = os.environ | {"NUMBA_CACHE_DIR": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1"}
        env["PYTHONPATH"] = str(self.folder)
        how = {"cwd": self.folder, "env": env, "capture_output": True, "text": True}
        return subprocess.run([*command, *words], check=False, preexec_fn=before, **how)

    def rows(self, out: str) -> dict[str, str]:
        """Return the stored rows by identity, as texts without timings (in texts, NaN is NaN)."""
        names = [name for name in SCHEMA.names if name not in TIMINGS]
        return {row["run_id"]: repr(row) for row in read_rows(self.folder / out, names).to_pylist()}


def full_disk() -> None:
    """Refuse to write files that are longer than a manifest."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))


def tomorrow(row: dict, status: str) -> dict:
    """Turn a row into a failed or skipped one, or drop its weights, on a clock a day ahead."""
    ahead = row | {"finished_at": datetime.now(UTC) + timedelta(days=1), "weights": None}
    if status == "trained":
        return ahead
    settings = {name: value for name, value in ahead.items() if name not in RESULTS}
    return settings | {"status": status, "reason": "the machine's fault"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the length of files")
def test_every_row_is_right_after_an_edit_a_wrong_clock_a_full_disk_and_a_damaged_cache(tmp_path):
    bench = Bench(tmp_path)

    # What an undisturbed grid stores.
    bench.write(EDITED, ALL_SEEDS)
    done = bench.grid("clean")
    assert done.returncode == 0, done.stderr
    clean = bench.rows("clean")
    assert set(statuses(tmp_path / "clean")) == {"solved", "unsolved"}

    # An edited cell: its runs are trained again, and those of the other cell are not.
    bench.write(FIRST, FIRST_SEEDS)
    assert bench.grid("out").returncode == 0
    before = bench.rows("out")
    bench.write(EDITED, FIRST_SEEDS)
    done = bench.grid("out")
    assert done.returncode == 0, done.stderr
    assert f"to do: {FIRST_SEEDS} runs" in done.stdout
    assert "another version of" in done.stdout
    edited = {run_id: row for run_id, row in bench.rows("out").items() if run_id not in before}
    assert len(edited) == FIRST_SEEDS
    assert edited == {run_id: clean[run_id] for run_id in edited}
    assert all("'cell': 'leaky'" in row for row in edited.values())

    # A wrong clock: runs that failed or lack weights are trained once, and no row is hidden.
    made = read_rows(tmp_path / "clean").to_pylist()
    wrong = {0: "skipped", 1: "failed", 2: "failed", 3: "trained"}  # by seed
    with Store(tmp_path / "out") as store:
        store.append([tomorrow(row, wrong[row["seed"]]) for row in made if row["seed"] in wrong])
    bench.write(EDITED, MORE_SEEDS)
    done = bench.grid("out", "--retry-failed")
    assert done.returncode == 0, done.stderr
    assert "to do: 4 runs" in done.stdout  # seeds 2 and 3 of both cells

    # A full disk: what was stored is kept.
    before = bench.rows("out")
    bench.write(EDITED, ALL_SEEDS)
    done = bench.grid("out", "--retry-failed", before=full_disk)
    assert done.returncode == 2, done.stderr
    assert "to do: 4 runs" in done.stdout  # seeds 4 and 5: nothing is left to retry
    assert "cannot be written: File too large" in done.stderr
    assert bench.rows("out") == before

    # A damaged cache, as a power cut leaves it: it is built again, or done without.
    cell = bench.cache.rglob("rnn_tanh*")  # the loop's code would only take longer to compile
    files = [path for path in cell if path.suffix in (".nbi", ".nbc")]
    assert files
    for path in files:
        os.truncate(path, 0)
    done = bench.grid("out")
    assert done.returncode == 0, done.stderr

    stored = bench.rows("out")
    assert {run_id: stored[run_id] for run_id in clean} == clean

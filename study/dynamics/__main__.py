"""Run the command `study dynamics`, which analyses every network with stored weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from study.command import Count, Names, command, cores, run
from study.dynamics import closed_form, crossings, hypotheses, resonance, tables
from study.dynamics.analyses import (
    ANALYSES,
    CROSSINGS,
    SURVEYS,
    closed_form_digest,
    code_of,
    survey_digest,
)
from study.dynamics.network import is_suitable
from study.dynamics.tables import Row
from study.errors import BadInput, echo, unknown
from study.grid import atomic_write, load_saying, not_loaded, run_of
from study.model import FUSED_CELLS

CORES = cores()
TABLES = (*ANALYSES, "crossings", "closed_form", *SURVEYS)
FOLLOWED = 1000  # runs that are followed before the table is stored
LARGEST_WEIGHT = 1e9  # networks with larger weights are left out: their states may overflow

app = command(
    "dynamics",
    "study dynamics results/main\nstudy dynamics results/main --only cycles --only slips",
)


@app.default
def dynamics(results: Path, /, *, only: Names = (), jobs: Count = CORES) -> None:
    """Find how each network with stored weights keeps track of whether 1 or 0 comes next.

    If the grid has blocks with a name that begins with `resonance`, the command trains the runs of
    these blocks again instead, and finds when and how they learn their pattern. Torch does so for
    cells of your own, which takes longer. Runs of the cell `lstm_nfg` are left out: its state never
    decays, so that an eigenvalue is 1 from the start.

    The tables are written to RESULTS/dynamics. A stored table is computed again only if its runs,
    their weights or the code have changed. So an interrupted command resumes at the table that it
    was computing.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    only
        Compute only this table, such as cycles or slips. May be given several times.
    jobs
        Number of parallel processes.
    """
    for name in only:
        if name not in TABLES:
            raise BadInput.at(f"--only {name}", unknown("analysis", name, TABLES))
    runs = load_saying(results, curves=False, weights=True)
    if found := not_loaded(runs):  # which `load_saying` says
        runs = runs[~found.is_unknown]
    watched = crossings.watched(runs[~runs["cell"].isin(resonance.LOSSLESS)])
    untrained = runs.drop(columns="weights")
    untrained_only = (a for a in ANALYSES.values() if not a.of_trained)
    needs_none = len(watched) or max(len(a.chosen(runs)) for a in untrained_only)
    networks = runs.iloc[:0] if needs_none else analysable(runs, results)
    echo(f"{len(networks) or needs_none:,} networks to analyse in {results}", file=sys.stderr)
    for name in only or TABLES:
        if name == "crossings":
            follow(results, watched.drop(columns="weights"), jobs)
        elif name == "closed_form":
            chosen = closed_form.chosen(watched)
            if len(chosen):
                make(
                    results,
                    name,
                    closed_form_digest(chosen),
                    partial(closed_form.rows, chosen, jobs),
                )
        elif name in ANALYSES:
            analysis = ANALYSES[name]
            chosen = analysis.chosen(networks if analysis.of_trained else untrained)
            if len(chosen):
                make(results, name, analysis.digest(chosen), partial(analysis.rows, chosen, jobs))
        elif len(networks):
            make(results, name, survey_digest(runs), partial(SURVEYS[name], runs))
    if not only:
        verdicts = hypotheses.table(results, untrained)
        text = verdicts.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        atomic_write(results / tables.FOLDER / "verdicts.csv", text.encode())


def analysable(runs: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Return the runs with stored weights that can be analysed.

    A run qualifies if it has finished training, if `is_suitable` accepts its settings, if every
    weight is below LARGEST_WEIGHT in absolute value, and if its cell has compiled gates. Raises
    `BadInput` if no run qualifies.
    """
    runs = runs[runs["weights"].notna() & runs["status"].isin(("solved", "unsolved"))]
    applies = [
        is_suitable(run_of(row)) and np.abs(row["weights"]).max() < LARGEST_WEIGHT  # False for NaN
        for _, row in runs.iterrows()
    ]
    runs = with_gates(runs[np.array(applies, bool)])
    if runs.empty:
        message = "has no weights to analyse; train a block of its grid with `keep_weights: true`"
        raise BadInput.at(str(results), f"{message} and task 'alternating'")
    return runs


def with_gates(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs whose cell has compiled gates, and print a note about the others."""
    known = runs["cell"].isin(FUSED_CELLS)
    for cell, count in runs.loc[~known, "cell"].value_counts().items():
        runs_of = f"{count:,} run{'s' * (count != 1)} of cell {cell!r}"
        why = "the analysis needs gates in study/engines/fused/gates.py (see docs/extending.md)"
        echo(f"note: leaving out {runs_of}, since {why}", file=sys.stderr)
    return runs[known]


def follow(results: Path, runs: pd.DataFrame, jobs: int) -> None:
    """Compute the table `crossings`, and store it after every FOLLOWED runs.

    The rows that an interrupted command had stored are kept, unless the code with which runs of
    their cell are followed has changed. The column `code` has a hash of this code.
    """
    name = "crossings"
    if runs.empty:
        return
    codes = {c: tables.digest(code_of(CROSSINGS.modules, [c]), runs[[]]) for c in set(runs["cell"])}
    now = {run.run_id: codes[run.cell] for run in runs[["run_id", "cell"]].itertuples()}
    stored = tables.read_rows(results, name)
    rows = [row for row in stored if row.get("code") == now.get(row["run_id"], "")]
    missing = runs[~runs["run_id"].isin([row["run_id"] for row in rows])]
    if missing.empty:
        echo(f"{name}: already stored", file=sys.stderr)
        if len(rows) < len(stored):
            tables.write(results, name, rows)  # without the runs that were removed
    for first in range(0, len(missing), FOLLOWED):
        found = CROSSINGS.rows(missing.iloc[first : first + FOLLOWED], jobs)
        rows += [row | {"code": codes[row["cell"]]} for row in found]
        path = tables.write(results, name, sorted(rows, key=lambda row: row["run_id"]))
        echo(f"{name}: wrote {len(rows):,} of {len(runs):,} rows to {path}", file=sys.stderr)


def make(results: Path, name: str, key: str, rows_of: Callable[[], list[Row]]) -> None:
    """Compute the table `name` and store it, unless a stored table already has the digest `key`."""
    if tables.digest_of(results, name) == key:
        echo(f"{name}: already stored", file=sys.stderr)
        return
    rows = rows_of()
    path = tables.write(results, name, rows, key)
    echo(f"{name}: wrote {len(rows):,} rows to {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(app))

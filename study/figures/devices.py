"""Draw how long training takes on each device and with each engine.

An engine is a program that trains networks. Only runs that had the machine to themselves are used.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from study.figures.captions import n_of
from study.figures.tables import alike, columns_of, in_order, table_by, trained_to_end
from study.figures.theme import WIDTH, Drawing, legend_below, log_axis, marks, styles
from study.grid import Missing, Results
from study.stats import bootstrap
from study.text import cell_name

SAME = ["cell", "task", "length", "noise", "hidden_size", "batch_size", "optimizer", "lr", "start"]
SAME += ["init", "state", "dtype", "cut_every", "cut_offset"]
BY = ["cell", "device_engine"]


def seconds(results: Results) -> Drawing:
    """Draw the training time per update for each cell, device and engine."""
    rows = alone(_comparable(results))
    rows = rows.assign(
        device_engine=rows["device"] + ", " + rows["engine"],
        ms=1000 * rows["train_seconds"] / rows["updates"],
    )
    table, cells = table_by(rows, BY, _median), in_order(rows["cell"])
    looks = styles(sorted(rows["device_engine"].unique()), linestyle="")
    figure, axis = plt.subplots(figsize=(WIDTH * 0.6, 2.6))
    places: dict[str, Any] = {"along": "cell", "names": cells, "step": 0.1, "flat": False}
    marks(axis, table, looks, by="device_engine", **places)
    axis.set_xticks(range(len(cells)), [cell_name(cell) for cell in cells])
    log_axis(axis, "y")
    axis.set_ylabel("milliseconds per update")
    legend_below(figure, looks)
    caption = (
        "Median training time per update, without evaluations, on each device and with each "
        "engine: “fused” is the study's compiled loop, and “torch” is PyTorch. Each run had the "
        f"machine to itself. Bars are 95 % bootstrap intervals for {n_of(rows, BY)} runs per mark."
    )
    return Drawing(figure, table, caption, results.naming("seconds"))


def _median(group: pd.DataFrame) -> list[dict[str, Any]]:
    values, rng = group.sort_values("run_id")["ms"].to_numpy(), np.random.default_rng(0)
    median = bootstrap(lambda i: np.median(values[i], -1), [len(values)], rng)
    return [columns_of(median, "median_milliseconds_per_update")]


def _comparable(results: Results) -> pd.DataFrame:
    """Return the runs that can be compared with the runs of the blocks that name the figure.

    A block is a named part of the grid, but the runs returned may come from the whole grid. For
    each setting in `SAME`, a run must have a value that also occurs in these blocks. The engine and
    the device may differ. Runs without any update, and runs that did not finish training, are left
    out.
    """
    rows = trained_to_end(results.runs)
    return alike(rows[rows["updates"] > 0], results.shown("seconds"), SAME)


def alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the runs that had the machine to themselves.

    Raises `Missing` if there are no such runs.
    """
    chosen = rows[rows["runs_at_once"] == 1]
    if chosen.empty:
        counts = rows["runs_at_once"].value_counts().items()
        shared = ", ".join(f"{n:,} were trained {at_once} at a time" for at_once, n in counts)
        hint = "train these blocks with --jobs 1 into another folder"
        raise Missing(f"no run was timed alone ({shared}), so {hint}")
    return chosen

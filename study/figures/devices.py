"""Seconds by device and engine, from runs that had the machine to themselves."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from study.figures.captions import n_of, setting_words
from study.figures.tables import columns_of, conclusive, in_order, table_by
from study.figures.theme import WIDTH, Drawing, legend_below, log_axis, marks, styles
from study.grid import Missing, Results
from study.stats import bootstrap
from study.text import cell_name

SAME = ["cell", "task", "length", "noise", "hidden_size", "batch_size", "optimizer", "lr", "start"]
SAME += ["init", "state", "dtype"]
GROUP = ["cell", "device_engine"]


def seconds(results: Results) -> Drawing:
    """Milliseconds of training per update, by cell, device and engine, each run measured alone."""
    rows = alone(_comparable(results))
    rows = rows.assign(
        device_engine=rows["device"] + ", " + rows["engine"],
        ms=1000 * rows["train_seconds"] / rows["updates"],
    )
    table, cells = table_by(rows, GROUP, _median), in_order(rows["cell"])
    looks = styles(sorted(rows["device_engine"].unique()), linestyle="")
    figure, axis = plt.subplots(figsize=(WIDTH * 0.6, 2.6))
    places: dict[str, Any] = {"along": "cell", "names": cells, "step": 0.1, "flat": False}
    marks(axis, table, looks, by="device_engine", **places)
    axis.set_xticks(range(len(cells)), [cell_name(cell) for cell in cells])
    log_axis(axis, "y")
    axis.set_ylabel("milliseconds per update")
    legend_below(figure, looks)
    caption = (
        "Median training time per update, without evaluation, of runs that had the machine to "
        f"themselves; {n_of(rows, GROUP)} runs per mark, with 95 % bootstrap intervals over runs. "
        f"{setting_words(rows)}"
    )
    return Drawing(figure, table, caption, ("devices",))


def _median(group: pd.DataFrame) -> list[dict[str, Any]]:
    values, rng = group.sort_values("run_id")["ms"].to_numpy(), np.random.default_rng(0)
    found = bootstrap(lambda i: np.median(values[i], -1), [len(values)], rng)
    return [columns_of(found, "median_milliseconds_per_update")]


def _comparable(results: Results) -> pd.DataFrame:
    """The block's runs, and those of other blocks that differ only in engine and device."""
    block = results.block("devices")
    rows = conclusive(results.runs)
    same = rows["cut_every"].isna() & rows["updates"].gt(0)
    for name in SAME:
        same &= rows[name].isin(block[name].unique())
    return rows[same]


def alone(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows measured one at a time; `Missing` where there are none."""
    chosen = rows[rows["runs_at_once"] == 1]
    if chosen.empty:
        counts = rows["runs_at_once"].value_counts().items()
        shared = ", ".join(f"{n:,} with {at_once} at once" for at_once, n in counts)
        raise Missing(
            f"no timing was measured alone ({shared}); train the block with --jobs 1 into a folder "
            "of its own"
        )
    return chosen

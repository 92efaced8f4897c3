"""Seconds by device and engine, from runs that had the machine to themselves."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from study.figures.results import NotDrawable, Results
from study.figures.theme import (
    WIDTH,
    Drawing,
    columns_of,
    conclusive,
    error_bars,
    in_order,
    legend_below,
    log_axis,
    n_of,
    setting_words,
    styles,
)
from study.stats import bootstrap
from study.text import cell_name

SAME = (
    "cell",
    "task",
    "length",
    "noise",
    "hidden_size",
    "batch_size",
    "optimizer",
    "lr",
    "start",
    "init",
    "state",
    "dtype",
)


def seconds(results: Results) -> Drawing:
    """Milliseconds of training an update, by cell, device and engine; refuses timings not measured alone."""
    rows = alone(_comparable(results))
    rows = rows.assign(
        place=rows["device"] + ", " + rows["engine"],
        ms=1000 * rows["train_seconds"] / rows["updates"],
    )
    made = []
    for (cell, place), group in rows.groupby(["cell", "place"]):
        values = group.sort_values("run_id")["ms"].to_numpy()
        found = bootstrap(
            lambda i, v=values: np.median(v[i], -1), [len(values)], np.random.default_rng(0)
        )
        made.append(
            {"cell": cell, "device_engine": place}
            | columns_of(found, "median_milliseconds_per_update")
        )
    table = pd.DataFrame(made)
    cells, looks = in_order(rows["cell"]), styles(sorted(rows["place"].unique()))
    figure, axis = plt.subplots(figsize=(WIDTH * 0.6, 2.6))
    for place, part in table.groupby("device_engine"):
        order = np.array([cells.index(cell) for cell in part["cell"]])
        error_bars(
            axis,
            order + 0.1 * list(looks).index(str(place)),
            part,
            **{**looks[str(place)], "linestyle": ""},
        )
    axis.set_xticks(range(len(cells)), [cell_name(cell) for cell in cells])
    log_axis(axis, "y")
    axis.set_ylabel("milliseconds an update")
    legend_below(figure, looks, linestyle="")
    return Drawing(figure, table, _caption(rows), ("devices",))


def _comparable(results: Results) -> pd.DataFrame:
    """The runs of the block, and those of other blocks whose settings, engine and device aside, are the same."""
    block = results.block("devices")
    rows = conclusive(results.runs)
    same = rows["cut_every"].isna()
    for name in SAME:
        same &= rows[name].isin(block[name].unique())
    return rows[same & rows["updates"].gt(0)]


def alone(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows measured one at a time; `NotDrawable` where there are none."""
    chosen = rows[rows["runs_at_once"] == 1]
    if chosen.empty:
        shared = ", ".join(
            f"{n:,} with {at_once} at once"
            for at_once, n in rows["runs_at_once"].value_counts().items()
        )
        message = f"no timing was measured alone ({shared}); train the block with --jobs 1 into a folder of its own"
        raise NotDrawable(message)
    return chosen


def _caption(rows: pd.DataFrame) -> str:
    n = n_of(rows.groupby(["cell", "place"]).size())
    return (
        f"Training time of an update, median over {n} runs with 95 % bootstrap intervals over runs, evaluation "
        f"excluded; only runs that had the machine to themselves. {setting_words(rows)}"
    )

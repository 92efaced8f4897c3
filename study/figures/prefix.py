"""Draw how many labels linear recurrences get right before their first error.

This number is called the *prefix*. The figure compares the prefix with an upper bound, which holds
if the decays are positive. The decays are the factors by which the state is multiplied at each
step. The bound says nothing about other cells, so it is not drawn for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.dynamics import existence
from study.figures.captions import n_of
from study.figures.tables import columns_of, dynamics_table, in_order, ordered, table_by
from study.figures.theme import Drawing, cell_styles, log_axis, panels
from study.grid import Missing, Results
from study.stats import Estimate, median


def prefix(results: Results) -> Drawing:
    """Draw how many labels linear recurrences get right in a row from step 1, without noise."""
    results.shown("prefix")  # raises `Missing` where no block names the figure
    rows = dynamics_table(results, "bound")
    rows = rows[rows["noise"] == 0] if len(rows) else rows
    if rows.empty:
        raise Missing("the table 'bound' has no run without noise")
    cells = sorted(in_order(rows["cell"]), key=lambda cell: cell not in existence.POSITIVE)
    looks = cell_styles(cells)
    figure, axes = panels(cells, 2.4, sharex=True, sharey=True)
    for axis, cell in zip(axes[0], cells, strict=True):
        _draw(axis, rows[rows["cell"] == cell], looks[cell]["color"])
        axis.set_xlabel("hidden size H")
        log_axis(axis, "y")
        axis.set_ylim(0.4, 2 * float(rows["prefix"].max()))
    for axis, cell in zip(axes[0], cells, strict=True):
        if cell in existence.POSITIVE:
            _draw_bound(axis, sorted(rows.loc[rows["cell"] == cell, "bound"].unique()))
    axes[0, 0].set_ylabel("labels right from step 1 on")
    table = table_by(ordered(rows), ["cell", "hidden_size"], _measures)
    positive = rows[rows["cell"].isin(existence.POSITIVE)]
    over = int((positive["prefix"] > positive["bound"]).sum())
    special = " Dots at ½ get none right." if (rows["prefix"] == 0).any() else ""
    special += " Triangles get all right." if rows["censored"].any() else ""
    caption = (
        "Number of labels in a row that a network gets right, from step 1 on and without noise; "
        f"each dot is a network, and {n_of(rows, ['cell', 'hidden_size'])} per cell and hidden "
        f"size.{special} A black line is the upper bound for cells with positive decays, H + 1, "
        f"which {over} of {len(positive)} such networks exceed. The CSV file has medians with 95 % "
        "intervals."
    )
    return Drawing(figure, table, caption, results.naming("prefix"))


def _measures(rows: pd.DataFrame) -> list[dict[str, Any]]:
    size, longest = int(rows["hidden_size"].iloc[0]), float(rows["prefix"].max())
    counts = {
        "bound": size + 1,
        "censored": int(rows["censored"].sum()),
        "over": int((rows["prefix"] > rows["bound"]).sum()),
    }
    largest = Estimate(longest, longest, longest, len(rows))  # a maximum has no interval
    return [
        counts | columns_of(largest, "longest_prefix"),
        counts | columns_of(median(rows["prefix"].to_numpy()), "median_prefix"),
    ]


def _draw_bound(axis: Axes, bounds: list[int]) -> None:
    """Draw a line at the bound of each hidden size, and name the first."""
    for place, bound in enumerate(bounds):
        axis.plot([place - 0.45, place + 0.45], [bound, bound], color="black", linewidth=1.2)
    axis.text(-0.45, 1.1 * bounds[0], "bound H + 1", fontsize=6)


def _draw(axis: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw one mark per network.

    The mark is a triangle if the network got every label right, and a dot otherwise. Networks
    of the same hidden size are spread out horizontally in the order of their seeds.
    """
    sizes = sorted(rows["hidden_size"].unique())
    spread = 0.7 * (rows["seed"].rank(pct=True).to_numpy() - 0.5)
    places = rows["hidden_size"].map(sizes.index).to_numpy(float) + spread
    lengths, erred = rows["prefix"].to_numpy(float), ~rows["censored"].to_numpy(bool)
    look = {"color": colour, "markersize": 4, "alpha": 0.6}
    axis.plot(places[erred], np.maximum(lengths[erred], 0.5), ".", **look)
    axis.plot(places[~erred], lengths[~erred], "^", **look)
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])

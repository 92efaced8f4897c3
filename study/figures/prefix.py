"""Draw how many labels linear recurrences get right before their first error.

This number is called the *prefix*. The figure compares the prefix with an upper bound, which holds
if the decays are positive. The decays are the factors by which the state is multiplied at each
step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.captions import n_of
from study.figures.tables import columns_of, dynamics_table, in_order, ordered, table_by
from study.figures.theme import Drawing, log_axis, panels, styles
from study.grid import Missing, Results
from study.stats import Estimate, median


def prefix(results: Results) -> Drawing:
    """Draw how many labels linear recurrences get right in a row from step 1, without noise."""
    results.shown("prefix")  # raises `Missing` where no block names the figure
    rows = dynamics_table(results, "bound")
    rows = rows[rows["noise"] == 0] if len(rows) else rows
    if rows.empty:
        raise Missing("the table 'bound' has no run without noise")
    cells = in_order(rows["cell"])
    looks = styles(cells)
    figure, axes = panels(cells, 2.4, sharex=True, sharey=True)
    for axis, cell in zip(axes[0], cells, strict=True):
        _draw(axis, rows[rows["cell"] == cell], looks[cell]["color"])
        axis.set_xlabel("hidden size H")
        log_axis(axis, "y")
        axis.set_ylim(0.4, 2 * float(rows["prefix"].max()))
    axes[0, 0].set_ylabel("labels right from step 1 on")
    table = table_by(ordered(rows), ["cell", "hidden_size"], _measures)
    positive = rows[rows["cell"] != "diagonal_signed"]
    over = int((positive["prefix"] > positive["bound"]).sum())
    special = (
        " A dot at ½ is a network that gets no label right." if (rows["prefix"] == 0).any() else ""
    )
    special += (
        " A triangle is a network that gets every label right." if rows["censored"].any() else ""
    )
    caption = (
        "Each dot shows how many labels in a row a network gets right, from step 1 on and without "
        f"noise. There are {n_of(rows, ['cell', 'hidden_size'])} networks per cell and hidden "
        f"size.{special} The black lines show H + 1, where H is the hidden size: an upper bound "
        "for cells with positive decays, which are all but “diagonal, (−1, 1)”. "
        f"{over} of {len(positive)} such networks exceed it. The CSV file has "
        "medians with 95 % intervals."
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


def _draw(axis: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw one mark per network, and a line at the upper bound for each hidden size.

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
    for place, size in enumerate(sizes):
        axis.plot([place - 0.45, place + 0.45], [size + 1, size + 1], color="black", linewidth=1.2)
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])

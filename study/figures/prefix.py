"""What linear recurrences can: the longest exact prefix against the bound of those whose decays are positive."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.results import NotDrawable, Results
from study.figures.theme import WIDTH, Drawing, columns_of, in_order, log_axis, n_of, styles
from study.stats import Estimate, median
from study.text import VARIANT_NAMES, cell_name

BLOCK = "variants"  # of grids with linear recurrences


def prefix(results: Results) -> Drawing:
    """The longest run of right labels from step 1 on of each noiseless linear recurrence, by hidden size."""
    results.block(BLOCK)
    rows = results.table("bound")
    rows = rows[rows["noise"] == 0] if len(rows) else rows
    if rows.empty:
        raise NotDrawable("the table of the bound has no run without noise")
    cells = in_order(rows["cell"], VARIANT_NAMES)
    looks = styles(cells)
    figure, axes = plt.subplots(
        1, len(cells), figsize=(WIDTH, 2.4), squeeze=False, sharex=True, sharey=True
    )
    made = []
    for axis, cell in zip(axes[0], cells, strict=True):
        some = rows[rows["cell"] == cell]
        _draw(axis, some, looks[cell])
        made += [{"cell": cell} | row for row in _rows(some)]
        axis.set_title(cell_name(cell))
        axis.set_xlabel("hidden size H")
    _axes(axes[0], rows)
    return Drawing(figure, pd.DataFrame(made), _caption(rows), (BLOCK,))


def _rows(rows: pd.DataFrame) -> list[dict]:
    made = []
    for size in sorted(map(int, rows["hidden_size"].unique())):
        some = rows[rows["hidden_size"] == size]
        longest = float(some["prefix"].max())
        names = {"hidden_size": size, "bound": size + 1, "censored": int(some["censored"].sum())}
        names["over"] = int((some["prefix"] > some["bound"]).sum())
        largest = Estimate(longest, longest, longest, len(some))
        made.append(names | columns_of(largest, "longest_prefix"))
        made.append(names | columns_of(median(some["prefix"].to_numpy()), "median_prefix"))
    return made


def _draw(axis: Axes, rows: pd.DataFrame, look: dict) -> None:
    """A dot a network, spread by its seed; a triangle where no label was wrong to the end; the bound as steps."""
    spread = 0.7 * (rows["seed"].rank(pct=True).to_numpy() - 0.5)
    sizes = sorted(rows["hidden_size"].unique())
    places = (
        rows["hidden_size"].map({size: place for place, size in enumerate(sizes)}).to_numpy(float)
        + spread
    )
    reached, ended = rows["prefix"].to_numpy(float), ~rows["censored"].to_numpy(bool)
    axis.plot(
        places[ended],
        np.maximum(reached[ended], 0.5),
        ".",
        color=look["color"],
        markersize=4,
        alpha=0.6,
    )
    axis.plot(places[~ended], reached[~ended], "^", color=look["color"], markersize=4, alpha=0.6)
    for place, size in enumerate(sizes):
        axis.plot([place - 0.45, place + 0.45], [size + 1, size + 1], color="black", linewidth=1.2)
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])


def _axes(axes: np.ndarray, rows: pd.DataFrame) -> None:
    for axis in axes:
        log_axis(axis, "y")
        axis.set_ylim(0.4, 2 * float(rows["prefix"].max()))
    axes[0].set_ylabel("labels right from step 1 on")


def _caption(rows: pd.DataFrame) -> str:
    n = n_of(rows.groupby(["cell", "hidden_size"]).size())
    positive = rows[rows["cell"] != "diagonal_signed"]
    over = int((positive["prefix"] > positive["bound"]).sum())
    seen = "Triangles: no wrong label to the end. " if rows["censored"].any() else ""
    seen += "A network right at none is drawn at one half. " if (rows["prefix"] == 0).any() else ""
    return (
        "Labels right in a row from step 1 on, of trained linear recurrences on the task without noise, on sequences "
        f"of ten training lengths; {n} networks a cell and size, all that were trained. Bars: H + 1, which one layer "
        f"with positive decays cannot pass; {over} of {len(positive)} such networks do. {seen}"
        "figures/prefix.csv has the longest, a single number without an interval, "
        "and medians with 95 % intervals between order statistics."
    )

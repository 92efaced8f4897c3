"""Draw how much longer networks take to learn if the gradient is cut every k steps."""

from __future__ import annotations

from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from study.dynamics import truncation
from study.figures.tables import columns_of, dynamics_table, in_order, table_by
from study.figures.theme import WIDTH, Drawing, legend_below, log_axis, styles
from study.grid import Results
from study.stats import median
from study.text import cell_name

NAMES = {"fixed": "fixed cuts", "shifted": "shifted by k/2", "random": "random cuts"}
GROUP = ["cell", "pattern", "cut_every", "cut_offset"]


def interference(results: Results) -> Drawing:
    """Draw how much longer learning takes if the gradient is cut every k steps."""
    runs = results.block(*truncation.BLOCKS)
    rows = truncation.settings_of(dynamics_table(results, "false_signals"), runs)
    cut = rows[rows["cut_every"].notna()]
    table = table_by(cut, GROUP, _signal)
    times = [truncation.times(some).assign(cell=cell) for cell, some in rows.groupby("cell")]
    table = table.merge(pd.concat(times)[[*GROUP, "slowdown", "meets"]], on=GROUP)
    cells, patterns = (
        in_order(rows["cell"]),
        sorted(set(rows["pattern"]), key=lambda p: (len(p), p)),
    )
    looks = styles(NAMES, markersize=2.2, linewidth=0.9)
    figure, axes = plt.subplots(
        len(cells), len(patterns), figsize=(WIDTH, 1.15 * len(cells) + 0.6), squeeze=False,
        sharex="col", sharey=True,
    )  # fmt: skip
    top = 1.6 * table["slowdown"][np.isfinite(table["slowdown"])].max()
    for axis, (cell, pattern) in zip(axes.flat, product(cells, patterns), strict=True):
        some = table[(table["cell"] == cell) & (table["pattern"] == pattern)]
        for k in sorted(set(some.loc[some["meets"], "cut_every"])):
            axis.axvspan(k - 0.35, k + 0.35, color="0.88", linewidth=0)
        axis.axhline(1, color="0.5", linewidth=0.6)
        for place, look in looks.items():
            part = some[some["cut_offset"] == place].sort_values("cut_every")
            late = part["slowdown"].clip(upper=top)
            axis.plot(part["cut_every"], late, **look)
        log_axis(axis, "y")
        axis.set_ylim(0.4, 1.15 * top)
    for axis, pattern in zip(axes[0], patterns, strict=True):
        axis.set_title(pattern, pad=3)
    for axis, cell in zip(axes[:, 0], cells, strict=True):
        axis.set_ylabel(f"{cell_name(cell)}\ntimes as long")
    for axis in axes[-1]:
        axis.set_xlabel("k")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    legend_below(figure, looks, NAMES.__getitem__)
    n = cut.groupby(GROUP).size()
    caption = (
        "Median update at which runs solve the task if the gradient is cut every k steps, over the "
        "median without cuts; each column is a pattern. Shaded are k at which all fixed cuts meet "
        "the same place of a harmonic with power. Infinite medians are drawn at the top. "
        f"n = {n.min()} runs per mark. The CSV file has the false signal, with 95 % intervals."
    )
    return Drawing(figure, table, caption, truncation.BLOCKS)


def _signal(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [columns_of(median(rows["false_signal"].to_numpy(float)), "false_signal")]

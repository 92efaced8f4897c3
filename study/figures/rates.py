"""Draw how many runs solve the task and how soon, by learning rate.

"How soon" is measured by the restricted mean update. This is the mean number of updates until a run
solves the task. A run that does not solve the task is treated as if it had needed the largest
number of updates allowed.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from study.analysis import choose
from study.figures.captions import RESTRICTED, evaluations, n_of
from study.figures.tables import GROUP, in_order, share_and_mean, trained_to_end
from study.figures.theme import Drawing, error_bars, legend_below, log_axis, panels, styles
from study.grid import Results
from study.text import optimizer_name

MEASURES = {"share_solved": "share solved", "restricted_mean_update": "restricted mean update"}


def learning_rates(results: Results) -> Drawing:
    """Draw the share solved and the restricted mean update at each learning rate.

    Rings mark the chosen rates. `restricted_mean_of` in `tables` explains the restricted mean.
    """
    rows = trained_to_end(results.shown("learning_rates"))
    chosen = choose(rows)[[*GROUP, "lr"]].assign(chosen=True)
    table = share_and_mean(rows, [*GROUP, "lr"]).merge(chosen, how="left")
    table = table.fillna({"chosen": False})
    cells, looks = in_order(table["cell"]), styles(sorted(table["optimizer"].unique()))
    figure, axes = panels(cells, 3.6, lines=2, sharex=True, sharey="row")
    for column, cell in zip(axes.T, cells, strict=True):
        for axis, measure in zip(column, MEASURES, strict=True):
            is_here = (table["cell"] == cell) & (table["measure"] == measure)
            _draw_rates(axis, table[is_here], looks)
        log_axis(column[1], "y")
    for axis, label in zip(axes[:, 0], MEASURES.values(), strict=True):
        axis.set_ylabel(label)
    legend_below(figure, looks, optimizer_name)
    for axis in axes[1]:
        log_axis(axis)
        axis.set_xlabel("learning rate")
    caption = (
        "Share of runs that solved the task (top) and mean number of updates until a run solved "
        f"it (bottom). {RESTRICTED} A ring marks the chosen learning rate, which has the smallest "
        f"mean. Bars are 95 % intervals for {n_of(rows, [*GROUP, 'lr'])} runs per mark, whose "
        f"seeds are used for tuning only. {evaluations(rows)}"
    )
    return Drawing(figure, table, caption, results.naming("learning_rates"))


def _draw_rates(axis: Axes, table: pd.DataFrame, looks: dict) -> None:
    for place, (name, part) in enumerate(table.groupby("optimizer")):
        shift = 1.05 ** (place - (len(looks) - 1) / 2)  # keeps the optimizers' bars apart
        error_bars(axis, part["lr"] * shift, part, **looks[name])
        best = part[part["chosen"].astype(bool)]
        ring = {"fillstyle": "none", "markersize": 8, "zorder": 5}
        axis.plot(best["lr"] * shift, best["estimate"], "ko", **ring)

"""Draw how many runs solve the task and how soon, by learning rate and by threshold.

"How soon" is measured by the restricted mean update. This is the mean number of updates until a run
solves the task. A run that does not solve the task is treated as if it had needed the largest
number of updates allowed. The task counts as solved once the share of error-free sequences reaches
the threshold.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.analysis import choose, sensitivity
from study.figures.captions import RESTRICTED, n_of, setting_words
from study.figures.convergence import by_cell_and_optimizer
from study.figures.tables import GROUP, in_order, share_and_mean, trained_to_end
from study.figures.theme import Drawing, error_bars, legend_below, log_axis, marks, panels, styles
from study.grid import Results
from study.text import optimizer_name

THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 1.0)
MEASURES = {"share_solved": "share solved", "restricted_mean_update": "restricted mean update"}


def _share_above_mean(
    table: pd.DataFrame, height: float, draw: Callable[..., None]
) -> tuple[Figure, np.ndarray]:
    """Draw the share solved in upper panels, and the restricted mean update in lower panels.

    There is one column of panels per cell. `table` is a result of `share_and_mean`, grouped at
    least by cell and optimizer. `height` is the figure's height in inches. The function `draw`
    fills one panel. Its arguments are the axis, the table's rows for this panel, and the style of
    each optimizer. Returns the figure and an array of its axes (2, cells).
    """
    cells, looks = in_order(table["cell"]), styles(sorted(table["optimizer"].unique()))
    figure, axes = panels(cells, height, lines=2, sharex=True, sharey="row")
    for column, cell in zip(axes.T, cells, strict=True):
        for axis, measure in zip(column, MEASURES, strict=True):
            draw(axis, table[(table["cell"] == cell) & (table["measure"] == measure)], looks)
        log_axis(column[1], "y")
    axes[0, 0].set_ylabel("share solved")
    # In low figures the label does not fit on one line.
    axes[1, 0].set_ylabel("restricted mean update" if height > 3 else "restricted\nmean update")
    legend_below(figure, looks, optimizer_name)
    return figure, axes


def learning_rates(results: Results) -> Drawing:
    """Draw the share solved and the restricted mean update at each learning rate.

    Rings mark the chosen rates. `restricted_mean_of` in `tables` explains the restricted mean.
    """
    rows = trained_to_end(results.shown("learning_rates"))
    chosen = choose(rows)[[*GROUP, "lr"]].assign(chosen=True)
    table = share_and_mean(rows, [*GROUP, "lr"]).merge(chosen, how="left")
    table = table.fillna({"chosen": False})
    figure, axes = _share_above_mean(table, 3.6, _draw_rates)
    for axis in axes[1]:
        log_axis(axis)
        axis.set_xlabel("learning rate")
    caption = (
        "The top panels show the share of runs that solved the task, and the bottom panels show "
        f"the mean number of updates until a run solved it. {RESTRICTED} A ring marks the learning "
        "rate with the smallest mean, which we chose. Bars are 95 % intervals for "
        f"{n_of(rows, [*GROUP, 'lr'])} runs per mark. The seeds of these runs, "
        f"{rows['seed'].min()} to {rows['seed'].max()}, are used for tuning only. "
        f"{setting_words(rows)}"
    )
    return Drawing(figure, table, caption, results.naming("learning_rates"))


def _draw_rates(axis: Axes, table: pd.DataFrame, looks: dict) -> None:
    for place, (name, part) in enumerate(table.groupby("optimizer")):
        shift = 1.05 ** (place - (len(looks) - 1) / 2)  # keeps the optimizers' bars apart
        error_bars(axis, part["lr"] * shift, part, **looks[name])
        best = part[part["chosen"].astype(bool)]
        ring = {"fillstyle": "none", "markersize": 8, "zorder": 5}
        axis.plot(best["lr"] * shift, best["estimate"], "ko", **ring)


def thresholds(results: Results) -> Drawing:
    """Draw the share solved and the restricted mean update for several thresholds.

    A run solves the task if its share of error-free sequences reaches the threshold. Both numbers
    are computed from the stored evaluation curves, so nothing is trained again.
    `restricted_mean_of` in `tables` explains the restricted mean.
    """
    rows = by_cell_and_optimizer(results, "thresholds")
    rng, own = np.random.default_rng(0), int(rows["solved_evaluations"].max())
    table = _long(sensitivity(rows, rng, thresholds=THRESHOLDS, consecutive=sorted({1, own})))
    strict = table[table["consecutive"] == own]
    figure, axes = _share_above_mean(strict, 2.7, _draw_thresholds)
    for axis in axes[1]:
        axis.set_xticks(range(len(THRESHOLDS)), [f"{value:g}" for value in THRESHOLDS])
        axis.set_xlabel("threshold")
    means = strict[strict["measure"] == "restricted_mean_update"]
    means = means.pivot_table(index=GROUP, columns="threshold", values="estimate")
    change = (means[max(THRESHOLDS)] / means[min(THRESHOLDS)] - 1).max()
    caption = (
        "Here, the task counts as solved once the share of error-free sequences reaches the "
        f"threshold in {own} successive evaluations. The panels show the share of "
        "runs that solved the task (top) and the mean number of updates until a run solved it "
        f"(bottom). {RESTRICTED} From threshold {min(THRESHOLDS):g} to {max(THRESHOLDS):g}, this "
        f"mean grows by at most {100 * change:.0f} %. Bars are 95 % intervals, with "
        f"{n_of(rows, GROUP)} runs per mark. "
        f"{setting_words(rows)}"
    )
    return Drawing(figure, table, caption, results.naming("thresholds"))


def _draw_thresholds(axis: Axes, table: pd.DataFrame, looks: dict) -> None:
    places = {"along": "threshold", "names": THRESHOLDS}
    marks(axis, table, looks, by="optimizer", step=0.13, flat=False, **places)


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `sensitivity` in long form, with one row per estimate."""
    keys = ["cell", "optimizer", "threshold", "consecutive", "is_stored"]
    parts = []
    for measure, name in zip(MEASURES, ("solved", "restricted_mean_update"), strict=True):
        part = wide[[*keys, "n", "open", name, f"{name}_low", f"{name}_high"]]
        columns = [*keys, "n", "open", "estimate", "low", "high"]
        parts.append(part.set_axis(columns, axis=1).assign(measure=measure))
    return pd.concat(parts, ignore_index=True).sort_values(["measure", *keys], ignore_index=True)

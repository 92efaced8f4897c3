"""Draw how long the plateau lasts if the gradient is zeroed, and if it never is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from study.dynamics import zeroing
from study.figures.resonance import FINE, followed
from study.figures.tables import columns_of, in_order, table_by
from study.figures.theme import Drawing, error_bars, legend_below, log_axis, panels, styles
from study.grid import Results
from study.stats import median

RATES = (1, 3)  # multiples of powers of ten at which the grid has learning rates
GROUP = ["cell", "length", "lr"]


def square_root(results: Results) -> Drawing:
    """Draw the time on the plateau against the learning rate, with and without zeroing."""
    crossings = followed(results, "resonance_zeroing")
    rows = pd.concat([some for _, some in zeroing.groups(crossings, results.runs)])
    times = table_by(rows, [*GROUP, "accumulate"], _times)
    ratios = table_by(rows, GROUP, _ratios)
    table = pd.concat([times, ratios], ignore_index=True)
    times, ratios = (part[np.isfinite(part["estimate"])] for part in (times, ratios))
    cells, kinds = in_order(rows["cell"]), [(a, t) for a in (False, True) for t in _lengths(rows)]
    looks = styles(kinds)
    figure, axes = panels(cells, 3.9, lines=2, sharex="col")
    for (above, below), cell in zip(axes.T, cells, strict=True):
        for never, length in kinds:
            look: dict[str, Any] = looks[never, length] | {"linestyle": ""}
            some = times[(times["cell"] == cell) & (times["length"] == length)]
            some = some[some["accumulate"] == never]
            error_bars(above, some["lr"], some, **look)
            _draw_power(above, some, -0.5 if never else -1.0, look["color"])
            if never:
                some = ratios[(ratios["cell"] == cell) & (ratios["length"] == length)]
                error_bars(below, some["lr"], some, **look)
                _draw_power(below, some, 0.0, look["color"])
        for axis in (above, below):
            log_axis(axis, "x", RATES)
            log_axis(axis, "y", FINE)
        below.set(xlabel="learning rate η")
    axes[0, 0].set_ylabel("update t of leaving")
    axes[1, 0].set_ylabel("t² (never) / t (zeroed)")
    legend_below(
        figure,
        looks,
        lambda kind: f"{'never zeroed' if kind[0] else 'zeroed'}, T = {kind[1]}",
        linestyle="",
    )
    sizes = rows.groupby([*GROUP, "accumulate"]).size()
    caption = (
        "Top: median update t at which the loss leaves its plateau, and lines with the slopes −1 "
        "(zeroed) and −½ (never zeroed) that the theory expects. Bottom: median over networks of "
        "t² without zeroing over t with zeroing, which the theory expects to be the same at every "
        f"rate (lines). Bars are 95 % intervals for n = {sizes.min()} networks per point. Infinite "
        "medians are not drawn."
    )
    return Drawing(figure, table, caption, ("resonance_zeroing",))


def _lengths(rows: pd.DataFrame) -> list[int]:
    return sorted(set(rows["length"]))


def _draw_power(axis: Any, table: pd.DataFrame, exponent: float, colour: str) -> None:
    """Draw the power of the rate with this exponent that lies closest to the estimates."""
    if len(table):
        rates = table["lr"].to_numpy(float)
        level = np.log(table["estimate"].to_numpy(float)) - exponent * np.log(rates)
        ends = np.array([rates.min(), rates.max()])
        axis.plot(ends, np.exp(level.mean()) * ends**exponent, color=colour, linewidth=0.8)


def _times(rows: pd.DataFrame) -> list[dict[str, Any]]:
    late = rows["leaving"].fillna(math.inf).to_numpy(float)
    return [columns_of(median(late), "leaving")]


def _ratios(rows: pd.DataFrame) -> list[dict[str, Any]]:
    ((_, ratio),) = zeroing.ratios_of(rows)
    return [columns_of(median(ratio.to_numpy(float)), "ratio")]

"""Draw whether a network's fixed point or the network's loss changes first in training.

At a flip bifurcation, the smallest real eigenvalue at the fixed point crosses -1, and a 2-cycle
branches off. A 2-cycle is a pair of states between which the network alternates, as the task
requires.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.captions import n_of, size_range
from study.figures.tables import GROUP, columns_of, headline_networks, kinds, ordered, table_by
from study.figures.theme import Drawing, band, legend_below, line, panels, styles
from study.grid import Results
from study.stats import median, share
from study.text import optimizer_name

BEFORE, AFTER = 40, 20  # updates shown before and after the crossing
ENOUGH = 0.9  # draw while this share of networks is in training: the last few are not typical


def flip(results: Results) -> Drawing:
    """Draw the eigenvalue at a fixed point and the loss, around the eigenvalue's crossing of -1.

    The eigenvalue is the smallest real eigenvalue at the fixed point of a network in training. The
    bottom panels show how many updates after this crossing the loss falls below its value at
    chance.
    """
    rows = headline_networks(results, "learning", status=None)
    cells, optimizers = kinds(rows)
    looks = styles(optimizers)
    figure, axes = panels(cells, 4.2, lines=3, sharex="row", sharey="row")
    for (cell, optimizer), group in rows.groupby(GROUP):
        eigenvalue, loss, lags = axes[:, cells.index(str(cell))]
        curves, look = _aligned(group), line(looks[optimizer])
        _draw_aligned(eigenvalue, curves["eigenvalue"], look)
        _draw_aligned(loss, curves["loss"], look)
        _draw_lags(lags, _lags(group), look)
    _label(axes)
    legend_below(figure, looks, optimizer_name, marker="")
    table = table_by(ordered(rows), GROUP, _measures)
    kept = rows[rows["curve_loss"].notna() & rows["crossing"].notna()].groupby(GROUP).size()
    caption = (
        "Updates are counted from the one at which the smallest real eigenvalue at a network's "
        "fixed point crosses −1. The top panels show this eigenvalue, and the middle panels show "
        "the loss divided by its value at chance. Lines and bands are medians and interquartile "
        f"ranges of {size_range(kept)} networks. Updates at which fewer than {100 * ENOUGH:.0f} % "
        "of these networks are in training are left out. The bottom panels show, for "
        f"{n_of(rows[rows['leaving'].notna()], GROUP)} networks per line, the share whose loss has "
        "fallen below chance by each update. The CSV file has 95 % intervals."
    )
    return Drawing(figure, table, caption, ("headline",))


def _label(axes: np.ndarray) -> None:
    labels = ("eigenvalue", "loss / chance", "share of networks")
    for axis, label in zip(axes[:, 0], labels, strict=True):
        axis.set_ylabel(label)
    for above, middle, below in axes.T:
        above.axhline(-1, color="black", linewidth=0.8, linestyle=":")
        for axis in (above, middle, below):
            axis.axvline(0, color="0.6", linewidth=0.7)
        above.set_yscale("symlog", linthresh=1, linscale=1)
        above.set_yticks([-10, -1, 0, 1], ["−10", "−1", "0", "1"])
        above.set(xlim=(-BEFORE, AFTER))
        middle.set(xlim=(-BEFORE, AFTER), ylim=(0, 1.6), xlabel="updates from crossing")
        below.set_xscale("symlog", linthresh=1, linscale=0.5)
        below.set_xticks([-100, -10, 0, 10, 100], ["−100", "", "0", "", "100"])
        below.set(xlim=(-1000, 1000), ylim=(0, 1), xlabel="lag, updates")


# --- curves -------------------------------------------------------------------------------------


def _aligned(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the curves of the eigenvalue and of the loss, shifted so that all crossings coincide.

    A crossing is the update at which the smallest real eigenvalue at a network's fixed point
    crosses -1. The keys of the result are `eigenvalue` and `loss`. Each array has the shape
    (networks, BEFORE + AFTER + 1). The crossing is at index BEFORE. Updates before or after the
    training of a network are NaN. The loss is divided by its value at chance.
    """
    kept = rows[rows["crossing"].notna() & rows["curve_loss"].notna()]
    shape = (len(kept), BEFORE + AFTER + 1)
    curves = {name: np.full(shape, np.nan) for name in ("eigenvalue", "loss")}
    for i, row in enumerate(kept.to_dict("records")):
        crossing = int(row["crossing"])
        first = max(crossing - BEFORE, 0)
        start = BEFORE - (crossing - first)
        chance = (1 - 1 / row["length"]) * np.log(2)
        for name, scale in (("eigenvalue", 1.0), ("loss", chance)):
            curve = np.asarray(row[f"curve_{name}"], float) / scale
            part = curve[first : crossing + AFTER + 1]
            curves[name][i, start : start + len(part)] = part
    return curves


def _draw_aligned(axis: Axes, values: np.ndarray, look: dict[str, Any]) -> None:
    """Draw one array from `_aligned` as its median and its interquartile range over networks.

    An update is left out if the share of networks that are then in training is below `ENOUGH`.
    """
    if len(values):
        known = np.isfinite(values).mean(axis=0) >= ENOUGH
        low, middle, high = np.nanquantile(values[:, known], [0.25, 0.5, 0.75], axis=0)
        updates = np.arange(-BEFORE, AFTER + 1)[known]
        band(axis, updates, (low, high), look, alpha=0.15)
        axis.plot(updates, middle, **look)


# --- lags ---------------------------------------------------------------------------------------


def _lags(rows: pd.DataFrame) -> np.ndarray:
    """Return the lags of the networks whose loss fell below chance, in ascending order.

    A lag is the number of updates between two events. At the first, the smallest real eigenvalue
    at the fixed point crosses -1. At the second, the loss falls below chance. The lag is negative
    if the loss falls first, and -inf if the eigenvalue never crosses -1.
    """
    lags = rows.loc[rows["leaving"].notna(), "lag"]
    return np.sort(lags.astype(float).fillna(-np.inf).to_numpy())


def _draw_lags(axis: Axes, lags: np.ndarray, look: dict[str, Any]) -> None:
    shares = np.arange(1, len(lags) + 1) / max(len(lags), 1)
    axis.step(np.maximum(lags, -1e6), shares, where="post", **look)


def _measures(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the statistics of one group of networks, each as one row of the figure's table.

    `share_left` is the share of networks whose loss fell below chance. The other statistics
    describe only these networks. In the list, "crossing" means that the smallest real eigenvalue
    at the fixed point crosses -1.

    - `median_lag` is the median of the lags that `_lags` returns.
    - `share_loss_first` is the share of networks in which the loss fell before a crossing, or
      without any crossing.
    - `share_never_crossed` is the share of networks without a crossing.
    - `share_cycle_at_leaving` is the share of networks that had a stable 2-cycle when the loss
      fell.
    """
    lags, left = _lags(rows), rows[rows["leaving"].notna()]
    estimates = {"share_left": share(len(left), len(rows))}
    if len(lags):
        counts = {
            "share_loss_first": (lags < 0).sum(),
            "share_never_crossed": np.isinf(lags).sum(),
            "share_cycle_at_leaving": left["cycle_at_leaving"].astype(bool).sum(),
        }
        estimates["median_lag"] = median(lags)
        estimates |= {name: share(int(count), len(lags)) for name, count in counts.items()}
    return [columns_of(estimate, name) for name, estimate in estimates.items()]

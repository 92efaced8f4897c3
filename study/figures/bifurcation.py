"""Draw which changes first in training: the eigenvalue of the network's fixed point, or the loss.

At a flip bifurcation, the smallest real eigenvalue of the fixed point crosses -1 and a 2-cycle
branches off: two states between which the network can alternate, as the task requires.
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
    """Draw a fixed point's eigenvalue and the loss, before and after the eigenvalue crosses -1.

    This is the smallest real eigenvalue of each network's fixed point in training. The bottom
    panels show how many updates after this crossing the loss falls below chance.
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
        "Networks in training, aligned so that the smallest real eigenvalue of each network's "
        "fixed point crosses −1 at update 0. Top: this eigenvalue. Middle: the loss, divided by "
        "its value at chance. Lines and bands are medians and interquartile ranges of "
        f"{size_range(kept)} networks, drawn where at least {100 * ENOUGH:.0f} % of them are in "
        "training. Bottom: number of updates after this crossing at which the loss falls below "
        "chance (negative if before), as a cumulative share of networks; "
        f"{n_of(rows[rows['leaving'].notna()], GROUP)} networks per line. The CSV file has "
        "95 % intervals."
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
    """Return the curves of eigenvalue and loss, shifted so that all eigenvalues cross -1 together.

    The keys are `eigenvalue` and `loss`. Each array has the shape (networks, BEFORE + AFTER + 1).
    The crossing is at index BEFORE, and updates outside training are NaN. The loss is divided by
    its value at chance.
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
    """Draw the median and the interquartile range, over networks, of one array from `_aligned`.

    Updates at which fewer than the share `ENOUGH` of networks are in training are left out.
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

    A lag is the number of updates from the crossing of -1 until the loss falls below chance. It is
    negative if the loss falls first, and -inf if the eigenvalue never crosses -1.
    """
    lags = rows.loc[rows["leaving"].notna(), "lag"]
    return np.sort(lags.astype(float).fillna(-np.inf).to_numpy())


def _draw_lags(axis: Axes, lags: np.ndarray, look: dict[str, Any]) -> None:
    shares = np.arange(1, len(lags) + 1) / max(len(lags), 1)
    axis.step(np.maximum(lags, -1e6), shares, where="post", **look)


def _measures(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the table's rows for one group of networks, one row per statistic.

    `share_left` is the share of networks whose loss fell below chance. The other statistics
    describe these networks only:

    - `median_lag` is the median of `_lags`;
    - `share_loss_first` is the share in which the loss fell before the crossing of -1, or without
      a crossing;
    - `share_never_crossed` is the share without a crossing;
    - `share_cycle_at_leaving` is the share with a stable cycle at the update when the loss fell.
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

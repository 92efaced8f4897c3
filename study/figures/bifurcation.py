"""Learning watched update by update: the fixed point's eigenvalue and the loss, and which of them moves first."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.results import NotDrawable, Results
from study.figures.theme import (
    WIDTH,
    Drawing,
    columns_of,
    in_order,
    legend_below,
    n_of,
    styles,
    values_of,
)
from study.stats import median, share
from study.text import cell_name, optimizer_name

BEFORE, AFTER = 40, 20  # updates shown around the crossing
ENOUGH = 0.9  # of the networks: the last ones to be trained are not typical


def flip(results: Results) -> Drawing:
    """Eigenvalue and loss aligned at the crossing of -1, and the lag from it to the loss leaving chance."""
    watched = set(results.block("headline")["run_id"])
    table = results.table("learning")
    rows = table[table["run_id"].isin(watched)] if len(table) else table
    if rows.empty:
        raise NotDrawable("the table of learning has none of the headline runs")
    cells, optimizers = in_order(rows["cell"]), sorted(rows["optimizer"].unique())
    looks = styles(optimizers)
    figure, axes = plt.subplots(
        3, len(cells), figsize=(WIDTH, 4.2), squeeze=False, sharex="row", sharey="row"
    )
    made = []
    for column, cell in zip(axes.T, cells, strict=True):
        some = rows[rows["cell"] == cell]
        column[0].set_title(cell_name(cell))
        for optimizer in optimizers:
            group = some[some["optimizer"] == optimizer]
            _draw_aligned(column[0], column[1], _aligned(group), looks[optimizer])
            made += [{"cell": cell, "optimizer": optimizer} | row for row in _lag_rows(group)]
            _draw_lags(column[2], group, looks[optimizer])
    _label(axes)
    legend_below(figure, {optimizer_name(name): look for name, look in looks.items()}, marker="")
    return Drawing(figure, pd.DataFrame(made), _caption(rows), ("headline",))


def _label(axes: np.ndarray) -> None:
    axes[0, 0].set_ylabel("eigenvalue")
    axes[1, 0].set_ylabel("loss / chance")
    axes[2, 0].set_ylabel("share of networks")
    for axis in axes[0]:
        axis.axhline(-1, color="black", linewidth=0.8, linestyle=":")
        axis.set_yscale("symlog", linthresh=1, linscale=1)
        axis.set_yticks([-10, -1, 0, 1], ["−10", "−1", "0", "1"])
    for axis in axes[1]:
        axis.set_ylim(0, 1.6)
        axis.set_xlabel("updates from crossing")
    for axis in axes[:2].ravel():
        axis.axvline(0, color="0.6", linewidth=0.7)
        axis.set_xlim(-BEFORE, AFTER)
    for axis in axes[2]:
        axis.axvline(0, color="0.6", linewidth=0.7)
        axis.set_xscale("symlog", linthresh=1, linscale=0.5)
        axis.set_xticks([-100, -10, 0, 10, 100], ["−100", "", "0", "", "100"])
        axis.set_xlim(-1000, 1000)
        axis.set_ylim(0, 1)
        axis.set_xlabel("lag, updates")


# --- curves -------------------------------------------------------------------------------------


def _aligned(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Curves (networks, BEFORE + AFTER + 1) around each network's crossing, NaN where it was not trained."""
    kept = rows[rows["crossing"].notna() & rows["curve_loss"].notna()]
    curves = {
        name: np.full((len(kept), BEFORE + AFTER + 1), np.nan) for name in ("eigenvalue", "loss")
    }
    for i, (_, row) in enumerate(kept.iterrows()):
        crossing = int(row["crossing"])
        chance = (1 - 1 / row["length"]) * np.log(2)
        for name, scale in (("eigenvalue", 1.0), ("loss", chance)):
            curve = np.asarray(row[f"curve_{name}"], float) / scale
            first = max(crossing - BEFORE, 0)
            part = curve[first : crossing + AFTER + 1]
            start = BEFORE - (crossing - first)
            curves[name][i, start : start + len(part)] = part
    return curves


def _draw_aligned(above: Axes, below: Axes, curves: dict[str, np.ndarray], look: dict) -> None:
    """The middle network and the middle half, where nearly all networks are."""
    steps = np.arange(-BEFORE, AFTER + 1)
    for axis, name in ((above, "eigenvalue"), (below, "loss")):
        values = curves[name]
        if not len(values):
            continue
        known = np.isfinite(values).mean(axis=0) >= ENOUGH
        low, middle, high = np.nanquantile(values[:, known], [0.25, 0.5, 0.75], axis=0)
        axis.fill_between(steps[known], low, high, color=look["color"], alpha=0.15, linewidth=0)
        for bound in (low, high):  # in grey, bands alone run into each other
            axis.plot(
                steps[known], bound, color=look["color"], linestyle=look["linestyle"], linewidth=0.4
            )
        axis.plot(steps[known], middle, color=look["color"], linestyle=look["linestyle"])


# --- lags ---------------------------------------------------------------------------------------


def _lags(rows: pd.DataFrame) -> np.ndarray:
    """Updates from crossing to leaving of the networks whose loss left; minus infinity where nothing crossed."""
    left = rows[rows["leaving"].notna()]
    return left["lag"].astype(float).fillna(-np.inf).to_numpy()


def _draw_lags(axis: Axes, rows: pd.DataFrame, look: dict) -> None:
    lags = np.sort(_lags(rows))
    if len(lags):
        places, shares = np.maximum(lags, -1e6), np.arange(1, len(lags) + 1) / len(lags)
        axis.step(places, shares, where="post", color=look["color"], linestyle=look["linestyle"])


def _lag_rows(rows: pd.DataFrame) -> list[dict]:
    """Of the networks whose loss left chance: the middle lag, who left first, and who had a cycle by then."""
    lags, left = _lags(rows), rows[rows["leaving"].notna()]
    found = [columns_of(share(len(left), len(rows)), "share_left")]
    if len(lags):
        found.append(columns_of(median(lags), "median_lag"))
        found.append(columns_of(share(int((lags < 0).sum()), len(lags)), "share_loss_first"))
        found.append(columns_of(share(int(np.isinf(lags).sum()), len(lags)), "share_never_crossed"))
        cycles = int(left["cycle_at_leaving"].astype(bool).sum())
        found.append(columns_of(share(cycles, len(left)), "share_cycle_at_leaving"))
    return found


def _caption(rows: pd.DataFrame) -> str:
    groups = [rows["cell"], rows["optimizer"]]
    n, left = n_of(rows.groupby(groups).size()), n_of(rows["leaving"].notna().groupby(groups).sum())
    curves = rows[rows["curve_loss"].notna() & rows["crossing"].notna()]
    of_curves = (
        n_of(curves.groupby(["cell", "optimizer"]).size()).removeprefix("n = ")
        if len(curves)
        else "0"
    )
    settings = (
        f"Hidden size {values_of(rows, 'hidden_size')}, length {values_of(rows, 'length')}, noise level "
        f"{values_of(rows, 'noise')}."
    )
    return (
        "Learning looked at after every update. Top: the smallest real eigenvalue of the fixed point at the mean "
        "input, which crosses −1 (dotted) at a flip bifurcation. Middle: the loss on fresh sequences, in units of the "
        "best that an answer from the current input alone reaches. Both are aligned at the first update below −1: the "
        f"median and, between thin lines, the middle half of the {of_curves} networks a cell and optimizer whose "
        "curves are kept, where nine in ten of them were trained. Bottom: the distribution of the lag from that "
        f"crossing to the first update with a loss below 0.9 of that unit, of the {left.removeprefix('n = ')} networks "
        f"a line (of {n}) whose loss got there; left of 0 the loss moved first, at minus infinity where nothing "
        "crossed. figures/flip.csv has medians with 95 % intervals between order statistics and shares with "
        f"95 % Wilson intervals. {settings}"
    )

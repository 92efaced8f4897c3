"""What stands in a solved network: the multipliers of its 2-cycle, the flip saddle, and how fast a push fades."""

from __future__ import annotations

import math

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
    log_axis,
    n_of,
    styles,
    values_of,
)
from study.stats import median, rank_association, share
from study.text import cell_name

SHRUNK = 100  # a push is over at 1/100 of its size (`study.dynamics.noise`)
SLOWEST = 100.0  # 1/|ln rho| at the right edge, where slower networks stand too
ZOOM = (
    0.02  # a multiplier of a cycle may lie so far outside the unit circle that is drawn, in radii
)


def headline_networks(results: Results, name: str) -> pd.DataFrame:
    """The rows of a table of the analysis that are about solved headline networks; `NotDrawable` without any."""
    solved = results.block("headline").query("status == 'solved'")["run_id"]
    table = results.table(name)
    rows = table[table["run_id"].isin(solved)] if len(table) else table
    if rows.empty:
        raise NotDrawable(f"the table of {name} has none of the solved headline runs")
    return rows


# --- spectra ------------------------------------------------------------------------------------


def spectra(results: Results) -> Drawing:
    """Multipliers of each network's stable 2-cycle in the complex plane, and the eigenvalue of its flip saddle."""
    rows, networks = headline_networks(results, "spectra"), headline_networks(results, "cycles")
    of = networks.groupby("cell")["run_id"].nunique()  # with those of which no root was found
    cells = in_order(rows["cell"])
    looks = styles(cells)
    figure, axes = plt.subplots(
        2, len(cells), figsize=(WIDTH, 3.6), squeeze=False, height_ratios=[1.35, 1]
    )
    made = []
    for column, cell in zip(axes.T, cells, strict=True):
        some = rows[rows["cell"] == cell]
        cycles, saddles = _carriers(some), _saddles(some)
        made += [{"cell": cell} | row for row in _spectral_rows(int(of[cell]), cycles, saddles)]
        column[0].set_title(cell_name(cell))
        _draw_plane(column[0], cycles, looks[cell]["color"])
        _draw_flips(column[1], saddles, looks[cell]["color"])
    axes[0, 0].set_ylabel("imaginary")
    axes[1, 0].set_ylabel("share of networks")
    left = min(axis.get_xlim()[0] for axis in axes[1])
    for axis in axes[1]:
        axis.set_xlim(left, 0.5)
    for axis in axes[1, 1:]:
        axis.set_yticklabels([])
    return Drawing(figure, pd.DataFrame(made), _spectra_caption(networks, rows), ("headline",))


def _carriers(rows: pd.DataFrame) -> pd.DataFrame:
    """The stable 2-cycle that alternates, the most stable if a network has several."""
    cycles = rows[
        (rows["period"] == 2) & rows["alternates"].astype(bool) & rows["stable"].astype(bool)
    ]
    return cycles.sort_values(["run_id", "rho"], kind="stable").drop_duplicates("run_id")


def _saddles(rows: pd.DataFrame) -> pd.DataFrame:
    """The fixed point with the smallest real eigenvalue."""
    fixed = rows[(rows["period"] == 1) & rows["smallest_real"].notna()]
    return fixed.sort_values(["run_id", "smallest_real"], kind="stable").drop_duplicates("run_id")


def _spectral_rows(n: int, cycles: pd.DataFrame, saddles: pd.DataFrame) -> list[dict]:
    flips = int((saddles["smallest_real"] < -1).sum())
    found = [
        columns_of(share(len(cycles), n), "share_with_stable_cycle"),
        columns_of(share(flips, n), "share_flip"),
    ]
    found += [columns_of(median(cycles["rho"].to_numpy()), "median_rho")] if len(cycles) else []
    found += (
        [columns_of(median(saddles["smallest_real"].to_numpy()), "median_flip_eigenvalue")]
        if len(saddles)
        else []
    )
    return found


def _draw_plane(axis: Axes, cycles: pd.DataFrame, colour: str) -> None:
    angle = np.linspace(0, 2 * np.pi, 181)
    axis.plot(np.cos(angle), np.sin(angle), color="0.4", linewidth=0.7)
    axis.axhline(0, color="0.85", linewidth=0.5, zorder=0)
    axis.axvline(0, color="0.85", linewidth=0.5, zorder=0)
    if len(cycles):
        axis.plot(
            np.concatenate(cycles["real"].to_list()),
            np.concatenate(cycles["imaginary"].to_list()),
            ".", color=colour, markersize=4, markeredgewidth=0, alpha=0.4, rasterized=True,
        )  # fmt: skip
    axis.set_aspect("equal")
    axis.set_xlim(-1 - ZOOM, 1 + ZOOM)
    axis.set_ylim(-1 - ZOOM, 1 + ZOOM)
    axis.set_xticks([-1, 0, 1])
    axis.set_yticks([-1, 0, 1])
    axis.set_xlabel("real")


def _draw_flips(axis: Axes, saddles: pd.DataFrame, colour: str) -> None:
    """The distribution of the smallest real eigenvalue, over -1 where there is no flip."""
    values = np.sort(saddles["smallest_real"].to_numpy(float))
    axis.step(
        values, np.arange(1, len(values) + 1) / max(len(values), 1), where="post", color=colour
    )
    axis.axvline(-1, color="black", linewidth=0.8, linestyle=":")
    axis.set_xscale("symlog", linthresh=1, linscale=0.5)
    axis.set_xticks([-100, -10, -1, 0], ["−100", "−10", "−1", "0"])
    axis.set_xlim(min(-10, 1.2 * values.min(initial=-1)), 0.5)
    axis.set_ylim(0, 1)
    axis.set_yticks([0, 0.5, 1])
    axis.set_xlabel("flip eigenvalue")


def _spectra_caption(networks: pd.DataFrame, rows: pd.DataFrame) -> str:
    n = n_of(networks.groupby("cell")["run_id"].nunique())
    carriers = _carriers(rows)["cell"].value_counts()
    shown = ", ".join(
        f"{cell_name(cell)} {carriers.get(cell, 0)}" for cell in in_order(rows["cell"])
    )
    return (
        f"Solved networks as maps of their state under a constant input of {values_of(rows, 'u')}, the mean of the "
        f"noise; {n} networks a cell, of all optimizers. Top: all multipliers of each network's stable 2-cycle that "
        f"alternates, inside the unit circle (networks with one: {shown}). Bottom: the distribution of the smallest "
        "real eigenvalue of a fixed point; left of the dotted line, at −1, it is a flip saddle. "
        f"Hidden size {values_of(rows, 'hidden_size')}, "
        f"length {values_of(rows, 'length')}, noise level {values_of(rows, 'noise')}. "
        "figures/spectra.csv has the shares with 95 % Wilson intervals, "
        "and medians with 95 % intervals between order statistics."
    )


# --- recovery -----------------------------------------------------------------------------------


def recovery(results: Results) -> Drawing:
    """Steps until a push has faded, against the slowness 1/|ln rho| of the network's cycle."""
    rows = headline_networks(results, "recovery").query("0 < rho < 1")
    if rows.empty:
        raise NotDrawable("no solved headline run has a stable 2-cycle with a multiplier off zero")
    rows = rows.assign(slowness=-1 / np.log(rows["rho"].astype(float)))
    cells = in_order(rows["cell"])
    looks = styles(cells)
    figure, axes = plt.subplots(
        1, len(cells), figsize=(WIDTH, 2.2), squeeze=False, sharex=True, sharey=True
    )
    top = 1.6 * float(rows["noisy_steps"].replace(np.inf, np.nan).max())
    top = 1000.0 if math.isnan(top) else max(top, 100.0)
    made = []
    for axis, cell in zip(axes[0], cells, strict=True):
        some = rows[rows["cell"] == cell]
        made += [{"cell": cell} | row for row in _recovery_rows(some)]
        _draw_recovery(axis, some, looks[cell]["color"], top)
        axis.set_title(cell_name(cell))
    axes[0, 0].set_ylabel(f"steps to 1/{SHRUNK} of the push")
    return Drawing(figure, pd.DataFrame(made), _recovery_caption(rows), ("headline",))


def _recovery_rows(rows: pd.DataFrame) -> list[dict]:
    """The association by ranks, under noise and without, and how many never recover."""
    found = []
    for kind in ("noisy", "quiet"):
        steps = rows[f"{kind}_steps"].to_numpy(float)
        if len(rows) > 2:
            association = rank_association(
                rows["slowness"].to_numpy(float), steps, np.random.default_rng(0)
            )
            found.append(columns_of(association, f"rank_correlation_{kind}"))
        found.append(
            columns_of(share(int(np.isinf(steps).sum()), len(rows)), f"share_never_{kind}")
        )
    return found


def _draw_recovery(axis: Axes, rows: pd.DataFrame, colour: str, top: float) -> None:
    """A dot a network; a triangle at the top where it never recovered; the line that the multipliers predict."""
    slowness, steps = (
        rows["slowness"].clip(upper=SLOWEST).to_numpy(float),
        rows["noisy_steps"].to_numpy(float),
    )
    never = np.isinf(steps)
    axis.plot(
        slowness[~never],
        steps[~never],
        ".",
        color=colour,
        markersize=3,
        markeredgewidth=0,
        alpha=0.6,
    )
    if never.any():
        axis.plot(slowness[never], np.full(never.sum(), top), "^", color=colour, markersize=3)
    ends = np.array([0.5 / math.log(SHRUNK), SLOWEST])  # from a single step on
    axis.plot(ends, 2 * math.log(SHRUNK) * ends, color="black", linewidth=0.8, linestyle="--")
    log_axis(axis)
    log_axis(axis, "y")
    axis.set_xlim(0.07, 1.3 * SLOWEST)
    axis.set_ylim(0.7, 1.3 * top)
    axis.set_xticks([0.1, 1, 10, 100])
    axis.set_yticks([1, 10, 100, 1000])
    axis.set_xlabel("1 / |ln ρ|")


def _recovery_caption(rows: pd.DataFrame) -> str:
    never, slower = (
        int(np.isinf(rows["noisy_steps"]).sum()),
        int((rows["slowness"] > SLOWEST).sum()),
    )
    return (
        f"Steps until a push on the state, a tenth of the distance between the cycle's two points, has shrunk to "
        f"1/{SHRUNK} under the task's own noise (median of random directions), against 1/|ln ρ| of the stable 2-cycle "
        f"at the mean input; {n_of(rows.groupby('cell').size())} solved networks a cell. Dashed: 2 ln {SHRUNK} / "
        f"|ln ρ|, what the multipliers predict. Triangles: {never} that did not recover in 500 steps; at "
        f"the right edge {slower} that are slower than {SLOWEST:g}. figures/recovery.csv has "
        "rank correlations with 95 % bootstrap intervals over networks, and shares with Wilson intervals. Hidden size "
        f"{values_of(rows, 'hidden_size')}, length {values_of(rows, 'length')}, noise level {values_of(rows, 'noise')}."
    )

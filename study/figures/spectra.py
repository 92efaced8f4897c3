"""Draw the 2-cycles and flip saddles of networks that solved the task, and how fast pushes fade.

A flip saddle is a fixed point with a real eigenvalue below -1. A push is a sudden change of the
hidden state.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.captions import n_of, size_range
from study.figures.tables import columns_of, in_order, networks_shown, ordered, table_by
from study.figures.theme import Drawing, log_axis, panels, styles
from study.grid import Missing, Results
from study.stats import median, rank_association, share

SHRUNK = 100  # a push has faded once it is this many times smaller, as in the table `recovery`
SLOWEST = 100.0  # largest 1/|ln rho| drawn; larger values are drawn at this one
MARGIN = 0.02  # around the unit circle, as a fraction of its radius


def spectra(results: Results) -> Drawing:
    """Draw the multipliers of stable 2-cycles, and the smallest eigenvalue at fixed points.

    The multipliers of a 2-cycle are the eigenvalues of the Jacobian of two steps along the cycle.
    Only real eigenvalues at fixed points count.
    """
    rows, networks = (networks_shown(results, "spectra", name) for name in ("spectra", "cycles"))
    of = networks.groupby("cell")["run_id"].nunique()  # counts networks without any root too
    cells = in_order(rows["cell"])
    looks = styles(cells)
    figure, axes = panels(cells, 3.6, lines=2, height_ratios=[1.35, 1])
    for (plane, flips), cell in zip(axes.T, cells, strict=True):
        of_cell, colour = rows[rows["cell"] == cell], looks[cell]["color"]
        _draw_plane(plane, _carriers(of_cell), colour)
        _draw_flips(flips, _saddles(of_cell), colour)
    axes[0, 0].set_ylabel("imaginary")
    axes[1, 0].set_ylabel("share of networks")
    left = min(axis.get_xlim()[0] for axis in axes[1])
    for axis in axes[1]:
        axis.set_xlim(left, 0.5)
    for axis in axes[1, 1:]:
        axis.set_yticklabels([])
    table = table_by(ordered(rows), ["cell"], lambda group: _spectral_rows(group, of))
    caption = (
        f"These are eigenvalues of n = {size_range(of)} networks per cell type that solved the "
        "task. Every input is the mean of the noise. The top panels show the multipliers of the "
        "stable 2-cycle with alternating answers: the eigenvalues of the Jacobian of two steps "
        "along it. The circle has radius 1. The bottom panels show the share of networks whose "
        "smallest real eigenvalue at a fixed point is below the value on the horizontal axis. If "
        "it is below −1 (dotted line), the fixed point is a flip saddle. The CSV file has 95 % "
        "intervals."
    )
    return Drawing(figure, table, caption, results.naming("spectra"))


def _carriers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, for the stable 2-cycle along which its answers alternate.

    If a network has several cycles of this kind, the row describes the most stable one. The most
    stable cycle has the smallest `rho`, the spectral radius of the Jacobian of two steps along the
    cycle. A network without any cycle of this kind has no row.
    """
    is_carrier = (rows["period"] == 2) & rows["alternates"].astype(bool)
    cycles = rows[is_carrier & rows["stable"].astype(bool)]
    return cycles.sort_values(["run_id", "rho"], kind="stable").drop_duplicates("run_id")


def _saddles(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, for its fixed point with the smallest real eigenvalue.

    A network is left out if no fixed point has a real eigenvalue.
    """
    fixed = rows[(rows["period"] == 1) & rows["smallest_real"].notna()]
    return fixed.sort_values(["run_id", "smallest_real"], kind="stable").drop_duplicates("run_id")


def _spectral_rows(rows: pd.DataFrame, networks: pd.Series) -> list[dict[str, Any]]:
    n, cycles, saddles = int(networks[rows["cell"].iloc[0]]), _carriers(rows), _saddles(rows)
    estimates = {
        "share_with_stable_cycle": share(len(cycles), n),
        "share_flip": share(int((saddles["smallest_real"] < -1).sum()), n),
    }
    if len(cycles):
        estimates["median_rho"] = median(cycles["rho"].to_numpy())
    if len(saddles):
        estimates["median_flip_eigenvalue"] = median(saddles["smallest_real"].to_numpy())
    return [columns_of(estimate, name) for name, estimate in estimates.items()]


def _draw_plane(axis: Axes, cycles: pd.DataFrame, colour: str) -> None:
    angle = np.linspace(0, 2 * np.pi, 181)
    axis.plot(np.cos(angle), np.sin(angle), color="0.4", linewidth=0.7)
    axis.axhline(0, color="0.85", linewidth=0.5, zorder=0)
    axis.axvline(0, color="0.85", linewidth=0.5, zorder=0)
    if len(cycles):
        look = {"markersize": 4, "markeredgewidth": 0, "alpha": 0.4, "rasterized": True}
        parts = (np.concatenate(cycles[name].to_list()) for name in ("real", "imaginary"))
        axis.plot(*parts, ".", color=colour, **look)
    side, ticks = (-1 - MARGIN, 1 + MARGIN), [-1, 0, 1]
    axis.set(aspect="equal", xlim=side, ylim=side, xticks=ticks, yticks=ticks, xlabel="real")


def _draw_flips(axis: Axes, saddles: pd.DataFrame, colour: str) -> None:
    """Draw the cumulative distribution of the smallest real eigenvalues of the networks."""
    values = np.sort(saddles["smallest_real"].to_numpy(float))
    shares = np.arange(1, len(values) + 1) / max(len(values), 1)
    axis.step(values, shares, where="post", color=colour)
    axis.axvline(-1, color="black", linewidth=0.8, linestyle=":")
    axis.set_xscale("symlog", linthresh=1, linscale=0.5)
    axis.set_xticks([-100, -10, -1, 0], ["−100", "−10", "−1", "0"])
    axis.set_xlim(min(-10, 1.2 * values.min(initial=-1)), 0.5)
    axis.set(ylim=(0, 1), yticks=[0, 0.5, 1], xlabel="flip eigenvalue")


# --- recovery -----------------------------------------------------------------------------------


def recovery(results: Results) -> Drawing:
    """Draw how many steps a push on the state takes to fade, against the 2-cycle's slowness.

    The slowness is 1/|ln ρ|. Here ρ is the spectral radius of the Jacobian of two steps along the
    network's stable 2-cycle.
    """
    rows = networks_shown(results, "recovery", "recovery").query("0 < rho < 1")
    if rows.empty:
        raise Missing("no run that solved the task has a stable 2-cycle with a nonzero multiplier")
    rows = rows.assign(slowness=-1 / np.log(rows["rho"].astype(float)))
    cells = in_order(rows["cell"])
    looks = styles(cells)
    figure, axes = panels(cells, 2.2, sharex=True, sharey=True)
    top = 1.6 * float(rows["noisy_steps"].replace(np.inf, np.nan).max())
    top = 1000.0 if math.isnan(top) else max(top, 100.0)
    for axis, cell in zip(axes[0], cells, strict=True):
        _draw_recovery(axis, rows[rows["cell"] == cell], looks[cell]["color"], top)
    axes[0, 0].set_ylabel(f"steps to 1/{SHRUNK} of the push")
    never = int(np.isinf(rows["noisy_steps"]).sum())
    caption = (
        "The vertical axis shows how many steps it takes, under noise, until a push on the state "
        f"has shrunk to 1/{SHRUNK} of its size. The horizontal axis shows 1/|ln ρ|, where ρ is the "
        "spectral radius of the Jacobian of two steps along the stable 2-cycle. Values above "
        f"{SLOWEST:g} are drawn at {SLOWEST:g}. The line is the prediction, 2 ln {SHRUNK}/|ln ρ|. "
        f"Each dot is a network, and there are {n_of(rows, ['cell'])} networks per cell type. "
        f"Triangles are the {never} networks that did not recover within 500 steps. The CSV file "
        "has rank correlations with intervals."
    )
    table = table_by(ordered(rows), ["cell"], _recovery_rows)
    return Drawing(figure, table, caption, results.naming("recovery"))


def _recovery_rows(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of the figure's table for one cell.

    One row is the rank correlation, over networks, between the slowness 1/|ln rho| and the number
    of steps to recover from a push. Another row is the share of networks that never recover. Each
    of these rows comes twice, once with noise (`noisy`) and once without (`quiet`).
    """
    estimates, slowness = {}, rows["slowness"].to_numpy(float)
    for kind in ("noisy", "quiet"):
        steps = rows[f"{kind}_steps"].to_numpy(float)
        if len(rows) > 2:
            correlation = rank_association(slowness, steps, np.random.default_rng(0))
            estimates[f"rank_correlation_{kind}"] = correlation
        estimates[f"share_never_{kind}"] = share(int(np.isinf(steps).sum()), len(rows))
    return [columns_of(estimate, name) for name, estimate in estimates.items()]


def _draw_recovery(axis: Axes, rows: pd.DataFrame, colour: str, top: float) -> None:
    """Draw one mark per network, and a dashed line for the prediction.

    The mark is a dot at the number of steps that the network takes to recover from a push. If the
    network never recovered, the mark is a triangle at the height `top`.
    """
    slowness = rows["slowness"].clip(upper=SLOWEST).to_numpy(float)
    steps = rows["noisy_steps"].to_numpy(float)
    never = np.isinf(steps)
    look = {"color": colour, "markersize": 3}
    axis.plot(slowness[~never], steps[~never], ".", markeredgewidth=0, alpha=0.6, **look)
    if never.any():
        axis.plot(slowness[never], np.full(never.sum(), top), "^", **look)
    ends = np.array([0.5 / math.log(SHRUNK), SLOWEST])  # the prediction at the left end is 1 step
    axis.plot(ends, 2 * math.log(SHRUNK) * ends, color="black", linewidth=0.8, linestyle="--")
    log_axis(axis)
    log_axis(axis, "y")
    axis.set(xlim=(0.07, 1.3 * SLOWEST), ylim=(0.7, 1.3 * top), xlabel="1 / |ln ρ|")
    axis.set(xticks=[0.1, 1, 10, 100], yticks=[1, 10, 100, 1000])

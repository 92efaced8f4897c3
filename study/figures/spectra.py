"""Draw the 2-cycles and flip saddles of networks that solved the task, and how fast pushes fade.

A flip saddle is a fixed point with a real eigenvalue below -1. A push is a sudden change of the
hidden state.
"""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.captions import n_of, size_range
from study.figures.tables import columns_of, in_order, networks_shown, ordered, table_by
from study.figures.theme import (
    WIDTH,
    Drawing,
    band,
    cell_styles,
    legend_below,
    line,
    log_axis,
    panels,
)
from study.grid import Missing, Results
from study.stats import median, rank_association, share, wilson
from study.text import cell_name

SHRUNK = 100  # a push has faded once it is this many times smaller, as in the table `recovery`
LEAST_RHO = 1e-3  # smallest spectral radius at which a distribution is drawn
RIGHT = 0.5  # eigenvalue at which the axis of fixed points ends
SLOWEST = 100.0  # largest 1/|ln rho| drawn; larger values are drawn at this one


def spectra(results: Results) -> Drawing:
    """Draw how fast the 2-cycles of networks attract, and the smallest eigenvalue at fixed points.

    The spectral radius ρ of a 2-cycle belongs to the Jacobian of two steps along it. Only real
    eigenvalues at fixed points count.
    """
    rows, networks = (networks_shown(results, "spectra", name) for name in ("spectra", "cycles"))
    of = networks.groupby("cell")["run_id"].nunique()  # counts networks without any root too
    looks = cell_styles(in_order(rows["cell"]))
    figure, (cycles, flips) = plt.subplots(1, 2, figsize=(WIDTH, 2.6), sharey=True)
    for cell, look in looks.items():
        of_cell, n = rows[rows["cell"] == cell], int(of[cell])
        _draw_shares(cycles, _carriers(of_cell)["rho"].clip(lower=LEAST_RHO), 1, n, look)
        _draw_shares(flips, _saddles(of_cell)["smallest_real"], RIGHT, n, look)
    log_axis(cycles)
    cycles.set(xlim=(LEAST_RHO, 1), ylim=(-0.02, 1.02), ylabel="share of networks")
    cycles.set_xlabel("spectral radius ρ of the stable 2-cycle")
    flips.axvline(-1, color="black", linewidth=0.8, linestyle=":")
    flips.set_xscale("symlog", linthresh=1, linscale=0.5)
    flips.set_xticks([-100, -10, -1, 0], ["−100", "−10", "−1", "0"])
    flips.set(xlim=(-30, RIGHT), xlabel="smallest real eigenvalue at a fixed point")
    legend_below(figure, looks, cell_name, marker="")
    table = table_by(ordered(rows), ["cell"], lambda group: _spectral_rows(group, of))
    caption = (
        f"Share of n = {size_range(of)} solved networks per cell with a value below the one on the "
        "axis. Left: the spectral radius of two steps along the stable 2-cycle of alternating "
        "answers; a curve ends at the share with such a cycle. Right: the smallest real "
        "eigenvalue at a fixed point; below −1 (dotted line), the point is a flip saddle. Inputs "
        "are the mean of the noise. Bands are pointwise 95 % Wilson intervals."
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


def _draw_shares(axis: Axes, values: pd.Series, end: float, n: int, look: dict[str, Any]) -> None:
    """Draw the share of `n` networks that have at most each of the values, with its interval.

    A network without a value counts as having a larger one. The curve is extended to `end`.
    """
    places = np.append(np.sort(values.to_numpy(float)), end)
    counts = np.append(np.arange(1, len(places)), len(values))
    band(axis, places, wilson(counts, n), look, step="post", alpha=0.12)
    axis.step(places, counts / n, where="post", **line(look))


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
    looks = cell_styles(cells)
    figure, axes = panels(cells, 2.2, sharex=True, sharey=True)
    top = 1.6 * float(rows["noisy_steps"].replace(np.inf, np.nan).max())
    top = 1000.0 if math.isnan(top) else max(top, 100.0)
    for axis, cell in zip(axes[0], cells, strict=True):
        _draw_recovery(axis, rows[rows["cell"] == cell], looks[cell]["color"], top)
    axes[0, 0].set_ylabel(f"steps to 1/{SHRUNK} of the push")
    never = int(np.isinf(rows["noisy_steps"]).sum())
    caption = (
        f"Steps until a push on the state has shrunk to 1/{SHRUNK} of its size, under noise, for "
        f"{n_of(rows, ['cell'])} networks per cell. Here ρ is the spectral radius of two steps "
        f"along the stable 2-cycle; values of 1/|ln ρ| above {SLOWEST:g} are drawn there. The line "
        f"is the prediction, 2 ln {SHRUNK}/|ln ρ|. Triangles are the {never} networks that did not "
        "recover within 500 steps. The CSV file has rank correlations with intervals."
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

"""Draw how networks learn a pattern by growing a resonance, and when.

The figures show runs of the grid `resonance`, followed by `study.dynamics.crossings`. The crossing
is the update at which an eigenvalue at the network's fixed point leaves the unit circle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.dynamics import patterns, resonance
from study.figures.captions import evaluations
from study.figures.tables import columns_of, dynamics_table, in_order, table_by
from study.figures.theme import (
    WIDTH,
    Drawing,
    cell_styles,
    error_bars,
    legend_below,
    log_axis,
    panels,
    styles,
)
from study.grid import Missing, Results, censored_times
from study.stats import median, share, solved_curve, time_to_share
from study.text import cell_name, optimizer_name

ACROSS = 4  # panels in a row
TRAIL = 25  # looks before the crossing that are drawn
SQUARE = ["cell", "length", "noise"]  # columns that tell the squares of a map apart
FINE = (1, 2, 5)  # multiples of powers of ten that get a tick on a short logarithmic axis
FLOOR = 1e-3  # smallest distance from the unit circle that is drawn


def followed(results: Results, *blocks: str) -> pd.DataFrame:
    """Return the rows of the table `crossings` for runs of some blocks, with their settings.

    Raises `Missing` if not all of these runs were followed.
    """
    runs = results.block(*blocks)
    runs = runs[~runs["cell"].isin(resonance.LOSSLESS)]
    rows = resonance.settings_of(dynamics_table(results, "crossings"), runs, *blocks)
    if len(rows) < len(runs) or rows.empty:
        count = f"{len(rows):,} of {len(runs):,} runs of the blocks {', '.join(blocks)}"
        command = f"`study dynamics {results.folder}` follows the others"
        raise Missing(f"the table 'crossings' has {count}; {command}")
    return rows


def _fresh(results: Results, block: str) -> pd.DataFrame:
    """Return the followed runs of a block that were trained on fresh noise."""
    return resonance.fresh(followed(results, block))


def wandering(results: Results) -> Drawing:
    """Draw how eigenvalues wander to the angles of the pattern on the unit circle.

    There is one panel per pattern, and one line per network.
    """
    rows = _fresh(results, "resonance_slow")
    shown = sorted(set(rows["pattern"]), key=lambda pattern: (len(pattern), pattern))
    cells = in_order(rows["cell"])
    looks = cell_styles(cells, marker="o", linestyle="-")
    lines = -(-len(shown) // ACROSS)
    figure, axes = plt.subplots(
        lines, ACROSS, figsize=(WIDTH, 1.1 * lines + 0.35), squeeze=False, sharex=True, sharey=True
    )
    for axis, pattern in zip(axes.flat, shown, strict=False):
        _draw_circle(axis, pattern)
        for _, row in rows[(rows["pattern"] == pattern) & (rows["crossing"] > 0)].iterrows():
            _draw_trail(axis, row, looks[row["cell"]]["color"])
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    legend_below(figure, looks, cell_name, linestyle="-", markersize=3)
    kept = rows[rows["curve_update"].notna() & (rows["crossing"] > 0)]
    caption = (
        "The last part of the path of the eigenvalue that is the first to leave the unit circle, "
        f"for n = {len(kept)} networks; dots mark where it leaves, and of each conjugate pair the "
        "upper half is drawn. Ticks on the circle are the pattern's harmonics, as thick as they "
        "are strong; crosses are harmonics without power. The CSV file has the share of crossings "
        "within π/T of a harmonic, with 95 % intervals."
    )
    table = table_by(rows, ["cell", "pattern"], _on_harmonic)
    return Drawing(figure, table, caption, ("resonance_slow",))


def _on_harmonic(rows: pd.DataFrame) -> list[dict[str, Any]]:
    crossed = rows[rows["crossing"] > 0]
    width = resonance.WIDEST_MISS * math.pi / crossed["length"]
    on = int((crossed["miss"] <= width).sum())
    return [
        columns_of(share(len(crossed), len(rows)), "share_crossed"),
        columns_of(share(on, len(crossed)), "share_on_harmonic"),
    ]


def _draw_circle(axis: Axes, pattern: str) -> None:
    """Draw the upper half of the unit circle, with the harmonics of the pattern."""
    turn = np.linspace(0, math.pi, 181)
    axis.plot(np.cos(turn), np.sin(turn), color="0.5", linewidth=0.8)
    axis.axhline(0, color="0.85", linewidth=0.5, zorder=0)
    half = len(pattern) // 2 + 1
    sizes = np.abs(patterns.harmonics(pattern))[:half]
    for angle, size in zip(patterns.angles(len(pattern))[1:half], sizes[1:], strict=True):
        x, y = math.cos(angle), math.sin(angle)
        if size > patterns.POWER:
            ends = np.array([1.03, 1.17])
            axis.plot(x * ends, y * ends, color="black", linewidth=1 + 4 * size / sizes.max() / 2)
        else:
            axis.plot(1.1 * x, 1.1 * y, "x", color="0.5", markersize=3)
    axis.set(aspect="equal", xlim=(-1.25, 1.25), ylim=(-0.08, 1.25), xticks=[], yticks=[])
    axis.set_title(pattern, pad=2)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)


def _draw_trail(axis: Axes, row: pd.Series, colour: str) -> None:
    """Draw the path of the eigenvalue that crosses, if the spectra of the run are stored."""
    if row["curve_update"] is None:
        return
    looks = len(row["curve_update"])
    real, imaginary = (
        np.asarray(row[f"curve_{part}"], float).reshape(looks, -1) for part in ("real", "imaginary")
    )
    values = real + 1j * np.abs(imaginary)
    last = int(np.searchsorted(row["curve_update"], row["crossing"]))
    last = min(last, looks - 1)
    which = int(np.nanargmax(np.abs(values[last]))) if np.isfinite(values[last]).any() else 0
    path = values[max(0, last - TRAIL) : last, which]
    end = np.exp(1j * row["angle"])
    path = np.append(path[np.abs(path) < 1], end)
    axis.plot(path.real, path.imag, color=colour, linewidth=0.7, alpha=0.6)
    axis.plot(end.real, end.imag, "o", color=colour, markersize=2.2, markeredgewidth=0, alpha=0.8)


def predictions(results: Results) -> Drawing:
    """Draw the measured update of the crossing against the one that the initial weights predict.

    The prediction is the crossing of the same initial weights on balanced data. Each dot is a run.
    """
    pairs = pd.concat(_pairs(followed(results, *resonance.PREDICTED)))
    if pairs.empty:
        raise Missing("no run was followed both on noise and on balanced data")
    cells = in_order(pairs["cell"])
    kinds = sorted(set(pairs["optimizer"]))
    looks = styles(kinds, linestyle="")
    lines, columns = -(-len(cells) // ACROSS), min(ACROSS, len(cells))
    figure, axes = plt.subplots(
        lines, columns, figsize=(WIDTH, 1.65 * lines + 0.5), squeeze=False, sharex=True, sharey=True
    )
    ends = np.array([2, 1.3 * np.nanmax(pairs[["predicted", "crossing"]].to_numpy(float))])
    for axis in axes.flat[len(cells) :]:
        axis.set_axis_off()
    for axis, cell in zip(axes.flat, cells, strict=False):
        axis.plot(ends, ends, color="black", linewidth=0.7, zorder=3)
        for kind in kinds:
            some = pairs[(pairs["cell"] == cell) & (pairs["optimizer"] == kind)]
            look = looks[kind] | {"markersize": 1.8, "markeredgewidth": 0, "alpha": 0.45}
            axis.plot(some["predicted"], some["crossing"], rasterized=True, **look)
        log_axis(axis)
        log_axis(axis, "y")
        axis.set(aspect="equal", xlim=ends, ylim=ends)
        axis.set_title(cell_name(cell))
        axis.set_xticks([10, 100, 1000, 10000], ["10", "100", "1k", "10k"])
        axis.set_yticks([10, 100, 1000, 10000], ["10", "100", "1k", "10k"])
    for axis in axes[-1]:
        axis.set_xlabel("predicted update")
    for axis in axes[:, 0]:
        axis.set_ylabel("measured update")
    legend_below(figure, looks, optimizer_name, markersize=3)
    known = pairs.dropna(subset=["predicted", "crossing"])
    caption = (
        "Update at which an eigenvalue leaves the unit circle, against the update predicted by "
        "training the same initial weights on one balanced batch. Dots are runs, "
        f"n = {len(known):,}; the lines are equality. {len(pairs) - len(known):,} runs that do not "
        "cross, or are predicted not to, are left out. The CSV file has R² within each setting, "
        "with 95 % intervals."
    )
    table = table_by(
        pairs, ["cell", "optimizer", "pattern", "hidden_size", "length", "lr"], _agreement
    )
    return Drawing(figure, table, caption, resonance.PREDICTED)


def _pairs(rows: pd.DataFrame) -> Sequence[pd.DataFrame]:
    """Return for each setting its runs, with the predicted crossing in the column `predicted`."""
    found = [rows.iloc[:0].assign(predicted=[])]
    for _, fresh, others in resonance.arms(rows):
        if "balanced" in others:
            predicted = others["balanced"]["crossing"].rename("predicted")
            both = fresh.join(predicted, how="inner").reset_index()
            found.append(both[both["crossing"] != 0])
    return found


def _agreement(rows: pd.DataFrame) -> list[dict[str, Any]]:
    pair = rows["predicted"].to_numpy(float), rows["crossing"].to_numpy(float)
    found = resonance.medians([pair], *rows.iloc[0][["cell", "pattern", "lr"]])
    runs = int((np.isfinite(pair[0]) & np.isfinite(pair[1])).sum())
    return [columns_of(replace(estimate, n=runs), name) for name, estimate in found.items()]


def collapse(results: Results) -> Drawing:
    """Draw the time of the crossing against length and noise, and its collapse on one number.

    The number is κ = ½ ȳ (1 − ȳ) σ² T, where ȳ is the share of ones in the pattern, σ² the variance
    of the noise, and T the length of the sequences.
    """
    rows = _fresh(results, "resonance_noise")
    rows = rows.assign(kappa=resonance.kappa(rows))
    cells, lengths = in_order(rows["cell"]), sorted(set(rows["length"]))
    looks = styles(lengths)
    table = table_by(rows, ["cell", "length", "noise", "kappa"], _times)
    figure, axes = panels(cells, 3.9, lines=2)
    for (above, below), cell in zip(axes.T, cells, strict=True):
        for length in lengths:
            some = table[(table["cell"] == cell) & (table["length"] == length)].sort_values("noise")
            for axis, x, name in ((above, "noise", "update"), (below, "kappa", "time")):
                part = some[some["measure"] == name]
                at = part[x].to_numpy(float) + (0.0 if x == "noise" else 0.02)
                error_bars(axis, at, part, **looks[length])
        log_axis(above, "y", FINE)
        log_axis(below)
        log_axis(below, "y", FINE)
        above.set(xlabel="level of the noise")
        below.set(xlabel="κ + 0.02")
    axes[0, 0].set_ylabel("update t of the crossing")
    axes[1, 0].set_ylabel("t η / T")
    legend_below(figure, looks, lambda length: f"T = {length}")
    caption = (
        "Top: Kaplan–Meier median of the update t at which an eigenvalue leaves the unit circle. "
        "Bottom: the same times, multiplied by the learning rate η and divided by the length T, "
        "against κ, which is proportional to T and to the variance of the noise. By the theory, "
        "all lengths then lie on one curve. Bars are 95 % intervals for "
        f"n = {_range(rows.groupby(['cell', 'length', 'noise']).size())} runs per point."
    )
    return Drawing(figure, table, caption, ("resonance_noise",))


def _times(rows: pd.DataFrame) -> list[dict[str, Any]]:
    crossed = rows["crossing"].notna().to_numpy()
    updates = rows["crossing"].fillna(rows["last_update"]).to_numpy(float)
    scale = (rows["lr"] / rows["length"]).to_numpy(float)
    return [
        columns_of(time_to_share(solved_curve(times, crossed)), name)
        for name, times in (("update", updates), ("time", updates * scale))
    ]


def _range(sizes: pd.Series) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}"


def contour(results: Results) -> Drawing:
    """Draw how long runs of any length and noise take, and what the theory says.

    The theory's times come from other runs, by the number κ.
    """
    rows = results.block("contour")
    times = resonance.contour(followed(results, "resonance_noise"), results.runs)
    medians = table_by(rows, SQUARE, _solving)
    table = medians.merge(times[[*SQUARE, "budget", "predicted"]], how="left", on=SQUARE)
    cells, lengths = in_order(rows["cell"]), sorted(set(rows["length"]))
    looks = styles(lengths)
    figure, axes = panels(cells, 3.3)
    for axis, cell in zip(axes[0], cells, strict=True):
        of_cell = table[table["cell"] == cell]
        for length in lengths:
            some = of_cell[of_cell["length"] == length].sort_values("noise")
            look: dict[str, Any] = looks[length] | {"linestyle": ""}
            axis.plot(some["noise"], some["predicted"], color=look["color"], linewidth=0.9)
            some = some[np.isfinite(some["estimate"])]
            error_bars(axis, some["noise"], some, **look)
        axis.axhline(of_cell["budget"].iloc[0], color="0.4", linewidth=0.8, linestyle=":")
        log_axis(axis, "y", FINE)
        axis.set(xlabel="level of the noise")
    axes[0, 0].set_ylabel("median update at which solved")
    legend_below(figure, looks, lambda length: f"T = {length}", linestyle="")
    caption = (
        "Kaplan–Meier median of the update at which runs solve the task, with 95 % intervals for "
        f"n = {_range(rows.groupby(SQUARE).size())} runs per mark. Lines are the predictions "
        "(T/η) s(κ), with s interpolated from the crossings of other runs, as far as those reach. "
        f"Dotted lines are the budgets: {_budgets(rows)} updates. {evaluations(rows)}"
    )
    return Drawing(figure, table, caption, ("contour", "resonance_noise"))


def _solving(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [columns_of(time_to_share(solved_curve(*censored_times(rows))), "update")]


def _budgets(rows: pd.DataFrame) -> str:
    """Return the budgets of updates of each cell as one text."""
    budgets = rows.groupby("cell")["max_updates"].first()
    return ", ".join(f"{budgets[cell]:,} ({cell_name(cell)})" for cell in in_order(rows["cell"]))


def pole(results: Results) -> Drawing:
    """Draw how far the spectrum is from the pattern's angles when the loss leaves its plateau."""
    noisy, quiet = (_fresh(results, f"resonance_{block}") for block in ("lengths", "blur"))
    rows = pd.concat([noisy[noisy["noise"] > 0], quiet])
    rows = rows[rows["leaving"].notna()].assign(noisy=rows["noise"] > 0, gap=resonance.gaps_of)
    cells = in_order(rows["cell"])
    looks = styles((False, True))
    table = table_by(rows, ["cell", "length", "noisy"], _gaps)
    figure, axes = panels(cells, 2.3, sharex=True, sharey=True)
    for axis, cell in zip(axes[0], cells, strict=True):
        of_cell = rows[rows["cell"] == cell]
        for noisy, look in looks.items():
            some = of_cell[of_cell["noisy"] == noisy]
            jitter = 1.06 if noisy else 1 / 1.06
            gaps = some["gap"].clip(lower=FLOOR)
            axis.plot(
                some["length"] * jitter, gaps, linestyle="", marker=look["marker"], alpha=0.25,
                color=look["color"], markersize=2.2, markeredgewidth=0,
            )  # fmt: skip
            part = table[(table["cell"] == cell) & (table["noisy"] == noisy)]
            axis.plot(part["length"], part["estimate"].clip(lower=FLOOR), **look)
        ends = np.array([rows["length"].min(), rows["length"].max()], float)
        axis.plot(ends, 5 / ends, color="black", linewidth=0.7, linestyle=":")
        log_axis(axis, "x", FINE)
        log_axis(axis, "y")
        axis.set(xlabel="length T")
    axes[0, 0].set_ylabel("distance from the harmonic")
    legend_below(figure, looks, lambda noisy: "with noise" if noisy else "without noise")
    caption = (
        "Distance from the nearest eigenvalue to an angle of the pattern on the unit circle, at "
        "the update after which the loss leaves its plateau. Dots are runs; lines are medians of "
        f"n = {_range(rows.groupby(['cell', 'length', 'noisy']).size())} runs. Runs that leave "
        f"only after the crossing are drawn at {FLOOR:g}. The dotted line has the slope of 1/T, "
        "which the theory expects without noise. The CSV file has 95 % intervals."
    )
    return Drawing(figure, table, caption, ("resonance_lengths", "resonance_blur"))


def _gaps(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [columns_of(median(rows["gap"].to_numpy(float)), "gap")]

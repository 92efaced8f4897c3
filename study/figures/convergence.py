"""Draw how soon runs solve the task, as curves and as histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.captions import evaluations, n_of
from study.figures.tables import GROUP, columns_of, kinds, ordered, table_by, trained_to_end
from study.figures.theme import Drawing, band, legend_below, line, log_axis, panels, styles
from study.grid import Missing, Results, censored_times, pooled_settings
from study.stats import SolvedCurve, solved_curve, time_to_share
from study.text import optimizer_name


def by_cell_and_optimizer(results: Results, figure: str) -> pd.DataFrame:
    """Return the runs that a figure shows, if they differ only in cell, optimizer and seed.

    Settings may also depend on the cell and the optimizer, such as the learning rate. Only runs
    that finished training are returned. Raises `Missing` if runs differ in other settings.
    """
    rows = trained_to_end(results.shown(figure))
    for _, group in rows.groupby(GROUP):
        if pooled := ", ".join(pooled_settings(group)):
            raise Missing(f"its runs differ in {pooled}, so one curve would mix different settings")
    return rows


def convergence(results: Results) -> Drawing:
    """Draw the share of runs that have solved the task by each update.

    Each combination of cell and optimizer has its own curve.
    """
    rows = by_cell_and_optimizer(results, "convergence")
    cells, optimizers = kinds(rows)
    looks = styles(optimizers)
    figure, axes = panels(cells, 3.1, lines=2, height_ratios=[4, 0.3 + 0.26 * len(looks)])
    tables = []
    for (axis, below), cell in zip(axes.T, cells, strict=True):
        curves = {}
        for optimizer, group in rows[rows["cell"] == cell].groupby("optimizer"):
            name, budget = str(optimizer), int(group["max_updates"].max())
            curves[name] = solved_curve(*censored_times(group))
            draw_curve(axis, curves[name], budget, looks[name])
            tables.append(curve_table(curves[name], cell=cell, optimizer=name))
        log_axis(axis)
        limits = (rows["eval_every"].min(), rows["max_updates"].max())
        axis.set(xlabel="updates", xlim=limits, ylim=(-0.02, 1.02), xticks=_decades(*limits))
        axis.tick_params(labelleft=axis is axes[0, 0])
        _at_risk(below, curves, optimizers, limits, first=axis is axes[0, 0])
    axes[0, 0].set_ylabel("share solved")
    legend_below(figure, looks, optimizer_name, marker="")
    caption = (
        "Share of runs that have solved the task by each update (Kaplan–Meier estimate; "
        f"{n_of(rows, GROUP)} runs per curve). Bands are pointwise 95 % intervals (Rothman). The "
        "numbers below the panels count the runs that are still in training and have not yet "
        f"solved the task. {evaluations(rows)}"
    )
    return Drawing(
        figure, pd.concat(tables, ignore_index=True), caption, results.naming("convergence")
    )


def draw_curve(axis: Axes, curve: SolvedCurve, budget: int, look: dict) -> None:
    """Draw a curve in steps, with a band for its intervals, and extend both to update `budget`."""
    times = np.append(curve.times, budget)
    curves = (curve.solved, curve.low, curve.high)
    solved, *ends = (np.append(part, part[-1]) for part in curves)
    band(axis, times, ends, look, step="post", alpha=0.12)
    axis.step(times, solved, where="post", **line(look))


def _at_risk(axis: Axes, curves: dict, names: list[str], limits: Sequence, first: bool) -> None:
    """Write the numbers of runs at risk below a panel, at the powers of ten on its axis.

    A run is at risk until it solves the task or is censored (ends without a solution). `axis` is
    the empty axis below the panel. `curves` maps optimizers to their curves, and `names` lists the
    optimizers in the order of the rows. `limits` are the ends of the axis, in updates. If `first`
    is true, each row begins with the name of its optimizer.
    """
    axis.set(xscale="log", xlim=limits, ylim=(len(names) - 0.5, -1.5))
    axis.axis("off")
    beside: dict[str, Any] = {"transform": axis.get_yaxis_transform(), "ha": "right"}
    common: dict[str, Any] = {"va": "center", "fontsize": 7}
    for row, name in enumerate(names):
        if first:
            axis.text(-0.12, row, optimizer_name(name), **beside, **common)
        for time in _decades(*limits) if name in curves else ():
            axis.text(time, row, f"{_count_at_risk(curves[name], time)}", ha="center", **common)
    if first:
        axis.text(-0.12, -1, "at risk", **beside, **common)


def _decades(low: float, high: float) -> np.ndarray:
    """Return the powers of ten from `low` to `high`."""
    return 10.0 ** np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)


def _count_at_risk(curve: SolvedCurve, time: float) -> int:
    """Return the number of runs at risk just before update number `time`."""
    later = curve.times >= time
    return int(curve.at_risk[later.argmax()]) if later.any() else 0


def curve_table(curve: SolvedCurve, **group: str) -> pd.DataFrame:
    """Return one row per time of a curve, with the columns in `group` in front."""
    return pd.DataFrame(
        group
        | {"n": curve.n, "update": curve.times, "at_risk": curve.at_risk}
        | {"solved": curve.solved, "solved_low": curve.low, "solved_high": curve.high}
        | time_to_share(curve).columns("median_update", ends="median")
    )


# --- times --------------------------------------------------------------------------------------


def convergence_times(results: Results) -> Drawing:
    """Draw the updates at which runs solved the task, and how many runs never solved it."""
    rows = by_cell_and_optimizer(results, "convergence_times")
    cells, optimizers = kinds(rows)
    looks, table = styles(optimizers), table_by(ordered(rows), GROUP, _time_row)
    figure, axes = panels(cells, 2.4, sharey=True, sharex=True)
    low, high = float(rows["eval_every"].min()), float(rows["max_updates"].max())
    # Runs converge at multiples of the evaluation interval. Each bin contains at least one of them.
    # Runs that solved the task before any update have a bin of their own, at the left end.
    bins = (np.unique(np.round(np.geomspace(1, high / low + 1, 30))) - 0.5) * low
    bins = np.append(0.4 * low, bins)
    for row in table.to_dict("records"):
        group = rows[(rows["cell"] == row["cell"]) & (rows["optimizer"] == row["optimizer"])]
        place, look = optimizers.index(row["optimizer"]), looks[row["optimizer"]]
        _draw_times(axes[0, cells.index(row["cell"])], group, place, bins, look["color"], row)
    for axis in axes[0]:
        log_axis(axis)
        axis.axvline(high, color="0.6", linewidth=0.6, linestyle=":")
        axis.set_yticks(range(len(optimizers)), list(map(optimizer_name, optimizers)))
        bottom = len(optimizers) - 0.4
        axis.set(xlabel="convergence update", xlim=(low * 0.4, high * 8), ylim=(bottom, -0.6))
    at_once = "Bars at the left end are runs that solved the task before any update. "
    caption = (
        f"Updates at which runs solved the task, for {n_of(rows, GROUP)} runs per row, as mirrored "
        "histograms of equal height. A black mark is the Kaplan–Meier median, with its 95 % "
        f"interval. {at_once * bool((rows['converged_update'] == 0).any())}"
        "Training ends at the dotted line; the numbers beyond it count the runs that did not solve "
        f"the task (▷) and those that diverged (×). {evaluations(rows)}"
    )
    return Drawing(figure, table, caption, results.naming("convergence_times"))


def _time_row(group: pd.DataFrame) -> Iterator[dict[str, Any]]:
    times = group["converged_update"].dropna()
    counts = {status: int((group["status"] == status).sum()) for status in ("unsolved", "diverged")}
    quantiles = zip(("min", "q25", "q75", "max"), times.quantile([0, 0.25, 0.75, 1]), strict=True)
    yield (
        columns_of(time_to_share(solved_curve(*censored_times(group))), "median_update")
        | {"solved": len(times)}
        | counts
        | {f"solved_{name}": value for name, value in quantiles}
    )


def _draw_times(
    axis: Axes, group: pd.DataFrame, place: int, bins: np.ndarray, colour: str, row: dict
) -> None:
    """Draw one row of a panel, which shows when the runs in `group` solved the task.

    The row has a histogram of the updates at which these runs solved the task. The bars extend
    equally far above and below the height `place`, and `bins` are their edges. A black mark is the
    median of the updates, and a black line is the interval of the median. Both come from `row`,
    which has the statistics of the runs. The numbers of unsolved and of diverged runs are written
    at the right end.
    """
    times = group["converged_update"].dropna()
    counts, _ = np.histogram(times.where(times > 0, bins[0]), bins)
    half = (0.4 * counts / max(counts.max(), 1))[counts > 0]
    left, width = bins[:-1][counts > 0], np.diff(bins)[counts > 0]
    shape = {"facecolor": colour, "edgecolor": "0.35", "linewidth": 0.4, "alpha": 0.65}
    axis.bar(left, 2 * half, width, bottom=place - half, align="edge", **shape)
    budget = float(group["max_updates"].max())
    if np.isfinite(row["estimate"]):
        ends = [max(row["low"], bins[0]), min(row["high"], budget)]
        axis.plot(ends, [place, place], color="black", linewidth=1)
        stroke = {"marker": "|", "markersize": 9, "markeredgewidth": 1.4}
        axis.plot(max(row["estimate"], bins[0]), place, color="black", **stroke)
    signs = [(row["unsolved"], "▷"), (row["diverged"], "×")]
    text = " ".join(f"{sign}{n}" for n, sign in signs if n)
    axis.text(budget * 1.15, place, text, va="center", fontsize=6)

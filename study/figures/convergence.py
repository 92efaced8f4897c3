"""Convergence of the headline runs: curves, distributions of times, and what another threshold would say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.analysis import sensitivity
from study.figures.results import OtherGrid, Results
from study.figures.theme import (
    MEAN_WORDS,
    WIDTH,
    Drawing,
    columns_of,
    conclusive,
    error_bars,
    in_order,
    legend_below,
    log_axis,
    n_of,
    setting_words,
    solved_words,
    styles,
    values_of,
)
from study.grid import censored_times, pooled_settings
from study.stats import SolvedCurve, solved_curve, time_to_share
from study.text import cell_name, optimizer_name

THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 1.0)
CONSECUTIVE = (1, 3)


def _headline(results: Results) -> pd.DataFrame:
    """The headline runs; all runs where a grid has no block of that name and a group is of one kind."""
    rows = conclusive(results.block("headline") if results.has_block("headline") else results.runs)
    for _, group in rows.groupby(["cell", "optimizer"]):
        pooled = [] if results.has_block("headline") else pooled_settings(group)
        if pooled:
            raise OtherGrid(
                f"the grid has no block 'headline', and its runs differ in {', '.join(pooled)}"
            )
    return rows


def convergence(results: Results) -> Drawing:
    """Share of runs solved against updates, a panel for each cell and a curve for each optimizer."""
    rows = _headline(results)
    cells, looks = in_order(rows["cell"]), styles(sorted(rows["optimizer"].unique()))
    figure, axes = plt.subplots(
        2,
        len(cells),
        figsize=(WIDTH, 3.1),
        squeeze=False,
        height_ratios=[4, 0.3 + 0.26 * len(looks)],
    )
    tables = []
    for (axis, below), cell in zip(axes.T, cells, strict=True):
        curves = {}
        for optimizer, group in rows[rows["cell"] == cell].groupby("optimizer"):
            curves[optimizer] = solved_curve(*censored_times(group))
            _draw_curve(
                axis,
                curves[optimizer],
                int(group["max_updates"].max()),
                looks[str(optimizer)],
                str(optimizer),
            )
            tables.append(_curve_table(curves[optimizer], cell=cell, optimizer=str(optimizer)))
        axis.set_title(cell_name(cell))
        axis.set_xlabel("updates")
        _share_axes(axis, rows, first=axis is axes[0, 0])
        _at_risk(below, curves, list(looks), axis, first=axis is axes[0, 0])
    legend_below(figure, _named(looks), marker="")
    return Drawing(
        figure, pd.concat(tables, ignore_index=True), _convergence_caption(rows), ("headline",)
    )


def _named(looks: dict[str, dict]) -> dict[str, dict]:
    """The styles of optimizers under the names that a legend gives them."""
    return {optimizer_name(optimizer): look for optimizer, look in looks.items()}


def _draw_curve(axis: Axes, curve: SolvedCurve, budget: int, look: dict, label: str) -> None:
    """A step curve with its interval, carried on to the budget."""
    times = np.append(curve.times, budget)
    solved, low, high = (
        np.append(part, part[-1]) for part in (curve.solved, curve.low, curve.high)
    )
    axis.fill_between(times, low, high, step="post", color=look["color"], alpha=0.12, linewidth=0)
    for bound in (low, high):  # in grey, bands alone run into each other
        axis.step(
            times,
            bound,
            where="post",
            color=look["color"],
            linestyle=look["linestyle"],
            linewidth=0.4,
        )
    axis.step(
        times, solved, where="post", color=look["color"], linestyle=look["linestyle"], label=label
    )


def _share_axes(axis: Axes, rows: pd.DataFrame, first: bool) -> None:
    log_axis(axis)
    axis.set_xlim(rows["eval_every"].min(), rows["max_updates"].max())
    axis.set_ylim(-0.02, 1.02)
    axis.tick_params(labelleft=first)
    if first:
        axis.set_ylabel("share of runs solved")


def _at_risk(axis: Axes, curves: dict, names: list[str], above: Axes, first: bool) -> None:
    """Under a panel: how many runs are neither solved nor censored just before some times."""
    axis.set_xscale("log")
    axis.set_xlim(above.get_xlim())
    axis.set_ylim(len(names) - 0.5, -1.5)
    axis.axis("off")
    low, high = above.get_xlim()
    times = [10.0**k for k in range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)]
    for row, name in enumerate(names):
        if first:
            axis.text(
                -0.12,
                row,
                optimizer_name(name),
                transform=axis.get_yaxis_transform(),
                ha="right",
                va="center",
                fontsize=7,
            )
        for time in times if name in curves else ():
            axis.text(
                time, row, f"{_left(curves[name], time)}", ha="center", va="center", fontsize=7
            )
    if first:
        axis.text(
            -0.12,
            -1,
            "at risk",
            transform=axis.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=7,
        )


def _left(curve: SolvedCurve, time: float) -> int:
    """Runs at risk just before a time."""
    later = curve.times >= time
    return int(curve.at_risk[later.argmax()]) if later.any() else 0


def _curve_table(curve: SolvedCurve, **group: str) -> pd.DataFrame:
    median = time_to_share(curve)
    return pd.DataFrame(
        group
        | {"n": curve.n, "update": curve.times, "at_risk": curve.at_risk}
        | {"solved": curve.solved, "solved_low": curve.low, "solved_high": curve.high}
        | {"median_update": median.value, "median_low": median.low, "median_high": median.high}
    )


def _convergence_caption(rows: pd.DataFrame) -> str:
    n = n_of(rows.groupby(["cell", "optimizer"]).size())
    return (
        f"Share of runs solved by each update (one minus Kaplan–Meier), {n} runs a curve. Bands are pointwise 95 % "
        "intervals (Rothman), edged by thin lines; the numbers beneath are runs at risk. "
        f"{solved_words(rows)} Unsolved runs are censored "
        f"at their budget, and diverged ones count as unsolved to its end. {setting_words(rows)} "
        f"Learning rates: {_rates(rows)}."
    )


def _rates(rows: pd.DataFrame) -> str:
    rates = rows.groupby(["cell", "optimizer"])["lr"].unique()
    return "; ".join(
        f"{cell_name(cell)} "
        + ", ".join(
            f"{optimizer_name(optimizer)} {'/'.join(f'{lr:g}' for lr in rates[cell, optimizer])}"
            for optimizer in group
        )
        for cell, group in ((c, rates[c].index) for c in in_order(rows["cell"]))
    )


# --- times --------------------------------------------------------------------------------------


def convergence_times(results: Results) -> Drawing:
    """How convergence times are distributed, and which runs have none."""
    rows = _headline(results)
    cells, optimizers = in_order(rows["cell"]), sorted(rows["optimizer"].unique())
    looks = styles(optimizers)
    figure, axes = plt.subplots(
        1, len(cells), figsize=(WIDTH, 2.4), squeeze=False, sharey=True, sharex=True
    )
    low, high = float(rows["eval_every"].min()), float(rows["max_updates"].max())
    bins = _bins(rows)
    made = []
    for axis, cell in zip(axes[0], cells, strict=True):
        for place, optimizer in enumerate(optimizers):
            group = rows[(rows["cell"] == cell) & (rows["optimizer"] == optimizer)]
            if len(group):
                made.append(_time_row(group) | {"cell": cell, "optimizer": optimizer})
                _draw_times(axis, group, place, bins, looks[optimizer]["color"], made[-1])
        axis.set_title(cell_name(cell))
        axis.set_xlabel("convergence update")
        log_axis(axis)
        axis.set_xlim(low * 0.4, high * 8)
        axis.axvline(high, color="0.6", linewidth=0.6, linestyle=":")
        axis.set_yticks(range(len(optimizers)), list(map(optimizer_name, optimizers)))
        axis.set_ylim(len(optimizers) - 0.4, -0.6)
    table = pd.DataFrame(made)
    first = ["cell", "optimizer"]
    return Drawing(
        figure,
        table[first + [c for c in table if c not in first]],
        _times_caption(rows),
        ("headline",),
    )


def _bins(rows: pd.DataFrame) -> np.ndarray:
    """Edges of bins on a log scale, between multiples of the evaluation interval, so that none is empty by design."""
    step, high = float(rows["eval_every"].min()), float(rows["max_updates"].max())
    edges = np.unique(np.round(np.geomspace(1, high / step + 1, 30))) - 0.5
    return edges * step


def _time_row(group: pd.DataFrame) -> dict:
    median = time_to_share(solved_curve(*censored_times(group)))
    times = group["converged_update"].dropna()
    quantiles = times.quantile([0, 0.25, 0.75, 1]).to_numpy()
    return columns_of(median, "median_update") | {
        "solved": len(times),
        "unsolved": int((group["status"] == "unsolved").sum()),
        "diverged": int((group["status"] == "diverged").sum()),
        **dict(
            zip(("solved_min", "solved_q25", "solved_q75", "solved_max"), quantiles, strict=True)
        ),
    }


def _draw_times(
    axis: Axes, group: pd.DataFrame, place: int, bins: np.ndarray, colour: str, row: dict
) -> None:
    """A mirrored histogram of the times there are, the median, and counts of the runs that have none."""
    counts, _ = np.histogram(group["converged_update"].dropna(), bins)
    half = (0.4 * counts / max(counts.max(), 1))[counts > 0]
    left, width = bins[:-1][counts > 0], np.diff(bins)[counts > 0]
    shape = {"facecolor": colour, "edgecolor": "0.35", "linewidth": 0.4, "alpha": 0.65}
    axis.bar(left, 2 * half, width, bottom=place - half, align="edge", **shape)
    if np.isfinite(row["estimate"]):
        high = min(row["high"], float(group["max_updates"].max()))
        axis.plot([row["low"], high], [place, place], color="black", linewidth=1)
        axis.plot(
            row["estimate"], place, marker="|", color="black", markersize=9, markeredgewidth=1.4
        )
    budget = float(group["max_updates"].max())
    said = [(row["unsolved"], "▷"), (row["diverged"], "×")]
    text = " ".join(f"{sign}{n}" for n, sign in said if n)
    axis.text(budget * 1.15, place, text, va="center", fontsize=6)


def _times_caption(rows: pd.DataFrame) -> str:
    n = n_of(rows.groupby(["cell", "optimizer"]).size())
    return (
        f"Convergence updates of solved runs (mirrored histograms, each scaled to its own height), {n} runs a row. "
        "The black stroke is the Kaplan–Meier median with its 95 % interval (Brookmeyer and Crowley), over all runs. "
        "Right of the dotted budget: ▷ runs unsolved there (right-censored), × runs that diverged. "
        f"{solved_words(rows)} {setting_words(rows)} Learning rates: {_rates(rows)}."
    )


# --- thresholds ---------------------------------------------------------------------------------


def thresholds(results: Results) -> Drawing:
    """Share solved and restricted mean time if *solved* asked for less, from the stored curves."""
    rows = _headline(results)
    table = _long(
        sensitivity(rows, np.random.default_rng(0), thresholds=THRESHOLDS, consecutive=CONSECUTIVE)
    )
    cells, looks = in_order(rows["cell"]), styles(sorted(rows["optimizer"].unique()))
    figure, axes = plt.subplots(
        2, len(cells), figsize=(WIDTH, 2.7), squeeze=False, sharex=True, sharey="row"
    )
    for column, cell in enumerate(cells):
        for line, measure in enumerate(("share_solved", "restricted_mean_update")):
            chosen = table[(table["cell"] == cell) & (table["measure"] == measure)]
            _draw_thresholds(
                axes[line, column], chosen[chosen["consecutive"] == max(CONSECUTIVE)], looks
            )
        log_axis(axes[1, column], "y")
        axes[1, column].set_xticks(range(len(THRESHOLDS)), [f"{value:g}" for value in THRESHOLDS])
        axes[1, column].set_xlabel("threshold")
        axes[0, column].set_title(cell_name(cell))
    axes[0, 0].set_ylabel("share solved")
    axes[1, 0].set_ylabel("restricted\nmean update")
    legend_below(figure, _named(looks))
    return Drawing(figure, table, _thresholds_caption(rows, table), ("headline",))


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """A row for each number of `study.sensitivity`."""
    keys = ["cell", "optimizer", "threshold", "consecutive", "is_stored"]
    names = {"share_solved": "solved", "restricted_mean_update": "restricted_mean_update"}
    parts = []
    for measure, name in names.items():
        part = wide[[*keys, "n", "open", name, f"{name}_low", f"{name}_high"]]
        parts.append(
            part.set_axis([*keys, "n", "open", "estimate", "low", "high"], axis=1).assign(
                measure=measure
            )
        )
    return pd.concat(parts, ignore_index=True).sort_values(["measure", *keys], ignore_index=True)


def _draw_thresholds(axis: Axes, table: pd.DataFrame, looks: dict) -> None:
    for place, (name, part) in enumerate(table.groupby("optimizer")):
        x = np.arange(len(part)) + 0.13 * (place - (len(looks) - 1) / 2)
        error_bars(axis, x, part.sort_values("threshold"), **looks[name])


def _thresholds_caption(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    n = n_of(rows.groupby(["cell", "optimizer"]).size())
    drawn = table[
        (table["consecutive"] == max(CONSECUTIVE)) & (table["measure"] == "restricted_mean_update")
    ]
    ends = drawn.pivot_table(
        index=["cell", "optimizer"], columns="threshold", values="estimate", dropna=False
    )
    change = (ends[max(THRESHOLDS)] / ends[min(THRESHOLDS)] - 1).max()
    return (
        "Share solved (above) and restricted mean convergence update (below) when the share of wholly right sequences "
        f"has to reach a threshold on {max(CONSECUTIVE)} evaluations in a row. {n} runs a point; bars are 95 % "
        "intervals, Wilson's above; figures/thresholds.csv also has them for a single evaluation. "
        f"{MEAN_WORDS} From threshold {min(THRESHOLDS):g} to {max(THRESHOLDS):g} the restricted mean grows by at most "
        f"{100 * change:.0f} %. At 1 on {values_of(rows, 'solved_evaluations')} evaluations it is the study's rule; "
        f"training stopped there, so stricter rules cannot be told from these runs. {setting_words(rows)}"
    )

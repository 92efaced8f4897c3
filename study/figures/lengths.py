"""How long solved networks keep their phase: slips per step on sequences far longer than those of training."""

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
    log_axis,
    n_of,
    styles,
    values_of,
)
from study.stats import bootstrap, rate_over_runs, share
from study.text import cell_name, optimizer_name

FLOOR = 1e-9  # slips per step: the left end of the axis


def length_generalisation(results: Results) -> Drawing:
    """Slips per step of solved headline networks, by cell and optimizer; a bound where there is none."""
    solved = results.block("headline").query("status == 'solved'")
    slips = results.table("slips")
    rows = solved[["run_id", "length", "noise"]].merge(
        slips.drop(columns=["length", "noise"]), on="run_id"
    )
    if rows.empty:
        raise NotDrawable("the table of slips has none of the solved headline runs")
    cells, optimizers = in_order(rows["cell"]), sorted(rows["optimizer"].unique())
    looks = styles(optimizers)
    figure, axes = plt.subplots(
        1, len(cells), figsize=(WIDTH, 2.3), squeeze=False, sharex=True, sharey=True
    )
    made = []
    for axis, cell in zip(axes[0], cells, strict=True):
        for place, optimizer in enumerate(optimizers):
            group = rows[(rows["cell"] == cell) & (rows["optimizer"] == optimizer)]
            if len(group):
                found = _rows(group)
                made += [{"cell": cell, "optimizer": optimizer} | row for row in found]
                _draw_rates(axis, group, place, looks[optimizer], found[0])
        axis.set_title(cell_name(cell))
        axis.set_xlabel("slips per step")
        _axes(axis, optimizers)
    return Drawing(figure, pd.DataFrame(made), _caption(rows), ("headline",))


def _axes(axis: Axes, optimizers: list[str]) -> None:
    log_axis(axis)
    axis.xaxis.set_major_formatter("$10^{{{x}}}$")
    axis.set_xticks([1e-8, 1e-6, 1e-4, 1e-2], ["$10^{-8}$", "$10^{-6}$", "$10^{-4}$", "$10^{-2}$"])
    axis.set_xlim(FLOOR, 2)
    axis.set_yticks(range(len(optimizers)), list(map(optimizer_name, optimizers)))
    axis.set_ylim(len(optimizers) - 0.4, -0.6)


def _rows(group: pd.DataFrame) -> list[dict]:
    """The share of networks that slip, and the mean of their rates, or its bound where none does.

    A network that slips often is watched for fewer steps, so slips are not pooled over steps: each network counts once.
    """
    group = group.sort_values("run_id")
    slips, steps = group["slips"].to_numpy(float), group["steps"].to_numpy(float)
    rates, rng = slips / steps, np.random.default_rng(0)
    counts = {
        "slipping": int((slips > 0).sum()),
        "slips": int(slips.sum()),
        "steps": int(steps.sum()),
    }
    if counts["slips"]:
        found = bootstrap(lambda i: rates[i].mean(-1), [len(rates)], rng)
    else:
        found = rate_over_runs(slips, steps, rng)
    slipping = share(counts["slipping"], len(group))
    return [
        columns_of(found, "mean_slips_per_step") | counts,
        columns_of(slipping, "share_slipping") | counts,
    ]


def _draw_rates(axis: Axes, group: pd.DataFrame, place: int, look: dict, row: dict) -> None:
    """A tick for each network that slips; under it their mean rate, or the bound where there is none."""
    slipping = group[group["slips"] > 0]
    rates = slipping["slips"] / slipping["steps"]
    axis.plot(
        rates,
        np.full(len(rates), place - 0.1),
        "|",
        color=look["color"],
        markersize=8,
        markeredgewidth=0.8,
    )
    under, low = place + 0.2, max(row["low"], FLOOR)
    axis.plot(
        [low, row["high"]],
        [under, under],
        color="black",
        linewidth=1,
        linestyle="-" if row["slips"] else ":",
    )
    if row["slips"]:
        axis.plot(row["estimate"], under, "D", color="black", markersize=3.5)
    else:
        axis.plot(row["high"], under, marker=4, color="black", markersize=4)
    text = f"{row['slipping']}/{row['n']}"
    axis.text(
        0.99,
        place - 0.28,
        text,
        transform=axis.get_yaxis_transform(),
        ha="right",
        va="bottom",
        fontsize=6,
    )


def _caption(rows: pd.DataFrame) -> str:
    n = n_of(rows.groupby(["cell", "optimizer"]).size())
    longest = rows.groupby("steps").size()
    most = longest.nlargest(2).sort_index().items()
    lengths = ", ".join(f"{count:,} networks for {steps:,} steps" for steps, count in most)
    return (
        "Phase slips per step of solved networks that run on over fresh noise from the zero state, "
        f"{n} networks a row ({lengths}; one that slips very often is stopped sooner). Ticks: networks that "
        "slip; at the right, how many of the row's do. Diamond: the mean over all networks of a row, with its 95 % "
        "bootstrap interval over networks. Dotted: no slip at all; the rate of all steps together is below the arrow "
        f"head by the rule of three (95 %). Trained at length {values_of(rows, 'length')}, noise level "
        f"{values_of(rows, 'noise')}."
    )

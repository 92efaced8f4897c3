"""Draw how often trained networks slip on sequences far longer than those in training.

A slip is a step at which the answers change from right to wrong or from wrong to right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.captions import n_of
from study.figures.tables import GROUP, columns_of, kinds, networks_shown, ordered, table_by
from study.figures.theme import Drawing, log_axis, panels, styles
from study.grid import Results
from study.stats import bootstrap, rate_over_runs, share
from study.text import optimizer_name

FLOOR = 1e-9  # slips per step at the left end of the axis


def length_generalisation(results: Results) -> Drawing:
    """Draw how many slips per step occur in networks that solved the task.

    A slip is a step at which a network's answers change from right to wrong or from wrong to right.
    There is one panel per cell and one row per optimizer.
    """
    rows = networks_shown(results, "length_generalisation", "slips").sort_values("run_id")
    cells, optimizers = kinds(rows)
    looks, table = styles(optimizers), table_by(ordered(rows), GROUP, _measures)
    figure, axes = panels(cells, 2.3, sharex=True, sharey=True)
    for row in table[table["measure"] == "mean_slips_per_step"].to_dict("records"):
        group = rows[(rows["cell"] == row["cell"]) & (rows["optimizer"] == row["optimizer"])]
        place, look = optimizers.index(row["optimizer"]), looks[row["optimizer"]]
        _draw_rates(axes[0, cells.index(row["cell"])], group, place, look["color"], row)
    for axis in axes[0]:
        log_axis(axis)
        powers = (-8, -6, -4, -2)
        axis.set_xticks([10.0**k for k in powers], [f"$10^{{{k}}}$" for k in powers])
        axis.set_yticks(range(len(optimizers)), list(map(optimizer_name, optimizers)))
        bottom = len(optimizers) - 0.4
        axis.set(xlabel="slips per step", xlim=(FLOOR, 2), ylim=(bottom, -0.6))
    caption = (
        "Slips per step (changes from right answers to wrong ones, or back) of "
        f"{n_of(rows, GROUP)} solved networks per row, each on {rows['steps'].max():,} steps at "
        "most. Each tick is a network that slipped; the fraction says how many did. Diamonds are "
        "means with 95 % bootstrap intervals; if no network slipped, an arrow marks the upper 95 % "
        "bound by the rule of three."
    )
    return Drawing(figure, table, caption, results.naming("length_generalisation"))


def _measures(group: pd.DataFrame) -> list[dict[str, Any]]:
    """Return two rows of the figure's table for one group of networks.

    The first row has the mean number of slips per step, and the second row has the share of
    networks that slipped. A slip is a step at which the answers change from right to wrong or from
    wrong to right. All networks have the same weight in the mean, although a network that slips
    often is run for fewer steps. If no network slipped, the interval of the mean ends at the upper
    bound that the rule of three gives.
    """
    slips, steps = group["slips"].to_numpy(float), group["steps"].to_numpy(float)
    rates, rng = slips / steps, np.random.default_rng(0)
    slipping = int((slips > 0).sum())
    counts = {"slipping": slipping, "slips": int(slips.sum()), "steps": int(steps.sum())}
    if slipping:
        mean = bootstrap(lambda i: rates[i].mean(-1), [len(rates)], rng)
    else:
        mean = rate_over_runs(slips, steps, rng)
    return [
        columns_of(mean, "mean_slips_per_step") | counts,
        columns_of(share(slipping, len(group)), "share_slipping") | counts,
    ]


def _draw_rates(axis: Axes, group: pd.DataFrame, place: int, colour: str, row: dict) -> None:
    """Draw one row of a panel, with a tick per network that slipped, and below them the mean.

    A slip is a step at which the answers change from right to wrong or from wrong to right. The
    horizontal axis has the number of slips per step. `group` has the networks, `place` is the
    height of the row, and `row` has the mean over all networks. If no network slipped, the
    upper bound is drawn instead of the mean.
    """
    slipping = group[group["slips"] > 0]
    rates, over = slipping["slips"] / slipping["steps"], np.full(len(slipping), place - 0.1)
    axis.plot(rates, over, "|", color=colour, markersize=8, markeredgewidth=0.8)
    under, ends = place + 0.2, [max(row["low"], FLOOR), row["high"]]
    style = "-" if row["slips"] else ":"
    axis.plot(ends, [under, under], color="black", linewidth=1, linestyle=style)
    if row["slips"]:
        axis.plot(row["estimate"], under, "D", color="black", markersize=3.5)
    else:
        axis.plot(row["high"], under, marker=4, color="black", markersize=4)
    text, where = f"{row['slipping']}/{row['n']}", axis.get_yaxis_transform()
    look: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 6}
    axis.text(0.99, place - 0.28, text, transform=where, **look)

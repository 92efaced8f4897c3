"""How long networks that solved the task keep their phase on sequences far longer than trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.figures.captions import n_of
from study.figures.tables import columns_of, headline_networks, kinds, ordered, table_by
from study.figures.theme import Drawing, log_axis, panels, styles
from study.grid import Results
from study.stats import bootstrap, rate_over_runs, share
from study.text import optimizer_name

FLOOR = 1e-9  # slips per step: the left end of the axis
GROUP = ["cell", "optimizer"]


def length_generalisation(results: Results) -> Drawing:
    """Slips per step of headline networks that solved the task, by cell and optimizer."""
    rows = headline_networks(results, "slips").sort_values("run_id")
    cells, optimizers = kinds(rows)
    looks, table = styles(optimizers), table_by(ordered(rows), GROUP, _measures)
    figure, axes = panels(cells, 2.3, sharex=True, sharey=True)
    for row in table[table["measure"] == "mean_slips_per_step"].to_dict("records"):
        group = rows[(rows["cell"] == row["cell"]) & (rows["optimizer"] == row["optimizer"])]
        place, look = optimizers.index(row["optimizer"]), looks[row["optimizer"]]
        _draw_rates(axes[0, cells.index(row["cell"])], group, place, look["color"], row)
    for axis in axes[0]:
        axis.set_xlabel("slips per step")
        log_axis(axis)
        axis.set_xticks(
            [10.0**k for k in (-8, -6, -4, -2)], [f"$10^{{{k}}}$" for k in (-8, -6, -4, -2)]
        )
        axis.set_xlim(FLOOR, 2)
        axis.set_yticks(range(len(optimizers)), list(map(optimizer_name, optimizers)))
        axis.set_ylim(len(optimizers) - 0.4, -0.6)
    caption = (
        "Phase slips per step of networks that solved the task, run on over fresh noise for up to "
        f"{rows['steps'].max():,} steps; {n_of(rows, GROUP)} networks per row. Ticks: networks "
        "that slipped, counted at the right. Diamonds: mean with its 95 % bootstrap interval over "
        "networks. Dotted: no slip; arrow heads mark the 95 % bound (rule of three)."
    )
    return Drawing(figure, table, caption, ("headline",))


def _measures(group: pd.DataFrame) -> list[dict[str, Any]]:
    """The mean of the networks' rates, or its bound where none slips, and the share that slips.

    A network that slips often is watched for fewer steps, so slips are not pooled over steps: each
    network counts once.
    """
    slips, steps = group["slips"].to_numpy(float), group["steps"].to_numpy(float)
    rates, rng = slips / steps, np.random.default_rng(0)
    slipping = int((slips > 0).sum())
    counts = {"slipping": slipping, "slips": int(slips.sum()), "steps": int(steps.sum())}
    if slipping:
        found = bootstrap(lambda i: rates[i].mean(-1), [len(rates)], rng)
    else:
        found = rate_over_runs(slips, steps, rng)
    return [
        columns_of(found, "mean_slips_per_step") | counts,
        columns_of(share(slipping, len(group)), "share_slipping") | counts,
    ]


def _draw_rates(axis: Axes, group: pd.DataFrame, place: int, colour: str, row: dict) -> None:
    """A tick per network that slips; under it their mean rate, or the bound where there is none."""
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

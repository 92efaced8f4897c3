"""Learning rates: what each optimizer does with each, and which one tuning chose."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from study.analysis import choose
from study.figures.results import Results
from study.figures.theme import (
    MEAN_WORDS,
    WIDTH,
    Drawing,
    conclusive,
    error_bars,
    in_order,
    legend_below,
    log_axis,
    n_of,
    setting_words,
    share_and_mean,
    solved_words,
    styles,
)
from study.text import cell_name, optimizer_name

BLOCKS = ("tuning_sgd", "tuning_adaptive")


def learning_rates(results: Results) -> Drawing:
    """Share solved and restricted mean time against the learning rate, the chosen rate marked."""
    rows = conclusive(results.block(*BLOCKS))
    table = share_and_mean(rows, ["cell", "optimizer", "lr"])
    chosen = choose(rows)[["cell", "optimizer", "lr"]].assign(chosen=True)
    table = table.merge(chosen, how="left").fillna({"chosen": False})
    cells, looks = in_order(rows["cell"]), styles(sorted(rows["optimizer"].unique()))
    figure, axes = plt.subplots(
        2, len(cells), figsize=(WIDTH, 3.6), squeeze=False, sharex=True, sharey="row"
    )
    for column, cell in enumerate(cells):
        for line, measure in enumerate(("share_solved", "restricted_mean_update")):
            _draw_rates(
                axes[line, column],
                table[(table["cell"] == cell) & (table["measure"] == measure)],
                looks,
            )
        axes[0, column].set_title(cell_name(cell))
        log_axis(axes[1, column])
        log_axis(axes[1, column], "y")
        axes[1, column].set_xlabel("learning rate")
    axes[0, 0].set_ylabel("share solved")
    axes[1, 0].set_ylabel("restricted mean update")
    legend_below(figure, {optimizer_name(name): look for name, look in looks.items()})
    return Drawing(figure, table, _caption(rows), BLOCKS)


def _draw_rates(axis: Axes, table: pd.DataFrame, looks: dict) -> None:
    for place, (name, part) in enumerate(table.groupby("optimizer")):
        shift = 1.05 ** (
            place - (len(looks) - 1) / 2
        )  # so that bars at one rate stand side by side
        error_bars(axis, part["lr"] * shift, part, **looks[name])
        best = part[part["chosen"].astype(bool)]
        axis.plot(
            best["lr"] * shift, best["estimate"], "ko", fillstyle="none", markersize=8, zorder=5
        )


def _caption(rows: pd.DataFrame) -> str:
    n = n_of(rows.groupby(["cell", "optimizer", "lr"]).size())
    seeds = f"{rows['seed'].min()} to {rows['seed'].max()}"
    return (
        "Share solved (above, 95 % Wilson intervals) and restricted mean convergence update (below, 95 % intervals) "
        f"at each learning rate, {n} runs a point on tuning seeds {seeds}, which no other figure uses. Rings: the rate "
        f"with the smallest restricted mean, which the headline runs have. {MEAN_WORDS} {solved_words(rows)} "
        f"{setting_words(rows)}"
    )

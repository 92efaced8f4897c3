"""The notebook's loop: what a state that is carried, reset, cut for the gradient or carried across batches can do."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.analysis import states
from study.figures.results import Results
from study.figures.theme import (
    WIDTH,
    Drawing,
    conclusive,
    error_bars,
    in_order,
    legend_below,
    n_of,
    rate_words,
    setting_words,
    solved_words,
    styles,
)
from study.text import cell_name

BLOCKS = {
    "between_steps": "between steps",
    "gradient_cut": "gradient cut",
    "across_batches": "across batches",
}


def notebook_steps(results: Results) -> Drawing:
    """Share solved and accuracy by what happens to the state, a panel for each block and a mark for each cell."""
    rows = pd.concat([conclusive(results.block(block)) for block in BLOCKS]).drop_duplicates(
        "run_id"
    )
    table = states(rows)
    table["label"] = [_label(row) for row in table.itertuples()]
    names = {block: list(dict.fromkeys(part["label"])) for block, part in table.groupby("block")}
    heights = [len(names[block]) + 0.5 for block in BLOCKS]
    figure, axes = plt.subplots(
        3, 2, figsize=(WIDTH, 1.2 + 0.2 * sum(heights)), sharex="col", height_ratios=heights
    )
    looks = styles(in_order(table["cell"]))
    for (left, right), (block, title) in zip(axes, BLOCKS.items(), strict=True):
        part = table[table["block"] == block]
        for place, (cell, look) in enumerate(looks.items()):
            _draw(
                left,
                right,
                part[part["cell"] == cell],
                names[block],
                0.2 * (place - (len(looks) - 1) / 2),
                look,
            )
        left.set_title(title, loc="left")
        _rows(left, names[block])
        _rows(right, [""] * len(names[block]))
    axes[2, 0].set_xlabel("share solved")
    axes[2, 1].set_xlabel("accuracy, t ≥ 1")
    legend_below(figure, {cell_name(cell): look for cell, look in looks.items()}, linestyle="")
    return Drawing(figure, table, _caption(rows, table), tuple(BLOCKS))


def _label(row) -> str:
    cue = "cue" if row.cue else "no cue"
    if row.block == "between_steps":
        return f"{row.state}, from {'zeros' if row.start == 'zeros' else 'random states'}, {cue}"
    if row.block == "gradient_cut":
        return (
            "not cut"
            if np.isnan(row.cut_every)
            else f"cut every {row.cut_every:.0f} step{'s' * (row.cut_every > 1)}"
        )
    return f"{row.state.replace('_', ' ')}, length {row.length}, {cue}"


def _draw(
    left: Axes, right: Axes, part: pd.DataFrame, names: list[str], shift: float, look: dict
) -> None:
    """Shares with intervals; the median accuracy between the least and the most of the runs, and that of always 0."""
    places, look = (
        np.array([names.index(label) for label in part["label"]]) + shift,
        look | {"linestyle": ""},
    )
    shares, accuracies = (
        ["solved", "solved_low", "solved_high"],
        ["accuracy_median", "accuracy_least", "accuracy_most"],
    )
    for axis, columns in ((left, shares), (right, accuracies)):
        error_bars(
            axis,
            places,
            part[columns].set_axis(["estimate", "low", "high"], axis=1),
            flat=True,
            **look,
        )
    right.plot(
        part["accuracy_of_always_0"],
        places,
        "|",
        color="black",
        markersize=5,
        markeredgewidth=0.8,
        zorder=5,
    )


def _rows(axis: Axes, names: list[str]) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(-0.03, 1.03)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", linewidth=0.3, color="0.85")


def _caption(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    reset = table[table["state"] == "reset"]
    return (
        "What happens to the state between steps, to the gradient through it, and to it between batches. Left: share "
        f"solved with 95 % Wilson intervals, {n_of(table['n'])} runs a mark. Right: median accuracy after step 0 of "
        "the final sequences; the bar spans all runs and is no interval; black strokes: always answering 0. Reset is "
        "the notebook's loop, the same (h0, c0) at each step; no run of it is above "
        f"{reset['accuracy_most'].max():.3f}. "
        "Every sequence of an evaluation begins from the start state, whatever training does between batches. "
        f"{rate_words(rows)} "
        f"{solved_words(rows)} {setting_words(rows)}"
    )

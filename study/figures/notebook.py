"""Draw how well networks learn for each way in which training can treat the hidden state.

The training loop may carry the state from step to step or reset the state at every step. The loop
may also cut the gradient through the state, or carry the state from one batch to the next. The
notebook that this study examines resets the state at every step.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from study.analysis import states
from study.figures.captions import evaluations, size_range
from study.figures.tables import in_order, trained_to_end
from study.figures.theme import WIDTH, Drawing, cell_styles, legend_below, marks, named_rows, shifts
from study.grid import Results
from study.text import cell_name

BLOCKS = {
    "between_steps": "the state between steps",
    "gradient_cut": "the gradient, with the state carried",
    "across_batches": "the state between sequences",
}
COLUMNS = {  # axis label: the column of the estimate
    "share solved": "solved",
    "median accuracy, t ≥ 1": "accuracy_median",
}
# Within a block, rows begin with the notebook's way, and similar ones lie side by side.
ORDER = ["length", "state", "cut_every", "cue", "start"]
STATES = ("reset", "across_batches", "carried")
STARTS = {"zeros": "from zeros", "normal": "from random states", "learned": "from learned states"}


def notebook_steps(results: Results) -> Drawing:
    """Draw how well networks learn for each way of treating the hidden state in training."""
    rows = pd.concat([trained_to_end(results.block(block)) for block in BLOCKS])
    rows = rows.drop_duplicates("run_id")
    table = states(rows)
    ranks = {"state": STATES.index, "cue": lambda cue: not cue, "start": [*STARTS].index}
    table = table.sort_values(
        ORDER, key=lambda values: values.map(ranks.get(str(values.name), lambda value: value))
    )
    table["label"] = [_label(row) for row in table.itertuples()]
    parts = [table[table["block"] == block] for block in BLOCKS]
    heights = [part["label"].nunique() + 0.5 for part in parts]
    size = (WIDTH, 1.2 + 0.2 * sum(heights))
    figure, axes = plt.subplots(3, 2, figsize=size, sharex="col", height_ratios=heights)
    looks = cell_styles(in_order(table["cell"]), linestyle="")
    for pair, part, title in zip(axes, parts, BLOCKS.values(), strict=True):
        names = list(dict.fromkeys(part["label"]))
        pair[0].set_title(title, loc="left")
        for axis, name in zip(pair, COLUMNS.values(), strict=True):
            columns = (name, f"{name}_low", f"{name}_high")
            places = {"along": "label", "names": names, "step": 0.2, "columns": columns}
            marks(axis, part, looks, by="cell", **places)
            named_rows(axis, names if axis is pair[0] else [""] * len(names))
            axis.set_xlim(-0.03, 1.03)
        for cell, shift in zip(looks, shifts(len(looks), 0.2), strict=True):
            of_cell = part[part["cell"] == cell]
            stroke = {"color": "black", "markersize": 5, "markeredgewidth": 0.8, "zorder": 5}
            places = of_cell["label"].map(names.index) + shift
            pair[1].plot(of_cell["accuracy_of_always_0"], places, "|", **stroke)
    for axis, label in zip(axes[2], COLUMNS, strict=True):
        axis.set_xlabel(label)
    legend_below(figure, looks, cell_name)
    best = table.loc[table["state"] == "reset", "accuracy_most"].max()
    caption = (
        "Ways of treating the hidden state in training. Left: share of "
        f"n = {size_range(table['n'])} runs per mark that solved the task, with 95 % Wilson "
        "intervals. Right: their median accuracy, with its 95 % interval; black marks show the "
        "accuracy of always answering 0. If the state is reset at every step, as in the notebook, "
        f"no run's accuracy exceeds {best:.3f}. {evaluations(rows)}"
    )
    return Drawing(figure, table, caption, tuple(BLOCKS))


def _label(row) -> str:
    cue = "cue" if row.cue else "no cue"
    if row.block == "between_steps":
        return f"{row.state}, {STARTS[row.start]}, {cue}"
    if row.block == "gradient_cut":
        cut = row.cut_every
        return "not cut" if np.isnan(cut) else f"cut every {cut:.0f} step{'s' * (cut > 1)}"
    state = {"across_batches": "carried on", "carried": "started anew"}[row.state]
    return f"{state}, length {row.length}, {cue}"

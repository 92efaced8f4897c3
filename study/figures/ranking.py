"""Draw cells and initialisations, ranked by how soon their runs solve the task."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.figures.captions import RESTRICTED, evaluations, n_of
from study.figures.rates import MEASURES
from study.figures.tables import alike, in_order, share_and_mean, trained_to_end
from study.figures.theme import (
    WIDTH,
    Drawing,
    Looks,
    cell_styles,
    legend_below,
    log_axis,
    marks,
    named_rows,
    styles,
)
from study.grid import Results
from study.text import CELL_NAMES, cell_name

# A run of another block is shown beside the variants if each of these settings has a value that
# also occurs among the variants.
SAME = ["task", "length", "noise", "optimizer", "lr", "hidden_size", "batch_size", "max_updates"]
SAME += ["cue", "engine", "init", "state", "device", "start", "cut_every", "cut_offset"]
SAME += ["seed"]  # leaves out tuning runs, which have other seeds


def variants(results: Results) -> Drawing:
    """Draw a ranking of cells by how soon they solve the task at the largest noise.

    The cells are the standard cells and their variants.
    """
    rows, every = trained_to_end(results.shown("variants")), trained_to_end(results.runs)
    rows = rows[rows["noise"] == rows["noise"].max()]
    standard = alike(every[every["cell"].isin(CELL_NAMES)], rows, SAME)
    rows = pd.concat([rows, standard]).drop_duplicates("run_id")
    table = share_and_mean(rows, ["cell", "hidden_size"])
    table["label"] = table["cell"].map(cell_name)
    groups = "hidden size " + table["hidden_size"].astype(str)
    by, height = groups.iloc[-1], 0.5 + 0.165 * table["label"].nunique()
    looks = styles(sorted(set(groups), key=lambda words: int(words.split()[-1])), linestyle="")
    figure = _ranked(table.assign(group=groups), looks, by, height)
    caption = _caption(rows, ["cell", "hidden_size"], f"Cells are ordered by this mean at {by}")
    if len(standard):
        caption += " Runs of the standard cells come from other experiments."
    return Drawing(figure, table, caption, results.naming("variants"))


def initialisations(results: Results) -> Drawing:
    """Draw a ranking of initialisations by how soon runs solve the task.

    Each initialisation has one mark per cell.
    """
    by = ["cell", "init", "init_value"]
    rows = trained_to_end(results.shown("initialisations"))
    table = share_and_mean(rows, by)
    pairs = zip(table["init"], table["init_value"], strict=True)
    table["label"] = [_init_name(*pair) for pair in pairs]
    looks = cell_styles(in_order(table["cell"]), linestyle="")
    first, height = next(iter(looks)), 0.6 + 0.3 * table["label"].nunique()
    figure = _ranked(table.assign(group=table["cell"]), looks, first, height)
    caption = _caption(
        rows, by, f"Initialisations are ordered by this mean for the {cell_name(first)}"
    )
    return Drawing(figure, table, caption, results.naming("initialisations"))


def _init_name(init: str, value: float) -> str:
    words = {"scaled": "weights scaled by"}.get(init, init.replace("_", " "))
    return words if np.isnan(value) else f"{words} {value:g}".replace("-", "−")


def _ranked(table: pd.DataFrame, looks: Looks, by: str, height: float) -> Figure:
    """Draw one row per value of the column `label`, with one mark per value of the column `group`.

    The keys of `looks` are the values of `group`.
    Rows are sorted by the restricted mean update (see `restricted_mean_of` in `tables`) of the
    group `by`, smallest first. Labels that this group lacks come last, sorted by name. `height` is
    the height of the panels in inches.
    """
    means = table[(table["measure"] == "restricted_mean_update") & (table["group"] == by)]
    order = means.sort_values(["estimate", "label"])["label"].tolist()
    order += sorted(set(table["label"]) - set(order))
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, height + 0.6), sharey=True)
    for axis, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        part = table[table["measure"] == measure]
        marks(axis, part, looks, by="group", along="label", names=order, step=0.18)
        axis.set_xlabel(label)
        named_rows(axis, order)
    axes[0].set_xlim(-0.03, 1.03)
    log_axis(axes[1])
    legend_below(figure, looks, cell_name)
    return figure


def _caption(rows: pd.DataFrame, by: list[str], order: str) -> str:
    return (
        "Share of runs that solved the task (left) and mean number of updates until a run solved "
        f"it (right). {RESTRICTED} {order}. Bars are 95 % intervals for {n_of(rows, by)} runs per "
        f"mark. {evaluations(rows)}"
    )

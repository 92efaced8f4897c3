"""Cells and initialisations, ranked by how soon they solve the task."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.figures.captions import BUDGET_WORDS, n_of, rate_words, setting_words
from study.figures.rates import MEASURES
from study.figures.tables import conclusive, in_order, share_and_mean
from study.figures.theme import WIDTH, Drawing, legend_below, log_axis, marks, share_axis, styles
from study.grid import Results
from study.text import CELL_NAMES, cell_name

# To stand beside the variants, a run of another block has these values, and some of theirs.
STANDARD = {"init": "default", "state": "carried", "device": "cpu", "start": "zeros"}
SAME = ["task", "length", "noise", "optimizer", "lr", "hidden_size", "batch_size"]
SAME += ["max_updates", "cue", "engine", "seed"]  # tuning runs have seeds of their own


def variants(results: Results) -> Drawing:
    """Cells of the block `variants` at the largest noise, and the standard cells beside them."""
    rows = conclusive(results.block("variants"))
    rows = rows[rows["noise"] == rows["noise"].max()]
    rows = pd.concat([rows, _standard_beside(results, rows)])
    table = share_and_mean(rows, ["cell", "hidden_size"])
    table["label"] = table["cell"].map(cell_name)
    groups = "hidden size " + table["hidden_size"].astype(str)
    by, height = groups.iloc[-1], 0.5 + 0.165 * table["label"].nunique()
    figure = _ranked(table.assign(group=groups), by, height)
    standard = rows[rows["cell"].isin(CELL_NAMES)]
    caption = _caption(
        rows, ["cell", "hidden_size"], f"Cells, ordered by the restricted mean at {by}"
    )
    if set(rows["hidden_size"]) == set(standard["hidden_size"]):
        caption += " Standard cells are from other blocks."
    return Drawing(figure, table, caption, ("variants",))


def _standard_beside(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Runs of the standard cells whose settings are those of the variants."""
    every = conclusive(results.runs)
    same = every["cell"].isin(CELL_NAMES) & every["cut_every"].isna()
    for name, value in STANDARD.items():
        same &= every[name] == value
    for name in SAME:
        same &= every[name].isin(rows[name].unique())
    return every[same]


def initialisations(results: Results) -> Drawing:
    """Every initialisation of the blocks `initialisations` and `forget_bias`, a mark per cell."""
    blocks, by = ("initialisations", "forget_bias"), ["cell", "init", "init_value"]
    rows = conclusive(results.block(*blocks))
    table = share_and_mean(rows, by)
    pairs = zip(table["init"], table["init_value"], strict=True)
    table["label"] = [_init_name(*pair) for pair in pairs]
    first, height = in_order(table["cell"])[0], 0.6 + 0.3 * table["label"].nunique()
    figure = _ranked(table.assign(group=table["cell"]), first, height)
    caption = _caption(
        rows, by, f"Initialisations, ordered by the restricted mean of the {cell_name(first)}"
    )
    return Drawing(figure, table, caption, blocks)


def _init_name(init: str, value: float) -> str:
    words = init.replace("_", " ")
    return words if np.isnan(value) else f"{words} {value:g}".replace("-", "−")


def _ranked(table: pd.DataFrame, by: str, height: float) -> Figure:
    """A row per label, soonest first by the restricted mean of one group; a panel per measure."""
    means = table[(table["measure"] == "restricted_mean_update") & (table["group"] == by)]
    order = means.sort_values(["estimate", "label"])["label"].tolist()
    order += sorted(set(table["label"]) - set(order))
    looks = styles(in_order(table["group"]), linestyle="")
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, height + 0.6), sharey=True)
    for axis, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        part = table[table["measure"] == measure]
        marks(axis, part, looks, by="group", along="label", names=order, step=0.18)
        axis.set_xlabel(label)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", linewidth=0.3, color="0.85")
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    share_axis(axes[0])
    log_axis(axes[1])
    legend_below(figure, looks, cell_name)
    return figure


def _caption(rows: pd.DataFrame, by: list[str], things: str) -> str:
    return (
        f"{things}: share of runs that solved the task, and restricted mean update, "
        f"with 95 % intervals; {n_of(rows, by)} runs per mark. {BUDGET_WORDS} {rate_words(rows)} "
        f"{setting_words(rows)}"
    )

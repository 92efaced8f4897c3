"""Variants and initialisations, ranked by how soon they are solved."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

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
    rate_words,
    setting_words,
    share_and_mean,
    solved_words,
    styles,
)
from study.text import CELL_NAMES, cell_name

MEASURES = {"share_solved": "share solved", "restricted_mean_update": "restricted mean update"}


def variants(results: Results) -> Drawing:
    """Every cell of the block `variants`, by hidden size, at the largest noise, and the standard cells beside them."""
    rows = conclusive(results.block("variants"))
    rows = rows[rows["noise"] == rows["noise"].max()]
    rows = pd.concat([rows, _standard_beside(results, rows)])
    table = share_and_mean(rows, ["cell", "hidden_size"])
    table["label"] = table["cell"].map(cell_name)
    groups = [f"hidden size {size}" for size in table["hidden_size"]]
    figure = _ranked(
        table.assign(group=groups), by=groups[-1], height=0.5 + 0.165 * table["label"].nunique()
    )
    missing = sorted(
        set(rows["hidden_size"]) - set(rows.loc[rows["cell"].isin(CELL_NAMES), "hidden_size"])
    )
    beside = "" if missing else " Standard cells are runs of other blocks with the same settings."
    sizes = rows.groupby(["cell", "hidden_size"]).size()
    return Drawing(
        figure,
        table,
        _caption(rows, sizes, f"Cells, ranked by {groups[-1]}") + beside,
        ("variants",),
    )


def _standard_beside(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Runs of the standard cells whose settings are those of the variants."""
    every = conclusive(results.runs)
    same = (
        every["cell"].isin(CELL_NAMES)
        & (every["init"] == "default")
        & (every["state"] == "carried")
    )
    same &= every["cut_every"].isna() & (every["device"] == "cpu") & (every["start"] == "zeros")
    names = (
        "task",
        "length",
        "noise",
        "optimizer",
        "lr",
        "hidden_size",
        "batch_size",
        "max_updates",
        "cue",
        "engine",
    )
    same &= every["seed"].isin(rows["seed"].unique())  # tuning runs have seeds of their own
    for name in names:
        same &= every[name].isin(rows[name].unique())
    return every[same]


def initialisations(results: Results) -> Drawing:
    """Every initialisation of the blocks `initialisations` and `forget_bias`, a mark for each cell."""
    rows = conclusive(results.block("initialisations", "forget_bias"))
    table = share_and_mean(rows, ["cell", "init", "init_value"])
    table["label"] = [
        _init_name(*pair) for pair in zip(table["init"], table["init_value"], strict=True)
    ]
    first = in_order(table["cell"])[0]
    figure = _ranked(
        table.assign(group=table["cell"]), by=first, height=0.6 + 0.3 * table["label"].nunique()
    )
    sizes = rows.groupby(["cell", "init", "init_value"], dropna=False).size()
    caption = _caption(rows, sizes, f"Initialisations, ranked by {cell_name(first)}")
    return Drawing(figure, table, caption, ("initialisations", "forget_bias"))


def _init_name(init: str, value: float) -> str:
    words = init.replace("_", " ")
    return words if np.isnan(value) else f"{words} {value:g}".replace("-", "−")


def _ranked(table: pd.DataFrame, by: str, height: float) -> Figure:
    """A row for each label, soonest first by the restricted mean of one group; a panel for each measure."""
    means = table[(table["measure"] == "restricted_mean_update") & (table["group"] == by)]
    order = means.sort_values(["estimate", "label"])["label"].tolist()
    order += sorted(set(table["label"]) - set(order))
    groups = in_order(table["group"])
    looks = styles(groups)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, height + 0.6), sharey=True)
    for axis, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        for place, group in enumerate(groups):
            part = table[(table["measure"] == measure) & (table["group"] == group)]
            shift = 0.18 * (place - (len(groups) - 1) / 2)
            rows = np.array([order.index(name) for name in part["label"]]) + shift
            error_bars(axis, rows, part, flat=True, **(looks[group] | {"linestyle": ""}))
        axis.set_xlabel(label)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", linewidth=0.3, color="0.85")
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    axes[0].set_xlim(-0.03, 1.03)
    log_axis(axes[1])
    legend_below(figure, {cell_name(name): look for name, look in looks.items()}, linestyle="")
    return figure


def _caption(rows: pd.DataFrame, sizes: pd.Series, what: str) -> str:
    return (
        f"{what}, soonest solved first: share solved with 95 % Wilson intervals, and "
        f"restricted mean convergence update with 95 % intervals, {n_of(sizes)} runs a mark. {MEAN_WORDS} "
        f"{rate_words(rows)} {solved_words(rows)} "
        f"{setting_words(rows)}"
    )

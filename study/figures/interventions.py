"""The state of solved networks changed by hand: does the phase follow?"""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from study.figures.results import Results
from study.figures.spectra import headline_networks
from study.figures.theme import (
    WIDTH,
    Drawing,
    columns_of,
    error_bars,
    in_order,
    legend_below,
    n_of,
    styles,
    values_of,
)
from study.stats import share_over_runs
from study.text import cell_name

# What is put in, as the table of interventions calls it, and as the figure does: predicted flips, then controls.
SHOWN = {
    "opposite donor": "donor, opposite phase",
    "frozen": "held for a step",
    "same donor": "donor, same phase",
    "shuffled donor": "donor, units shuffled",
    "random state": "random state",
    "mean": "mean of both phases",
    "zero": "zeros",
}
PREDICTED = ("opposite donor", "frozen")  # a flip, in every trial
PARTS = {"all": "whole state", "h": "h alone", "c": "c alone"}


def flips(results: Results) -> Drawing:
    """Share of trials in which the phase is the other one from then to the end, by cell and intervention."""
    rows = headline_networks(results, "interventions")
    rows = rows[rows["intervention"].isin(SHOWN) & rows["part"].isin(PARTS)]
    cells, looks = in_order(rows["cell"]), styles(PARTS)
    figure, axes = plt.subplots(
        1, len(cells), figsize=(WIDTH, 2.5), squeeze=False, sharex=True, sharey=True
    )
    made = []
    for axis, cell in zip(axes[0], cells, strict=True):
        table = _shares(rows[rows["cell"] == cell])
        made.append(table.assign(cell=cell))
        for place, part in enumerate(PARTS):
            _draw_part(axis, table[table["part"] == part], looks[part], 0.22 * (place - 1))
        axis.set_title(cell_name(cell))
        axis.set_xlabel("share flipped")
        _axes(axis)
    legend_below(figure, {PARTS[part]: look for part, look in looks.items()}, linestyle="none")
    table = pd.concat(made, ignore_index=True)
    return Drawing(
        figure, table[["cell", *table.columns.drop("cell")]], _caption(rows), ("headline",)
    )


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    made = []
    for name in SHOWN:
        for part in PARTS:
            some = rows[(rows["intervention"] == name) & (rows["part"] == part)]
            if len(some):
                for measure in ("flipped", "kept"):
                    found = share_over_runs(some[measure].to_numpy(), some["trials"].to_numpy())
                    made.append(
                        {"intervention": name, "part": part} | columns_of(found, f"share_{measure}")
                    )
    return pd.DataFrame(made)


def _draw_part(axis: Axes, table: pd.DataFrame, look: dict, shift: float) -> None:
    table = table[table["measure"] == "share_flipped"]
    places = [list(SHOWN).index(name) + shift for name in table["intervention"]]
    error_bars(axis, places, table, flat=True, **(look | {"linestyle": "none"}))


def _axes(axis: Axes) -> None:
    axis.axhline(len(PREDICTED) - 0.5, color="0.6", linewidth=0.7, linestyle=":")
    axis.set_yticks(range(len(SHOWN)), list(SHOWN.values()))
    axis.set_ylim(len(SHOWN) - 0.5, -0.5)
    axis.set_xlim(-0.04, 1.04)
    axis.set_xticks([0, 0.5, 1])


def _caption(rows: pd.DataFrame) -> str:
    trials = values_of(rows, "trials")
    return (
        "Share of trials in which the phase flips at once or within some steps and stays flipped to the end, when the "
        "state of a solved network is replaced in the middle of a sequence: above the dotted line what must flip it, "
        f"below it the controls. {n_of(rows.groupby('cell')['run_id'].nunique())} networks a cell, of all optimizers, "
        f"{trials} trials each; means over networks with 95 % Wilson intervals at the effective sample size, since "
        "trials of one network are no independent sample. A random state has no phase to bring and falls to either "
        "side. In the GRU and the RNNs h is the whole state. "
        f"Hidden size {values_of(rows, 'hidden_size')}, length {values_of(rows, 'length')}, noise level "
        f"{values_of(rows, 'noise')}."
    )

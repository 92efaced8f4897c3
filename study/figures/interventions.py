"""Draw how often trained networks change their phase when their hidden state is altered.

The phase says whether a network answers 1 at even or at odd steps. The state is altered in the
middle of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from study.figures.captions import size_range
from study.figures.tables import columns_of, in_order, networks_shown, ordered, table_by
from study.figures.theme import Drawing, legend_below, marks, named_rows, panels, styles
from study.grid import Results
from study.stats import share_over_runs

# The name of each intervention in the figure. The first two should flip the phase; the others are
# controls.
NAMES = {
    "opposite donor": "donor, opposite phase",
    "frozen": "held for a step",
    "same donor": "donor, same phase",
    "shuffled donor": "donor, units shuffled",
    "random state": "random state",
    "mean": "mean of both phases",
    "zero": "zeros",
}
PREDICTED = ("opposite donor", "frozen")  # predicted to flip the phase in every trial
PARTS = {"all": "whole state", "h": "h alone", "c": "c alone"}


def flips(results: Results) -> Drawing:
    """Draw the share of trials in which altering the state flips a network's phase for good.

    The phase says whether a network answers 1 at even or at odd steps. There is one panel per cell
    and one row per intervention, that is, per way of altering the state.
    """
    rows = networks_shown(results, "flips", "interventions")
    rows = rows[rows["intervention"].isin(NAMES) & rows["part"].isin(PARTS)]
    cells, looks = in_order(rows["cell"]), styles(PARTS, linestyle="none")
    grouped = ordered(rows, intervention=NAMES, part=PARTS)
    table = table_by(grouped, ["cell", "intervention", "part"], _shares)
    flipped = table[table["measure"] == "share_flipped"]
    figure, axes = panels(cells, 2.5, sharex=True, sharey=True)
    for axis, cell in zip(axes[0], cells, strict=True):
        part = flipped[flipped["cell"] == cell]
        marks(axis, part, looks, by="part", along="intervention", names=NAMES, step=0.22)
        axis.axhline(len(PREDICTED) - 0.5, color="0.6", linewidth=0.7, linestyle=":")
        named_rows(axis, list(NAMES.values()), grid=False)
        axis.set(xlabel="share flipped", xlim=(-0.04, 1.04), xticks=[0, 0.5, 1])
    legend_below(figure, looks, PARTS.__getitem__)
    networks = size_range(rows.groupby("cell")["run_id"].nunique())
    caption = (
        "In the middle of a sequence, all or part of a network's state is replaced, or held for a "
        "step: share of trials after which its answers are flipped (0↔1). A “donor” is the same "
        "network on another sequence. We predicted flips above the dotted line; the other rows are "
        f"controls. Marks are means over n = {networks} networks per cell, with "
        f"{rows['trials'].max()} trials each, and 95 % Wilson intervals."
    )
    return Drawing(figure, table, caption, results.naming("flips"))


def _shares(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for measure in ("flipped", "kept"):
        share = share_over_runs(rows[measure].to_numpy(), rows["trials"].to_numpy())
        yield columns_of(share, f"share_{measure}")

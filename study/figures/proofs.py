"""Draw how many networks are proved right for ever, and up to which noise."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from study.dynamics import certificates
from study.figures.captions import n_of
from study.figures.tables import columns_of, in_order, networks_shown, ordered, table_by
from study.figures.theme import (
    WIDTH,
    Drawing,
    legend_below,
    line,
    log_axis,
    marks,
    named_rows,
    share_axis,
    styles,
)
from study.grid import Results
from study.stats import share
from study.text import cell_name

VERDICTS = ("proved", "refuted", "undecided")
LEVELS = (1.0, 2.0, 4.0)  # levels of noise for which the table has the share of networks


def proofs(results: Results) -> Drawing:
    """Draw how many networks are proved right for ever, and up to which noise.

    The left panel has the shares of networks that are proved, refuted and undecided. The right
    panel has the share for which a proof closes at a level of noise.
    """
    rows = networks_shown(results, "proofs", "certificates")
    sought = rows[rows["largest_noise"].notna()]
    cells, looks = in_order(rows["cell"]), styles(VERDICTS, linestyle="none")
    table = table_by(ordered(rows), ["cell"], _shares)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.4))
    verdicts = table[table["measure"].isin(VERDICTS)]
    marks(left, verdicts, looks, by="measure", along="cell", names=cells, step=0.22)
    named_rows(left, list(map(cell_name, cells)))
    share_axis(left, "share of networks")
    levels = np.geomspace(certificates.SMALLEST_NOISE, certificates.LARGEST_NOISE, 200)
    for cell, look in styles(cells).items():
        largest = sought.loc[sought["cell"] == cell, "largest_noise"].to_numpy(float)
        if len(largest):
            closes = (largest >= levels[:, None]).mean(1)
            right.plot(levels, closes, label=cell_name(cell), **line(look))
    log_axis(right, "x", (1, 2, 4))
    right.set(xlabel="level of the noise", ylabel="share with a proof", ylim=(-0.03, 1.03))
    right.legend(loc="lower left")
    legend_below(figure, looks)
    caption = (
        "Whether networks that solved the task are proved to answer right for ever, over all "
        "inputs in the range of the noise, refuted by such inputs, or neither. Left: shares of "
        f"networks; {n_of(rows, ['cell'])} per cell type; bars are 95 % intervals. Right: share "
        "for which a proof closes if the inputs lie between 0 and the level of the noise, tried "
        f"up to 4; {n_of(sought, ['cell'])} per cell type."
    )
    return Drawing(figure, table, caption, ("headline",))


def _shares(rows: pd.DataFrame) -> list[dict[str, Any]]:
    found = [
        columns_of(share(int((rows["verdict"] == verdict).sum()), len(rows)), verdict)
        for verdict in VERDICTS
    ]
    largest = rows["largest_noise"].dropna()
    return found + [
        columns_of(share(int((largest >= level).sum()), len(largest)), f"proof_at_{level:g}")
        for level in LEVELS
    ]

"""Where the task becomes hard: share solved over length, noise and hidden size, by cell, and boundaries."""

from __future__ import annotations

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from study.figures.results import Results
from study.figures.theme import (
    WIDTH,
    Drawing,
    columns_of,
    conclusive,
    in_order,
    n_of,
    rate_words,
    setting_words,
    solved_words,
)
from study.grid import solved_share
from study.stats import boundary
from study.text import cell_name

AXES = ["cell", "noise", "hidden_size", "length"]


def solved_map(results: Results) -> Drawing:
    """Share solved, a panel for each cell and noise level; boundaries where a fit finds one within the grid."""
    rows = conclusive(results.block("factorial"))
    shares = _shares(rows)
    table = pd.concat([shares, _boundaries(rows)], ignore_index=True)
    cells, noises = in_order(rows["cell"]), sorted(rows["noise"].unique())
    figure, axes = plt.subplots(
        len(noises),
        len(cells),
        figsize=(WIDTH, 0.5 + 1.1 * len(noises)),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for (line, noise), (column, cell) in product(enumerate(noises), enumerate(cells)):
        axis, here = axes[line, column], (table["cell"] == cell) & (table["noise"] == noise)
        _draw_map(
            axis, table[here], sorted(rows["hidden_size"].unique()), sorted(rows["length"].unique())
        )
        if line == 0:
            axis.set_title(cell_name(cell))
        if column == 0:
            axis.set_ylabel(f"noise {noise:g}\nhidden size")
        if line == len(noises) - 1:
            axis.set_xlabel("length")
    figure.colorbar(
        ScalarMappable(Normalize(0, 1), "cividis"),
        ax=axes,
        label="share solved",
        shrink=0.5,
        aspect=25,
    )
    return Drawing(figure, table, _caption(rows, table), ("factorial",))


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    groups = rows.groupby(AXES)
    return pd.DataFrame(
        dict(zip(AXES, key, strict=True)) | columns_of(solved_share(group), "share_solved")
        for key, group in groups
    )


def _boundaries(rows: pd.DataFrame) -> pd.DataFrame:
    """Half-solved length for each size, and half-solved size for each length, wherever the fit is made."""
    made = []
    for measure, along, falling in (
        ("half_solved_size", "hidden_size", False),
        ("half_solved_length", "length", True),
    ):
        by = [name for name in AXES if name != along]
        for key, group in rows.groupby(by):
            found = boundary(
                group[along].to_numpy(float),
                group["converged_update"].notna().to_numpy(),
                falling=falling,
            )
            made.append(dict(zip(by, key, strict=True)) | columns_of(found, measure))
    return pd.DataFrame(made)


def _draw_map(axis: Axes, table: pd.DataFrame, sizes: list[int], lengths: list[int]) -> None:
    """The shares as shades and numbers; each boundary that lies within the grid as a stroke with its interval."""
    shares = table[table["measure"] == "share_solved"].pivot_table(
        index="hidden_size", columns="length", values="estimate"
    )
    grid = shares.reindex(index=sizes, columns=lengths).to_numpy()
    axis.imshow(grid, vmin=0, vmax=1, cmap="cividis", origin="lower", aspect="auto")
    for (i, j), value in np.ndenumerate(grid):
        text = "–" if np.isnan(value) else f"{value:.2f}".removeprefix("0")
        axis.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=6,
            color="black" if value > 0.55 else "white",
        )
    axis.set_xticks(range(len(lengths)), [str(length) for length in lengths])
    axis.set_yticks(range(len(sizes)), [str(size) for size in sizes])
    axis.tick_params(length=0)
    found = _within(table, sizes)
    for length, *bounds in found[["length", "low", "estimate", "high"]].to_numpy(float):
        place = lengths.index(int(length)) + 0.33
        low, middle, high = (_position(value, sizes) for value in bounds)
        axis.plot([place, place], [low, high], color="white", linewidth=2.4)
        axis.plot([place, place], [low, high], color="#D55E00", linewidth=1.1)
        axis.plot(place, middle, marker="D", color="#D55E00", markeredgecolor="white", markersize=4)


def _within(table: pd.DataFrame, sizes: list[int]) -> pd.DataFrame:
    """Boundaries over size whose estimate lies within the sizes tried."""
    found = table[table["measure"] == "half_solved_size"]
    return found[(found["estimate"] >= min(sizes)) & (found["estimate"] <= max(sizes))]


def _position(size: float, sizes: list[int]) -> float:
    """Where a size stands on the axis, whose ticks are the sizes; clipped to the panel."""
    logs = np.log(np.clip(size, min(sizes) / np.sqrt(2), max(sizes) * np.sqrt(2)))
    edges = np.log([min(sizes) / np.sqrt(2), *sizes, max(sizes) * np.sqrt(2)])
    return float(np.interp(logs, edges, [-0.5, *range(len(sizes)), len(sizes) - 0.5]))


def _caption(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    n = n_of(rows.groupby(AXES).size())
    lengths = table[table["measure"] == "half_solved_length"]
    inside = lengths[
        (lengths["estimate"] >= rows["length"].min())
        & (lengths["estimate"] <= rows["length"].max())
    ]
    closed = lengths[np.isfinite(lengths["high"]) & (lengths["low"] > 0)]
    over_size = _within(table, sorted(rows["hidden_size"].unique()))
    return (
        f"Share of runs solved, {n} runs a square; figures/solved_map.csv has each with its 95 % Wilson interval. "
        "Diamonds: the hidden size at which half of the runs are solved, by a logistic fit on its logarithm, "
        f"with its 95 % profile-likelihood interval, clipped to the panel; {len(over_size)} of "
        f"{(table['measure'] == 'half_solved_size').sum()} fits have it within the sizes tried. A length at which half "
        f"are solved lies within the lengths tried in {len(inside)} of {len(lengths)} fits, and its interval is closed "
        f"in {len(closed)}. {rate_words(rows)} "
        f"{solved_words(rows)} {setting_words(rows)}"
    )

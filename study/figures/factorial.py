"""Draw which share of runs solve the task, for each length, noise level and hidden size."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from study.figures.captions import evaluations, n_of
from study.figures.tables import columns_of, in_order, table_by, trained_to_end
from study.figures.theme import Drawing, panels
from study.grid import Results, solved_share
from study.stats import boundary

AXES = ["cell", "noise", "hidden_size", "length"]


def solved_map(results: Results) -> Drawing:
    """Draw which share of runs solved the task, for each cell, noise, hidden size and length."""
    rows = trained_to_end(results.shown("solved_map"))
    shares = table_by(rows, AXES, lambda runs: [columns_of(solved_share(runs), "share_solved")])
    table = pd.concat([shares, _boundaries(rows)], ignore_index=True)
    cells, noises = in_order(rows["cell"]), sorted(rows["noise"].unique())
    sizes, lengths = (sorted(rows[name].unique()) for name in ("hidden_size", "length"))
    height = 0.5 + 1.1 * len(noises)
    figure, axes = panels(cells, height, len(noises), sharex=True, sharey=True)
    for axis, (noise, cell) in zip(axes.flat, product(noises, cells), strict=True):
        _draw_map(axis, table[(table["cell"] == cell) & (table["noise"] == noise)], sizes, lengths)
    for axis, noise in zip(axes[:, 0], noises, strict=True):
        axis.set_ylabel(f"noise {noise:g}\nhidden size")
    for axis in axes[-1]:
        axis.set_xlabel("length")
    scale = ScalarMappable(Normalize(0, 1), "cividis")
    figure.colorbar(scale, ax=axes, label="share solved", shrink=0.5, aspect=25)
    fits = (table["measure"] == "half_solved_size").sum()
    caption = (
        f"Share of {n_of(rows, AXES)} runs that solved the task. A diamond marks the hidden size "
        "at which half of the runs would solve it, as estimated by a logistic fit, with its 95 % "
        f"profile-likelihood interval; {len(_within(table, sizes))} of {fits} estimates lie within "
        "the sizes tried and are drawn. The CSV file has 95 % Wilson intervals of the shares. "
        f"{evaluations(rows)}"
    )
    return Drawing(figure, table, caption, results.naming("solved_map"))


def _boundaries(rows: pd.DataFrame) -> pd.DataFrame:
    """Estimate the hidden size, and the length, at which half of the runs solve the task.

    Each estimate of the hidden size is one row, for one cell, noise level and length. Each estimate
    of the length is one row, for one cell, noise level and hidden size.
    """

    def fitted(along: str, measure: str, falling: bool) -> pd.DataFrame:
        def measures(runs: pd.DataFrame) -> list[dict[str, Any]]:
            solved = runs["converged_update"].notna().to_numpy()
            half = boundary(runs[along].to_numpy(float), solved, falling=falling)
            return [columns_of(half, measure)]

        return table_by(rows, [name for name in AXES if name != along], measures)

    sizes = fitted("hidden_size", "half_solved_size", falling=False)
    return pd.concat([sizes, fitted("length", "half_solved_length", falling=True)])


def _draw_map(axis: Axes, table: pd.DataFrame, sizes: list[int], lengths: list[int]) -> None:
    """Draw one panel, with shares as shades and numbers, and half-solved sizes as diamonds.

    A share is the share of runs that solved the task. A half-solved size is the hidden size at
    which half of the runs would solve the task. It is drawn with its interval if it lies within the
    hidden sizes tried.
    """
    shares = table[table["measure"] == "share_solved"].pivot_table(
        index="hidden_size", columns="length", values="estimate"
    )
    grid = shares.reindex(index=sizes, columns=lengths).to_numpy()
    axis.imshow(grid, vmin=0, vmax=1, cmap="cividis", origin="lower", aspect="auto")
    write_shares(axis, grid)
    axis.set_xticks(range(len(lengths)), [str(length) for length in lengths])
    axis.set_yticks(range(len(sizes)), [str(size) for size in sizes])
    axis.tick_params(length=0)
    columns = ["length", "low", "estimate", "high"]
    for length, *bounds in _within(table, sizes)[columns].to_numpy(float):
        place = lengths.index(int(length)) + 0.33
        low, middle, high = (_position(value, sizes) for value in bounds)
        for colour, width in (("white", 2.4), ("#D55E00", 1.1)):
            axis.plot([place, place], [low, high], color=colour, linewidth=width)
        axis.plot(place, middle, marker="D", color="#D55E00", markeredgecolor="white", markersize=4)


def write_shares(axis: Axes, shares: np.ndarray) -> None:
    """Write each share into its square of a heat map. `shares` (rows, columns) may have NaN."""
    look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6}
    for (i, j), value in np.ndenumerate(shares):
        text = "–" if np.isnan(value) else f"{value:.2f}".removeprefix("0")
        axis.text(j, i, text, color="white" if value <= 0.55 else "black", **look)


def _within(table: pd.DataFrame, sizes: list[int]) -> pd.DataFrame:
    """Return the rows of `table` with a half-solved size that lies within `sizes`.

    A half-solved size is the hidden size at which half of the runs would solve the task. `sizes`
    are the hidden sizes tried.
    """
    halves = table[table["measure"] == "half_solved_size"]
    return halves[halves["estimate"].between(min(sizes), max(sizes))]


def _position(size: float, sizes: list[int]) -> float:
    """Return the position of a hidden size on an axis with equally spaced ticks.

    The ticks are at `sizes`, the hidden sizes tried, and have the positions 0, 1 and so on.
    Positions between ticks are interpolated logarithmically. Positions outside the panel are
    clipped to the panel's edge.
    """
    ends = [min(sizes) / np.sqrt(2), *sizes, max(sizes) * np.sqrt(2)]
    logs = np.log(np.clip(size, ends[0], ends[-1]))
    return float(np.interp(logs, np.log(ends), [-0.5, *range(len(sizes)), len(sizes) - 0.5]))

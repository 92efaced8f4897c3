"""Draw what a resonance carries, and where networks cross that learn a word problem."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.dynamics import automata, words
from study.figures.captions import n_of
from study.figures.tables import columns_of, dynamics_table, in_order, ordered, table_by
from study.figures.theme import WIDTH, Drawing, legend_below, log_axis, named_rows, panels, styles
from study.grid import Missing, Results
from study.stats import median, share
from study.text import cell_name

CARRIED = ["cell", "pattern", "layers"]
SPREAD = 0.6  # of the width of a row or column over which networks are spread, by their seed
TASKS = {"alternating": "10", "parity": "parity", "cyclic": "mod 3", "permutation": "S₃"}
LATEST = 10.0  # largest ratio of the two updates that is drawn; crossings that never come lie there


def carriers(results: Results) -> Drawing:
    """Draw how long networks of different cells and depths carry patterns of different periods."""
    runs = results.block("carriers")
    runs = runs[runs["long_exact"].notna()]
    if runs.empty:
        raise Missing("no run of the block 'carriers' has finished training")
    runs = runs.assign(prefix=automata.prefixes(runs))
    cells, layers = in_order(runs["cell"]), sorted(map(int, set(runs["layers"])))
    shown = sorted(set(runs["pattern"]), key=lambda pattern: (len(pattern), pattern))
    looks = styles(layers, linestyle="", markersize=2.5, alpha=0.6)
    figure, axes = plt.subplots(
        1, len(shown), figsize=(WIDTH, 0.3 * len(cells) + 0.8), squeeze=False, sharey=True
    )
    for axis, pattern in zip(axes[0], shown, strict=True):
        named_rows(axis, [cell_name(cell) for cell in cells])
        rows = runs[runs["pattern"] == pattern]
        for depth, offset in zip(layers, np.linspace(-0.2, 0.2, len(layers)), strict=True):
            some = rows[rows["layers"] == depth]
            places = some["cell"].map(cells.index) + offset + _spread(some, 0.3)
            axis.plot(some["prefix"].clip(lower=0.5), places, **looks[depth])
        for place, cell in enumerate(cells):
            sizes = rows.loc[rows["cell"] == cell, "hidden_size"].unique()
            for most in _bounds(pattern, cell, sizes):
                axis.plot([most, most], [place - 0.45, place], color="black", linewidth=1.4)
        log_axis(axis, "x")
        axis.set(title=pattern, xlabel="labels right in a row")
    legend_below(figure, looks, lambda n: f"{n} layer{'s' * (n > 1)}")
    long = int(runs["prefix"].max())
    caption = (
        "Each mark shows how many labels in a row a network gets right, from step 1 on, without "
        f"noise; it is tested on {long + 1} steps. Black lines: the most that real decays allow in "
        f"one layer, where they bound it. There are {n_of(runs, CARRIED)} networks per row and "
        "depth. A mark at ½ is a network that gets no label right. The CSV file has medians with "
        "95 % intervals."
    )
    table = table_by(ordered(runs), CARRIED, _lasting)
    return Drawing(figure, table, caption, ("carriers",))


def _bounds(pattern: str, cell: str, sizes: np.ndarray) -> list[float]:
    if cell not in automata.REAL:
        return []
    found = [automata.bound(pattern, int(size), automata.REAL[cell]) for size in sizes]
    return [most for most in found if most < math.inf]


def _lasting(rows: pd.DataFrame) -> list[dict[str, Any]]:
    whole = int((rows["long_exact"] == 1).sum())
    return [
        columns_of(median(rows["prefix"].to_numpy(float)), "labels_right"),
        columns_of(share(whole, len(rows)), "share_to_the_end"),
    ]


def _spread(rows: pd.DataFrame, width: float) -> np.ndarray:
    return width * (rows["seed"].rank(method="dense", pct=True).to_numpy() - 0.5)


def word_problems(results: Results) -> Drawing:
    """Draw when and at what angle networks cross that learn a word problem, under each input."""
    runs = results.block("words", "words_control")
    rows = dynamics_table(results, "words")
    rows = rows[rows["run_id"].isin(runs["run_id"]) & (rows["optimizer"] == "adam")]
    if rows.empty:
        raise Missing("the table 'words' has no row about these runs")
    left = rows[rows["leaving"].notna()]
    left = left.assign(ratio=(left["crossing"].astype(float) / left["leaving"].astype(float)))
    cells = in_order(rows["cell"])
    columns = [key for task in TASKS for key in _inputs(rows[rows["task"] == task])]
    kinds = {"turns": "input that turns", "keeps": "input that keeps", words.MEAN: "mean input"}
    looks = styles(kinds, linestyle="", markersize=2.5, alpha=0.7)
    figure, axes = panels(cells, 3.3, lines=2, sharex=True, sharey="row")
    for (above, below), cell in zip(axes.T, cells, strict=True):
        some = left[left["cell"] == cell]
        above.axhspan(1 / automata.NEAR, automata.NEAR, color="0.92", linewidth=0)
        for place, (task, name, order) in enumerate(columns):
            part = some[(some["task"] == task) & (some["input"] == name)]
            look = looks[words.MEAN if name == words.MEAN else "turns" if order > 1 else "keeps"]
            places = place + _spread(part, SPREAD)
            late = part["ratio"].fillna(math.inf).clip(1 / LATEST, LATEST)
            above.plot(places, late, **look)
            below.plot(places, part["angle"] / math.pi, **look)
            if name != words.MEAN:
                _draw_angles(below, place, order)
        log_axis(above, "y", (1, 2, 5))
        below.set_xticks(range(len(columns)), [name for _, name, _ in columns], rotation=90)
        _name_tasks(below, [task for task, _, _ in columns])
    axes[0, 0].set_ylabel("crossing / leaving")
    axes[1, 0].set(ylabel="angle / π", ylim=(-0.05, 1.05))
    legend_below(figure, looks, kinds.__getitem__)
    caption = (
        "Each mark is a network whose loss left its plateau, seen under one constant input. Top: "
        "the update at which an eigenvalue leaves the unit circle over that at which the loss "
        f"leaves; marks at {LATEST:g} never cross, or later. Shaded: a factor of "
        f"{automata.NEAR:g}. Bottom: the angle of that eigenvalue; black lines are the angles by "
        "which the input turns. Adam; "
        f"n = {n_of(rows, ['cell', 'task', 'input'])} networks per column, left or not. The CSV "
        "file has shares and medians with 95 % intervals."
    )
    table = table_by(left, ["cell", "task", "input"], _moments)
    return Drawing(figure, table, caption, ("words", "words_control"))


def _inputs(rows: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Return the task, name and order of each input of one task, in the table's order."""
    return list(dict.fromkeys(rows[["task", "input", "order"]].itertuples(index=False, name=None)))


def _draw_angles(axis: Axes, place: int, order: int) -> None:
    """Draw a line at each angle, over π, by which an input of this order turns its labels."""
    for k in range(1 if order > 1 else 0, order // 2 + 1):
        ends = [place - 0.45, place + 0.45]
        axis.plot(ends, [2 * k / order] * 2, color="black", linewidth=0.8, zorder=0)


def _name_tasks(axis: Axes, tasks: list[str]) -> None:
    """Write the name of each task below the names of its inputs."""
    for task in dict.fromkeys(tasks):
        places = [i for i, other in enumerate(tasks) if other == task]
        axis.text(
            float(np.mean(places)), -0.42, TASKS[task], transform=axis.get_xaxis_transform(),
            ha="center", va="top", fontsize="small",
        )  # fmt: skip


def _moments(rows: pd.DataFrame) -> list[dict[str, Any]]:
    near, crossed = automata.is_near(rows), rows["crossing"].notna()
    found = [
        columns_of(share(int(near.sum()), len(rows)), "share_near_the_leaving"),
        columns_of(share(int(crossed.sum()), len(rows)), "share_crossed"),
    ]
    if crossed.any():
        angles = rows.loc[crossed, "angle"].to_numpy(float)
        found.append(columns_of(median(angles), "median_angle"))
    return found

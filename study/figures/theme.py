"""Define the theme that all figures share, and functions that draw what many of them show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from study.text import CELL_NAMES, cell_name

WIDTH = 6.3  # inches: the width of the text on an A4 page

# Wong (2011): eight colours that colour-blind readers can tell apart. In grey, dashes and markers
# tell the lines apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
THEME: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "study",  # without this the identifiers in an SVG are random
    "svg.fonttype": "none",
}
INTERVAL = ("estimate", "low", "high")
Looks = dict[Any, dict[str, Any]]  # one style per name


@dataclass(frozen=True)
class Drawing:
    """A figure, the table of its numbers, its caption, and the names of its blocks.

    A block is a named part of a grid of runs. The figure shows runs of the blocks in `blocks`, and
    `settings` says how these runs were trained.
    """

    figure: Figure
    table: pd.DataFrame
    caption: str
    blocks: tuple[str, ...] = ()
    settings: str = ""

    def csv(self) -> str:
        """Return the table as the text of a CSV file, below the settings as a line with a `#`."""
        head = f"# {self.settings}\n" if self.settings else ""
        return head + self.table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def styles(names: Iterable[Any], **common: Any) -> Looks:
    """Return one style per name, each with its own colour, dash pattern and marker.

    After eight names, the styles begin again. `common` has matplotlib options that all styles
    share. These override a style's own options.
    """
    looks = zip(names, cycle(COLOURS), cycle(DASHES), cycle(MARKERS), strict=False)
    return {n: {"color": c, "linestyle": d, "marker": m} | common for n, c, d, m in looks}


def cell_styles(cells: Sequence[str], **common: Any) -> Looks:
    """Return one style per cell. A main cell, such as the LSTM, has the same one in every figure.

    `common` is passed to `styles`.
    """
    looks = styles([*CELL_NAMES, *(cell for cell in cells if cell not in CELL_NAMES)], **common)
    return {cell: looks[cell] for cell in cells}


def line(look: dict[str, Any]) -> dict[str, Any]:
    """Return the colour and the dash pattern of the style `look`, without its marker."""
    return {"color": look["color"], "linestyle": look["linestyle"]}


def panels(
    cells: Sequence[str], height: float, lines: int = 1, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Make a figure with one column of panels per cell, and return the figure and its axes.

    The axes are an array of the shape (lines, cells), where `lines` is the number of rows of
    panels. `height` is the figure's height in inches. `options` are passed to `plt.subplots`.
    """
    size = (WIDTH, height)
    figure, axes = plt.subplots(lines, len(cells), figsize=size, squeeze=False, **options)
    for axis, cell in zip(axes[0], cells, strict=True):
        axis.set_title(cell_name(cell).replace(", ", ",\n"))
    return figure, axes


def legend_below(
    figure: FigureBase, looks: Looks, name: Callable[[Any], str] = str, most: int = 6, **common: Any
) -> None:
    """Draw one legend below all panels, with one entry per style in `looks`.

    `name` turns each key of `looks` into a label. A row has at most `most` entries. `common` has
    matplotlib options that override the options of every style.
    """
    handles = [Line2D([], [], label=name(key), **(look | common)) for key, look in looks.items()]
    columns = -(-len(handles) // -(-len(handles) // most))  # rows of equal length
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3)


def log_axis(axis: Axes, which: str = "x", ticks: Sequence[float] = (1,)) -> None:
    """Make the x or y axis (`which`) logarithmic, with plain numbers such as 1,000 as labels.

    `ticks` are the multiples of powers of ten that get a tick.
    """
    getattr(axis, f"set_{which}scale")("log")
    part = getattr(axis, f"{which}axis")
    part.set_major_locator(LogLocator(subs=ticks))
    part.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    part.set_minor_locator(NullLocator())


def named_rows(axis: Axes, names: Sequence[str], grid: bool = True) -> None:
    """Label the rows of a panel with `names`, from top to bottom.

    If `grid` is true, thin lines mark the rows.
    """
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    if grid:
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", linewidth=0.3, color="0.85")


def share_axis(axis: Axes, label: str = "share solved") -> None:
    """Let the horizontal axis run from 0 to 1, with a small margin, and write `label` below it."""
    axis.set(xlim=(-0.03, 1.03), xlabel=label)


def error_bars(
    axis: Axes,
    x: Any,
    table: pd.DataFrame,
    flat: bool = False,
    columns: Sequence[str] = INTERVAL,
    **look: Any,
) -> None:
    """Draw estimates at positions `x`, with their intervals as vertical bars.

    If `flat` is true, `x` are positions on the vertical axis and the bars are horizontal. `columns`
    names three columns of `table`, which hold the estimate and the two ends of its interval. `look`
    is passed to matplotlib's `errorbar`.
    """
    estimate, low, high = (table[name].to_numpy() for name in columns)
    spread = np.abs([estimate - low, high - estimate])
    look = {"markersize": 3.5, "elinewidth": 0.8, "capsize": 1.5} | look
    if flat:
        axis.errorbar(estimate, x, xerr=spread, **look)
    else:
        axis.errorbar(x, estimate, yerr=spread, **look)


def shifts(n: int, step: float) -> np.ndarray:
    """Return offsets (n,) that put `n` marks side by side around one place, `step` apart."""
    return step * (np.arange(n) - (n - 1) / 2)


def marks(
    axis: Axes,
    table: pd.DataFrame,
    looks: Looks,
    *,
    by: str,
    along: str,
    names: Iterable[Any],
    step: float,
    flat: bool = True,
    columns: Sequence[str] = INTERVAL,
) -> None:
    """Draw one mark with an interval for each row of `table`.

    The value in the column `along` is one of `names` and gives the mark's place along one axis. The
    value in the column `by` is a key of `looks` and gives the mark's style. Marks at the same
    place lie side by side, `step` apart. `flat` and `columns` are passed to `error_bars`.
    """
    place = {name: i for i, name in enumerate(names)}
    for (group, look), shift in zip(looks.items(), shifts(len(looks), step), strict=True):
        part = table[table[by] == group]
        error_bars(axis, part[along].map(place).to_numpy() + shift, part, flat, columns, **look)


def outcome_marks(
    axis: Axes, table: pd.DataFrame, looks: Looks, step: float, flat: bool = True
) -> None:
    """Draw one mark with an interval for each outcome in each row of `table`.

    The marks of row i lie side by side at place i, `step` apart. Each key of `looks` names the
    column of one outcome. The ends of the outcome's interval are in the columns `{key}_low` and
    `{key}_high`. `flat` is passed to `error_bars`.
    """
    for (name, look), shift in zip(looks.items(), shifts(len(looks), step), strict=True):
        columns = (name, f"{name}_low", f"{name}_high")
        error_bars(axis, np.arange(len(table)) + shift, table, flat, columns, **look)


def band(axis: Axes, x: Any, ends: Sequence[Any], look: dict[str, Any], **options: Any) -> None:
    """Shade the band between the two curves in `ends`, over the positions `x`.

    The style `look` gives the colour. Thin edges keep overlapping bands apart in greyscale.
    `options` are passed to matplotlib's `fill_between`.
    """
    step = options.get("step")
    style: dict[str, Any] = line(look) | {"linewidth": 0.4}
    axis.fill_between(x, *ends, color=look["color"], linewidth=0, **options)
    for end in ends:
        axis.plot(x, end, drawstyle=f"steps-{step}" if step else "default", **style)

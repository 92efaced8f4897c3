"""What figures share: one theme, names, styles, and words for captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only; no display is needed

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from study.figures.results import NotDrawable
from study.grid import CONCLUSIVE, censored_times, solved_share
from study.stats import Estimate, rmst
from study.text import CELL_NAMES, optimizer_name

WIDTH = 6.3  # inches: the text of an A4 page

# Wong 2011, eight colours told apart by colour-blind readers; dashes and markers tell them apart in grey.
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
    "svg.hashsalt": "study",  # without it every SVG has other identifiers
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers it shows, its caption, and the blocks whose runs it shows."""

    figure: Figure
    table: pd.DataFrame
    caption: str
    blocks: tuple[str, ...] = ()


def styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour, a dash pattern and a marker for each name, in the order given."""
    each = zip(COLOURS, DASHES, MARKERS, strict=True)
    return {
        name: {"color": c, "linestyle": d, "marker": m}
        for name, (c, d, m) in zip(names, each, strict=False)
    }


def legend_below(figure: FigureBase, styles: dict[str, dict[str, Any]], **common: Any) -> None:
    """One legend for all panels, under them."""
    handles = [Line2D([], [], label=name, **(style | common)) for name, style in styles.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 6), handlelength=3
    )


def log_axis(axis: Axes, which: str = "x") -> None:
    """A logarithmic axis with plain numbers at the decades."""
    getattr(axis, f"set_{which}scale")("log")
    part = getattr(axis, f"{which}axis")
    part.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    part.set_minor_locator(NullLocator())


def conclusive(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs that were trained to their end; `NotDrawable` where there are none."""
    ended = rows[rows["status"].isin(CONCLUSIVE)]
    if ended.empty:
        raise NotDrawable("no run was trained to its end")
    return ended


def in_order(values: pd.Series, order: Sequence[str] | dict[str, str] = CELL_NAMES) -> list[str]:
    """Distinct values, those in `order` first and in its order."""
    present = set(values)
    return [name for name in order if name in present] + sorted(present - set(order))


def values_of(rows: pd.DataFrame, column: str) -> str:
    """The distinct values of a setting, for a caption."""
    return ", ".join(f"{value:,g}" for value in sorted(rows[column].dropna().unique()))


def n_of(sizes: Iterable[int]) -> str:
    """`n = 50` or `n = 30 to 50`, for a caption."""
    low, high = min(sizes := list(sizes)), max(sizes)
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def setting_words(rows: pd.DataFrame) -> str:
    """The settings that every caption gives."""
    return (
        f"Length {values_of(rows, 'length')}, hidden size {values_of(rows, 'hidden_size')}, noise level "
        f"{values_of(rows, 'noise')}, batch size {values_of(rows, 'batch_size')}."
    )


def rate_words(rows: pd.DataFrame) -> str:
    """The optimizers and learning rates of some runs."""
    optimizers = " and ".join(map(optimizer_name, sorted(rows["optimizer"].unique())))
    return f"{optimizers} at learning rate {values_of(rows, 'lr')}."


def solved_words(rows: pd.DataFrame, within: str = "") -> str:
    """What solved means in some runs; `within` is their budget in words, where updates do not tell it."""
    return (
        f"A run is solved at the first of {values_of(rows, 'solved_evaluations')} evaluations in a row with every "
        f"label after step 0 of {values_of(rows, 'eval_sequences')} fresh sequences right, within "
        f"{within or values_of(rows, 'max_updates') + ' updates'}."
    )


MEAN_WORDS = (
    "The restricted mean counts an unsolved or diverged run with its whole budget; its interval is a bootstrap over "
    "runs, or follows from Wilson's where all runs have one time."
)


def restricted_mean_of(rows: pd.DataFrame) -> Estimate:
    """Restricted mean convergence update of runs, to the smallest budget; the same resamples each time."""
    times, solved = censored_times(rows.sort_values("run_id"))
    return rmst(times, solved, float(rows["max_updates"].min()), np.random.default_rng(0))


def share_and_mean(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """For each group a row for each measure, share_solved and restricted_mean_update: n, estimate, low, high."""
    made = []
    for key, group in rows.groupby(by, sort=True, dropna=False):
        names = dict(zip(by, key, strict=True))
        diverged = {"diverged": int((group["status"] == "diverged").sum())}
        made.append(names | columns_of(solved_share(group), "share_solved") | diverged)
        made.append(
            names | columns_of(restricted_mean_of(group), "restricted_mean_update") | diverged
        )
    return pd.DataFrame(made)


def error_bars(axis: Axes, x: Any, table: pd.DataFrame, flat: bool = False, **look: Any) -> None:
    """Estimates with their intervals at some places, upright or lying."""
    estimate = table["estimate"].to_numpy()
    spread = np.abs([estimate - table["low"].to_numpy(), table["high"].to_numpy() - estimate])
    look = {"markersize": 3.5, "elinewidth": 0.8, "capsize": 1.5} | look
    if flat:
        axis.errorbar(estimate, x, xerr=spread, **look)
    else:
        axis.errorbar(x, estimate, yerr=spread, **look)


def columns_of(estimate: Estimate, measure: str) -> dict[str, Any]:
    """An estimate as columns of a figure's table."""
    return {"measure": measure, "n": estimate.n, "estimate": estimate.value} | {
        "low": estimate.low,
        "high": estimate.high,
    }

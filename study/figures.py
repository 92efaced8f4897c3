"""Draw figures from stored results: `python -m study.figures results/main`.

A figure is a function from the table of runs to a `Drawing`: the figure, the numbers it shows, and a
caption written from them. It trains nothing. To add one: write its function, and enter it in `FIGURES`.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # files only; no display is needed

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from study.errors import BadInput, Problem, report, unknown
from study.stats import SolvedCurve, solved_curve, time_to_share
from study.store import StoreWarning, load
from study.summary import CONCLUSIVE, censored_times

FORMATS = ("pdf", "svg", "png")
NOTHING_DRAWN = 1  # exit code

# Wong 2011, eight colours told apart by colour-blind readers; dashes tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (3, 3)))
THEME: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "study",  # without it every SVG has other identifiers
    "svg.fonttype": "none",
}
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN, tanh", "rnn_relu": "RNN, ReLU"}


class NotDrawable(Exception):
    """The results lack what a figure is about."""


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers it shows, and its caption."""

    figure: Figure
    table: pd.DataFrame
    caption: str


# --- convergence --------------------------------------------------------------------------------


def convergence(frame: pd.DataFrame) -> Drawing:
    """Share of runs solved against updates, a panel for each cell and a curve for each optimizer."""
    rows = _block(frame, "headline")
    rows = rows[rows["status"].isin(CONCLUSIVE)]
    if rows.empty:
        raise NotDrawable("no run was trained to its end")
    cells = [cell for cell in _in_order(rows["cell"], CELL_NAMES) if (rows["cell"] == cell).any()]
    optimizers = sorted(rows["optimizer"].unique())
    styles = dict(zip(optimizers, zip(COLOURS, DASHES, strict=True), strict=False))
    figure, axes = plt.subplots(
        1, len(cells), figsize=(1.2 + 1.7 * len(cells), 2.6), sharex=True, sharey=True, squeeze=False
    )
    tables = []
    for axis, cell in zip(axes[0], cells, strict=True):
        for optimizer in optimizers:
            group = rows[(rows["cell"] == cell) & (rows["optimizer"] == optimizer)]
            if len(group):
                curve = solved_curve(*censored_times(group))
                _draw_curve(axis, curve, int(group["max_updates"].max()), *styles[optimizer], label=optimizer)
                tables.append(_curve_table(curve, cell=cell, optimizer=optimizer))
        axis.set_title(CELL_NAMES.get(cell, cell))
        axis.set_xlabel("updates")
    _share_axes(axes[0], rows)
    handles = [Line2D([], [], color=c, linestyle=d, label=o) for o, (c, d) in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=3)
    return Drawing(figure, pd.concat(tables, ignore_index=True), _convergence_caption(rows))


def _draw_curve(axis, curve: SolvedCurve, budget: int, colour: str, dashes, label: str) -> None:
    """A step curve with its interval, carried on to the budget."""
    times = np.append(curve.times, budget)
    solved, low, high = (np.append(part, part[-1]) for part in (curve.solved, curve.low, curve.high))
    axis.fill_between(times, low, high, step="post", color=colour, alpha=0.18, linewidth=0)
    axis.step(times, solved, where="post", color=colour, linestyle=dashes, label=label)


def _share_axes(axes, rows: pd.DataFrame) -> None:
    first = axes[0]
    first.set_xscale("log")
    first.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    first.set_xlim(rows["eval_every"].min(), rows["max_updates"].max())
    first.set_ylim(-0.02, 1.02)
    first.set_ylabel("share of runs solved")


def _curve_table(curve: SolvedCurve, **group: str) -> pd.DataFrame:
    median = time_to_share(curve)
    return pd.DataFrame(
        group
        | {"n": curve.n, "update": curve.times, "at_risk": curve.at_risk}
        | {"solved": curve.solved, "solved_low": curve.low, "solved_high": curve.high}
        | {"median_update": median.value, "median_low": median.low, "median_high": median.high}
    )


def _convergence_caption(rows: pd.DataFrame) -> str:
    sizes = rows.groupby(["cell", "optimizer"]).size()
    n = f"n = {sizes.min()}" if sizes.min() == sizes.max() else f"n = {sizes.min()} to {sizes.max()}"
    rates = rows.groupby(["cell", "optimizer"])["lr"].unique()
    chosen = "; ".join(
        f"{CELL_NAMES.get(cell, cell)} "
        + ", ".join(f"{optimizer} {'/'.join(f'{lr:g}' for lr in rates[cell, optimizer])}" for optimizer in group)
        for cell, group in ((c, rates[c].index) for c in _in_order(rows["cell"], CELL_NAMES))
    )
    engines = " and ".join(sorted(rows["engine"].unique()))
    return (
        f"Share of runs solved by each update (one minus Kaplan-Meier), {n} runs a curve. Bands are pointwise 95 % "
        "intervals (Rothman). A run is solved at the first of "
        f"{_values(rows, 'solved_evaluations')} evaluations in a row with every label over t >= 1 of "
        f"{_values(rows, 'eval_sequences')} fresh sequences right; unsolved runs are censored at their budget, and "
        f"diverged ones count as unsolved to its end. Length {_values(rows, 'length')}, hidden size "
        f"{_values(rows, 'hidden_size')}, noise level {_values(rows, 'noise')}, batch size "
        f"{_values(rows, 'batch_size')}. Engine: {engines}. Learning rates: {chosen}."
    )


# --- what figures share -------------------------------------------------------------------------


def _block(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a block, or all rows where the grid has no such block."""
    chosen = frame[[name in blocks for blocks in frame["blocks"]]]
    return chosen if len(chosen) else frame


def _in_order(values: pd.Series, order: Sequence[str] | dict[str, str]) -> list[str]:
    """Distinct values, those in `order` first and in its order."""
    present = set(values)
    return [name for name in order if name in present] + sorted(present - set(order))


def _values(rows: pd.DataFrame, column: str) -> str:
    """The distinct values of a setting, for a caption."""
    return ", ".join(f"{value:g}" for value in sorted(rows[column].dropna().unique()))


# --- the command --------------------------------------------------------------------------------

FIGURES: dict[str, Callable[[pd.DataFrame], Drawing]] = {
    "convergence": convergence,
}


def draw(name: str, frame: pd.DataFrame) -> Drawing:
    """One figure of the registry, in the study's theme."""
    with sns.axes_style("ticks"), plt.rc_context(THEME), plt.rc_context({"figure.constrained_layout.use": True}):
        return FIGURES[name](frame)


def save(name: str, drawing: Drawing, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in each format, its table and its caption; the same bytes for the same results."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    written = []
    with plt.rc_context(THEME):
        for kind in formats:
            written.append(folder / f"{name}.{kind}")
            drawing.figure.savefig(written[-1], dpi=300, metadata=metadata[kind])
    plt.close(drawing.figure)
    written += [folder / f"{name}.csv", folder / f"{name}.txt"]
    drawing.table.to_csv(written[-2], index=False, float_format="%.6g", lineterminator="\n")
    written[-1].write_text(drawing.caption + "\n", encoding="utf-8")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = _parse(arguments)
    try:
        return _draw_all(options)
    except BadInput as error:
        return report(error)


def _draw_all(options: argparse.Namespace) -> int:
    names = options.only or list(FIGURES)
    for name in names:
        if name not in FIGURES:
            raise BadInput([Problem(f"--only {name}", unknown("figure", name, FIGURES))])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StoreWarning)
        frame = load(options.results)
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)
    folder = Path(options.out) if options.out else Path(options.results) / "figures"
    drawn = 0
    for name in names:
        try:
            written = save(name, draw(name, frame), folder, options.format or FORMATS)
        except NotDrawable as reason:
            print(f"{name}: not drawn: {reason}", file=sys.stderr)
        except OSError as error:
            problem = Problem(str(folder), f"cannot be written: {error.strerror or error}")
            raise BadInput([problem]) from error
        else:
            drawn += 1
            print(*written, sep="\n")
    return 0 if drawn else NOTHING_DRAWN


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.figures",
        description="Draw figures from stored results, each with its numbers (CSV) and caption; trains nothing.",
        epilog="example:\n  python -m study.figures results/main --only convergence --format png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", help="a results folder, such as results/main")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of: {', '.join(FIGURES)}; repeatable")
    parser.add_argument("--format", action="append", choices=FORMATS, help="repeatable (default: all)")
    parser.add_argument("--out", metavar="FOLDER", help="where to write (default: RESULTS/figures)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

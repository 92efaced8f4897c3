"""Compare two values of a setting in pairs of runs, and draw the effects with their intervals.

An example is `study contrast results/main --block headline --between cell=lstm,gru --within
optimizer`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd

from study.analysis import Format, contrasts, named, pick, stored, tuning_runs, values_of, written
from study.command import Names, command
from study.errors import BadInput, echo, unknown
from study.figures import FORMATS, save, themed
from study.figures.captions import size_range, value_words
from study.figures.theme import COLOURS, WIDTH, Drawing, error_bars, named_rows
from study.grid import setting_text
from study.runs import settings_in

LEVEL = 0.05  # effects with corrected p-values below it have filled marks
TICKS = (-1, -0.5, 0, 0.5, 1)
COLUMNS = ("difference", "low", "high")
NOTE = (
    "Runs are paired by seed. `solved` is the difference in the share of runs that solve the\n"
    "task, with McNemar's exact test. `sooner` is the share of pairs in which the first solves it\n"
    "sooner, minus the share in which the second does, with the paired Prentice-Wilcoxon test.\n"
    "Holm's correction is over all rows."
)

app = command(
    "contrast",
    "study contrast results/main --block headline --between cell=lstm,gru --within optimizer\n"
    "study contrast results/main --block factorial --between cell=lstm,gru "
    "--within hidden_size,noise,length --format csv --figure contrast.svg",
)


@app.default
def contrast(
    results: Path,
    /,
    *,
    between: str,
    within: str = "",
    block: Names = (),
    where: Names = (),
    untuned: bool = False,
    format: Format = "text",
    figure: Path | None = None,
) -> None:
    """Compare two cells, or two values of another setting, in pairs of runs with equal seeds.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    between
        The setting and its two values, such as cell=lstm,gru. Differences are the first minus the
        second.
    within
        Compare separately for each combination of these settings, separated by commas. All other
        settings must be equal.
    block
        Use only runs of this block, a named part of the grid. May be given several times.
    where
        Use only runs in which a setting has one of these values, such as noise=0,1. May be given
        several times.
    untuned
        Compare runs at different learning rates even if the rates were not tuned with equal effort
        on the runs of blocks with names that begin with `tuning`.
    format
        Format of the table. JSON and CSV have all columns in full precision.
    figure
        Draw the effects into this file (.svg, .pdf or .png). Their numbers (.csv) and a caption
        (.txt) are written beside it.
    """
    if figure and figure.suffix[1:] not in FORMATS:
        raise BadInput.at("--figure", unknown("ending", figure.suffix[1:], FORMATS))
    every = stored(results)
    names = named("--within", within, settings_in(every)) if within else []
    rows = pick(every, block, where).drop_duplicates("run_id")
    setting, values = values_of("--between", between, rows)
    if len(values) != 2 or values[0] == values[1] or setting in names:
        message = "needs two different values of one setting that is not in --within"
        raise BadInput.at(f"--between {between}", f"{message}, such as cell=lstm,gru")
    rows = rows[rows[setting].map(setting_text).isin(values)]
    table = contrasts(rows, setting, values, names, None if untuned else tuning_runs(every))
    echo(written(table, _texts(table, names), format, NOTE), end="")
    planned, compared = (len(part[names].drop_duplicates()) for part in (rows, table))
    if names and compared < planned:
        echo(f"note: {planned - compared} of {planned} combinations have no pairs", file=sys.stderr)
    if figure:
        matplotlib.use("Agg")  # files only; no display is needed
        with themed():
            drawing = forest(table, setting, names)
        paths = save(figure.stem, drawing, figure.parent, [figure.suffix[1:]])
        echo(*paths, sep="\n", file=sys.stderr)


def _texts(table: pd.DataFrame, within: Sequence[str]) -> pd.DataFrame:
    """Return the table of `contrasts` for readers, with intervals in brackets."""
    texts = table[[*within, "outcome", "n"]].map(setting_text)
    numbers = table[[*COLUMNS]].itertuples(index=False)
    a, b = table[["a", "b"]].iloc[0]
    texts[f"{a} minus {b} [95 %]"] = ["{:+.3f} [{:+.3f}, {:+.3f}]".format(*row) for row in numbers]
    texts[["p", "p (Holm)"]] = table[["p", "p_holm"]].map("{:.2g}".format)
    return texts


def forest(table: pd.DataFrame, setting: str, within: Sequence[str]) -> Drawing:
    """Draw the effects in a table of `contrasts`, one row per combination of `within`.

    The left panel shows the differences in the share solved, and the right panel the differences in
    the share that solved the task sooner.
    """
    a, b = (value_words(setting, value) for value in table[["a", "b"]].iloc[0])
    labels = [_label(row, within) for _, row in table[table["outcome"] == "solved"].iterrows()]
    size = (WIDTH, 0.8 + 0.2 * len(labels))
    figure, axes = plt.subplots(1, 2, figsize=size, sharex=True, sharey=True)
    for axis, outcome in zip(axes, ("solved", "sooner"), strict=True):
        part = table[table["outcome"] == outcome].reset_index(drop=True)
        for is_found, rows in part.groupby(part["p_holm"] < LEVEL):
            look = {"color": COLOURS[0], "markerfacecolor": COLOURS[0] if is_found else "white"}
            error_bars(axis, rows.index, rows, True, COLUMNS, linestyle="", marker="o", **look)
        axis.axvline(0, color="0.4", linewidth=0.8)
        axis.set(xlabel=f"share {outcome}, {a} minus {b}", xlim=(-1.05, 1.05), xticks=TICKS)
        named_rows(axis, labels)
    caption = (
        f"Differences between {a} and {b} in pairs of runs with equal seeds: in the share of runs "
        f"that solved the task (left), and in the share of pairs in which one solved it sooner "
        f"(right). Bars are Newcombe's 95 % intervals, with n = {size_range(table['n'])} "
        f"pairs per mark. Filled marks have p < {LEVEL:g} after Holm's correction over all marks "
        "(McNemar's exact test, and the paired Prentice–Wilcoxon test)."
    )
    return Drawing(figure, table, caption)


def _label(row: pd.Series, within: Sequence[str]) -> str:
    return ", ".join(value_words(name, setting_text(row[name])) for name in within) or "all pairs"

"""Draw the general figure of a block, whose form depends on the settings that the block varies."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from study.figures.captions import RESTRICTED, evaluations, setting_words, size_range, value_words
from study.figures.convergence import curve_table, draw_curve
from study.figures.factorial import write_shares
from study.figures.rates import MEASURES
from study.figures.tables import in_order, share_and_mean_rows, trained_to_end
from study.figures.theme import (
    COLOURS,
    WIDTH,
    Drawing,
    Looks,
    cell_styles,
    error_bars,
    legend_below,
    log_axis,
    named_rows,
    share_axis,
    styles,
)
from study.grid import FOLLOWING, Missing, Results, censored_times, setting_text
from study.runs import settings_in
from study.stats import solved_curve

MOST_LINES = 100  # largest number of lines in a forest or a heat map, which then fills a page
MOST_COLUMNS = 12  # a heat map with more columns has no room for numbers
MOST_LETTERS = 60  # longer names of columns are turned
Groups = dict[tuple[str, ...], pd.DataFrame]  # the runs with each combination of values, as texts


def block(results: Results, name: str) -> Drawing:
    """Draw which share of the runs of a block solved the task, and when.

    If the block varies one setting, each value has a curve. If there are too many values for
    curves, each has a mark. If several settings vary, the figure is a heat map.
    """
    rows = trained_to_end(results.block(name))
    settings = varied(rows)
    groups = grouped(rows, settings)
    if len(settings) > 1:
        drawing = _heat_map(groups, settings)
    else:
        drawing = (_curves if len(groups) <= len(COLOURS) else _forest)(groups, settings)
    sizes = size_range(pd.Series([len(group) for group in groups.values()]))
    caption = (
        f"Runs of the block “{name}”. {drawing.caption} There are n = {sizes} runs per "
        f"{_combination(settings)}. {evaluations(rows)}"
    )
    return Drawing(drawing.figure, drawing.table, caption, (name,))


def varied(rows: pd.DataFrame) -> list[str]:
    """Return the fewest settings that tell the groups of runs apart, in the order of `Run`.

    Runs of a group differ only in the seed. A setting that follows from others, such as a learning
    rate that was chosen for each cell, is left out.
    """
    values = rows[[name for name in settings_in(rows) if name != "seed"]].drop_duplicates()
    names = [name for name in values if len(values[name].drop_duplicates()) > 1]
    for name in (*FOLLOWING, *names[::-1]):
        others = [other for other in names if other != name]
        if others and len(values[others].drop_duplicates()) == len(values):
            names = others
    return [*map(str, names)]


def grouped(rows: pd.DataFrame, settings: Sequence[str]) -> Groups:
    """Return the runs with each combination of values of the settings, in order of the values."""
    if not settings:
        return {(): rows}
    texts = [
        pd.Categorical(rows[name].map(setting_text), _in_order(name, rows[name]))
        for name in settings
    ]
    return {tuple(map(str, key)): group for key, group in rows.groupby(texts, observed=True)}


def _in_order(name: str, values: pd.Series) -> list[str]:
    """Return the distinct values of the setting `name` as texts, in the order of figures."""
    if name == "cell":
        return in_order(values)
    return values.drop_duplicates().sort_values().map(setting_text).tolist()


def _combination(settings: Sequence[str]) -> str:
    words = [setting_words(name) for name in settings]
    return f"combination of {', '.join(words)}" if len(words) > 1 else (*words, "curve")[0]


def _label(settings: Sequence[str], key: Sequence[str]) -> str:
    return ", ".join(map(value_words, settings, key)) or "all runs"


def _curves(groups: Groups, settings: Sequence[str]) -> Drawing:
    figure, axis = plt.subplots(figsize=(0.7 * WIDTH, 2.8))
    looks, tables = _looks(groups, settings), []
    for key, group in groups.items():
        curve = solved_curve(*censored_times(group))
        draw_curve(axis, curve, int(group["max_updates"].max()), looks[key])
        tables.append(curve_table(curve, **dict(zip(settings, key, strict=True))))
    log_axis(axis)
    rows = pd.concat(groups.values())
    first, last = rows["eval_every"].min(), rows["max_updates"].max()
    limits = (first, max(last, 2 * first))  # an axis needs some width
    axis.set(xlabel="updates", ylabel="share solved", xlim=limits, ylim=(-0.02, 1.02))
    if settings:
        legend_below(figure, looks, lambda key: _label(settings, key), marker="")
    caption = (
        "Share of runs that have solved the task by each update (Kaplan–Meier estimate). Bands "
        "are pointwise 95 % intervals (Rothman)."
    )
    return Drawing(figure, pd.concat(tables, ignore_index=True), caption)


def _looks(groups: Groups, settings: Sequence[str]) -> Looks:
    if list(settings) == ["cell"]:
        looks = cell_styles([cell for (cell,) in groups])
        return {(cell,): look for cell, look in looks.items()}
    return styles(groups)


def _table(groups: Groups, settings: Sequence[str]) -> pd.DataFrame:
    """Return two rows per group, as `share_and_mean` does, with the values as texts."""
    return pd.DataFrame(
        {**dict(zip(settings, key, strict=True)), **row}
        for key, group in groups.items()
        for row in share_and_mean_rows(group)
    )


def _lines(labels: Sequence[str]) -> float:
    """Return the height of a panel in inches that has a line for each label."""
    if len(labels) > MOST_LINES:
        message = f"a figure has room for {MOST_LINES} lines, not for {len(labels):,}"
        raise Missing(f"{message}; `study summary` prints the numbers")
    return 0.3 + 0.17 * max(len(labels), 4)


def _forest(groups: Groups, settings: Sequence[str]) -> Drawing:
    labels = [_label(settings, key) for key in groups]
    size, table = (WIDTH, 0.5 + _lines(labels)), _table(groups, settings)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True)
    for axis, (measure, words) in zip(axes, MEASURES.items(), strict=True):
        part = table[table["measure"] == measure].reset_index(drop=True)
        look = {"color": COLOURS[0], "marker": "o", "linestyle": ""}
        error_bars(axis, part.index, part, flat=True, **look)
        axis.set_xlabel(words)
        named_rows(axis, labels)
    share_axis(axes[0])
    log_axis(axes[1])
    caption = (
        "Share of runs that solved the task (left) and mean number of updates until a run solved "
        f"it (right). {RESTRICTED} Bars are 95 % intervals."
    )
    return Drawing(figure, table, caption)


def _heat_map(groups: Groups, settings: Sequence[str]) -> Drawing:
    """Draw the share solved, with the setting that has the most values along the columns."""
    table, rows = _table(groups, settings), pd.concat(groups.values())
    across = max(settings[1:], key=lambda name: rows[name].nunique(dropna=False))
    down = [name for name in settings if name != across]
    keys = {name: pd.Categorical(table[name], _in_order(name, rows[name])) for name in settings}
    shares = table.assign(**keys)[table["measure"] == "share_solved"].pivot_table(
        index=down, columns=across, values="estimate", observed=True
    )
    labels = [_label(down, key if len(down) > 1 else [key]) for key in shares.index]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.5 + _lines(labels)))
    axis.imshow(shares, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    if shares.shape[1] <= MOST_COLUMNS:
        write_shares(axis, shares.to_numpy())
    named_rows(axis, labels, grid=False)
    values, words = map(str, shares.columns), setting_words(across)
    names = [value_words(across, value).removeprefix(f"{words} ") for value in values]
    is_long = sum(map(len, names)) > MOST_LETTERS
    axis.set_xticks(range(len(names)), names, rotation=90 if is_long else 0)
    axis.set_xlabel(words)
    axis.tick_params(length=0)
    scale = ScalarMappable(Normalize(0, 1), "cividis")
    figure.colorbar(scale, ax=axis, label="share solved", aspect=15)
    caption = (
        "Share of runs that solved the task. The CSV file has 95 % intervals and the mean number "
        "of updates until a run solved it."
    )
    return Drawing(figure, table, caption)

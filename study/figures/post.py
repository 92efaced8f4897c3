"""Draw which changes help the network of the forum post to solve the task.

The figures compare possible readings of the post's training loop, single changes to the post's
settings, values of the momentum, and combinations of changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.analysis import post
from study.figures.captions import evaluations, size_range
from study.figures.convergence import draw_curve
from study.figures.theme import (
    WIDTH,
    Drawing,
    Looks,
    legend_below,
    log_axis,
    marks,
    named_rows,
    outcome_marks,
    share_axis,
    styles,
)
from study.grid import Results, censored_times
from study.stats import solved_curve

LARGEST = 1e6  # odds ratio; larger ones, and their inverses, are drawn at the edge
LARGE = 1.0  # smallest log odds ratio of an interaction that is drawn
GREY = {"color": "0.4", "linewidth": 0.8, "linestyle": ":"}
OUTCOMES = {"solved": "solved", "right_at_end": "right at the end", "left": "left ln 2"}
SWINGS = {"solved": "solved", "right_at_end": "right at the end", "swung": "loss rose again"}
CURVES = "share of runs that have solved the task by each epoch, with pointwise 95 % intervals"
# How a change of one factor is named; braces stand for its new level.
CHANGES = {
    "gradient": "gradient {}",
    "step after": "step after each {}",
    "cue": "no cue",
    "noise": "{} noise",
    "optimizer": "{}",
    "cell": "{}",
}


def _blocks(results: Results, *blocks: str) -> pd.DataFrame:
    """Return the runs of the named blocks (parts of the grid), each run once.

    Raises `Missing` if a block has no runs.
    """
    return pd.concat([results.block(block) for block in blocks]).drop_duplicates("run_id")


def _budget(rows: pd.DataFrame, *blocks: str) -> str:
    budgets = sorted(post.runs_of(rows, *blocks)["epochs"].unique())
    return f"Runs end after {' or '.join(f'{budget:,g}' for budget in budgets)} epochs"


def _solved_by_epoch(axis: Axes, groups: Mapping[Any, pd.DataFrame], looks: Looks) -> None:
    """Draw the share of runs that have solved the task by each epoch, with one curve per group.

    The keys of `groups` are those of `looks`.
    """
    for key, rows in groups.items():
        updates, solved = censored_times(rows)
        epochs = updates * (rows["epochs"] / rows["max_updates"]).to_numpy()
        draw_curve(axis, solved_curve(epochs, solved), int(rows["epochs"].max()), looks[key])
    axis.set(ylim=(-0.03, 1.03), xlabel="epoch", ylabel="share solved")


def post_loops(results: Results) -> Drawing:
    """Draw when runs solve the task and how they end, for each reading of the post's loop."""
    blocks = ("post", "step_after_the_loops")
    rows = _blocks(results, *blocks)
    table, runs = post.loops(rows), post.runs_of(rows, "post")
    names = [_loop_name(*key) for key in zip(*(table[name] for name in post.LOOP), strict=True)]
    groups: dict[Any, pd.DataFrame] = dict(list(runs.groupby(post.LOOP)))
    curves, looks = styles(groups), styles(OUTCOMES, linestyle="")
    figure: Any = plt.figure(figsize=(WIDTH, 3.0))
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    _solved_by_epoch(left.subplots(), groups, curves)
    legend_below(left, curves, lambda key: _loop_name(*key).removeprefix("step "), 1, marker="")
    axis = right.subplots()
    outcome_marks(axis, table, looks, 0.22)
    named_rows(axis, [name.replace(", ", ",\n") for name in names])
    share_axis(axis, "share of runs")
    legend_below(right, looks, OUTCOMES.__getitem__)
    caption = (
        f"Readings of the training loop in the forum post. Left: {CURVES}. Right: how the "
        f"n = {size_range(table['n'])} runs of each reading end, with 95 % Wilson intervals. "
        "“Right at the end” means that no answer was wrong after the last update, and “left ln 2” "
        f"that the loss fell below {post.BARS[0]:g} ln 2. {evaluations(runs)}"
    )
    return Drawing(figure, table, caption, blocks)


def _loop_name(step_after: str, zeroed: bool) -> str:
    if step_after == "all epochs":
        return "step after all epochs"  # with only one step, zeroing makes no difference
    return f"step after each {step_after}, {'' if zeroed else 'never '}zeroed"


def post_changes(results: Results) -> Drawing:
    """Draw the share solved with the post's settings, and after each single change to them."""
    base = results.block("as_it_is")
    rows = pd.concat([base, results.block(*post.SINGLE)]).drop_duplicates("run_id")
    table = post.changes(rows)
    steps = sorted(table["step_after"].unique())
    names = list(dict.fromkeys(table["change"]))
    size = (WIDTH, 0.9 + 0.165 * len(names))
    figure, axes = plt.subplots(1, len(steps), figsize=size, sharey=True, squeeze=False)
    looks = styles([False, True], linestyle="")
    for axis, step_after in zip(axes[0], steps, strict=True):
        part = table[table["step_after"] == step_after]
        columns = ("solved", "solved_low", "solved_high")
        places: dict[str, Any] = {"along": "change", "names": names, "step": 0.3}
        marks(axis, part, looks, by="zeroed", columns=columns, **places)
        axis.axhline(0.5, **GREY)
        axis.set_title(f"step after each {step_after}")
        share_axis(axis)
        named_rows(axis, names)
    legend_below(figure, looks, lambda zeroed: "zeroed" if zeroed else "never zeroed")
    counts = table.groupby("zeroed")["verdict"].value_counts()
    rescued, hurt = (
        [counts.get((zeroed, verdict), 0) for zeroed in looks] for verdict in ("rescues", "hurts")
    )
    caption = (
        "Share of runs that solved the task with the settings of the forum post (top row), and "
        f"after one change to them, with 95 % Wilson intervals for n = {size_range(table['n'])} "
        f"runs per mark. {rescued[0]} changes help and {hurt[0]} hurt if the gradient is never "
        f"zeroed, {rescued[1]} and {hurt[1]} if it is (McNemar's test, corrected by Benjamini and "
        f"Hochberg, at level {post.LEVEL:g}). {_budget(base, 'as_it_is')}, unless changed. "
        f"{evaluations(rows)}"
    )
    return Drawing(figure, table, caption, ("as_it_is", *post.SINGLE))


def post_momentum(results: Results) -> Drawing:
    """Draw when runs solve the task and how they end, for momenta from 0 to 1."""
    rows = _blocks(results, "post", "momentum")
    table, runs = post.momentum(rows), post.runs_of(rows, "momentum")
    pairs = zip(table["momentum"], table["zeroed"], strict=True)
    names = [f"momentum {mu:g}" if zeroed else "never zeroed" for mu, zeroed in pairs]
    groups: dict[Any, pd.DataFrame] = dict(list(runs.groupby("momentum")))
    curves, looks = styles(groups), styles(SWINGS, linestyle="")
    figure: Any = plt.figure(figsize=(WIDTH, 2.7))
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    _solved_by_epoch(left.subplots(), groups, curves)
    legend_below(left, curves, "momentum {:g}".format, 2, marker="")
    axis = right.subplots()
    outcome_marks(axis, table, looks, 0.22)
    named_rows(axis, names)
    share_axis(axis, "share of runs")
    legend_below(right, looks, SWINGS.__getitem__)
    caption = (
        "Momentum with one optimizer step per epoch; never zeroing the gradient is momentum 1. "
        f"Left: {CURVES}. Right: how the n = {size_range(table['n'])} runs per row end, with 95 % "
        "Wilson intervals. “Right at the end” means that no answer was wrong after the last "
        "update, and “loss rose again” that it rose by more than "
        f"{1 - post.BARS[0]:.2g} ln 2. {evaluations(runs)}"
    )
    return Drawing(figure, table, caption, ("post", "momentum"))


def post_effects(results: Results) -> Drawing:
    """Draw how single changes and pairs of changes affect the odds of solving the task.

    Of the pairs, only those with a large effect are drawn. The table has all of them.
    """
    rows = results.block("post_factorial")
    table = post.effects(rows)
    pairs = table["term"].str.contains(" : ")
    is_large = pairs & (table["log_odds_ratio"].abs() >= LARGE) & (table["p"] < post.LEVEL)
    large = pairs & table["term"].isin(table.loc[is_large, "term"])
    shown = [table[chosen] for chosen in (~pairs, large) if chosen.any()]
    looks = styles(sorted(table["epochs"].unique()), linestyle="")
    heights = [part["term"].nunique() + 0.5 for part in shown]
    size = (WIDTH, 1.2 + 0.17 * sum(heights))
    figure, axes = plt.subplots(
        len(shown), 1, figsize=size, sharex=True, squeeze=False, height_ratios=heights
    )
    for axis, part in zip(axes[:, 0], shown, strict=True):
        _draw_effects(axis, part, looks)
    axes[-1, 0].set_xlabel("odds ratio")
    legend_below(figure, looks, "within {:,} epochs".format)
    solved = table.drop_duplicates("epochs").set_index("epochs")["solved_runs"].sort_index()
    counts = " and ".join(f"{n:,} within {budget:,} epochs" for budget, n in solved.items())
    caption = (
        "By what factor changes to the post's settings multiply the odds of solving the task. Top: "
        "single changes. Bottom: what a pair of changes adds, for the "
        f"{table.loc[large, 'term'].nunique()} of {table.loc[pairs, 'term'].nunique()} pairs with "
        f"a factor beyond e or 1/e and corrected p < {post.LEVEL:g}; the CSV file has all. Bars "
        f"are 95 % profile-likelihood intervals. Of n = {len(rows):,} runs, {counts} solved the "
        f"task. {evaluations(rows)}"
    )
    return Drawing(figure, table, caption, ("post_factorial",))


def _draw_effects(axis: Axes, table: pd.DataFrame, looks: Looks) -> None:
    names = list(dict.fromkeys(table["term"]))
    columns = ["log_odds_ratio", "low", "high"]
    ratios = table.copy()
    ratios[columns] = np.exp(table[columns]).clip(1 / LARGEST, LARGEST)
    places: dict[str, Any] = {"along": "term", "names": names, "step": 0.3}
    marks(axis, ratios, looks, by="epochs", columns=columns, **places)
    axis.axvline(1, color="0.4", linewidth=0.8)
    named_rows(axis, [" × ".join(map(_change, name.split(" : "))) for name in names])
    log_axis(axis)


def _change(term: str) -> str:
    """Return a change for readers, such as `gradient zeroed` for the term `gradient=zeroed`."""
    factor, _, level = term.partition("=")
    rated = " at rate ".join(level.split()) if factor == "optimizer" else level
    return CHANGES[factor].format(rated)

"""Draw which changes help the network of the forum post to solve the task.

The figures compare possible readings of the post's training loop, single changes to the post's
settings, values of the momentum, and combinations of changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from study.analysis import post
from study.figures.captions import setting_words, size_range
from study.figures.theme import (
    WIDTH,
    Drawing,
    Looks,
    legend_below,
    marks,
    named_rows,
    outcome_marks,
    share_axis,
    styles,
)
from study.grid import Results

CURVES = 30  # number of seeds whose losses are drawn
REACH = 13.0  # log odds ratio at which the axis of effects ends
GREY = {"color": "0.4", "linewidth": 0.8, "linestyle": ":"}
LOSS_LOOKS: Looks = {
    "solved": {"color": "#0072B2"},
    "not solved": {"color": "#D55E00", "linestyle": "--"},
}
OUTCOMES = {"solved": "solved", "right_at_end": "right at the end", "left": "left ln 2"}
SWINGS = {"solved": "solved", "right_at_end": "right at the end", "swung": "loss rose again"}
LOSS_WORDS = f"of up to {CURVES} runs each. The dotted line is at ln 2."


def _blocks(results: Results, *blocks: str) -> pd.DataFrame:
    """Return the runs of the named blocks (parts of the grid), each run once.

    Raises `Missing` if a block has no runs.
    """
    return pd.concat([results.block(block) for block in blocks]).drop_duplicates("run_id")


def _budget(rows: pd.DataFrame, *blocks: str) -> str:
    budgets = sorted(post.runs_of(rows, *blocks)["epochs"].unique())
    return f"Runs end after {' or '.join(f'{budget:,g}' for budget in budgets)} epochs"


def _losses(axes: Sequence[Axes], groups: Sequence[pd.DataFrame], curve: str, label: str) -> None:
    """Draw the losses of runs as one curve per run, in one panel per group of runs.

    At most `CURVES` runs of each group are drawn, beginning with the lowest seeds. `axes` are the
    panels, and `groups` are the groups of runs. `curve` names the column with the losses. `label`
    is written beside the first panel.
    """
    names = ["curve_update", curve, "epochs", "max_updates", "solved"]
    for axis, rows in zip(axes, groups, strict=True):
        first = rows.sort_values("seed").head(CURVES)[names]
        for updates, losses, epochs, budget, solved in first.itertuples(index=False, name=None):
            look: dict[str, Any] = LOSS_LOOKS["solved" if solved else "not solved"]
            axis.plot(np.asarray(updates) * epochs / budget, losses, linewidth=0.5, **look)
        axis.axhline(post.PLATEAU, **GREY)
        axis.set(ylim=(0, 2 * post.PLATEAU), xlabel="epoch")
    axes[0].set_ylabel(label)


def post_loops(results: Results) -> Drawing:
    """Draw the losses and outcomes of runs for each reading of the post's training loop."""
    blocks = ("post", "step_after_the_loops")
    rows = _blocks(results, *blocks)
    table, runs = post.loops(rows), post.runs_of(rows, "post")
    names = [_loop_name(*key) for key in zip(*(table[name] for name in post.LOOP), strict=True)]
    groups: dict[Any, pd.DataFrame] = dict(list(runs.groupby(post.LOOP)))
    figure: Any = plt.figure(figsize=(WIDTH, 3.7))
    above, below = figure.subfigures(2, 1)
    axes = above.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    _losses(axes, list(groups.values()), "curve_loss", "loss, fresh noise")
    for axis, key in zip(axes, groups, strict=True):
        axis.set_title(_loop_name(*key).removeprefix("step ").replace(", ", ",\n"))
    axis, looks = below.subplots(), styles(OUTCOMES, linestyle="")
    outcome_marks(axis, table, looks, 0.22)
    named_rows(axis, names)
    share_axis(axis, "share of runs")
    legend_below(above, LOSS_LOOKS, marker="")
    legend_below(below, looks, OUTCOMES.__getitem__)
    caption = (
        "Each row or panel stands for one possible reading of the training loop in the forum post. "
        f"The upper panels show the test loss {LOSS_WORDS} The bottom panel shows shares of "
        f"n = {size_range(table['n'])} runs per row, with 95 % Wilson intervals. “Right at "
        "the end” means that no answer was wrong after the last update. “Left ln 2” means that the "
        f"loss fell below {post.BARS[0]:g} ln 2. {_budget(rows, 'post')}."
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
        "The marks show the share of runs that solved the task with the settings of the forum post "
        "(top row), and after one change to these settings. Bars are 95 % Wilson intervals for "
        f"n = {size_range(table['n'])} runs per mark. If the gradient is never zeroed, "
        f"{rescued[0]} changes make the share "
        f"significantly larger and {hurt[0]} make it smaller. If it is zeroed, {rescued[1]} make "
        f"it larger and {hurt[1]} smaller (McNemar's test, paired by seed, with the "
        f"Benjamini–Hochberg correction at level {post.LEVEL:g}). {_budget(base, 'as_it_is')}, "
        "unless this number is changed."
    )
    return Drawing(figure, table, caption, ("as_it_is", *post.SINGLE))


def post_momentum(results: Results) -> Drawing:
    """Draw outcomes and training losses of the post's network at momenta from 0 to 1."""
    rows = _blocks(results, "post", "momentum")
    table, runs = post.momentum(rows), post.runs_of(rows, "momentum")
    figure: Any = plt.figure(figsize=(WIDTH, 4.2))
    above, below = figure.subfigures(2, 1)
    axis, looks = above.subplots(), styles(SWINGS, linestyle="")
    outcome_marks(axis, table, looks, 0.12, flat=False)
    pairs = zip(table["momentum"], table["zeroed"], strict=True)
    names = [f"momentum {mu:g}" if zeroed else "never zeroed" for mu, zeroed in pairs]
    axis.set_xticks(range(len(table)), names)
    axis.set(ylim=(-0.03, 1.03), ylabel="share of runs")
    legend_below(above, looks, SWINGS.__getitem__)
    groups = dict(list(runs.groupby("momentum"))[-3:])
    axes = below.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    _losses(axes, list(groups.values()), "curve_training_loss", "training loss")
    for axis, mu in zip(axes, groups, strict=True):
        axis.set_title(f"momentum {mu:g}")
    legend_below(below, LOSS_LOOKS, marker="")
    caption = (
        "We varied the momentum, with one optimizer step per epoch and no dampening. "
        "Momentum 1 is the same as never zeroing the gradient. The top panel shows shares of "
        f"n = {size_range(table['n'])} runs per mark, with 95 % Wilson intervals. “Right at the "
        "end” means that no answer was wrong after the last update. “Loss rose again” means "
        f"that the loss rose by more than {1 - post.BARS[0]:.2g} ln 2 above its minimum. The lower "
        f"panels show the training loss {LOSS_WORDS} "
        f"{_budget(rows, 'post', 'momentum')}."
    )
    return Drawing(figure, table, caption, ("post", "momentum"))


def post_effects(results: Results) -> Drawing:
    """Draw how single changes and pairs of changes affect the odds of solving the task."""
    rows = results.block("post_factorial")
    table = post.effects(rows)
    pairs = table["term"].str.contains(" : ")
    looks = styles(sorted(table["epochs"].unique()), linestyle="", markersize=3)
    heights = [table.loc[chosen, "term"].nunique() + 1 for chosen in (~pairs, pairs)]
    size = (WIDTH, 1.3 + 0.155 * sum(heights))
    figure, axes = plt.subplots(2, 1, figsize=size, sharex=True, height_ratios=heights)
    for axis, chosen in zip(axes, (~pairs, pairs), strict=True):
        _draw_effects(axis, table[chosen], looks)
    axes[0].set_xlim(-REACH - 0.5, REACH + 0.5)
    axes[1].set_xlabel("log odds ratio")
    legend_below(figure, looks, "within {:,} epochs".format, markersize=4)
    solved = table.drop_duplicates("epochs").set_index("epochs")["solved_runs"].sort_index()
    counts = " and ".join(
        f"{n:,} solved the task within {budget:,} epochs" for budget, n in solved.items()
    )
    caption = (
        "The marks show effects on the log odds of solving the task, relative to the settings of "
        "the forum post. The top panel shows changes of a single setting, and the bottom panel "
        "shows interactions between two such changes. Numbers after the names of optimizers are "
        "learning rates. Bars are 95 % profile-likelihood intervals of "
        f"Firth's logistic regression, cut off at ±{REACH:g}. Of n = {len(rows):,} runs, {counts}. "
        f"{setting_words(rows)}"
    )
    return Drawing(figure, table, caption, ("post_factorial",))


def _draw_effects(axis: Axes, table: pd.DataFrame, looks: Looks) -> None:
    names = list(dict.fromkeys(table["term"]))
    columns = ["log_odds_ratio", "low", "high"]
    clipped = table.assign(**{name: table[name].clip(-REACH, REACH) for name in columns})
    places: dict[str, Any] = {"along": "term", "names": names, "step": 0.22}
    marks(axis, clipped, looks, by="epochs", columns=columns, **places)
    axis.axvline(0, color="0.4", linewidth=0.8)
    named_rows(axis, [name.replace("=", ": ").replace(" : ", "  ×  ") for name in names])
    axis.tick_params(axis="y", labelsize=6)

"""The forum post's network: each reading of its loop, each single change, momentum up to 1, and all changes at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from study.analysis import post
from study.figures.results import NotDrawable, Results
from study.figures.theme import (
    WIDTH,
    Drawing,
    error_bars,
    legend_below,
    n_of,
    setting_words,
    solved_words,
    styles,
    values_of,
)
from study.grid import of_blocks

CURVES = 30  # seeds whose losses are drawn
REACH = 13.0  # log odds at which the axis of effects ends
GREY = {"color": "0.4", "linewidth": 0.8, "linestyle": ":"}
LOSS_LOOKS = {"solved": {"color": "#0072B2"}, "not solved": {"color": "#D55E00", "linestyle": "--"}}
OUTCOMES = {"solved": "solved", "right_at_end": "right at the end", "left": "left ln 2"}
LEFT_WORDS = f"A loss has left ln 2 (dotted) once it is below {post.BARS[0]:g} of it at an evaluation on fresh noise."


def _needed(results: Results, *blocks: str) -> pd.DataFrame:
    """The rows of several blocks, each of which must be there."""
    return pd.concat([results.block(block) for block in blocks]).drop_duplicates("run_id")


def _made(make: Callable[[pd.DataFrame], pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    try:
        return make(rows)
    except post.NoRuns as reason:
        raise NotDrawable(str(reason)) from reason


def _bars(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """An estimate of a table as `error_bars` takes it."""
    found = table[[name, f"{name}_low", f"{name}_high"]]
    return found.set_axis(["estimate", "low", "high"], axis=1)


def _loop_name(step_after: str, zeroed: bool) -> str:
    if step_after == "all epochs":
        return "step after all epochs"  # the only one, so zeroing makes no difference
    return f"step after each {step_after}, {'' if zeroed else 'never '}zeroed"


def _budget(rows: pd.DataFrame, *blocks: str) -> str:
    """The budgets of some blocks in epochs, in words."""
    return f"{values_of(post.runs_of(rows, *blocks), 'epochs')} epochs"


def _halves(figure: Figure) -> tuple[SubFigure, SubFigure]:
    above, below = np.ravel(np.array(figure.subfigures(2, 1)))
    return above, below


def _losses(axis: Axes, rows: pd.DataFrame, curve: str) -> None:
    """The losses of the first seeds, solid where solved."""
    first = rows.sort_values("seed").head(CURVES)
    names = ["curve_update", curve, "epochs", "max_updates", "solved"]
    for updates, losses, epochs, budget, solved in first[names].itertuples(index=False, name=None):
        look: dict[str, Any] = LOSS_LOOKS["solved" if solved else "not solved"]
        axis.plot(np.asarray(updates) * epochs / budget, losses, linewidth=0.5, **look)
    axis.axhline(post.PLATEAU, **GREY)
    axis.set_ylim(0, 2 * post.PLATEAU)
    axis.set_xlabel("epoch")


# --- readings of the loop -----------------------------------------------------------------------


def post_loops(results: Results) -> Drawing:
    """Each reading of the post's loop: losses against ln 2, and shares solved."""
    blocks = ("post", "step_after_the_loops")
    rows = _needed(results, *blocks)
    table = _made(post.loops, rows)
    groups = post.runs_of(rows, "post").groupby(post.LOOP)
    names = {key: _loop_name(*key) for key in table[post.LOOP].itertuples(index=False, name=None)}
    figure = plt.figure(figsize=(WIDTH, 3.7))
    above, below = _halves(figure)
    axes = above.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for axis, (key, group) in zip(axes, groups, strict=True):
        _losses(axis, group, "curve_loss")
        axis.set_title(names[key].removeprefix("step ").replace(", ", ",\n"))
    axes[0].set_ylabel("loss, fresh noise")
    _shares(below.subplots(), table, list(names.values()))
    legend_below(above, LOSS_LOOKS, marker="")
    legend_below(below, _outcome_looks(), linestyle="")
    return Drawing(figure, table, _loops_caption(rows, table), blocks)


def _outcome_looks() -> dict[str, dict]:
    return {OUTCOMES[name]: look for name, look in styles(OUTCOMES).items()}


def _shares(axis: Axes, table: pd.DataFrame, names: list[str]) -> None:
    for place, (outcome, look) in enumerate(styles(OUTCOMES).items()):
        rows = np.arange(len(table)) + 0.22 * (place - 1)
        error_bars(axis, rows, _bars(table, outcome), flat=True, **(look | {"linestyle": ""}))
    _names_of_rows(axis, names)
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel("share of runs")


def _names_of_rows(axis: Axes, names: list[str]) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", linewidth=0.3, color="0.85")


def _loops_caption(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    looped = of_blocks(rows, "post")
    return (
        f"Each reading of the post's loop. Above: loss on fresh noise, up to {CURVES} seeds a panel, cut at twice "
        f"ln 2. Below: shares of runs with 95 % Wilson intervals, {n_of(table['n'])} runs a reading. {LEFT_WORDS} "
        "Right at the end: every label after step 0 of the final sequences. With one step after all epochs, the loss "
        f"that the post prints never moves, and the network is evaluated once. "
        f"{solved_words(looped, _budget(rows, 'post'))} {setting_words(rows)}"
    )


# --- single changes -----------------------------------------------------------------------------


def post_changes(results: Results) -> Drawing:
    """Each single change beside the post's settings: share solved, zeroed and never zeroed."""
    base = results.block("as_it_is")
    rows = pd.concat([base, results.block(*post.SINGLE)]).drop_duplicates("run_id")
    table = _made(post.changes, rows)
    steps = sorted(table["step_after"].unique())
    names = list(dict.fromkeys(table["change"]))
    figure, axes = plt.subplots(
        1, len(steps), figsize=(WIDTH, 0.9 + 0.165 * len(names)), sharey=True, squeeze=False
    )
    looks = dict(zip((False, True), styles(["never zeroed", "zeroed"]).items(), strict=True))
    for axis, step_after in zip(axes[0], steps, strict=True):
        for zeroed, (_, look) in looks.items():
            part = table[(table["step_after"] == step_after) & (table["zeroed"] == zeroed)]
            places = np.array([names.index(name) for name in part["change"]]) + (
                0.15 if zeroed else -0.15
            )
            error_bars(axis, places, _bars(part, "solved"), flat=True, **(look | {"linestyle": ""}))
        axis.axhline(0.5, **GREY)
        axis.set_title(f"step after each {step_after}")
        axis.set_xlabel("share solved")
        axis.set_xlim(-0.03, 1.03)
        _names_of_rows(axis, names)
    legend_below(figure, dict(looks.values()), linestyle="")
    return Drawing(figure, table, _changes_caption(base, table), ("as_it_is", *post.SINGLE))


def _changes_caption(base: pd.DataFrame, table: pd.DataFrame) -> str:
    budget = f"{_budget(base, 'as_it_is')}, or as many as the change says"
    said = []
    for zeroed, words in ((False, "never zeroed"), (True, "zeroed")):
        verdicts = table[table["zeroed"] == zeroed].groupby("verdict").size()
        said.append(
            f"{words}, {verdicts.get('rescues', 0)} rescue and {verdicts.get('hurts', 0)} hurt"
        )
    return (
        "One change at a time to the post's settings: share solved with 95 % Wilson intervals, "
        f"{n_of(table['n'])} runs a mark. Of the changes, counted in either panel with gradients {'; '.join(said)} "
        f"(paired over seeds, McNemar's test, Benjamini–Hochberg over the table of changes, level {post.LEVEL:g}). "
        f"{solved_words(base, budget)} {setting_words(base)}"
    )


# --- momentum -----------------------------------------------------------------------------------


def post_momentum(results: Results) -> Drawing:
    """From no momentum to 1, which is never zeroing: shares, and how the training loss swings."""
    rows = _needed(results, "post", "momentum")
    table = _made(post.momentum, rows)
    runs = post.runs_of(rows, "momentum")
    figure = plt.figure(figsize=(WIDTH, 4.2))
    above, below = _halves(figure)
    _momentum_shares(above.subplots(), table)
    legend_below(above, {SWINGS[name]: look for name, look in styles(SWINGS).items()}, linestyle="")
    levels = sorted(runs["momentum"].unique())[-3:]
    for panel, mu in zip(
        below.subplots(1, len(levels), sharey=True, squeeze=False)[0], levels, strict=True
    ):
        _losses(panel, runs[runs["momentum"] == mu], "curve_training_loss")
        panel.set_title(f"momentum {mu:g}")
        panel.set_ylabel("training loss" if mu == levels[0] else "")
    legend_below(below, LOSS_LOOKS, marker="")
    return Drawing(figure, table, _momentum_caption(rows, runs, table), ("post", "momentum"))


SWINGS = {"solved": "solved", "right_at_end": "right at the end", "swung": "loss rose again"}


def _momentum_shares(axis: Axes, table: pd.DataFrame) -> None:
    for place, (outcome, look) in enumerate(styles(SWINGS).items()):
        where = np.arange(len(table)) + 0.12 * (place - 1)
        error_bars(axis, where, _bars(table, outcome), flat=False, **(look | {"linestyle": ""}))
    pairs = zip(table["momentum"], table["zeroed"], strict=True)
    axis.set_xticks(
        range(len(table)),
        [f"momentum {mu:g}" if zeroed else "never zeroed" for mu, zeroed in pairs],
    )
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("share of runs")


def _momentum_caption(rows: pd.DataFrame, runs: pd.DataFrame, table: pd.DataFrame) -> str:
    return (
        "Momentum without dampening, a step after each epoch; never zeroing the gradient is momentum 1. Above: shares "
        f"of runs with 95 % Wilson intervals, {n_of(table['n'])} runs a mark; the loss rose again where the training "
        f"loss got more than {1 - post.BARS[0]:.2g} of ln 2 above the lowest that it had been. Below: training loss, mean "
        f"of {runs['eval_every'].min()} epochs, up to {CURVES} seeds a panel, cut at twice ln 2 (dotted: ln 2). "
        f"{solved_words(rows, _budget(rows, 'post', 'momentum'))} {setting_words(rows)}"
    )


# --- all changes at once ------------------------------------------------------------------------


def post_effects(results: Results) -> Drawing:
    """Main effects and interactions on the log odds of being solved, from the factorial."""
    rows = results.block("post_factorial")
    table = _made(post.effects, rows)
    pairs = table["term"].str.contains(" : ")
    budgets = sorted(table["epochs"].unique())
    looks = dict(zip(budgets, styles(map(str, budgets)).values(), strict=True))
    heights = [table.loc[chosen, "term"].nunique() + 1 for chosen in (~pairs, pairs)]
    size = (WIDTH, 1.3 + 0.155 * sum(heights))
    figure, axes = plt.subplots(2, 1, figsize=size, sharex=True, height_ratios=heights)
    for axis, chosen in zip(axes, (~pairs, pairs), strict=True):
        _draw_effects(axis, table[chosen], looks)
    axes[0].set_xlim(-REACH - 0.5, REACH + 0.5)
    axes[1].set_xlabel("log odds ratio")
    legend_below(
        figure, {f"within {budget:,} epochs": look for budget, look in looks.items()}, linestyle=""
    )
    return Drawing(figure, table, _effects_caption(rows, table), ("post_factorial",))


def _draw_effects(axis: Axes, table: pd.DataFrame, looks: dict) -> None:
    names = list(dict.fromkeys(table["term"]))
    for place, (budget, look) in enumerate(looks.items()):
        part = table[table["epochs"] == budget].set_index("term").loc[names]
        shown = (
            part[["log_odds_ratio", "low", "high"]]
            .clip(-REACH, REACH)
            .set_axis(["estimate", "low", "high"], axis=1)
        )
        where = np.arange(len(names)) + 0.22 * (place - (len(looks) - 1) / 2)
        error_bars(axis, where, shown, flat=True, **(look | {"linestyle": "", "markersize": 3}))
    axis.axvline(0, color="0.4", linewidth=0.8)
    _names_of_rows(axis, [name.replace("=", ": ").replace(" : ", "  ×  ") for name in names])
    axis.tick_params(axis="y", labelsize=6)


def _effects_caption(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    budgets = [
        f"{part['solved_runs'].iloc[0]:,} within {key:,} epochs"
        for key, part in table.groupby("epochs")
    ]
    return (
        "What each change does to the log odds of being solved. Above: main effects, each against the post's level and "
        "averaged over all others. Below: interactions of pairs, by how much the effect of the one changes with the "
        f"other. Firth's logistic regression with 95 % profile intervals, cut at {REACH:g}; n = {len(rows)} runs, "
        f"solved {' and '.join(budgets)}. {solved_words(rows, 'those epochs')} {setting_words(rows)}"
    )

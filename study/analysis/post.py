"""The post's network in its stored runs: which change rescues it, which does not, which hurts. Tables, each a function.

The post's text leaves open where `optimizer.step()` stands, and never zeroes the gradient: each reading is a *loop*.
Runs share their seeds, so differences are paired: Newcombe's interval, McNemar's test.

Two bars. *Solved* is the study's: every label right on fresh noise. *Left* is lower: the loss on fresh noise has fallen
below `BARS[0]` of ln 2, where a network stands that answers one half at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.grid import CONCLUSIVE, of_blocks
from study.stats import (
    Contrast,
    Estimate,
    benjamini_hochberg,
    holm,
    logistic_effects,
    paired_share_difference,
    share,
    solved_curve,
    time_to_share,
)
from study.text import CELL_NAMES, OPTIMIZER_NAMES

EPOCHS, EPOCH = 500, 2  # the post's: its epochs, and the sequences of each
PLATEAU = float(np.log(2))
BARS = (0.9, 0.95, 0.5)  # shares of ln 2; the first counts, the others show what it decides
LEVEL = 0.05  # of an adjusted p-value
LOOP = ["step_after", "zeroed"]
SINGLE = (
    "no_cue",
    "fresh_data",
    "more_epochs",
    "rates",
    "optimizers",
    "cells",
    "shorter",
    "wider",
    "clipped",
)


class NoRuns(Exception):
    """The results lack the runs that a table is about."""


# --- outcomes -----------------------------------------------------------------------------------


def runs_of(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """The conclusive runs of some blocks with their outcomes; `NoRuns` where there are none.

    Columns added: `step_after` (epoch, sequence or all epochs) and `zeroed`; `epochs`, the budget; `solved`;
    `right_at_end`, every label of the final sequences; `left`, `left_epoch` (NaN: never) and `memorised`: the loss
    on the training sequences left ln 2 and that on fresh ones never did; `ends`: solved, below, near or above ln 2, or
    diverged.
    """
    rows = of_blocks(frame, *blocks)
    rows = rows[rows["status"].isin(CONCLUSIVE)]
    if rows.empty:
        raise NoRuns(f"no run of block {' or '.join(map(repr, blocks))} was trained to its end")
    return rows.assign(
        step_after=_step_after(rows),
        zeroed=~rows["accumulate"].astype(bool),
        epochs=rows["max_updates"] / _updates_per_epoch(rows),
        solved=rows["converged_update"].notna(),
        right_at_end=rows["exact"] == 1,
        left_epoch=left_epoch(rows, BARS[0]),
        **_ends(rows),
    ).assign(
        left=lambda r: r["left_epoch"].notna(),
        memorised=lambda r: r["memorised"] & r["left_epoch"].isna(),
    )


def _step_after(rows: pd.DataFrame) -> np.ndarray:
    each = np.where(rows["update_per"] == "epoch", "epoch", "sequence")
    return np.where(rows["max_updates"] == 1, "all epochs", each)


def _updates_per_epoch(rows: pd.DataFrame) -> np.ndarray:
    updates = np.where(rows["update_per"] == "epoch", 1, EPOCH / rows["batch_size"])
    return np.where(rows["max_updates"] == 1, 1 / EPOCHS, updates)


def left_epoch(rows: pd.DataFrame, bar: float, curve: str = "curve_loss") -> np.ndarray:
    """The epoch of the first evaluation whose loss is below `bar` of ln 2, (n,) float; NaN: never."""
    found = []
    for values, updates in zip(rows[curve], rows["curve_update"], strict=True):
        below = np.flatnonzero(np.asarray(values, float) < bar * PLATEAU)
        found.append(updates[below[0]] if len(below) else np.nan)
    return np.array(found, float) / _updates_per_epoch(rows)


def _ends(rows: pd.DataFrame) -> dict[str, Any]:
    last = np.array([values[-1] for values in rows["curve_loss"]], float) / PLATEAU
    ends = np.select([last < BARS[0], last <= 2 - BARS[0]], ["below", "near"], "above")
    ends = np.where(rows["status"] == "diverged", "diverged", ends)
    memorised = ~np.isnan(left_epoch(rows, BARS[0], "curve_training_loss"))
    return {
        "ends": np.where(rows["converged_update"].notna(), "solved", ends),
        "memorised": memorised,
    }


def columns(name: str, found: Estimate) -> dict[str, float]:
    """An estimate and its interval as three columns."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def share_of(rows: pd.DataFrame, outcome: str) -> dict[str, float]:
    """The share of runs with an outcome, Wilson's interval."""
    return columns(outcome, share(int(rows[outcome].sum()), len(rows)))


def paired(a: pd.DataFrame, b: pd.DataFrame, outcome: str) -> Contrast:
    """Share with an outcome in `a` minus that in `b`, over the seeds they share."""
    both = a[["seed", outcome]].merge(b[["seed", outcome]], on="seed", suffixes=("_a", "_b"))
    return paired_share_difference(
        both[f"{outcome}_a"].to_numpy(bool), both[f"{outcome}_b"].to_numpy(bool)
    )


CHANGING: dict[
    str, Callable[[Any], str]
] = {  # setting: how a change to it is called; in the order of its table
    "cue": lambda value: "the cue" if value else "no cue",
    "data": lambda value: f"{value} noise",
    "epochs": lambda value: f"{value:,.0f} epochs",
    "optimizer": lambda value: OPTIMIZER_NAMES[value],
    "momentum": lambda value: f"{value:g}",
    "lr": lambda value: f"rate {value:g}",
    "cell": lambda value: CELL_NAMES[value],
    "length": lambda value: f"length {value}",
    "hidden_size": lambda value: f"hidden size {value}",
    "clip_norm": lambda value: f"gradient clipped at {value:g}",
}


def with_changes(rows: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of SINGLE, with `change`: the settings in which each differs from `base`, in words."""
    usual = base.iloc[0]
    place = [
        min(SINGLE.index(name) for name in names if name in SINGLE) for names in rows["blocks"]
    ]
    rows = (
        rows.assign(place=place)
        .sort_values(["place", *CHANGING, "seed"], kind="stable")
        .drop(columns="place")
    )
    return rows.assign(
        change=[_change(run, usual) for run in rows[list(CHANGING)].to_dict("records")]
    )


def _change(run: Mapping[Any, Any], usual: pd.Series) -> str:
    differs = [
        name
        for name in CHANGING
        if run[name] != usual[name] and not (pd.isna(run[name]) and pd.isna(usual[name]))
    ]
    rated = (
        [*differs, "lr"] if run["optimizer"] in ("adam", "rmsprop") else differs
    )  # whose rates are not those of SGD
    return " ".join(CHANGING[name](run[name]) for name in CHANGING if name in rated)


# --- the post -----------------------------------------------------------------------------------


def loops(frame: pd.DataFrame) -> pd.DataFrame:
    """Each reading of the post's loop: shares solved, right at the end, left ln 2 at each bar; and when it is left.

    `left_median_epoch` is Kaplan-Meier's, over all runs.
    """
    made = []
    for key, rows in runs_of(frame, "post", "step_after_the_loops").groupby(LOOP):
        shares = [
            share_of(rows, outcome) for outcome in ("solved", "right_at_end", "left", "memorised")
        ]
        made.append(
            dict(zip(LOOP, key, strict=True))
            | {"n": len(rows)}
            | merged(shares)
            | _bars(rows)
            | _times(rows)
        )
    return pd.DataFrame(made)


def merged(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Several estimates' columns as one row's."""
    return {name: value for part in parts for name, value in part.items()}


def _bars(rows: pd.DataFrame) -> dict[str, float]:
    """The share that leaves at the other bars."""
    return {
        f"left_at_{bar:g}": float(np.mean(~np.isnan(left_epoch(rows, bar)))) for bar in BARS[1:]
    }


def _times(rows: pd.DataFrame) -> dict[str, float]:
    """The median epoch at which the loss leaves ln 2, censored at the budget; infinite where half never do."""
    median = time_to_share(
        solved_curve(
            np.where(rows["left"], rows["left_epoch"], rows["epochs"]), rows["left"].to_numpy()
        )
    )
    return columns("left_median_epoch", median)


def swing(losses: Sequence[float]) -> float:
    """The most that a loss rises above the lowest it had been; NaN entries do not count."""
    values = np.asarray(losses, float)
    values = values[np.isfinite(values)]
    return float((values - np.minimum.accumulate(values)).max()) if len(values) else np.nan


def changes(frame: pd.DataFrame) -> pd.DataFrame:
    """Each single change beside the post's settings, in each loop; p of the difference, adjusted over this table.

    `verdict`: rescues or hurts where the adjusted p is below LEVEL, else none.
    """
    base = runs_of(frame, "as_it_is")
    rows = with_changes(runs_of(frame, *SINGLE), base)
    made = []
    for loop, usual in base.groupby(LOOP):
        of_loop = rows[(rows[LOOP] == list(loop)).all(axis=1)]
        for change, group in [("as it is", usual), *of_loop.groupby("change", sort=False)]:
            made.append(
                dict(zip(LOOP, loop, strict=True)) | {"change": change} | _against(group, usual)
            )
    table = pd.DataFrame(made)
    for outcome in ("solved", "left"):
        table[f"{outcome}_p"] = benjamini_hochberg(table[f"{outcome}_p"].to_numpy())
    return table.assign(
        verdict=[
            _verdict(*pair) for pair in zip(table["solved_gain"], table["solved_p"], strict=True)
        ]
    )


def _against(group: pd.DataFrame, usual: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {"n": len(group)}
    for outcome in ("solved", "left"):
        found |= share_of(group, outcome)
        if group is not usual:
            difference = paired(group, usual, outcome)
            found |= columns(f"{outcome}_gain", difference) | {f"{outcome}_p": difference.p}
    ends = group["ends"].value_counts()
    return found | {
        f"ends_{end}": int(ends.get(end, 0)) for end in ("below", "near", "above", "diverged")
    }


def _verdict(gain: float, p: float, better: str = "rescues") -> str:
    return "" if not p < LEVEL else better if gain > 0 else "hurts"


def zeroing(frame: pd.DataFrame) -> pd.DataFrame:
    """What zeroing the gradient does at the post's settings and at each single change: zeroed minus never zeroed.

    The contrast named in advance (hypothesis 1), so p is Holm's over this table; `verdict` is of zeroing.
    """
    base = runs_of(frame, "as_it_is")
    rows = pd.concat([base.assign(change="as it is"), with_changes(runs_of(frame, *SINGLE), base)])
    made = []
    for (step_after, change), group in rows.groupby(["step_after", "change"], sort=False):
        zeroed, never = group[group["zeroed"]], group[~group["zeroed"]]
        difference = paired(zeroed, never, "solved")
        shares = {"solved_zeroed": zeroed["solved"].mean(), "solved_never": never["solved"].mean()}
        names = {"step_after": step_after, "change": change, "n": difference.n}
        made.append(names | shares | columns("gain", difference) | {"p": difference.p})
    table = pd.DataFrame(made).sort_values("step_after", kind="stable", ignore_index=True)
    table["p"] = holm(table["p"].to_numpy())
    return table.assign(
        verdict=[_verdict(*pair, "helps") for pair in zip(table["gain"], table["p"], strict=True)]
    )


def momentum(frame: pd.DataFrame) -> pd.DataFrame:
    """From no momentum to 1, a step an epoch, and never zeroing, which is 1: shares solved, right at the end, and more.

    `lost`: of the solved runs, those with a wrong label in a later evaluation. `swung`: the training loss rose by
    more than a tenth of ln 2 (1 - BARS[0]) above the lowest that it had been.
    """
    zeroed = (
        runs_of(frame, "post")
        .query("step_after == 'epoch'")
        .assign(momentum=lambda r: np.where(r["zeroed"], 0, 1))
    )
    rows = pd.concat([zeroed, runs_of(frame, "momentum")])
    rows["swung"] = [
        swing(losses) > (1 - BARS[0]) * PLATEAU for losses in rows["curve_training_loss"]
    ]
    made = []
    for (mu, never), group in rows.groupby(["momentum", ~rows["zeroed"]]):
        solved = group[group["solved"]]
        lost = columns("lost", share(int(solved["lost_update"].notna().sum()), len(solved)))
        parts = [share_of(group, name) for name in ("solved", "right_at_end", "left", "swung")]
        made.append({"momentum": mu, "zeroed": not never, "n": len(group)} | merged([*parts, lost]))
    return pd.DataFrame(made)


# --- all changes at once ------------------------------------------------------------------------

FACTORS: dict[
    str, tuple[str, dict[Any, str]]
] = {  # name: column, its levels; the post's comes first
    "gradient": ("zeroed", {False: "never zeroed", True: "zeroed"}),
    "step after": ("step_after", {"epoch": "epoch", "sequence": "sequence"}),
    "cue": ("cue", {True: "there", False: "none"}),
    "noise": ("data", {"fixed": "fixed", "fresh": "fresh"}),
    "optimizer": ("rated", {}),
    "cell": ("cell", CELL_NAMES),
}


def effects(frame: pd.DataFrame) -> pd.DataFrame:
    """Main effects and interactions of pairs on the log odds of being solved, by each of two budgets in epochs."""
    rows = runs_of(frame, "post_factorial")
    rated = rows["optimizer"].map(OPTIMIZER_NAMES) + rows["lr"].map(" {:g}".format)
    factors = _factors(rows.assign(rated=rated))
    tables = []
    for budget, solved in _solved_by(rows).items():
        table = logistic_effects(factors, solved.to_numpy())
        table.insert(0, "epochs", budget)
        tables.append(
            table.assign(solved_runs=int(solved.sum()), p=benjamini_hochberg(table["p"].to_numpy()))
        )
    return pd.concat(tables, ignore_index=True)


def _solved_by(rows: pd.DataFrame) -> dict[int, pd.Series]:
    """Whether each run was solved within the post's epochs, and within all there were."""
    epoch, longest = rows["converged_update"] / _updates_per_epoch(rows), int(rows["epochs"].max())
    return {budget: epoch <= budget for budget in sorted({min(EPOCHS, longest), longest})}


def _factors(rows: pd.DataFrame) -> dict[str, pd.Categorical]:
    """The factors that vary, by name."""
    found = {}
    for name, (column, words) in FACTORS.items():
        values = rows[column].map(words) if words else rows[column]
        order = list(words.values()) or sorted(
            values.unique(), key=lambda text: (not text.startswith("SGD"), text)
        )
        found[name] = pd.Categorical(values, categories=order)
    return {name: levels for name, levels in found.items() if len(levels.unique()) > 1}


def combinations(frame: pd.DataFrame) -> pd.DataFrame:
    """The share solved at every combination of the factorial, by each of two budgets in epochs."""
    rows = runs_of(frame, "post_factorial")
    budgets = {f"solved_by_{budget}": solved for budget, solved in _solved_by(rows).items()}
    by = [*LOOP, "cue", "data", "cell", "optimizer", "lr"]
    made = []
    for key, group in rows.assign(**budgets).groupby(by):
        shares = [share_of(group, name) for name in budgets]
        made.append(dict(zip(by, key, strict=True)) | {"n": len(group)} | merged(shares))
    return pd.DataFrame(made)

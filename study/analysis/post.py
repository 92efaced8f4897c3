"""The forum post's network: which changes rescue it, which make no difference and which hurt.

Each function makes a table from stored runs. The post's text leaves open when `optimizer.step()`
runs, and it never zeroes the gradient. We call each reading of its text, with or without zeroing, a
*loop*. Runs share their seeds, so differences are paired: Newcombe's interval, McNemar's test.

Success is judged at two levels. A run has *solved* the task by the study's definition: every label
is correct on fresh noise. It has *left* ln 2, the loss of a network that answers one half at every
step, once its loss on fresh noise has fallen below `BARS[0]` times ln 2.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study import stats
from study.grid import CONCLUSIVE, Missing, of_blocks
from study.stats import benjamini_hochberg, holm
from study.text import CELL_NAMES, OPTIMIZER_NAMES

EPOCHS, EPOCH = 500, 2  # of the post: epochs, and sequences per epoch
PLATEAU = float(np.log(2))
BARS = (0.9, 0.95, 0.5)  # shares of ln 2; the first one counts, the others show how much it matters
LEVEL = 0.05  # of an adjusted p-value
LOOP = ["step_after", "zeroed"]
# Blocks of single changes, in the order of their table.
SINGLE = ("no_cue", "fresh_data", "more_epochs", "rates", "optimizers", "cells", "shorter", "wider")
SINGLE += ("clipped",)


# --- outcomes -----------------------------------------------------------------------------------


def runs_of(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """The conclusive runs of some blocks with their outcomes; `Missing` if there are none.

    Columns added: `step_after` (epoch, sequence or all epochs) and `zeroed`, the loop; `epochs`,
    the budget; `solved`; `right_at_end`, whether all labels of the final sequences are correct;
    `left` and `left_epoch` (NaN: never); `memorised`, whether the loss left ln 2 on the training
    sequences but never on fresh ones; `ends`: solved, below, near or above ln 2, or diverged.
    """
    rows = of_blocks(frame, *blocks)
    rows = rows[rows["status"].isin(CONCLUSIVE)]
    if rows.empty:
        raise Missing(f"no run of block {' or '.join(map(repr, blocks))} was trained to its end")
    once, by_epoch = rows["max_updates"] == 1, rows["update_per"] == "epoch"
    left = left_epoch(rows, BARS[0])
    learned = ~np.isnan(left_epoch(rows, BARS[0], "curve_training_loss"))
    solved = rows["converged_update"].notna()
    last = np.array([values[-1] for values in rows["curve_loss"]], float) / PLATEAU
    ends = {
        "solved": solved,
        "diverged": rows["status"] == "diverged",
        "below": last < BARS[0],
        "near": last <= 2 - BARS[0],
    }
    return rows.assign(
        step_after=np.select([once, by_epoch], ["all epochs", "epoch"], "sequence"),
        zeroed=~rows["accumulate"].astype(bool),
        epochs=rows["max_updates"] / _updates_per_epoch(rows),
        solved=solved,
        right_at_end=rows["exact"] == 1,
        left_epoch=left,
        left=~np.isnan(left),
        memorised=learned & np.isnan(left),
        ends=np.select(list(ends.values()), list(ends), "above"),
    )


def _updates_per_epoch(rows: pd.DataFrame) -> np.ndarray:
    updates = np.where(rows["update_per"] == "epoch", 1, EPOCH / rows["batch_size"])
    return np.where(rows["max_updates"] == 1, 1 / EPOCHS, updates)


def left_epoch(rows: pd.DataFrame, bar: float, curve: str = "curve_loss") -> np.ndarray:
    """The epoch of the first evaluation whose loss is below `bar` * ln 2, (n,); NaN: never."""
    first = []
    for values, updates in zip(rows[curve], rows["curve_update"], strict=True):
        below = np.flatnonzero(np.asarray(values, float) < bar * PLATEAU)
        first.append(updates[below[0]] if len(below) else np.nan)
    return np.array(first, float) / _updates_per_epoch(rows)


def shares_of(rows: pd.DataFrame, *outcomes: str) -> dict[str, float]:
    """The share of runs with each outcome and its Wilson interval, as columns."""
    columns = {}
    for outcome in outcomes:
        columns |= stats.share(int(rows[outcome].sum()), len(rows)).columns(outcome)
    return columns


def paired(a: pd.DataFrame, b: pd.DataFrame, outcome: str) -> stats.Contrast:
    """Share of `a` with an outcome minus that of `b`, over their common seeds."""
    both = a[["seed", outcome]].merge(b[["seed", outcome]], on="seed").drop(columns="seed")
    return stats.paired_share_difference(*both.to_numpy(bool).T)


# How the tables name a new value of each setting, in this order.
CHANGING: dict[str, Callable[[Any], str]] = {
    "cue": lambda value: "the cue" if value else "no cue",
    "data": "{} noise".format,
    "epochs": "{:,.0f} epochs".format,
    "optimizer": OPTIMIZER_NAMES.__getitem__,
    "momentum": "{:g}".format,
    "lr": "rate {:g}".format,
    "cell": CELL_NAMES.__getitem__,
    "length": "length {}".format,
    "hidden_size": "hidden size {}".format,
    "clip_norm": "gradient clipped at {:g}".format,
}


def with_changes(rows: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of SINGLE, with a `change` that names how each differs from `base`."""
    places = [min(SINGLE.index(n) for n in names if n in SINGLE) for names in rows["blocks"]]
    rows = rows.assign(place=places).sort_values(["place", *CHANGING, "seed"], kind="stable")
    usual = base.iloc[0]
    changes = [_change(run, usual) for run in rows[list(CHANGING)].to_dict("records")]
    return rows.drop(columns="place").assign(change=changes)


def _change(run: Mapping[Any, Any], usual: pd.Series) -> str:
    both_missing = {name for name in CHANGING if pd.isna(run[name]) and pd.isna(usual[name])}
    differs = {name for name in CHANGING if run[name] != usual[name]} - both_missing
    if run["optimizer"] in ("adam", "rmsprop"):  # their rates do not compare with those of SGD
        differs.add("lr")
    return " ".join(name_of(run[name]) for name, name_of in CHANGING.items() if name in differs)


# --- the post -----------------------------------------------------------------------------------


def loops(frame: pd.DataFrame) -> pd.DataFrame:
    """Each reading of the post's loop: the share of runs with each outcome, and when it left ln 2.

    `left_at_BAR` is the share that leaves at the other bars. `left_median_epoch` is the
    Kaplan-Meier median over all runs, censored at the budget; infinite if half never leave.
    """
    table = []
    for key, rows in runs_of(frame, "post", "step_after_the_loops").groupby(LOOP):
        shares = shares_of(rows, "solved", "right_at_end", "left", "memorised")
        bars = {f"left_at_{b:g}": np.mean(~np.isnan(left_epoch(rows, b))) for b in BARS[1:]}
        times = rows["left_epoch"].fillna(rows["epochs"]).to_numpy()
        median = stats.time_to_share(stats.solved_curve(times, rows["left"].to_numpy()))
        names = dict(zip(LOOP, key, strict=True)) | {"n": len(rows)}
        table.append(names | shares | bars | median.columns("left_median_epoch"))
    return pd.DataFrame(table)


def swing(losses: Sequence[float]) -> float:
    """The largest rise of a loss above its lowest value so far; NaN entries do not count."""
    values = np.asarray(losses, float)
    values = values[np.isfinite(values)]
    return float((values - np.minimum.accumulate(values)).max()) if len(values) else np.nan


def changes(frame: pd.DataFrame) -> pd.DataFrame:
    """Each single change against the post's settings, in each loop; p adjusted over this table.

    `verdict` is "rescues" or "hurts" if the adjusted p is below LEVEL, and empty otherwise.
    """
    base = runs_of(frame, "as_it_is")
    rows = with_changes(runs_of(frame, *SINGLE), base)
    found = []
    for loop, usual in base.groupby(LOOP):
        of_loop = rows[(rows[LOOP] == list(loop)).all(axis=1)]
        for change, group in [("as it is", usual), *of_loop.groupby("change", sort=False)]:
            row: dict[str, Any] = dict(zip(LOOP, loop, strict=True))
            row |= {"change": change, "n": len(group)}
            for outcome in ("solved", "left"):
                row |= shares_of(group, outcome)
                if group is not usual:
                    gain = paired(group, usual, outcome)
                    row |= gain.columns(f"{outcome}_gain") | {f"{outcome}_p": gain.p}
            for end in ("below", "near", "above", "diverged"):
                row[f"ends_{end}"] = int((group["ends"] == end).sum())
            found.append(row)
    table = pd.DataFrame(found)
    for name in ("solved_p", "left_p"):
        table[name] = benjamini_hochberg(table[name].to_numpy())
    return table.assign(verdict=_verdicts(table["solved_gain"], table["solved_p"], "rescues"))


def _verdicts(gains: pd.Series, p: pd.Series, better: str) -> np.ndarray:
    return np.select([~(p < LEVEL), gains > 0], ["", better], "hurts")


def zeroing(frame: pd.DataFrame) -> pd.DataFrame:
    """The effect of zeroing the gradient, at the post's settings and at each single change.

    A gain is the share with zeroing minus the share without. The contrast was named in advance
    (hypothesis 1), so p is adjusted by Holm's method over this table. `verdict` is "helps" or
    "hurts" if it is below LEVEL.
    """
    base = runs_of(frame, "as_it_is")
    rows = pd.concat([base.assign(change="as it is"), with_changes(runs_of(frame, *SINGLE), base)])
    found = []
    for (step_after, change), group in rows.groupby(["step_after", "change"], sort=False):
        zeroed, never = group[group["zeroed"]], group[~group["zeroed"]]
        gain = paired(zeroed, never, "solved")
        shares = {"solved_zeroed": zeroed["solved"].mean(), "solved_never": never["solved"].mean()}
        names = {"step_after": step_after, "change": change, "n": gain.n}
        found.append(names | shares | gain.columns("gain") | {"p": gain.p})
    table = pd.DataFrame(found).sort_values("step_after", kind="stable", ignore_index=True)
    table["p"] = holm(table["p"].to_numpy())
    return table.assign(verdict=_verdicts(table["gain"], table["p"], "helps"))


def momentum(frame: pd.DataFrame) -> pd.DataFrame:
    """Momentum from 0 to 1 with a step per epoch, and never zeroing, which equals momentum 1.

    `lost` is the share of the solved runs with a wrong label in a later evaluation. `swung` is the
    share whose training loss rose by more than (1 - BARS[0]) ln 2 above its lowest value so far.
    """
    post = runs_of(frame, "post").query("step_after == 'epoch'")
    post = post.assign(momentum=np.where(post["zeroed"], 0, 1))
    rows = pd.concat([post, runs_of(frame, "momentum")])
    swings = np.array([swing(losses) for losses in rows["curve_training_loss"]])
    rows = rows.assign(swung=swings > (1 - BARS[0]) * PLATEAU, lost=rows["lost_update"].notna())
    table = []
    for (mu, never), group in rows.groupby(["momentum", ~rows["zeroed"]]):
        shares = shares_of(group, "solved", "right_at_end", "left", "swung")
        lost = shares_of(group[group["solved"]], "lost")
        table.append({"momentum": mu, "zeroed": not never, "n": len(group)} | shares | lost)
    return pd.DataFrame(table)


# --- all changes at once ------------------------------------------------------------------------

# The column and the levels of each factor, those of the post first.
FACTORS: dict[str, tuple[str, dict[Any, str]]] = {
    "gradient": ("zeroed", {False: "never zeroed", True: "zeroed"}),
    "step after": ("step_after", {"epoch": "epoch", "sequence": "sequence"}),
    "cue": ("cue", {True: "there", False: "none"}),
    "noise": ("data", {"fixed": "fixed", "fresh": "fresh"}),
    "optimizer": ("rated", {}),
    "cell": ("cell", CELL_NAMES),
}


def effects(frame: pd.DataFrame) -> pd.DataFrame:
    """Main effects and pairwise interactions on the log odds of solving, within each budget.

    `Missing` if, within every budget, all runs solved the task or none did.
    """
    rows = runs_of(frame, "post_factorial")
    rated = rows["optimizer"].map(OPTIMIZER_NAMES) + rows["lr"].map(" {:g}".format)
    factors = {}
    for name, (column, words) in FACTORS.items():
        values = rated if column == "rated" else rows[column].map(words)
        sgd_first = sorted(values.unique(), key=lambda text: (not text.startswith("SGD"), text))
        if len(sgd_first) > 1:
            factors[name] = pd.Categorical(values, categories=list(words.values()) or sgd_first)
    tables = []
    for budget, solved in _solved_by(rows).items():
        if solved.nunique() < 2:
            continue
        table = stats.logistic_effects(factors, solved.to_numpy())
        table.insert(0, "epochs", budget)
        p = benjamini_hochberg(table["p"].to_numpy())
        tables.append(table.assign(solved_runs=int(solved.sum()), p=p))
    if not tables:
        raise Missing("the runs of block 'post_factorial' all solved the task, or none did")
    return pd.concat(tables, ignore_index=True)


def _solved_by(rows: pd.DataFrame) -> dict[int, pd.Series]:
    """Whether each run solved the task within the post's epochs, and within the longest budget."""
    epoch, longest = rows["converged_update"] / _updates_per_epoch(rows), int(rows["epochs"].max())
    return {budget: epoch <= budget for budget in sorted({min(EPOCHS, longest), longest})}


def combinations(frame: pd.DataFrame) -> pd.DataFrame:
    """The share solved at every combination of the factorial, within each budget in epochs."""
    rows = runs_of(frame, "post_factorial")
    budgets = {f"solved_by_{budget}": solved for budget, solved in _solved_by(rows).items()}
    by = [*LOOP, "cue", "data", "cell", "optimizer", "lr"]
    groups = rows.assign(**budgets).groupby(by)
    counts = [{"n": len(group)} | shares_of(group, *budgets) for _, group in groups]
    return pd.DataFrame([*groups.groups], columns=by).join(pd.DataFrame(counts))

"""Find which changes to a forum post's code rescue its training, which do nothing, and which hurt.

The functions of this module make tables from stored runs. The post's code never zeroes the
gradient, and its text leaves open when `optimizer.step()` runs. A *loop* is one reading of the
text, either with or without zeroing the gradient. All settings are tried on the same seeds, so runs
with equal seeds are paired. Differences have Newcombe's interval, and p-values come from McNemar's
test.

As in the rest of the study, a run has *solved* the task if every label is correct on fresh noise. A
network that gives both labels equal probability has the loss ln 2. A run has *left* ln 2 once its
loss on fresh noise is below `BARS[0]` times ln 2.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study import stats
from study.grid import CONCLUSIVE, Missing, lacking_curves, of_blocks
from study.model import TASKS
from study.stats import benjamini_hochberg, holm
from study.text import CELL_NAMES, OPTIMIZER_NAMES

EPOCHS, EPOCH = 500, 2  # the post's number of epochs, and of sequences per epoch
PLATEAU = float(np.log(2))
BARS = (0.9, 0.95, 0.5)  # multiples of ln 2; the first decides, the others show its influence
LEVEL = 0.05  # corrected p-values below it count as significant
LOOP = ["step_after", "zeroed"]
# Blocks of single changes, in the order of their table.
SINGLE = ("no_cue", "fresh_data", "more_epochs", "rates", "optimizers", "cells", "shorter", "wider")
SINGLE += ("clipped",)


# --- outcomes -----------------------------------------------------------------------------------


def runs_of(frame: pd.DataFrame, *blocks: str) -> pd.DataFrame:
    """Return the runs of the given blocks that finished training, and add columns with outcomes.

    A block is a named part of a grid, the list of runs to train. Raises `Missing` if no run of the
    blocks has finished training, if one was stored without its learning curve, or if one has a task
    with more than two labels. These columns are added:

    - `step_after`: whether the optimizer steps after each epoch, each sequence or all epochs;
    - `zeroed`: whether the gradient is zeroed;
    - `epochs`: the budget in epochs;
    - `solved`: whether the run solved the task;
    - `right_at_end`: whether all labels are correct on the fresh sequences of the final evaluation;
    - `left` and `left_epoch`: whether the loss on fresh sequences fell below `BARS[0]` times ln 2,
      and at which epoch (NaN if it never did);
    - `memorised`: whether the loss fell below `BARS[0]` times ln 2 on the training sequences, but
      not on fresh sequences;
    - `ends`: how the run ended. Runs that solved the task or diverged have the value `solved` or
      `diverged`. Other runs have the value `below`, `near` or `above`, which says how the last loss
      on fresh sequences compares with ln 2.
    """
    rows = of_blocks(frame, *blocks)
    rows = rows[rows["status"].isin(CONCLUSIVE)]
    if rows.empty:
        raise Missing(f"no run of block {' or '.join(map(repr, blocks))} has finished training")
    if lacking := lacking_curves(rows):
        raise Missing(lacking)
    once, by_epoch = rows["max_updates"] == 1, rows["update_per"] == "epoch"
    if others := {name for name in rows["task"] if name in TASKS and TASKS[name].outputs != 2}:
        message = "compares losses with ln 2, so it needs tasks with two labels"
        raise Missing(f"this analysis {message}, unlike {', '.join(map(repr, sorted(others)))}")
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
    """Return the epoch at which the loss of each run is first below `bar` * ln 2.

    The loss is known at evaluations only. The result has one number per row of `rows`: (n,). The
    number is NaN if the loss is never that low. `curve` names the column that holds the losses of
    each run.
    """
    first = []
    for values, updates in zip(rows[curve], rows["curve_update"], strict=True):
        below = np.flatnonzero(np.asarray(values, float) < bar * PLATEAU)
        first.append(updates[below[0]] if len(below) else np.nan)
    return np.array(first, float) / _updates_per_epoch(rows)


def shares_of(rows: pd.DataFrame, *outcomes: str) -> dict[str, float]:
    """Return the share of runs with each outcome, and the share's Wilson interval.

    Each outcome is the name of a column of truth values in `rows`. The keys of the result are names
    of table columns, such as `solved`, `solved_low` and `solved_high`.
    """
    columns = {}
    for outcome in outcomes:
        columns |= stats.share(int(rows[outcome].sum()), len(rows)).columns(outcome)
    return columns


def paired(a: pd.DataFrame, b: pd.DataFrame, outcome: str) -> stats.Contrast:
    """Return the share of runs with an outcome in `a`, minus this share in `b`.

    Only seeds that `a` and `b` have in common count. `outcome` is the name of a column of truth
    values in `a` and `b`.
    """
    both = a[["seed", outcome]].merge(b[["seed", outcome]], on="seed").drop(columns="seed")
    return stats.paired_share_difference(*both.to_numpy(bool).T)


# For each setting that changes, how tables name its new value; names are joined in this order.
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
    """Return the rows sorted by the order of their blocks in SINGLE, with a new column `change`.

    `change` is a text, such as `no cue`, that says how a run's settings differ from the settings in
    the first row of `base`.
    """
    places = [min(SINGLE.index(n) for n in names if n in SINGLE) for names in rows["blocks"]]
    rows = rows.assign(place=places).sort_values(["place", *CHANGING, "seed"], kind="stable")
    usual = base.iloc[0]
    changes = [_change(run, usual) for run in rows[list(CHANGING)].to_dict("records")]
    return rows.drop(columns="place").assign(change=changes)


def _change(run: Mapping[Any, Any], usual: pd.Series) -> str:
    both_missing = {name for name in CHANGING if pd.isna(run[name]) and pd.isna(usual[name])}
    differs = {name for name in CHANGING if run[name] != usual[name]} - both_missing
    if run["optimizer"] in ("adam", "rmsprop"):  # their rates mean something else than SGD's
        differs.add("lr")
    return " ".join(name_of(run[name]) for name, name_of in CHANGING.items() if name in differs)


# --- the post -----------------------------------------------------------------------------------


def loops(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a table that shows how the training in the post ends, with one row per loop.

    A loop is one reading of the post, with or without zeroing the gradient. A row has the share of
    runs with each outcome, as `runs_of` defines it. `left_at_0.95` is the share of runs with a loss
    that falls below 0.95 times ln 2, and `left_at_0.5` is the same with 0.5 times ln 2.
    `left_median_epoch` is the Kaplan-Meier median of the epoch at which the loss falls below
    `BARS[0]` times ln 2. If the loss of a run never falls that low, the run is censored at its
    budget. The median is infinite if this happens in more than half of the runs.
    """
    table = []
    for key, rows in runs_of(frame, "post", "step_after_the_loops").groupby(LOOP):
        shares = shares_of(rows, "solved", "right_at_end", "left", "memorised")
        bars = {f"left_at_{b:g}": np.mean(~np.isnan(left_epoch(rows, b))) for b in BARS[1:]}
        names = dict(zip(LOOP, key, strict=True)) | {"n": len(rows)}
        table.append(names | shares | bars | _leaving(rows))
    return pd.DataFrame(table)


def _leaving(rows: pd.DataFrame) -> dict[str, float]:
    """Return the Kaplan-Meier median of the epoch at which the loss left ln 2, with its interval.

    A run whose loss never left is censored at its budget.
    """
    times = rows["left_epoch"].fillna(rows["epochs"]).to_numpy()
    median = stats.time_to_share(stats.solved_curve(times, rows["left"].to_numpy()))
    return median.columns("left_median_epoch")


def plateau(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a table that shows how long the post's network stays near ln 2, with or without zeroing.

    The table has one row per learning rate and way to treat the gradient. `epochs` is the budget,
    which is longer than the post's. `left` and `left_median_epoch` are as in `loops`.
    """
    table = []
    for key, rows in runs_of(frame, "plateau").groupby(["zeroed", "lr", "epochs"]):
        names = dict(zip(("zeroed", "lr", "epochs"), key, strict=True)) | {"n": len(rows)}
        table.append(names | shares_of(rows, "left") | _leaving(rows))
    return pd.DataFrame(table)


def swing(losses: Sequence[float]) -> float:
    """Return the largest rise of a loss above the lowest value that it had before.

    Entries that are NaN or infinite are skipped.
    """
    values = np.asarray(losses, float)
    values = values[np.isfinite(values)]
    return float((values - np.minimum.accumulate(values)).max()) if len(values) else np.nan


def changes(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a table that compares each single change with the post's own settings.

    The table has one row per change and loop. A loop is one reading of the post, with or without
    zeroing the gradient. The p-values are corrected by Benjamini and Hochberg's method over the
    table. `verdict` is "rescues" or "hurts" if the corrected p is below LEVEL, and empty otherwise.
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
    """Make a table that shows if zeroing the gradient helps, alone and with each single change.

    The gain is the share solved with zeroing minus the share solved without zeroing. This
    comparison was named in advance (hypothesis 1), so p is corrected by Holm's method over the
    table. `verdict` is "helps" or "hurts" if the corrected p is below LEVEL, and empty otherwise.
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
    """Make a table of how runs end with momentum from 0 to 1 and one optimizer step per epoch.

    Never zeroing the gradient has the same effect as momentum 1. A run has swung if its training
    loss ever rises more than (1 - BARS[0]) ln 2 above its lowest value so far. The column `swung`
    has the share of runs that have swung. The column `lost` refers only to runs that solved the
    task. It has the share of these runs that got a label wrong in a later evaluation.
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

# The column and the levels of each factor; the post's level comes first.
FACTORS: dict[str, tuple[str, dict[Any, str]]] = {
    "gradient": ("zeroed", {False: "never zeroed", True: "zeroed"}),
    "step after": ("step_after", {"epoch": "epoch", "sequence": "sequence"}),
    "cue": ("cue", {True: "there", False: "none"}),
    "noise": ("data", {"fixed": "fixed", "fresh": "fresh"}),
    "optimizer": ("rated", {}),
    "cell": ("cell", CELL_NAMES),
}


def effects(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a table of how single changes and pairs of changes affect the odds of solving the task.

    The table has main effects and pairwise interactions, in log odds. The effects are estimated
    separately for each budget. Raises `Missing` if there is no budget within which some runs solved
    the task and others did not.
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
        raise Missing("the runs of block 'post_factorial' either all solved the task, or none did")
    return pd.concat(tables, ignore_index=True)


def _solved_by(rows: pd.DataFrame) -> dict[int, pd.Series]:
    """Return whether each run solved the task within each budget.

    The keys of the result are the budgets in epochs. They are the post's number of epochs and the
    largest budget of any run.
    """
    epoch, longest = rows["converged_update"] / _updates_per_epoch(rows), int(rows["epochs"].max())
    return {budget: epoch <= budget for budget in sorted({min(EPOCHS, longest), longest})}


def combinations(frame: pd.DataFrame) -> pd.DataFrame:
    """Make a table of the share of runs that solved the task, for every combination of settings.

    The settings are those that the block `post_factorial` varies. A column such as `solved_by_500`
    has the share of runs that solved the task within 500 epochs.
    """
    rows = runs_of(frame, "post_factorial")
    budgets = {f"solved_by_{budget}": solved for budget, solved in _solved_by(rows).items()}
    by = [*LOOP, "cue", "data", "cell", "optimizer", "lr"]
    groups = rows.assign(**budgets).groupby(by)
    counts = [{"n": len(group)} | shares_of(group, *budgets) for _, group in groups]
    return pd.DataFrame([*groups.groups], columns=by).join(pd.DataFrame(counts))

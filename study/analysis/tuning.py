"""Learning rates chosen on tuning seeds, and optimizers compared at them on other seeds.

An optimizer is worth what it does at the rate that its user would have found. So each gets the same number of rates and
of tuning seeds, its best one is chosen there, and the comparison is made on seeds that the choice has not seen:
the best of many noisy numbers looks better than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from study import stats
from study.errors import BadInput, Problem, unknown
from study.grid import CONCLUSIVE, censored_times, of_blocks, pooled_settings
from study.stats import restricted_mean, solved_curve

BY = ("cell", "optimizer")


def candidates(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each cell, optimizer and learning rate: n, runs solved, restricted mean updates."""
    rows = []
    conclusive = frame[frame["status"].isin(CONCLUSIVE)]
    for (cell, optimizer, lr), members in conclusive.groupby([*BY, "lr"]):
        curve = solved_curve(*censored_times(members))
        horizon = float(members["max_updates"].min())
        rows.append(
            {"cell": cell, "optimizer": optimizer, "lr": lr, "n": len(members)}
            | {"solved": int(members["converged_update"].notna().sum())}
            | {"restricted_mean_update": restricted_mean(curve, horizon)}
        )
    return pd.DataFrame(rows)


def choose(frame: pd.DataFrame) -> pd.DataFrame:
    """The best candidate of each cell and optimizer, and whether it is interior to its list."""
    table = candidates(frame).sort_values([*BY, "restricted_mean_update", "lr"])
    chosen = table.groupby(list(BY), sort=False).first().reset_index()
    ends = table.groupby(list(BY), sort=False)["lr"].agg(["min", "max"]).reset_index()
    chosen["interior"] = (chosen["lr"] > ends["min"]) & (chosen["lr"] < ends["max"])
    return chosen


def tuning_rows(frame: pd.DataFrame, blocks: Sequence[str]) -> pd.DataFrame:
    """The rows of some blocks; `BadInput` for a block that the results do not have."""
    names = sorted({name for members in frame["blocks"] for name in members})
    for block in blocks:
        if block not in names:
            raise BadInput([Problem(f"--block {block}", unknown("block", block, names))])
    rows = of_blocks(frame, *blocks)
    if not rows["status"].isin(CONCLUSIVE).any():
        raise BadInput(
            [Problem(f"--block {' '.join(blocks)}", "has no run that was trained to its end")]
        )
    return rows


# --- optimizers at an equal budget --------------------------------------------------------------


def compare_optimizers(
    tuning: pd.DataFrame, reporting: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Every pair of optimizers of each cell, each at the rate chosen in `tuning`, on the seeds of `reporting`.

    Both are rows of runs. A row a cell and pair (a, b): n shared seeds; restricted mean updates of `a` minus `b` and
    share solved of `a` minus `b`, each with its paired 95 % interval; the paired Prentice-Wilcoxon test of equal
    times, z negative where `a` is sooner, its p and Holm's over the whole table; the log-rank test, unpaired; and
    `interior`, whether both rates are inside their lists. z and the mean can disagree: many runs a little sooner
    against some never solved.
    `BadInput` where the comparison would not be fair.
    """
    tuning, reporting = (rows[rows["status"].isin(CONCLUSIVE)] for rows in (tuning, reporting))
    problems = [Problem("optimizers", message) for message in _unfair(tuning, reporting)]
    if problems:
        raise BadInput(problems)
    interior = choose(tuning).set_index(list(BY))["interior"]
    table = pd.DataFrame(
        [
            {"cell": cell, "a": a, "b": b}
            | _contrast(_of(members, a), _of(members, b), rng)
            | {"interior": bool(interior[cell, a] and interior[cell, b])}
            for cell, members in reporting.groupby("cell")
            for a, b in combinations(sorted(members["optimizer"].unique()), 2)
        ]
    )
    table["p_holm"] = stats.holm(table["p"].to_numpy())
    return table


def _of(members: pd.DataFrame, optimizer: str) -> pd.DataFrame:
    return members[members["optimizer"] == optimizer].set_index("seed").sort_index()


def _contrast(a: pd.DataFrame, b: pd.DataFrame, rng: np.random.Generator) -> dict[str, float]:
    """The numbers of one pair on their shared seeds."""
    seeds = a.index.intersection(b.index)
    a, b = a.loc[seeds], b.loc[seeds]
    first, second = censored_times(a), censored_times(b)
    horizon = float(min(a["max_updates"].min(), b["max_updates"].min()))
    times = stats.rmst_difference(first, second, horizon, rng, paired=True)
    share = stats.paired_share_difference(first[1], second[1])
    z, p = stats.paired_prentice_wilcoxon(*first, *second)
    return {
        "n": len(seeds),
        "horizon": horizon,
        "updates_difference": times.value,
        "updates_low": times.low,
        "updates_high": times.high,
        "solved_difference": share.value,
        "solved_low": share.low,
        "solved_high": share.high,
        "z": z,
        "p": p,
        "logrank_p": _logrank(first, second),
    }


def _logrank(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    times, solved = (np.concatenate(both) for both in zip(first, second, strict=True))
    return stats.logrank(times, solved, np.repeat([0, 1], [len(first[0]), len(second[0])]))[1]


def _unfair(tuning: pd.DataFrame, reporting: pd.DataFrame) -> list[str]:
    """What would make the comparison unfair, a message each."""
    found = []
    seen = sorted(set(tuning["seed"]) & set(reporting["seed"]))
    if seen:
        found.append(f"{len(seen)} seeds are both for tuning and for reporting, such as {seen[0]}")
    budget = tuning.groupby(list(BY), as_index=False).agg(
        rates=("lr", "nunique"), runs=("lr", "size")
    )
    for cell, members in budget.groupby("cell"):
        if len(members[["rates", "runs"]].drop_duplicates()) > 1:
            shown = ", ".join(
                f"{row.optimizer} {row.rates} rates, {row.runs} runs"
                for row in members.itertuples()
            )
            found.append(f"the tuning budgets for {cell} are not equal: {shown}")
    chosen = {(row.cell, row.optimizer): row.lr for row in choose(tuning).itertuples()}
    used = reporting.groupby(list(BY), as_index=False).agg(
        rates=("lr", lambda rates: sorted(set(rates)))
    )
    for cell, optimizer, rates in used.itertuples(index=False):
        best = chosen.get((cell, optimizer))
        if best is None:
            found.append(f"{cell} with {optimizer} has no tuning runs")
        elif rates != [best]:
            found.append(
                f"{cell} with {optimizer} is reported at the rates {rates}, not at the chosen {best:g}"
            )
    pooled = sorted(set(pooled_settings(reporting)) - {*BY, "lr", "momentum"})
    if pooled:
        found.append(
            f"the reported runs differ in more than cell, optimizer and rate: {', '.join(pooled)}"
        )
    return found

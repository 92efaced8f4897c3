"""Choose learning rates on tuning seeds, and compare optimizers at them on other seeds.

The performance of an optimizer that counts is that at the rate which a user would have found. So
each optimizer gets the same number of rates and of tuning seeds, on which its best rate is chosen.
The comparison is made on seeds that this choice has not seen, because the best of many noisy
numbers looks better than it is.
"""

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from study import stats
from study.command import Names, command
from study.errors import BadInput, Problem, unknown
from study.grid import (
    CONCLUSIVE,
    atomic_write,
    censored_times,
    load_saying,
    of_blocks,
    pooled_settings,
)

BY = ["cell", "optimizer"]
AXIS = "cell, optimizer, lr"


def choose(frame: pd.DataFrame) -> pd.DataFrame:
    """The best learning rate of each cell and optimizer, and whether it is inside its list.

    The best rate has the smallest restricted mean convergence time; of equal ones the smaller rate
    wins. An unsolved run counts with its whole budget. One row per cell and optimizer: lr, n,
    solved (runs), restricted_mean_update, and interior, False for a rate at an end of its list.
    """
    rows = []
    conclusive = frame[frame["status"].isin(CONCLUSIVE)]
    for key, members in conclusive.groupby([*BY, "lr"]):
        times, solved = censored_times(members)
        mean = stats.restricted_means(times, solved, float(members["max_updates"].min()))
        rows.append((*key, len(members), int(solved.sum()), float(mean)))
    names = [*BY, "lr", "n", "solved", "restricted_mean_update"]
    table = pd.DataFrame(rows, columns=names).sort_values([*BY, "restricted_mean_update", "lr"])
    rates = table.groupby(BY)["lr"]
    interior = (table["lr"] > rates.transform("min")) & (table["lr"] < rates.transform("max"))
    return table.assign(interior=interior).groupby(BY, sort=False).first().reset_index()


def tuning_rows(frame: pd.DataFrame, blocks: Sequence[str]) -> pd.DataFrame:
    """The rows of some blocks; `BadInput` for an unknown block or if no run is conclusive."""
    names = sorted({name for members in frame["blocks"] for name in members})
    for block in blocks:
        if block not in names:
            raise BadInput.at(f"--block {block}", unknown("block", block, names))
    rows = of_blocks(frame, *blocks)
    if not rows["status"].isin(CONCLUSIVE).any():
        raise BadInput.at(f"--block {' '.join(blocks)}", "has no run trained to its end")
    return rows


# --- optimizers at an equal budget ----------------------------------------------------------------


def compare_optimizers(
    tuning: pd.DataFrame, reporting: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Every pair of optimizers of each cell, at the rates chosen on `tuning`, on other seeds.

    `tuning` and `reporting` are rows of runs. One row per cell and pair (a, b): n, the shared seeds
    of `reporting`; the differences of the restricted mean updates and of the share solved, `a`
    minus `b`, with paired 95 % intervals; the paired Prentice-Wilcoxon test of equal times, z
    negative if `a` is sooner, with p and Holm's p over the whole table; the unpaired log-rank test;
    and `interior`, whether both rates are inside their lists. z and the mean can disagree, for
    example if most runs of `a` are a little sooner but some never solve the task. `BadInput` if the
    comparison would not be fair.
    """
    tuning, reporting = (rows[rows["status"].isin(CONCLUSIVE)] for rows in (tuning, reporting))
    chosen = choose(tuning).set_index(BY)
    problems = [Problem("optimizers", why) for why in _unfair(tuning, reporting, chosen["lr"])]
    if problems:
        raise BadInput(problems)
    rows = []
    for cell, members in reporting.groupby("cell"):
        runs = {name: group.set_index("seed") for name, group in members.groupby("optimizer")}
        for a, b in combinations(runs, 2):
            interior = bool(chosen["interior"][cell, a] and chosen["interior"][cell, b])
            names = {"cell": cell, "a": a, "b": b}
            rows.append(names | _contrast(runs[a], runs[b], rng) | {"interior": interior})
    table = pd.DataFrame(rows)
    return table.assign(p_holm=stats.holm(table["p"].to_numpy()))


def _contrast(a: pd.DataFrame, b: pd.DataFrame, rng: np.random.Generator) -> dict[str, float]:
    """The comparison of one pair on its shared seeds; `a` and `b` are indexed by seed."""
    seeds = a.index.intersection(b.index).sort_values()
    x, y = censored_times(a.loc[seeds]), censored_times(b.loc[seeds])
    horizon = float(min(rows.loc[seeds, "max_updates"].min() for rows in (a, b)))
    times = stats.rmst_difference(x, y, horizon, rng, paired=True)
    z, p = stats.paired_prentice_wilcoxon(*x, *y)
    return (
        {"n": len(seeds), "horizon": horizon}
        | times.columns("updates_difference", ends="updates")
        | stats.paired_share_difference(x[1], y[1]).columns("solved_difference", ends="solved")
        | {"z": z, "p": p, "logrank_p": stats.logrank(x, y)}
    )


def _unfair(tuning: pd.DataFrame, reporting: pd.DataFrame, chosen: pd.Series) -> list[str]:
    """Everything that would make the comparison unfair; `chosen` rates by cell and optimizer."""
    reasons = []
    both = sorted(set(tuning["seed"]) & set(reporting["seed"]))
    if both:
        reasons.append(f"{len(both)} seeds serve both tuning and reporting, such as {both[0]}")
    budgets = tuning.groupby(BY)["lr"].agg(["nunique", "size"])
    for cell, budget in budgets.groupby("cell"):
        if len(budget.drop_duplicates()) > 1:
            each = [
                f"{name} {rates} rates, {n} runs" for (_, name), rates, n in budget.itertuples()
            ]
            reasons.append(f"the tuning budgets for {cell} are not equal: {', '.join(each)}")
    for cell, optimizer, rates in reporting.groupby(BY)["lr"].unique().reset_index().to_numpy():
        best, pair = chosen.get((cell, optimizer)), f"{cell} with {optimizer}"
        if best is None:
            reasons.append(f"{pair} has no tuning runs")
        elif list(rates) != [best]:
            used = ", ".join(map("{:g}".format, sorted(rates)))
            reasons.append(f"{pair} is reported at the rates {used}, not at the chosen {best:g}")
    pooled = sorted(set(pooled_settings(reporting)) - {*BY, "lr", "momentum"})
    if pooled:
        message = "the reported runs differ in more than cell, optimizer and rate"
        reasons.append(f"{message}: {', '.join(pooled)}")
    return reasons


# --- the command ----------------------------------------------------------------------------------


def as_axis(chosen: pd.DataFrame) -> list[str]:
    """The chosen rates as the lines of a zipped axis of a grid file."""
    rows = [f"        - [{row.cell}, {row.optimizer}, {row.lr:g}]" for row in chosen.itertuples()]
    return [f"      {AXIS}:", *rows]


def write_axis(chosen: pd.DataFrame, path: Path) -> None:
    """Replace the only such axis of a grid file by the chosen rates, and change nothing else."""
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [i for i, line in enumerate(lines) if line.strip() == f"{AXIS}:"]
    first = end = places[0] + 1 if len(places) == 1 else 0
    while end < len(lines) and lines[end].lstrip().startswith("- ["):
        end += 1
    if end == first or "".join(lines[end : end + 1]).lstrip().startswith(("-", "#")):
        message = f"needs one axis `{AXIS}:`, with one line per entry below it"
        raise BadInput.at(str(path), message)
    lines[first - 1 : end] = as_axis(chosen)
    atomic_write(path, ("\n".join(lines) + "\n").encode())


app = command(
    "tune",
    "study tune results/main --block tuning_sgd --block tuning_adaptive\n"
    "study tune results/main --block tuning_sgd --block tuning_adaptive --contrasts headline",
)


@app.default
def tune(
    results: Path, /, *, block: Names, write: Path | None = None, contrasts: str | None = None
) -> None:
    """Print the learning rate chosen for each cell and optimizer, as an axis for a grid file.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    block
        A block of tuning runs; repeatable.
    write
        Write the chosen rates into this grid file instead of printing them.
    contrasts
        Compare the tuned optimizers on the runs of this block, and write RESULTS/contrasts.csv.
    """
    frame = load_saying(results, curves=False)
    tuning = tuning_rows(frame, block)
    chosen = choose(tuning)
    if contrasts:
        reporting = tuning_rows(frame, [contrasts])
        table = compare_optimizers(tuning, reporting, np.random.default_rng(0))
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        atomic_write(results / "contrasts.csv", text.encode())
        print(table.to_string(index=False, float_format="{:.3g}".format))
    elif write:
        write_axis(chosen, write)
        print(f"{write} now has the chosen learning rates")
    else:
        print("\n".join(as_axis(chosen)))
    for row in chosen[~chosen["interior"]].itertuples():
        where = f"at an end of the list of rates for {row.cell} with {row.optimizer}"
        print(f"note: {row.lr:g} is {where}", file=sys.stderr)

"""Choose learning rates on tuning seeds, and compare optimizers at those rates on other seeds.

An optimizer should be judged at the rate that a user would have found. So each optimizer is tried
with the same number of rates and tuning seeds, and its best rate is chosen on these seeds. The
optimizers are then compared on other seeds, because the best of many noisy results looks better
than it is.

The command picks runs by *block*. A block is a named part of a grid, the list of runs to train. For
example, one block has the runs on the tuning seeds.
"""

import re
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from study import stats
from study.command import Names, command
from study.errors import BadInput, Problem, echo, unknown
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
    """Choose the best learning rate of each cell and optimizer from the tuning runs in `frame`.

    The best rate has the smallest restricted mean convergence time. To take this mean, the time of
    an unsolved run is set to its whole budget. If two rates are equally good, the smaller is
    chosen. The table has one row per cell and optimizer, with these columns:

    - lr, the chosen rate;
    - n, the number of runs at this rate;
    - solved, the number of these runs that solved the task;
    - restricted_mean_update, the restricted mean convergence time of these runs, in updates;
    - interior, False if the chosen rate is the lowest or highest tried.
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
    """Return the rows of `frame` with runs that belong to at least one of the given blocks.

    A block is a named part of a grid, the list of runs to train. `blocks` has the names. Raises
    `BadInput` if a block is unknown, or if no run in the blocks has finished training.
    """
    names = sorted({name for members in frame["blocks"] for name in members})
    for block in blocks:
        if block not in names:
            raise BadInput.at(f"--block {block}", unknown("block", block, names))
    rows = of_blocks(frame, *blocks)
    if not rows["status"].isin(CONCLUSIVE).any():
        message = "has no run that finished training; train it first"
        raise BadInput.at(f"--block {' '.join(blocks)}", message)
    return rows


# --- optimizers at an equal budget ----------------------------------------------------------------


def compare_optimizers(
    tuning: pd.DataFrame, reporting: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Compare all pairs of optimizers of each cell, at their chosen learning rates.

    `tuning` and `reporting` have one row per run. The rates are chosen on the runs in `tuning`, and
    the optimizers are compared on the runs in `reporting`, which have other seeds. `rng` draws the
    bootstrap samples for the intervals. Raises `BadInput` if the comparison would be unfair, for
    example because the tuning budgets differ. The table has one row per cell and pair of optimizers
    (a, b), with these columns:

    - n, the number of seeds in `reporting` that `a` and `b` share;
    - horizon, the smaller budget in updates, at which convergence times are cut off;
    - updates_difference, the difference `a` minus `b` in the restricted mean convergence time, in
      updates, with a paired 95 % interval;
    - solved_difference, the difference `a` minus `b` in the share solved, with a paired 95 %
      interval;
    - z and p, from the paired Prentice-Wilcoxon test of equal convergence times (z is negative if
      `a` is faster);
    - p_holm, which is p after Holm's correction over the table;
    - logrank_p, from the unpaired log-rank test;
    - interior, False if one of the two rates is the lowest or highest tried.

    The sign of z can differ from the sign of the difference in means. This happens if most runs of
    `a` are a little faster than the runs of `b`, but some runs of `a` never solve the task.
    """
    tuning, reporting = (rows[rows["status"].isin(CONCLUSIVE)] for rows in (tuning, reporting))
    chosen = choose(tuning).set_index(BY)
    reasons = [why for _, runs in reporting.groupby("cell") for why in unfair(tuning, runs)]
    pooled = sorted(set(pooled_settings(reporting)) - {*BY, "lr", "momentum"})
    if pooled:
        message = "they may differ only in cell, optimizer, lr, momentum and seed"
        reasons.append(f"the reported runs differ in {', '.join(pooled)}, but {message}")
    if reasons:
        raise BadInput(Problem("optimizers", why) for why in dict.fromkeys(reasons))
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
    """Compare two optimizers on the seeds that they share.

    `a` and `b` have the runs of one optimizer each, indexed by seed. Returns the columns `n` to
    `logrank_p` of one row of the table from `compare_optimizers`.
    """
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


def unfair(tuning: pd.DataFrame, reporting: pd.DataFrame) -> list[str]:
    """Return a sentence for each reason why comparing runs at their learning rates is unfair.

    The list is empty if the comparison is fair. `reporting` has the runs to compare. `tuning` has
    the runs on which their rates were chosen. They all finished training.
    """
    tuning, reasons = tuning.merge(reporting[BY].drop_duplicates()), []
    both = sorted(set(tuning["seed"]) & set(reporting["seed"]))
    if both:
        why = f"{len(both)} seeds serve both tuning and reporting, such as seed {both[0]}"
        reasons.append(f"{why}; use separate seeds")
    budgets = tuning.groupby(BY)["lr"].agg(["nunique", "size"])
    if len(budgets.drop_duplicates()) > 1:
        each = [
            f"{cell} with {optimizer}: {rates} rates, {n} runs"
            for (cell, optimizer), rates, n in budgets.itertuples()
        ]
        reasons.append(f"the tuning budgets are not equal ({'; '.join(each)})")
    chosen = choose(tuning).set_index(BY)["lr"]
    for cell, optimizer, rates in reporting.groupby(BY)["lr"].unique().reset_index().to_numpy():
        best, pair = chosen.get((cell, optimizer)), f"{cell} with {optimizer}"
        if best is None:
            reasons.append(f"{pair} has no tuning runs from which to choose a rate")
        elif list(rates) != [best]:
            used = ", ".join(map("{:g}".format, sorted(rates)))
            reasons.append(f"{pair} is reported at the rates {used}, but {best:g} was chosen")
    return reasons


# --- the command ----------------------------------------------------------------------------------


def as_axis(chosen: pd.DataFrame) -> list[str]:
    """Return the chosen rates as lines for a grid file.

    The lines form the axis `cell, optimizer, lr`. An axis of a grid file lists the values of
    settings that vary together. This axis has one entry per row of `chosen`.
    """
    rows = [f"        - [{row.cell}, {row.optimizer}, {row.lr:g}]" for row in chosen.itertuples()]
    return [f"      {AXIS}:", *rows]


def write_axis(chosen: pd.DataFrame, path: Path) -> None:
    """Write the chosen rates into a grid file, in place of the axis `cell, optimizer, lr`.

    `as_axis` explains the axis. The rest of the file stays the same. The comments on an entry are
    kept if `chosen` has the entry's cell and optimizer. If `path` is a link, it stays a link, and
    the file that it points to is written. Raises `BadInput` unless the file has exactly one axis of
    this name.
    """
    path = path.resolve()
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [i for i, line in enumerate(lines) if line.strip() == f"{AXIS}:"]
    first = end = places[0] + 1 if len(places) == 1 else 0
    above, comments, indent = list[str](), dict[str, tuple[list[str], str]](), ""
    for place, line in enumerate(lines[first:], first):
        entry = re.fullmatch(r"(\s*)- \[([^,\]]+,[^,\]]+),[^\]]*\](\s*#.*)?\s*", line)
        if entry:
            comments[entry[2].replace(" ", "")] = above, entry[3] or ""
            above, end, indent = [], place + 1, entry[1]
        elif line.lstrip().startswith("#"):
            above.append(line)
        else:
            break
    if end == first or "".join(lines[end : end + 1]).lstrip().startswith("-"):
        message = f"needs exactly one axis `{AXIS}:`, with one line per entry below it"
        raise BadInput.at(str(path), message)
    new = []
    for row, line in zip(chosen.itertuples(), as_axis(chosen)[1:], strict=True):
        before, after = comments.get(f"{row.cell},{row.optimizer}", ([], ""))
        new += [*before, indent + line.lstrip() + after]
    lines[first:end] = new
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
    """Print the best learning rate of each cell and optimizer, as lines for a grid file.

    Parameters
    ----------
    results
        A results folder, such as results/main.
    block
        Choose the rates on the runs of this block of the grid. May be given several times.
    write
        Write the chosen rates into this grid file instead of printing them.
    contrasts
        Compare the optimizers at the chosen rates on the runs of this block, and write the
        comparisons to RESULTS/contrasts.csv.
    """
    frame = load_saying(results, curves=False)
    tuning = tuning_rows(frame, block)
    chosen = choose(tuning)
    if contrasts:
        reporting = tuning_rows(frame, [contrasts])
        table = compare_optimizers(tuning, reporting, np.random.default_rng(0))
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        atomic_write(results / "contrasts.csv", text.encode())
        echo(table.to_string(index=False, float_format="{:.3g}".format))
    elif write:
        write_axis(chosen, write)
        echo(f"{write} now has the chosen learning rates")
    else:
        echo("\n".join(as_axis(chosen)))
    for row in chosen[~chosen["interior"]].itertuples():
        where = f"the rate chosen for {row.cell} with {row.optimizer}"
        echo(f"note: {where}, {row.lr:g}, is the lowest or highest tried", file=sys.stderr)

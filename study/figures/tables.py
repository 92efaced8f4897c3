"""Choose, group and order runs, and estimate the numbers that figures show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.dynamics import tables
from study.grid import CONCLUSIVE, Missing, Results, censored_times, solved_share
from study.stats import Estimate, rmst
from study.text import CELL_NAMES, VARIANT_NAMES

GROUP = ["cell", "optimizer"]


def trained_to_end(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that finished training, whether or not they solved the task.

    Raises `Missing` if no run finished training.
    """
    ended = rows[rows["status"].isin(CONCLUSIVE)]
    if ended.empty:
        raise Missing("no run has finished training")
    return ended


def dynamics_table(results: Results, name: str) -> pd.DataFrame:
    """Return the table `name`, which the command `study dynamics` has written.

    Raises `Missing` if the table does not exist or is damaged.
    """
    return tables.read(results.folder, name)


def networks_shown(results: Results, figure: str, name: str) -> pd.DataFrame:
    """Return the rows of the table `name` about the runs that a figure shows and that are solved.

    The command `study dynamics` has written this table. Raises `Missing` if the table has no rows
    about these runs.
    """
    runs = results.shown(figure)
    table = dynamics_table(results, name)
    solved = runs.loc[runs["status"] == "solved", "run_id"]
    rows = table[table["run_id"].isin(solved)] if len(table) else table
    if rows.empty:
        raise Missing(f"the table {name!r} has no rows about these runs")
    return rows


def alike(rows: pd.DataFrame, others: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the rows in which the value of each named setting also occurs in `others`."""
    for name in names:
        rows = rows[rows[name].isin(others[name])]
    return rows


def in_order(values: Iterable[str]) -> list[str]:
    """Return the distinct cells among `values`.

    Cells that the study names come first, in the study's order. Other cells follow, sorted by name.
    """
    present = set(values)
    known = [name for name in (*CELL_NAMES, *VARIANT_NAMES) if name in present]
    return known + sorted(present - set(known))


def kinds(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the cells and the optimizers of the runs, in the order in which figures show them."""
    return in_order(rows["cell"]), sorted(rows["optimizer"].unique())


def ordered(rows: pd.DataFrame, **orders: Iterable[Any]) -> pd.DataFrame:
    """Turn columns into ordered categories, so that `groupby` returns groups in the given order.

    `orders` maps a column to its values in order. Cells are always in the study's order.
    """
    orders = {"cell": in_order(rows["cell"])} | orders
    return rows.assign(
        **{name: pd.Categorical(rows[name], list(order)) for name, order in orders.items()}
    )


def table_by(
    rows: pd.DataFrame,
    by: Sequence[str],
    measures: Callable[[pd.DataFrame], Iterable[dict[str, Any]]],
) -> pd.DataFrame:
    """Group `rows` by the columns `by`, and return one table with the measures of every group.

    `measures` turns the rows of one group into rows of the table. The columns `by` come first.
    """
    return pd.DataFrame(
        {**dict(zip(by, key, strict=True)), **row}
        for key, group in rows.groupby(list(by), observed=True, dropna=False)
        for row in measures(group)
    )


def columns_of(estimate: Estimate, measure: str) -> dict[str, Any]:
    """Return one row of a figure's table, which holds an estimate and its interval.

    The row also holds the name `measure` and n, the number of observations.
    """
    interval = {"low": estimate.low, "high": estimate.high}
    return {"measure": measure, "n": estimate.n, "estimate": estimate.value} | interval


def restricted_mean_of(rows: pd.DataFrame) -> Estimate:
    """Estimate the restricted mean of the update at which runs solve the task.

    This mean is restricted to the smallest budget (largest number of updates allowed) of the runs.
    If a run solves the task later or not at all, it is treated as if it had needed this budget. The
    bootstrap has a fixed seed, so the interval is always the same.
    """
    times, solved = censored_times(rows.sort_values("run_id"))
    return rmst(times, solved, float(rows["max_updates"].min()), np.random.default_rng(0))


def share_and_mean(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return two rows per group, one for `share_solved` and one for `restricted_mean_update`.

    The columns `by` define the groups. See `restricted_mean_of` for the restricted mean.
    """

    return table_by(rows, by, share_and_mean_rows)


def share_and_mean_rows(group: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the two rows of `share_and_mean` for the runs of one group."""
    diverged = {"diverged": int((group["status"] == "diverged").sum())}
    mean = restricted_mean_of(group)
    estimates = {"share_solved": solved_share(group), "restricted_mean_update": mean}
    return [columns_of(estimate, name) | diverged for name, estimate in estimates.items()]

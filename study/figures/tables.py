"""Turn runs into the numbers that figures show: choose, group and order rows, and estimate."""

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

    Raises `Missing` if there are none.
    """
    ended = rows[rows["status"].isin(CONCLUSIVE)]
    if ended.empty:
        raise Missing("no run has finished training")
    return ended


def dynamics_table(results: Results, name: str) -> pd.DataFrame:
    """Return the table of this name that `study dynamics` wrote.

    Raises `Missing` if it does not exist or is damaged.
    """
    return tables.read(results.folder, name)


def headline_networks(results: Results, name: str, status: str | None = "solved") -> pd.DataFrame:
    """Return the rows about runs of the block `headline` from a table of `study dynamics`.

    A block is a named part of the grid. `name` is the table's name. Only runs with the given status
    count, or all runs if `status` is None. Raises `Missing` if the table has no rows about these
    runs.
    """
    runs = results.block("headline")
    ids = runs["run_id"] if status is None else runs.loc[runs["status"] == status, "run_id"]
    table = dynamics_table(results, name)
    rows = table[table["run_id"].isin(ids)] if len(table) else table
    if rows.empty:
        raise Missing(f"the table {name!r} has no rows for headline networks")
    return rows


def alike(rows: pd.DataFrame, others: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the rows in which the value of each named setting also occurs in `others`."""
    for name in names:
        rows = rows[rows[name].isin(others[name])]
    return rows


def in_order(values: Iterable[str]) -> list[str]:
    """Return the distinct cells among `values`.

    Cells that the study names come first, in its order; other cells follow, sorted by name.
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
    """Return one row of a figure's table: the name `measure`, n, the estimate and its interval."""
    interval = {"low": estimate.low, "high": estimate.high}
    return {"measure": measure, "n": estimate.n, "estimate": estimate.value} | interval


def restricted_mean_of(rows: pd.DataFrame) -> Estimate:
    """Estimate the mean update at which runs solve the task.

    The mean is restricted to the smallest budget of the runs: a run that solves the task later, or
    not at all, counts as if it had taken this budget. The bootstrap has a fixed seed, so the
    interval is always the same.
    """
    times, solved = censored_times(rows.sort_values("run_id"))
    return rmst(times, solved, float(rows["max_updates"].min()), np.random.default_rng(0))


def share_and_mean(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return two rows per group, one for `share_solved` and one for `restricted_mean_update`."""

    def measures(group: pd.DataFrame) -> list[dict[str, Any]]:
        diverged = {"diverged": int((group["status"] == "diverged").sum())}
        mean = restricted_mean_of(group)
        estimates = {"share_solved": solved_share(group), "restricted_mean_update": mean}
        return [columns_of(estimate, name) | diverged for name, estimate in estimates.items()]

    return table_by(rows, by, measures)

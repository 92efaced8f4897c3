"""From runs to the numbers that figures show: choosing, grouping and ordering rows, estimates."""

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


def conclusive(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs that were trained to their end; `Missing` where there are none."""
    ended = rows[rows["status"].isin(CONCLUSIVE)]
    if ended.empty:
        raise Missing("no run was trained to its end")
    return ended


def dynamics_table(results: Results, name: str) -> pd.DataFrame:
    """A table that `study dynamics` made; `Missing` if it does not exist or is damaged."""
    return tables.read(results.folder, name)


def headline_networks(results: Results, name: str, status: str | None = "solved") -> pd.DataFrame:
    """The rows of a table of the dynamics that are about headline runs of some status, or of any.

    Raises `Missing` if there are none.
    """
    runs = results.block("headline")
    ids = runs["run_id"] if status is None else runs.loc[runs["status"] == status, "run_id"]
    table = dynamics_table(results, name)
    rows = table[table["run_id"].isin(ids)] if len(table) else table
    if rows.empty:
        raise Missing(f"the table of {name} has no headline network")
    return rows


def alike(rows: pd.DataFrame, others: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """The rows whose value of each of these settings occurs among the others."""
    for name in names:
        rows = rows[rows[name].isin(others[name])]
    return rows


def in_order(values: Iterable[str]) -> list[str]:
    """The distinct cells in the study's order, then any others by name."""
    present = set(values)
    known = [name for name in (*CELL_NAMES, *VARIANT_NAMES) if name in present]
    return known + sorted(present - set(known))


def kinds(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The cells and the optimizers of some runs, in the order in which figures show them."""
    return in_order(rows["cell"]), sorted(rows["optimizer"].unique())


def ordered(rows: pd.DataFrame, **orders: Iterable[Any]) -> pd.DataFrame:
    """The rows with columns as ordered categories, so that groups come in that order.

    `orders` gives the order of each column's values; cells are always in the study's order.
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
    """One table of the rows that `measures` makes of each group, which its first columns name."""
    return pd.DataFrame(
        {**dict(zip(by, key, strict=True)), **row}
        for key, group in rows.groupby(list(by), observed=True, dropna=False)
        for row in measures(group)
    )


def columns_of(estimate: Estimate, measure: str) -> dict[str, Any]:
    """An estimate as columns of a figure's table."""
    interval = {"low": estimate.low, "high": estimate.high}
    return {"measure": measure, "n": estimate.n, "estimate": estimate.value} | interval


def restricted_mean_of(rows: pd.DataFrame) -> Estimate:
    """Restricted mean convergence update up to the smallest budget, with fixed resamples."""
    times, solved = censored_times(rows.sort_values("run_id"))
    return rmst(times, solved, float(rows["max_updates"].min()), np.random.default_rng(0))


def share_and_mean(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """One row per group and measure: `share_solved` and `restricted_mean_update`."""

    def measures(group: pd.DataFrame) -> list[dict[str, Any]]:
        diverged = {"diverged": int((group["status"] == "diverged").sum())}
        mean = restricted_mean_of(group)
        estimates = {"share_solved": solved_share(group), "restricted_mean_update": mean}
        return [columns_of(estimate, name) | diverged for name, estimate in estimates.items()]

    return table_by(rows, by, measures)

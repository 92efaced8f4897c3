"""Claims that compare more than single values: each a function from the results to a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from study.grid import solved_share
from study.paper.claims.predicates import CASES, Verdict
from study.paper.values import Runs, Value
from study.stats import share

CELLS = CASES["cell"]


def every_run_solved(block: str, least_size: int = 1) -> Callable[[Runs], Verdict]:
    """Every LSTM, GRU and tanh network of a block, from some hidden size on, solved the task."""

    def claim(runs: Runs) -> Verdict:
        rows = runs.rows(block)
        rows = rows[rows["cell"].isin(CELLS) & (rows["hidden_size"] >= least_size)]
        found = {
            str(cell): Value.of(solved_share(group), f"{block}: {len(group)} runs")
            for cell, group in rows.groupby("cell")
        }
        return Verdict(all(value.estimate == 1 for value in found.values()), found)

    return claim


def lengths_place_no_boundary(runs: Runs) -> Verdict:
    """No fit for LSTM, GRU and tanh network puts the length that solves half within those tried."""
    table = runs.table("main/figures/solved_map")
    table = table[(table["measure"] == "half_solved_length") & table["cell"].isin(CELLS)]
    lengths = runs.rows("factorial")["length"]
    inside = table["estimate"].astype(float).between(lengths.min(), lengths.max())
    return Verdict(len(table) > 0 and not inside.any(), _share("fits within", inside, "solved_map"))


def chosen_rates_are_interior(runs: Runs) -> Verdict:
    """No cell and optimizer of the headline has the lowest or the highest rate tried for it."""
    pairs = runs.rows("headline")[["cell", "optimizer", "lr"]].drop_duplicates()
    tried = pd.concat([runs.rows(block) for block in ("tuning_sgd", "tuning_adaptive")])
    ends = tried.groupby(["cell", "optimizer"])["lr"].agg(["min", "max"])
    pairs = pairs.join(ends, on=["cell", "optimizer"])
    inside = (pairs["min"] < pairs["lr"]) & (pairs["lr"] < pairs["max"])
    return Verdict(bool(inside.all()), _share("interior rates", inside, "pairs of the headline"))


def audited_runs_pass(runs: Runs) -> Verdict:
    """Every run of the audit's sample passes."""
    passes = runs.table("main/audit", ["passes"])["passes"].astype(bool)
    return Verdict(bool(passes.all()), _share("passing runs", passes, "main/audit"))


def engines_agree(runs: Runs) -> Verdict:
    """Runs of one cell and seed have one convergence time on both engines in both precisions."""
    rows = pd.concat([runs.rows(f"devices/{block}") for block in ("devices", "precision")])
    rows = rows.assign(time=rows["converged_update"].fillna(-1))
    kinds = rows.groupby(["engine", "dtype"]).ngroups
    seeds = rows.groupby(["cell", "seed"])["time"].agg(["nunique", "size"])
    same = (seeds["nunique"] == 1) & (seeds["size"] == kinds)
    return Verdict(kinds == 4 and bool(same.all()), _share("agreeing seeds", same, "devices"))


def _share(name: str, flags: Sequence[bool] | pd.Series, source: str) -> dict[str, Value]:
    return {name: Value.of(share(int(sum(flags)), len(flags)), source)}

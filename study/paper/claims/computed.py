"""Define the claims that cannot be checked by testing single values one by one.

Each claim is a function from results to a `Verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from study.grid import Results, solved_share
from study.paper.claims.predicates import CASES, Verdict
from study.paper.values import Value, read_table, rows_of
from study.stats import share


def every_run_solved(*blocks: str, least_size: int = 1) -> Callable[[Results], Verdict]:
    """Return the claim that every LSTM, GRU and tanh network in the blocks solved the task.

    Networks with a hidden size below `least_size` do not count.
    """

    def claim(results: Results) -> Verdict:
        found = {}
        for block in blocks:
            rows = rows_of(results, block)
            rows = rows[rows["cell"].isin(CASES["cell"]) & (rows["hidden_size"] >= least_size)]
            for cell, group in rows.groupby("cell"):
                source = f"{block}: {len(group)} runs"
                found[f"{block} {cell}"] = Value.of(solved_share(group), source)
        return Verdict(all(value.estimate == 1 for value in found.values()), found)

    return claim


def fixed_cuts_lose_the_season(results: Results) -> Verdict:
    """Check that an LSTM forecasts a season worse if the gradient is cut at fixed places.

    In most seeds, the error over the next decade must be larger with cuts every 11, 12 or 13 months
    than with cuts at random places, which are drawn anew for each update.
    """
    runs = read_table(results, "series/runs", "task=next_decade")
    last = runs[runs["updates"] == runs["updates"].max()]
    errors = last.pivot_table(index="seed", columns="cuts", values="error")
    found = {}
    for cuts in ("every 11", "every 12", "every 13"):
        found |= _share(cuts, errors[cuts] > errors["random"], "series/runs.csv")
    return Verdict(all(value.bounds[0] > 0.8 for value in found.values()), found)


def chosen_rates_are_interior(results: Results) -> Verdict:
    """Check that no learning rate of the headline runs is the lowest or highest rate tried.

    Each rate is compared with the rates that were tried for the same cell and optimizer.
    """
    pairs = rows_of(results, "headline")[["cell", "optimizer", "lr"]].drop_duplicates()
    tried = pd.concat([rows_of(results, block) for block in ("tuning_sgd", "tuning_adaptive")])
    ends = tried.groupby(["cell", "optimizer"])["lr"].agg(["min", "max"])
    pairs = pairs.join(ends, on=["cell", "optimizer"])
    inside = (pairs["min"] < pairs["lr"]) & (pairs["lr"] < pairs["max"])
    return Verdict(bool(inside.all()), _share("interior rates", inside, "headline: pairs"))


def audited_runs_pass(results: Results) -> Verdict:
    """Check that every run that `study audit` trained again passed the audit."""
    passes = read_table(results, "main/audit")["passes"].astype(bool)
    return Verdict(bool(passes.all()), _share("passing runs", passes, "main/audit.csv"))


def engines_agree(results: Results) -> Verdict:
    """Check that convergence times depend on neither the engine nor the precision.

    The four runs of each cell and seed, one per combination of engine and precision, must all
    converge at the same update, or all fail to converge.
    """
    rows = pd.concat([rows_of(results, f"devices/{block}") for block in ("devices", "precision")])
    rows = rows.assign(time=rows["converged_update"].fillna(-1))
    kinds = rows.groupby(["engine", "dtype"]).ngroups
    seeds = rows.groupby(["cell", "seed"])["time"].agg(["nunique", "size"])
    same = (seeds["nunique"] == 1) & (seeds["size"] == kinds)
    return Verdict(
        kinds == 4 and bool(same.all()), _share("agreeing seeds", same, "devices/devices: seeds")
    )


def _share(name: str, flags: Sequence[bool] | pd.Series, source: str) -> dict[str, Value]:
    return {name: Value.of(share(int(sum(flags)), len(flags)), source)}

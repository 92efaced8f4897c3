"""How conclusions change with the definition of *solved*: any threshold, any number in a row.

Convergence is taken again from the stored curves; nothing is trained again. The curves cannot say
one thing: a run that stopped when it had solved the task by its own definition has no evaluations
after that, so a stricter definition leaves open whether it would have. Such runs are counted, and
bounds show what they can change.
"""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd

from study import stats
from study.grid import CONCLUSIVE, pooled_settings
from study.model import converged_indices, lost_indices

THRESHOLDS = (0.5, 0.9, 0.95, 1.0)
CONSECUTIVE = (1, 2, 3, 5)
BY = ("cell", "optimizer")


def convergence(
    rows: pd.DataFrame, threshold: float = 1.0, consecutive: int = 3, curve: str = "curve_exact"
) -> pd.DataFrame:
    """Convergence of each row under another definition, from its stored curve; same index.

    A run solves the task at the first of `consecutive` evaluations in a row with `curve`
    (curve_exact or curve_accuracy) at `threshold` or more. Columns: `time` in updates, of
    convergence or censoring (the whole budget of a diverged run, otherwise the last update done);
    `is_solved`; `lost_update`, NaN if never; `is_open`: not solved by this definition, but stopped
    early by its own.
    """
    curves, updates = (
        [() if v is None else v for v in rows[name]] for name in (curve, "curve_update")
    )
    lengths = np.fromiter(map(len, curves), dtype=np.int64, count=len(rows))
    values, updates = (np.concatenate([[], *lists]) for lists in (curves, updates))
    index = converged_indices(values, lengths, consecutive, threshold)
    lost = lost_indices(values, lengths, index, threshold)

    def update_at(places: np.ndarray) -> np.ndarray:
        found = np.full(len(places), np.nan)
        known = places >= 0
        found[known] = updates[(np.cumsum(lengths) - lengths + places)[known]]
        return found

    is_solved = index >= 0
    followed = rows["max_updates"].where(rows["status"] == "diverged", rows["updates"].fillna(0))
    stopped = rows["converged_update"].notna() & rows["stop_when_solved"].astype(bool)
    stopped &= rows["updates"] < rows["max_updates"]
    return pd.DataFrame(
        {
            "time": np.where(is_solved, update_at(index), followed.astype(float)),
            "is_solved": is_solved,
            "lost_update": update_at(lost),
            "is_open": ~is_solved & stopped.to_numpy(),
        },
        index=rows.index,
    )


def sensitivity(
    frame: pd.DataFrame,
    rng: np.random.Generator,
    by: Sequence[str] = BY,
    thresholds: Iterable[float] = THRESHOLDS,
    consecutive: Iterable[int] = CONSECUTIVE,
    curve: str = "curve_exact",
) -> pd.DataFrame:
    """Share solved, median and restricted mean convergence time under each definition of solved.

    One row per definition and group, over conclusive runs, with 95 % intervals; a group that pools
    settings other than the seed names them and has no intervals. `open` counts the runs whose
    answer the curves do not hold. Where there are any, the share is unknown, and its interval runs
    from none of them solved to all of them; times are unknown too. `is_stored` marks the definition
    that the runs were trained under.
    """
    conclusive = frame[frame["status"].isin(CONCLUSIVE)]
    groups = list(conclusive.groupby(list(by)))
    pooled = {group: ", ".join(pooled_settings(rows)) for group, rows in groups}
    made = []
    for level, in_a_row in product(thresholds, list(consecutive)):
        found = convergence(conclusive, level, in_a_row, curve)
        for group, rows in groups:
            own = (rows["solved_evaluations"] == in_a_row).all()
            stored = bool(curve == "curve_exact" and level == 1.0 and own)
            horizon = float(rows["max_updates"].min())
            made.append(
                {"curve": curve, "threshold": level, "consecutive": in_a_row}
                | dict(zip(by, group, strict=True))
                | _headline(found.loc[rows.index], horizon, rng, not pooled[group])
                | {"is_stored": stored, "pooled_over": pooled[group]}
            )
    return pd.DataFrame(made)


def _headline(
    found: pd.DataFrame, horizon: float, rng: np.random.Generator, intervals: bool
) -> dict[str, float]:
    """The headline numbers of one group under one definition; `found` is from `convergence`."""
    times, solved, is_open = (found[name].to_numpy() for name in ("time", "is_solved", "is_open"))
    n, share = len(found), stats.share(int(solved.sum()), len(found))
    median = mean = stats.Estimate(np.nan, np.nan, np.nan, n)
    if is_open.any():
        most = stats.share(int((solved | is_open).sum()), n)
        share = stats.Estimate(np.nan, share.low, most.high, n)
    else:
        median = stats.time_to_share(stats.solved_curve(times, solved))
        mean = float(stats.restricted_means(times, solved, horizon))
        alone = stats.Estimate(mean, np.nan, np.nan, n)
        mean = stats.rmst(times, solved, horizon, rng) if intervals else alone
    numbers: dict[str, float] = {"n": n, "open": int(is_open.sum())}
    estimates = {"solved": share, "median_update": median, "restricted_mean_update": mean}
    for name, estimate in estimates.items():
        numbers |= (estimate if intervals else estimate.without_interval()).columns(name)
    return numbers

"""What would be said if *solved* were defined otherwise: any threshold, any number of evaluations in a row.

Convergence is taken again from the stored curves; nothing is trained again. One thing the curves cannot say: a run
that stopped when it was solved by its own definition has no evaluations after that. Under a stricter definition
it is unknown whether it would have been solved. Such runs are counted, and bounds say what they can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    """Convergence of each row under a definition of its own, from its stored curve; same index.

    Solved is at the first of `consecutive` evaluations in a row with `curve` (curve_exact or curve_accuracy) at
    `threshold` or more. Columns: `time` in updates, of convergence or censoring (a diverged run's budget, otherwise
    the last update done); `is_solved`; `lost_update`, NaN if never; `is_open`: not solved by this definition, but
    stopped before its budget for being solved by its own.
    """
    values, updates, lengths = _laid_out(rows, curve)
    index = converged_indices(values, lengths, consecutive, threshold)
    lost = lost_indices(values, lengths, index, threshold)
    starts = np.cumsum(lengths) - lengths
    solved = index >= 0
    end = np.where(
        rows["status"] == "diverged", rows["max_updates"], rows["updates"].fillna(0)
    ).astype(float)
    stopped = rows["converged_update"].notna() & rows["stop_when_solved"].astype(bool)
    stopped &= rows["updates"] < rows["max_updates"]
    return pd.DataFrame(
        {
            "time": np.where(solved, _at(updates, starts + index, solved), end),
            "is_solved": solved,
            "lost_update": np.where(lost >= 0, _at(updates, starts + lost, lost >= 0), np.nan),
            "is_open": ~solved & stopped.to_numpy(),
        },
        index=rows.index,
    )


def _laid_out(rows: pd.DataFrame, curve: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows' curves and their updates laid end to end, and each one's length; a row without has length 0."""
    curves = [() if values is None else values for values in rows[curve]]
    updates = [() if values is None else values for values in rows["curve_update"]]
    lengths = np.fromiter(map(len, curves), dtype=np.int64, count=len(rows))
    if not lengths.sum():
        return np.empty(0), np.empty(0), lengths
    return np.concatenate(curves, dtype=float), np.concatenate(updates, dtype=float), lengths


def _at(values: np.ndarray, places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """`values` at the places that are wanted, NaN elsewhere."""
    found = np.full(len(places), np.nan)
    found[wanted] = values[places[wanted]]
    return found


def sensitivity(
    frame: pd.DataFrame,
    rng: np.random.Generator,
    by: Sequence[str] = BY,
    thresholds: Iterable[float] = THRESHOLDS,
    consecutive: Iterable[int] = CONSECUTIVE,
    curve: str = "curve_exact",
) -> pd.DataFrame:
    """Share solved, median and restricted mean convergence time by group, under each definition of solved.

    A row a definition and group, over conclusive runs, with 95 % intervals; a group that pools settings other than
    the seed names them and has none. `open` counts the runs whose answer the curves do not hold. Where there are any,
    the share is not known, and its interval runs from none of them solved to all of them; nor are the times.
    `is_stored` marks the definition that the runs were trained under.
    """
    conclusive = frame[frame["status"].isin(CONCLUSIVE)]
    pooled = {
        group: ", ".join(pooled_settings(rows)) for group, rows in conclusive.groupby(list(by))
    }
    tables = []
    for level in thresholds:
        for in_a_row in consecutive:
            found = conclusive[[*by, "max_updates", "solved_evaluations"]].join(
                convergence(conclusive, level, in_a_row, curve)
            )
            head = {"curve": curve, "threshold": level, "consecutive": in_a_row}
            for group, rows in found.groupby(list(by), sort=True):
                names = dict(zip(by, group, strict=True))
                stored = (
                    curve == "curve_exact"
                    and level == 1.0
                    and (rows["solved_evaluations"] == in_a_row).all()
                )
                numbers = _headline(rows, rng, intervals=not pooled[group])
                tables.append(
                    head
                    | names
                    | numbers
                    | {"is_stored": bool(stored), "pooled_over": pooled[group]}
                )
    return pd.DataFrame(tables)


def _headline(rows: pd.DataFrame, rng: np.random.Generator, intervals: bool) -> dict[str, float]:
    """The headline numbers of one group under one definition."""
    times, solved, is_open = (rows[name].to_numpy() for name in ("time", "is_solved", "is_open"))
    least, most = (stats.share(int(found.sum()), len(rows)) for found in (solved, solved | is_open))
    value = np.nan if is_open.any() else least.value
    numbers = {"n": len(rows), "open": int(is_open.sum())}
    numbers |= _bounds("solved", stats.Estimate(value, least.low, most.high, len(rows)), intervals)
    if is_open.any():
        unknown = stats.Estimate(np.nan, np.nan, np.nan, len(rows))
        return (
            numbers
            | _bounds("median_update", unknown, False)
            | _bounds("restricted_mean_update", unknown, False)
        )
    numbers |= _bounds(
        "median_update", stats.time_to_share(stats.solved_curve(times, solved)), intervals
    )
    horizon = float(rows["max_updates"].min())
    mean = float(stats.restricted_means(times, solved, horizon))
    found = (
        stats.rmst(times, solved, horizon, rng)
        if intervals
        else stats.Estimate(mean, np.nan, np.nan, len(rows))
    )
    return numbers | _bounds("restricted_mean_update", found, intervals)


def _bounds(name: str, found: stats.Estimate, intervals: bool) -> dict[str, float]:
    low, high = (found.low, found.high) if intervals else (np.nan, np.nan)
    return {name: found.value, f"{name}_low": low, f"{name}_high": high}

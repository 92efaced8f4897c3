"""Show how conclusions depend on the definition of *solved*.

A definition of *solved* says which measure, such as the accuracy, must reach which threshold, and
at how many evaluations in a row. A run is trained under one definition. Its stored curve shows
whether and when the run met another definition, so nothing is trained again.

The curves leave a gap. Many runs stop once they have solved the task under their own definition. It
is unknown whether such a run would have met a stricter definition later, so the run is called
*open*. Open runs are counted, and the intervals allow for either outcome.
"""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd

from study import stats
from study.grid import CONCLUSIVE, Missing, lacking_curves, pooled_settings
from study.model import converged_index, lost_index

BY = ("cell", "optimizer")


def convergence(
    rows: pd.DataFrame, threshold: float = 1.0, consecutive: int = 3, curve: str = "curve_exact"
) -> pd.DataFrame:
    """Find from the stored curves when each run solved the task under a given definition.

    A run has solved the task if a measure is at least `threshold` at `consecutive` evaluations in a
    row. The first of these evaluations is the time at which the run solved the task. `curve` names
    the measure: `curve_exact`, the share of sequences with every label right, or `curve_accuracy`.
    The table has one row per run, with the index of `rows`, and these columns:

    - time: the update at which the run solved the task or was censored. A diverged run is censored
      at its whole budget, and any other unsolved run at its last update.
    - is_solved: whether the run solved the task.
    - lost_update: the update at which the measure of a solved run fell below the threshold again,
      or NaN if it never did.
    - is_open: whether the run is unsolved under this definition, but stopped early because it was
      solved under the definition with which it was trained.

    Raises `Missing` if a run that finished training was stored without its curve.
    """
    if lacking := lacking_curves(rows):
        raise Missing(lacking)
    converged, lost = [], []
    for values, updates in zip(rows[curve], rows["curve_update"], strict=True):
        exact = np.array([]) if values is None else values  # a failed run has no curve
        index = converged_index(exact, consecutive, threshold)
        lost_at = lost_index(exact, index, threshold)
        converged.append(np.nan if index is None else updates[index])
        lost.append(np.nan if lost_at is None else updates[lost_at])
    time = np.array(converged, float)
    is_solved = ~np.isnan(time)
    followed = rows["max_updates"].where(rows["status"] == "diverged", rows["updates"].fillna(0))
    stopped = rows["converged_update"].notna() & rows["stop_when_solved"].astype(bool)
    stopped &= rows["updates"] < rows["max_updates"]
    columns = {
        "time": np.where(is_solved, time, followed.astype(float)),
        "is_solved": is_solved,
        "lost_update": np.array(lost, float),
        "is_open": ~is_solved & stopped.to_numpy(),
    }
    return pd.DataFrame(columns, index=rows.index)


def sensitivity(
    frame: pd.DataFrame,
    rng: np.random.Generator,
    by: Sequence[str] = BY,
    *,
    thresholds: Iterable[float],
    consecutive: Iterable[int],
    curve: str = "curve_exact",
) -> pd.DataFrame:
    """Return the share solved and the convergence times under each definition of *solved*.

    A definition combines one of `thresholds` with one of `consecutive`, and applies them to the
    measure `curve` (see `convergence`). Runs that finished training are grouped by the settings in
    `by`. The table has one row per definition and group. A row has the share solved, and the median
    and the restricted mean of the convergence time in updates. Each has a 95 % interval, for which
    `rng` draws the bootstrap samples. `is_stored` marks the definition under which the runs were
    trained.

    A group gets no intervals if it has several values of a setting other than the seed. The column
    `pooled_over` lists these settings. The column `open` counts the runs with an unknown outcome.
    If there are such runs, the share and the times are NaN. The interval of the share then covers
    both extreme cases: none of these runs solved the task, or all of them did.
    """
    conclusive = frame[frame["status"].isin(CONCLUSIVE)]
    groups = list(conclusive.groupby(list(by)))
    pooled = {group: ", ".join(pooled_settings(rows)) for group, rows in groups}
    table = []
    for level, in_a_row in product(thresholds, list(consecutive)):
        times = convergence(conclusive, level, in_a_row, curve)
        for group, rows in groups:
            own = (rows["solved_evaluations"] == in_a_row).all()
            stored = bool(curve == "curve_exact" and level == 1.0 and own)
            horizon = float(rows["max_updates"].min())
            table.append(
                {"curve": curve, "threshold": level, "consecutive": in_a_row}
                | dict(zip(by, group, strict=True))
                | _headline(times.loc[rows.index], horizon, rng, not pooled[group])
                | {"is_stored": stored, "pooled_over": pooled[group]}
            )
    return pd.DataFrame(table)


def _headline(
    rows: pd.DataFrame, horizon: float, rng: np.random.Generator, intervals: bool
) -> dict[str, float]:
    """Return the share solved and the convergence times of one group under one definition.

    `rows` come from `convergence`. The mean time is restricted to `horizon` updates, because the
    time of a run that has not solved the task by then is set to `horizon`. If `intervals` is false,
    all intervals are NaN.
    """
    times, solved, is_open = (rows[name].to_numpy() for name in ("time", "is_solved", "is_open"))
    n, share = len(rows), stats.share(int(solved.sum()), len(rows))
    median = mean = stats.Estimate(np.nan, np.nan, np.nan, n)
    if is_open.any():
        most = stats.share(int((solved | is_open).sum()), n)
        share = stats.Estimate(np.nan, share.low, most.high, n)
    else:
        median = stats.time_to_share(stats.solved_curve(times, solved))
        alone = float(stats.restricted_means(times, solved, horizon))
        mean = stats.Estimate(alone, np.nan, np.nan, n)
        mean = stats.rmst(times, solved, horizon, rng) if intervals else mean
    numbers: dict[str, float] = {"n": n, "open": int(is_open.sum())}
    estimates = {"solved": share, "median_update": median, "restricted_mean_update": mean}
    for name, estimate in estimates.items():
        numbers |= (estimate if intervals else estimate.without_interval()).columns(name)
    return numbers

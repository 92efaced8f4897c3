"""Analyse right-censored times by Kaplan-Meier curves, restricted means and the log-rank test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from study.stats.intervals import Estimate, bootstrap, newcombe, wilson

Sample = tuple[np.ndarray, np.ndarray]  # times (n,), and whether each run solved (n,) bool


@dataclass(frozen=True)
class SolvedCurve:
    """The share of runs that have solved the task by each time, with pointwise intervals.

    The share is one minus the Kaplan-Meier estimate. Each array has the shape (times,).
    """

    times: np.ndarray  # 0, then each distinct time of convergence or censoring
    solved: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray  # runs neither solved nor censored before the time
    n: int


def risk_table(times: np.ndarray, is_solved: np.ndarray) -> tuple[np.ndarray, ...]:
    """Count, for each distinct time, the runs that solve the task then and the runs at risk.

    A run is at risk at a time if it has neither solved the task nor been censored before. Returns
    four arrays. The first holds the distinct times, and the second (n,) the index of each run's
    time among them. The third counts the runs that solve the task at each distinct time, and the
    fourth counts the runs at risk.
    """
    distinct, index = np.unique(np.asarray(times, float), return_inverse=True)
    solved = np.bincount(index, weights=np.asarray(is_solved, bool), minlength=len(distinct))
    leaving = np.bincount(index, minlength=len(distinct))
    return distinct, index, solved, np.cumsum(leaving[::-1])[::-1]


def solved_curve(times: np.ndarray, is_solved: np.ndarray) -> SolvedCurve:
    """Return the share of runs that have solved the task, against time (Kaplan & Meier 1958).

    `times` (n,) holds times of convergence or censoring, and `is_solved` (n,) bool says which. The
    interval is Rothman's (1978). This is Wilson's interval with the sample size that Greenwood's
    variance implies. While no run has solved the task, this size is the number of runs at risk.
    Once all runs have solved it, the formula has no value, and the last valid size is used.
    """
    distinct, _, solved, at_risk = risk_table(times, is_solved)
    n = len(times)
    survival = np.cumprod(1 - solved / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(solved / (at_risk * (at_risk - solved)))
        size = np.where(survival == 1, at_risk, (1 - survival) / (survival * greenwood))
    known = pd.Series(np.where(np.isfinite(size), size, np.nan)).ffill().fillna(n).to_numpy()
    low, high = wilson((1 - survival) * known, known)
    return SolvedCurve(
        times=np.append(0.0, distinct),
        solved=np.append(0.0, 1 - survival),
        low=np.append(0.0, low),
        high=np.append(wilson(0, n)[1], high),
        at_risk=np.append(n, at_risk),
        n=n,
    )


def time_to_share(curve: SolvedCurve, share: float = 0.5) -> Estimate:
    """Return the time by which the given share of the runs has solved the task.

    The time is infinite if the curve never reaches the share. The interval inverts the curve's
    confidence band (Brookmeyer & Crowley 1982). Its low end is the time at which the upper edge of
    the band reaches the share. Its high end is the time at which the lower edge reaches the share.
    Either end is infinite if its edge never reaches the share. Without runs, the time is NaN and
    the interval is 0 to infinity.
    """
    if curve.n == 0:
        return Estimate(np.nan, 0.0, np.inf, 0)

    def first(reached: np.ndarray) -> float:
        at_least = reached >= share - 1e-12
        return float(curve.times[at_least.argmax()]) if at_least.any() else np.inf

    return Estimate(first(curve.solved), first(curve.high), first(curve.low), curve.n)


# --- restricted means and the log-rank test -----------------------------------------------------


def restricted_means(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> np.ndarray:
    """Return the restricted mean time to solve the task (RMST).

    This is the area under the Kaplan-Meier curve up to `horizon`, so a later time counts as
    `horizon`. `times` and `is_solved` have the shape (..., n) for n runs, and the means have the
    shape (...).
    """
    # The runs are processed one by one in order of time, and at equal times solved runs come before
    # censored ones. This is exact: over the runs that solve the task at the same time, the product
    # of (1 - 1/at risk) equals the Kaplan-Meier factor.
    if (is_solved | (times >= horizon)).all():  # without early censoring, a plain mean is faster
        return np.minimum(times, horizon).mean(-1)
    order = np.lexsort((~is_solved, times), axis=-1)
    times, is_solved = (np.take_along_axis(values, order, -1) for values in (times, is_solved))
    survival = np.cumprod(1 - is_solved / np.arange(times.shape[-1], 0, -1), axis=-1)
    last = np.full((*times.shape[:-1], 1), horizon)
    ends = np.concatenate([np.minimum(times, horizon), last], axis=-1)
    return ends[..., 0] + (survival * np.diff(ends, axis=-1)).sum(-1)


def rmst(
    times: np.ndarray, is_solved: np.ndarray, horizon: float, rng: np.random.Generator
) -> Estimate:
    """Return the restricted mean time to solve the task, with its bootstrap interval.

    The arrays are (n,) each. A time beyond `horizon` counts as `horizon`. Without runs, the mean is
    NaN and the interval is 0 to `horizon`. Raises `ValueError` if the last run was censored before
    `horizon`.

    If all runs have the same time, or none solves the task, all resamples are alike, and the
    bootstrap has no interval. The interval then allows for other runs that the sample may have
    missed. Their share is taken as the upper end of Wilson's interval for 0 of n runs. The low end
    supposes that these runs solve the task at time 0, and the high end that they never do.
    """
    times, is_solved = _followed(times, is_solved, horizon)
    n = len(times)
    if n == 0:
        return Estimate(np.nan, 0.0, horizon, 0)
    if _all_alike(times, is_solved, horizon):
        unseen, mean = float(wilson(0, n)[1]), float(restricted_means(times, is_solved, horizon))
        seen = mean * (1 - unseen)
        return Estimate(mean, seen, seen + unseen * horizon, n)
    found = bootstrap(lambda i: restricted_means(times[i], is_solved[i], horizon), [n], rng)
    return Estimate(found.value, max(found.low, 0.0), min(found.high, horizon), n)


def _all_alike(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> bool:
    """Return whether every resample of the runs has the same restricted mean."""
    return np.ptp(np.minimum(times, horizon)) == 0 or not is_solved[times < horizon].any()


def rmst_difference(
    a: Sample, b: Sample, horizon: float, rng: np.random.Generator, *, paired: bool
) -> Estimate:
    """Return the difference of two restricted mean times, `a` minus `b`, with its interval.

    A negative difference means that `a` is sooner. A time beyond `horizon` counts as `horizon`. If
    `paired` is true, run i of `a` and run i of `b` share a seed, and the bootstrap resamples pairs.
    Otherwise it resamples the runs of `a` and of `b` independently. If all resamples of `a` are
    alike, and so are all resamples of `b`, the interval combines the intervals of both means (see
    `rmst`) by Newcombe's method. Raises `ValueError` if paired samples differ in size, or if a
    sample's last run was censored before `horizon`.
    """
    a, b = _followed(*a, horizon), _followed(*b, horizon)
    n, m = len(a[0]), len(b[0])
    if paired and n != m:
        raise ValueError(f"paired samples must have equally many runs, but they have {n} and {m}")

    def difference(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        means = (restricted_means(t[k], s[k], horizon) for (t, s), k in ((a, i), (b, j)))
        return np.subtract(*means)

    if not (n and m):
        return Estimate(np.nan, -horizon, horizon, n + m)
    if _all_alike(*a, horizon) and _all_alike(*b, horizon):
        first, second = rmst(*a, horizon, rng), rmst(*b, horizon, rng)
        return Estimate(
            first.value - second.value, *newcombe(first, second), n if paired else n + m
        )
    if paired:
        return bootstrap(lambda i: difference(i, i), [n], rng)
    return bootstrap(difference, [n, m], rng)


def _followed(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> Sample:
    """Return a sample as arrays, after checking that its runs were followed up to `horizon`.

    Raises `ValueError` if the last run was censored before `horizon`, because the restricted mean
    up to the horizon is then unknown.
    """
    times, is_solved = np.asarray(times, float), np.asarray(is_solved, bool)
    if len(times) and times.max() < horizon and not is_solved[times == times.max()].all():
        raise ValueError(
            f"the horizon {horizon:g} is beyond {times.max():g}, the time at which the last run "
            "ended; choose a lower horizon"
        )
    return times, is_solved


def logrank(a: Sample, b: Sample) -> float:
    """Return the p-value of the log-rank test (Mantel 1966) for two samples of censored times.

    The null hypothesis is that both samples have the same survival curve. The p-value is 1 if no
    convergence time can tell the samples apart. This happens, for example, if all runs solve the
    task at the same time.
    """
    with np.errstate(invalid="ignore"):  # the statistic is then 0/0
        x, y = (scipy.stats.CensoredData.right_censored(t, ~solved) for t, solved in (a, b))
        p = float(scipy.stats.logrank(x, y).pvalue)
    return 1.0 if np.isnan(p) else p

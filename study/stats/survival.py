"""Statistics of right-censored times: Kaplan-Meier, restricted means and the log-rank test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from study.stats.intervals import Estimate, bootstrap, wilson

Sample = tuple[np.ndarray, np.ndarray]  # times (n,), and whether each run solved (n,) bool


@dataclass(frozen=True)
class SolvedCurve:
    """The share of runs that have solved the task by each time; (times,) each.

    It is one minus the Kaplan-Meier curve, with pointwise intervals.
    """

    times: np.ndarray  # 0, then each distinct time of convergence or censoring
    solved: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray  # runs neither solved nor censored before the time
    n: int


def risk_table(times: np.ndarray, is_solved: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the distinct times, each run's index into them (n,), and two counts per distinct time.

    The counts are the runs that solve the task at the time, and the runs at risk, which were
    neither solved nor censored before.
    """
    distinct, index = np.unique(np.asarray(times, float), return_inverse=True)
    solved = np.bincount(index, weights=np.asarray(is_solved, bool), minlength=len(distinct))
    leaving = np.bincount(index, minlength=len(distinct))
    return distinct, index, solved, np.cumsum(leaving[::-1])[::-1]


def solved_curve(times: np.ndarray, is_solved: np.ndarray) -> SolvedCurve:
    """Return the curve of the share solved against time (Kaplan & Meier 1958).

    `times` (n,) are times of convergence or censoring; `is_solved` (n,) bool tells which. The
    interval is Rothman's (1978): Wilson's with the sample size that Greenwood's variance implies.
    While no run has solved the task, this size is the number of runs at risk. Once all have solved
    it, the size is the last known one.
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

    The interval inverts the curve's confidence band (Brookmeyer & Crowley 1982). The time is
    infinite if the curve does not reach the share within the budget. An end of the interval is
    infinite if its edge of the band does not reach the share. Without runs, the time is NaN and its
    interval 0 to infinity.
    """

    def first(reached: np.ndarray) -> float:
        at_least = reached >= share - 1e-12
        return float(curve.times[at_least.argmax()]) if at_least.any() else np.inf

    time = first(curve.solved) if curve.n else np.nan
    return Estimate(time, first(curve.high), first(curve.low), curve.n)


# --- restricted means and the log-rank test -----------------------------------------------------


def restricted_means(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> np.ndarray:
    """Return the mean time to solve the task, where no time counts more than `horizon` (RMST).

    The arrays are (..., n), and the means (...). The runs are processed one by one in order of
    time, and at equal times solved runs come before censored ones. For runs with equal times the
    product of (1 - 1/at risk) equals the Kaplan-Meier factor.
    """
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
    """Return the restricted mean time to solve the task, with its bootstrap interval; (n,) each.

    The restricted mean counts each time up to `horizon` at most. If all runs have the same time, or
    none solves the task before the horizon, every resample has the same mean. Then the interval
    allows for different runs that may have gone unseen: at most a share of the upper end of
    Wilson's interval for 0 of n runs, solving the task at once or never. Without runs, the mean is
    NaN.
    """
    times, is_solved = _followed(times, is_solved, horizon)
    n = len(times)
    if n == 0:
        return Estimate(np.nan, 0.0, horizon, 0)
    within = np.minimum(times, horizon)
    if np.ptp(within) == 0 or not is_solved[within < horizon].any():
        mean, unseen = float(restricted_means(times, is_solved, horizon)), float(wilson(0, n)[1])
        return Estimate(mean, mean * (1 - unseen), mean * (1 - unseen) + unseen * horizon, n)
    found = bootstrap(lambda i: restricted_means(times[i], is_solved[i], horizon), [n], rng)
    return Estimate(found.value, max(found.low, 0.0), min(found.high, horizon), n)


def rmst_difference(
    a: Sample, b: Sample, horizon: float, rng: np.random.Generator, *, paired: bool
) -> Estimate:
    """Return the restricted mean time of `a` minus that of `b`, with its bootstrap interval.

    A negative difference means that `a` is sooner. If `paired` is true, run i of `a` and run i of
    `b` share a seed, and pairs are resampled; `ValueError` if the numbers of runs differ. Otherwise
    the runs of `a` and of `b` are resampled independently. If all resamples agree, the interval
    allows for runs that may have gone unseen, as in `rmst`. Without runs on one side, the
    difference is NaN.
    """
    a, b = _followed(*a, horizon), _followed(*b, horizon)
    n, m = len(a[0]), len(b[0])
    if paired and n != m:
        raise ValueError(f"pairs need as many runs on both sides, but there are {n} and {m}")

    def difference(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        means = (restricted_means(t[k], s[k], horizon) for (t, s), k in ((a, i), (b, j)))
        return np.subtract(*means)

    if 0 in (n, m):
        return Estimate(np.nan, -horizon, horizon, n if paired else n + m)
    found = bootstrap(
        (lambda i: difference(i, i)) if paired else difference, [n] if paired else [n, m], rng
    )
    if found.low < found.high:
        return found
    unseen = float(wilson(0, min(n, m))[1])
    seen, most = found.value * (1 - unseen), unseen * horizon
    return Estimate(found.value, seen - most, seen + most, found.n)


def _followed(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> Sample:
    """Return the sample as arrays; `ValueError` if the runs were not followed up to the horizon."""
    times, is_solved = np.asarray(times, float), np.asarray(is_solved, bool)
    if len(times) and times.max() < horizon and not is_solved[times == times.max()].all():
        raise ValueError(
            f"the horizon {horizon:g} is beyond {times.max():g}, when the last run ended: lower it"
        )
    return times, is_solved


def logrank(a: Sample, b: Sample) -> float:
    """Return the p-value of the log-rank test that two samples have the same curve (Mantel 1966).

    The p-value is 1 if no times could tell them apart: if no run solves the task, or all do at
    once.
    """
    with np.errstate(invalid="ignore"):  # the statistic is then 0/0
        x, y = (scipy.stats.CensoredData.right_censored(t, ~solved) for t, solved in (a, b))
        p = float(scipy.stats.logrank(x, y).pvalue)
    return 1.0 if np.isnan(p) else p

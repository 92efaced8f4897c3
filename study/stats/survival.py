"""Right-censored convergence times: Kaplan-Meier, medians, restricted means, the log-rank test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.stats.intervals import Estimate, bootstrap, wilson

Sample = tuple[np.ndarray, np.ndarray]  # times (n,), and whether each is a convergence (n,) bool


@dataclass(frozen=True)
class SolvedCurve:
    """Share solved by each time: one minus Kaplan-Meier, pointwise intervals; (times,) each."""

    times: np.ndarray  # 0, then each distinct time of convergence or censoring
    solved: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray  # runs that were neither solved nor censored before that time
    n: int


def risk_table(times: np.ndarray, is_solved: np.ndarray) -> tuple[np.ndarray, ...]:
    """The distinct times, each run's index into them (n,), and runs solved and at risk at each."""
    distinct, index = np.unique(np.asarray(times, float), return_inverse=True)
    solved = np.bincount(index, weights=np.asarray(is_solved, bool), minlength=len(distinct))
    leaving = np.bincount(index, minlength=len(distinct))
    return distinct, index, solved, np.cumsum(leaving[::-1])[::-1]


def solved_curve(times: np.ndarray, is_solved: np.ndarray) -> SolvedCurve:
    """Share solved against time from right-censored times (Kaplan & Meier 1958).

    `times` (n,) are convergence or censoring times; `is_solved` (n,) bool. The interval is
    Rothman's (1978): Wilson's with the sample size that Greenwood's variance implies. While no run
    has solved the task, this size is the number of runs at risk; once all have, it is the last
    known one.
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
    """The time by which a share of the runs has solved the task (Brookmeyer & Crowley 1982).

    Its interval inverts the curve's confidence band. The time, or a bound, is infinite if the
    curve, or that bound of its band, does not reach the share within the budget.
    """

    def first(reached: np.ndarray) -> float:
        at_least = reached >= share - 1e-12
        return float(curve.times[at_least.argmax()]) if at_least.any() else np.inf

    return Estimate(first(curve.solved), first(curve.high), first(curve.low), curve.n)


# --- restricted means and the log-rank test -----------------------------------------------------


def restricted_means(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> np.ndarray:
    """Mean times to solve the task, each counted up to `horizon` (RMST); samples (..., n) -> (...).

    The runs are processed one by one in order of time, solved before censored. For tied runs the
    product of (1 - 1/at risk) equals the Kaplan-Meier factor.
    """
    if (is_solved | (times >= horizon)).all():  # no early censoring, so a plain mean, much faster
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
    """Restricted mean time to solve the task, with its bootstrap interval over runs; (n,) each.

    If all runs have the same time, every resample has too. Then Wilson's interval for 0 of n runs
    gives the largest share of other runs that may have gone unseen, and the interval allows for
    their solving the task at once, or never.
    """
    times, is_solved = _followed(times, is_solved, horizon)
    within, n = np.minimum(times, horizon), len(times)
    if np.ptp(within) == 0:
        unseen = float(wilson(0, n)[1])
        seen = float(within[0]) * (1 - unseen)
        return Estimate(float(within[0]), seen, seen + unseen * horizon, n)
    found = bootstrap(lambda i: restricted_means(times[i], is_solved[i], horizon), [n], rng)
    return Estimate(found.value, max(found.low, 0.0), min(found.high, horizon), n)


def rmst_difference(
    a: Sample, b: Sample, horizon: float, rng: np.random.Generator, *, paired: bool
) -> Estimate:
    """Restricted mean time of `a` minus that of `b`, with its bootstrap interval.

    A negative difference means that `a` is sooner. If `paired`, run i of `a` and run i of `b` share
    a seed, and pairs are resampled; otherwise the runs of each sample are.
    """
    a, b = _followed(*a, horizon), _followed(*b, horizon)
    n, m = len(a[0]), len(b[0])
    if paired and n != m:
        raise ValueError(f"pairs need as many runs on both sides, but there are {n} and {m}")

    def difference(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        means = (restricted_means(t[k], s[k], horizon) for (t, s), k in ((a, i), (b, j)))
        return np.subtract(*means)

    if paired:
        return bootstrap(lambda i: difference(i, i), [n], rng)
    return bootstrap(difference, [n, m], rng)


def _followed(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> Sample:
    """The sample as arrays; `ValueError` if the runs were not followed up to the horizon."""
    times, is_solved = np.asarray(times, float), np.asarray(is_solved, bool)
    if times.max() < horizon and not is_solved[times == times.max()].all():
        raise ValueError(
            f"the horizon {horizon:g} is beyond {times.max():g}, the last time followed"
        )
    return times, is_solved


def logrank(a: Sample, b: Sample) -> float:
    """The p-value of the log-rank test that two samples have the same curve (Mantel 1966).

    It is 1 if no run solves the task.
    """
    if not (a[1].any() or b[1].any()):
        return 1.0
    from statsmodels.duration.survfunc import survdiff  # slow to import, and seldom needed

    times, solved = (np.concatenate(both) for both in zip(a, b, strict=True))
    return float(survdiff(times, solved.astype(int), np.repeat([0, 1], [len(a[0]), len(b[0])]))[1])

"""Right-censored convergence times: Kaplan-Meier, medians, restricted means, the log-rank test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from study.stats.intervals import Estimate, bootstrap, wilson


@dataclass(frozen=True)
class SolvedCurve:
    """Share solved by each time, one minus Kaplan-Meier, with pointwise intervals; arrays (times,)."""

    times: np.ndarray  # 0, then each distinct time at which a run was solved or censored
    solved: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray  # runs neither solved nor censored just before
    n: int


def solved_curve(times: np.ndarray, is_solved: np.ndarray, confidence: float = 0.95) -> SolvedCurve:
    """Share solved against time from right-censored times (Kaplan & Meier 1958).

    `times` (n,) convergence or censoring times; `is_solved` (n,) bool. The interval is Rothman's (1978):
    Wilson's with the sample size that Greenwood's variance implies; without censoring it is Wilson's.
    """
    times, is_solved = np.asarray(times, float), np.asarray(is_solved, bool)
    distinct, index = np.unique(times, return_inverse=True)
    events = np.bincount(index, weights=is_solved, minlength=len(distinct))
    leaving = np.bincount(index, minlength=len(distinct))
    at_risk = (
        len(times) - np.concatenate([[0], np.cumsum(leaving)[:-1]]) if len(times) else np.array([])
    )
    survival = np.cumprod(1 - events / at_risk)
    low, high = _rothman(survival, events, at_risk, confidence)
    return SolvedCurve(
        times=np.concatenate([[0.0], distinct]),
        solved=np.concatenate([[0.0], 1 - survival]),
        low=np.concatenate([[0.0], low]),
        high=np.concatenate([[wilson(np.array(0), np.array(len(times)), confidence)[1]], high]),
        at_risk=np.concatenate([[len(times)], at_risk]),
        n=len(times),
    )


def _rothman(
    survival: np.ndarray, events: np.ndarray, at_risk: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of 1 - survival at each time."""
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(events / (at_risk * (at_risk - events)))
        effective = (1 - survival) / (survival * greenwood)
    # Where nothing is solved yet, or everything is, the variance is no guide: the runs at risk are,
    # then the last size that was known.
    size = np.empty_like(survival)
    known = at_risk[0] if len(at_risk) else 0.0
    for i, value in enumerate(effective):
        if survival[i] == 1:
            known = at_risk[i]
        elif np.isfinite(value):
            known = value
        size[i] = known
    return wilson((1 - survival) * size, size, confidence)


def restricted_mean(curve: SolvedCurve, horizon: float) -> float:
    """Mean time to be solved, counting every time beyond `horizon` as `horizon` (RMST)."""
    within = curve.times < horizon
    times = np.append(curve.times[within], horizon)
    return float(np.sum((1 - curve.solved[within]) * np.diff(times)))


def time_to_share(curve: SolvedCurve, share: float = 0.5) -> Estimate:
    """When that share is solved, with the interval that inverts the curve's own (Brookmeyer & Crowley 1982).

    Infinite where the curve, or the bound of its interval, does not get there within the budget.
    """

    def first(reached: np.ndarray) -> float:
        at_least = reached >= share - 1e-12
        return float(curve.times[at_least.argmax()]) if at_least.any() else np.inf

    return Estimate(first(curve.solved), first(curve.high), first(curve.low), curve.n)


# --- restricted means and the log-rank test -----------------------------------------------------

Sample = tuple[np.ndarray, np.ndarray]  # times (n,), and whether each is a convergence (n,) bool


def restricted_means(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> np.ndarray:
    """Restricted mean times of many samples at once; (..., n) each -> (...).

    Runs are taken one by one in order of time, solved before censored: of tied ones, the product of
    (1 - 1/at risk) is Kaplan and Meier's factor.
    """
    if (
        is_solved | (times >= horizon)
    ).all():  # nobody leaves early: a plain mean, some ten times as fast
        return np.minimum(times, horizon).mean(-1)
    order = np.lexsort((~is_solved, times), axis=-1)
    times, is_solved = (np.take_along_axis(values, order, -1) for values in (times, is_solved))
    at_risk = np.arange(times.shape[-1], 0, -1)
    survival = np.cumprod(1 - is_solved / at_risk, axis=-1)
    ends = np.concatenate(
        [np.minimum(times, horizon), np.full((*times.shape[:-1], 1), horizon)], axis=-1
    )
    return ends[..., 0] + (survival * np.diff(ends, axis=-1)).sum(-1)


def rmst(
    times: np.ndarray,
    is_solved: np.ndarray,
    horizon: float,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> Estimate:
    """Restricted mean time to be solved within `horizon`, with its bootstrap interval over runs; (n,) each.

    Where every run has the same time, the bootstrap sees nothing else and Wilson speaks: a share that no run in n
    showed, up to Wilson's bound, might be solved at once or never.
    """
    sample = _followed(times, is_solved, horizon)
    within = np.minimum(sample[0], horizon)
    if np.ptp(within) == 0:
        unseen = float(wilson(np.array(0), np.array(len(within)), confidence)[1])
        seen = float(within[0]) * (1 - unseen)
        return Estimate(float(within[0]), seen, seen + unseen * horizon, len(within))
    found = bootstrap(
        lambda i: restricted_means(sample[0][i], sample[1][i], horizon),
        [len(within)],
        rng,
        confidence,
    )
    return Estimate(found.value, max(found.low, 0.0), min(found.high, horizon), found.n)


def rmst_difference(
    a: Sample,
    b: Sample,
    horizon: float,
    rng: np.random.Generator,
    *,
    paired: bool,
    confidence: float = 0.95,
) -> Estimate:
    """Restricted mean time of `a` minus that of `b`, with its bootstrap interval; negative: `a` is sooner.

    `paired`: run i of `a` and of `b` share a seed, and pairs are resampled; else runs of each.
    """
    a, b = _followed(*a, horizon), _followed(*b, horizon)
    if paired and len(a[0]) != len(b[0]):
        raise ValueError(f"pairs want as many runs on both sides, not {len(a[0])} and {len(b[0])}")

    def difference(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return restricted_means(a[0][i], a[1][i], horizon) - restricted_means(
            b[0][j], b[1][j], horizon
        )

    if paired:
        return bootstrap(lambda i: difference(i, i), [len(a[0])], rng, confidence)
    return bootstrap(difference, [len(a[0]), len(b[0])], rng, confidence)


def _followed(times: np.ndarray, is_solved: np.ndarray, horizon: float) -> Sample:
    """The sample as arrays; `ValueError` where nobody knows what happens up to the horizon."""
    times, is_solved = np.asarray(times, float), np.asarray(is_solved, bool)
    if not len(times):
        raise ValueError("a restricted mean wants at least one run")
    if times.max() < horizon and not is_solved[times == times.max()].all():
        raise ValueError(
            f"the horizon {horizon:g} is beyond {times.max():g}, the last time at which a run was watched"
        )
    return times, is_solved


def logrank(times: np.ndarray, is_solved: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """The log-rank test of equal curves in two or more groups (Mantel 1966): chi-square, p; (n,) each.

    One group, or no solved run, is no test: 0 and 1.
    """
    if len(np.unique(group)) < 2 or not np.any(is_solved):
        return 0.0, 1.0
    from statsmodels.duration.survfunc import survdiff  # brings scipy.stats

    statistic, p = survdiff(np.asarray(times, float), np.asarray(is_solved, int), np.asarray(group))
    return float(statistic), float(p)

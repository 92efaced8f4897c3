"""Statistics as functions from arrays to an estimate and its interval.

Intervals are 95 % unless `confidence` says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri


@dataclass(frozen=True)
class Estimate:
    """A number, its interval, and how many runs it rests on; a bound that is not reached is infinite."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: np.ndarray, n: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval for proportions (Wilson 1927); arrays of any one shape -> low, high.

    `n` may be fractional, as an effective sample size is; with n = 0 nothing is known: 0 to 1.
    """
    successes, n = np.asarray(successes, float), np.asarray(n, float)
    z = ndtri((1 + confidence) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = successes / n
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    low = np.where(n == 0, 0.0, np.where(successes == 0, 0.0, low))
    high = np.where(n == 0, 1.0, np.where(successes == n, 1.0, high))
    return low, high


def share(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A proportion with its Wilson interval; NaN from no runs at all."""
    low, high = wilson(np.array(successes), np.array(n), confidence)
    return Estimate(successes / n if n else np.nan, float(low), float(high), n)


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
    at_risk = len(times) - np.concatenate([[0], np.cumsum(leaving)[:-1]]) if len(times) else np.array([])
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

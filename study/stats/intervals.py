"""Estimates with intervals: shares, rates, robust means, rank association, and the bootstrap over runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A number, its interval, and how many runs it rests on; a bound that is not reached is infinite."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Contrast(Estimate):
    """A difference or association with its interval, and the p-value of there being none."""

    p: float


NORMAL_95 = (
    1.959963984540054  # ndtri(0.975): a grid's end, which needs no other, does without that import
)


def wilson(
    successes: np.ndarray, n: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval for proportions (Wilson 1927); arrays of any one shape -> low, high.

    `n` may be fractional, as an effective sample size is; with n = 0 nothing is known: 0 to 1.
    """
    successes, n = np.asarray(successes, float), np.asarray(n, float)
    z = NORMAL_95 if confidence == 0.95 else scipy.special.ndtri((1 + confidence) / 2)
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


def share_over_runs(
    successes: np.ndarray, trials: np.ndarray, confidence: float = 0.95
) -> Estimate:
    """Mean over runs of each run's share of its trials; (runs,) each. Wilson's interval at an effective sample size.

    Trials of one run are no independent sample. With p the mean and s^2 the variance of the runs' shares, the
    effective size is p (1 - p) / (s^2 / runs), as if so many independent trials had been made (Korn & Graubard 1998),
    at most all trials; where p is 0 or 1, which shows no variance, it is the number of runs.
    """
    successes, trials = np.asarray(successes, float), np.asarray(trials, float)
    n = len(trials)
    if n == 0:
        return Estimate(np.nan, 0.0, 1.0, 0)
    shares = successes / trials
    mean = float(shares.mean())
    variance = float(shares.var(ddof=1)) / n if n > 1 else mean * (1 - mean)
    effective = mean * (1 - mean) / variance if variance > 0 else (n if mean in (0, 1) else np.inf)
    effective = min(effective, float(trials.sum()))
    low, high = wilson(np.array(mean * effective), np.array(effective), confidence)
    return Estimate(mean, float(low), float(high), n)


def share_difference(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> Contrast:
    """Share in `a` minus share in `b`, of unpaired runs; (n_a,) and (n_b,) bool.

    Newcombe's (1998) hybrid of two Wilson intervals; p is Fisher's exact test.
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    first, second = share(int(a.sum()), len(a), confidence), share(int(b.sum()), len(b), confidence)
    difference = first.value - second.value
    low = difference - np.hypot(first.value - first.low, second.high - second.value)
    high = difference + np.hypot(first.high - first.value, second.value - second.low)
    p = np.asarray(scipy.stats.fisher_exact([[a.sum(), (~a).sum()], [b.sum(), (~b).sum()]]))[1]
    return Contrast(difference, float(low), float(high), len(a) + len(b), float(p))


# --- rates --------------------------------------------------------------------------------------


def poisson_rate(events: int, exposure: float, n: int, confidence: float = 0.95) -> Estimate:
    """Events per unit of exposure with the exact Poisson interval (Garwood 1936); of `n` runs.

    It takes the rate as equal in all runs: `rate_over_runs` does not.
    """
    tail = (1 - confidence) / 2
    low = scipy.stats.chi2.ppf(tail, 2 * events) / 2 if events else 0.0
    high = scipy.stats.chi2.ppf(1 - tail, 2 * events + 2) / 2
    return Estimate(events / exposure, float(low / exposure), float(high / exposure), n)


def rule_of_three(exposure: float, confidence: float = 0.95) -> float:
    """One-sided upper bound of a rate when nothing happened in `exposure`: -ln(0.05)/N, about 3/N."""
    return float(-np.log1p(-confidence) / exposure)


def rate_over_runs(
    events: np.ndarray, exposure: np.ndarray, rng: np.random.Generator, confidence: float = 0.95
) -> Estimate:
    """Events per unit of exposure, such as phase slips per step; (runs,) each.

    With no event at all, 0 up to the rule of three. Otherwise the wider of Garwood's interval, which is blind
    to differences between runs, and of the bootstrap over runs, which is blind to events not seen.
    """
    events, exposure = np.asarray(events, float), np.asarray(exposure, float)
    total = float(exposure.sum())
    if not events.any():
        return Estimate(0.0, 0.0, rule_of_three(total, confidence), len(events))
    exact = poisson_rate(int(events.sum()), total, len(events), confidence)
    runs = bootstrap(
        lambda i: events[i].sum(-1) / exposure[i].sum(-1), [len(events)], rng, confidence
    )
    return Estimate(exact.value, min(exact.low, runs.low), max(exact.high, runs.high), len(events))


def median(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """The lower median with its distribution-free interval between two order statistics; (n,), infinite allowed.

    From the sign test: the r-th smallest and the r-th largest value, with r the largest for which fewer than r of n
    fair coins show heads with a chance of at most (1 - confidence)/2 (David & Nagaraja 2003, 7.1). With too few
    values for any r nothing is known.
    """
    ordered = np.sort(np.asarray(values, float))
    n, tail = len(ordered), (1 - confidence) / 2
    if n == 0:
        return Estimate(np.nan, -np.inf, np.inf, 0)
    r = int(scipy.stats.binom.ppf(tail, n, 0.5))
    r += int(scipy.stats.binom.cdf(r, n, 0.5) <= tail)
    low, high = (ordered[r - 1], ordered[n - r]) if r else (-np.inf, np.inf)
    return Estimate(float(ordered[(n - 1) // 2]), float(low), float(high), n)


# --- the bootstrap ------------------------------------------------------------------------------


def bootstrap(
    statistic: Callable[..., np.ndarray],
    sizes: list[int],
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """A statistic with its bootstrap interval over runs (BCa: Efron 1987; percentile where BCa is undefined).

    `statistic` takes an array of run indices (..., n) for each sample, and gives its value (...). `sizes` are the
    samples' sizes: [n] resamples runs, or pairs of runs; [n, m] two samples apart. Where every resample gives
    the same value, that value is the interval.
    """
    samples = tuple(np.arange(size) for size in sizes)
    value = float(statistic(*samples))
    if min(sizes) < 2:
        return Estimate(value, -np.inf, np.inf, sum(sizes))

    def vectorised(*indices: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(*indices)

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        found = scipy.stats.bootstrap(
            samples,
            vectorised,
            n_resamples=resamples,
            vectorized=True,
            confidence_level=confidence,
            method="BCa",
            rng=rng,
        )
    low, high = map(float, found.confidence_interval)
    if np.isnan(low) or np.isnan(high):
        tail = (1 - confidence) / 2
        low, high = map(float, np.quantile(found.bootstrap_distribution, [tail, 1 - tail]))
    return Estimate(value, low, high, sum(sizes))


def interquartile_mean(
    values: np.ndarray, rng: np.random.Generator, confidence: float = 0.95
) -> Estimate:
    """Mean of the middle half of the runs (Agarwal et al. 2021), bootstrap interval over runs; (n,) finite.

    A secondary number: success is bimodal, and the middle half hides the runs that were never solved. Give
    censored times as the budget.
    """
    values = np.asarray(values, float)
    return bootstrap(
        lambda i: scipy.stats.trim_mean(values[i], 0.25, axis=-1), [len(values)], rng, confidence
    )


def rank_association(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, confidence: float = 0.95
) -> Contrast:
    """Spearman's rank correlation with its bootstrap interval over runs; (n,) each, ties at their mean rank.

    A censored value may be given as infinite: it ranks last. p is scipy's, from the t distribution.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)

    def correlation(i: np.ndarray) -> np.ndarray:
        a, b = (scipy.stats.rankdata(v[i], axis=-1) for v in (x, y))
        a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
        with np.errstate(invalid="ignore"):
            found = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
        return np.nan_to_num(found)  # a resample that repeats one run shows no association

    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return Contrast(np.nan, -1.0, 1.0, len(x), np.nan)
    found = bootstrap(correlation, [len(x)], rng, confidence)
    scipys: Any = scipy.stats.spearmanr(x, y)
    return Contrast(
        found.value, max(found.low, -1.0), min(found.high, 1.0), len(x), float(scipys.pvalue)
    )

"""Estimate shares, rates, medians and rank correlations with 95 % intervals."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A number estimated from `n` runs, with its 95 % interval from `low` to `high`.

    The ends of the interval may be infinite.
    """

    value: float
    low: float
    high: float
    n: int

    def columns(self, name: str, ends: str = "") -> dict[str, float]:
        """Return the estimate as three columns of a table.

        The value is in column `name`, and the interval is in columns `<ends>_low` and
        `<ends>_high`. If `ends` is "", `name` takes its place.
        """
        end = ends or name
        return {name: self.value, f"{end}_low": self.low, f"{end}_high": self.high}

    def without_interval(self) -> "Estimate":
        """Return the same estimate with NaN as both ends of its interval.

        Use it for runs that are not a sample from one distribution, since an interval would then be
        meaningless.
        """
        return Estimate(self.value, np.nan, np.nan, self.n)


@dataclass(frozen=True)
class Contrast(Estimate):
    """A difference or correlation with its interval.

    `p` is the p-value of the null hypothesis that the difference or correlation is zero.
    """

    p: float


def wilson(successes: np.ndarray | float, n: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Return the low and high ends of Wilson's (1927) score interval for proportions.

    Each proportion is `successes` / `n`. Both arguments and both ends have the same shape. `n` may
    be fractional, like an effective sample size. For n = 0 the interval is 0 to 1.
    """
    successes, n = np.asarray(successes, float), np.asarray(n, float)
    z = float(scipy.special.ndtri(1 - TAIL))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = successes / n
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = np.where(successes == 0, 0.0, np.clip(centre - half, 0, 1))
    return low, np.where(successes == n, 1.0, np.clip(centre + half, 0, 1))


def share(successes: int, n: int) -> Estimate:
    """Return the proportion of `successes` among `n` runs, with its Wilson interval.

    The proportion is NaN if `n` is 0.
    """
    low, high = wilson(successes, n)
    return Estimate(successes / n if n else np.nan, float(low), float(high), n)


def share_over_runs(successes: np.ndarray, trials: np.ndarray) -> Estimate:
    """Compute each run's share of successful trials, and return the mean share with its interval.

    `trials` (runs,) holds the number of trials of each run, and `successes` (runs,) the number of
    successful ones. The trials of a run are not independent. So Wilson's interval is computed for
    an effective sample size (Korn & Graubard 1998). It is the number of independent trials that
    would make the mean share vary as much. This size is p (1 - p) / (s^2 / runs), but at most the
    number of all trials. Here p is the mean and s^2 the variance of the runs' shares. If p is 0 or
    1, the shares do not vary, and the size is the number of runs.
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
    low, high = wilson(mean * effective, effective)
    return Estimate(mean, float(low), float(high), n)


def share_difference(a: np.ndarray, b: np.ndarray) -> Contrast:
    """Return the share of true values in `a` minus the share of true values in `b`.

    `a` (n_a,) bool and `b` (n_b,) bool have one entry per run. The runs of `a` are not paired with
    the runs of `b`. The interval is Newcombe's (1998) hybrid of two Wilson intervals, and p comes
    from Fisher's exact test. If `a` or `b` is empty, the difference is NaN and the interval is -1
    to 1.
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if not (len(a) and len(b)):
        return Contrast(np.nan, -1.0, 1.0, len(a) + len(b), 1.0)
    first, second = share(int(a.sum()), len(a)), share(int(b.sum()), len(b))
    low, high = newcombe(first, second)
    p = np.asarray(scipy.stats.fisher_exact([[a.sum(), (~a).sum()], [b.sum(), (~b).sum()]]))[1]
    return Contrast(first.value - second.value, low, high, len(a) + len(b), float(p))


def newcombe(a: Estimate, b: Estimate, correlation: float = 0.0) -> tuple[float, float]:
    """Return the low and high ends of Newcombe's interval for the difference `a` minus `b`.

    The ends are computed from the intervals of `a` and `b`, such as Wilson's intervals of two
    shares. `correlation` is the correlation between the two outcomes of a pair of runs. It is 0 if
    the runs are not paired.
    """

    def distance(x: float, y: float) -> float:
        return float(np.sqrt(max(x**2 - 2 * correlation * x * y + y**2, 0.0)))

    difference = a.value - b.value
    low = difference - distance(a.value - a.low, b.high - b.value)
    return low, difference + distance(a.high - a.value, b.value - b.low)


# --- rates and medians --------------------------------------------------------------------------


def poisson_rate(events: int, exposure: float, n: int) -> Estimate:
    """Return the number of events per unit of exposure, such as errors per step.

    `n` is the number of runs. The interval is the exact Poisson interval (Garwood 1936). It assumes
    the same rate in every run, unlike the interval of `rate_over_runs`. If `exposure` is 0, the
    rate is NaN and the interval is 0 to infinity.
    """
    if not exposure:
        return Estimate(np.nan, 0.0, np.inf, n)
    low = scipy.stats.chi2.ppf(TAIL, 2 * events) / 2 if events else 0.0
    high = scipy.stats.chi2.ppf(1 - TAIL, 2 * events + 2) / 2
    return Estimate(events / exposure, float(low / exposure), float(high / exposure), n)


def rate_over_runs(events: np.ndarray, exposure: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Return the number of events per unit of exposure, such as errors per step.

    `events` (runs,) and `exposure` (runs,) hold one number per run.

    The interval is the smallest that covers two others. One is the exact Poisson interval
    (Garwood's), which ignores differences between runs. The other is the bootstrap interval over
    runs, which is too narrow if events are few. If there are no events, the interval runs from 0 to
    -ln(0.05)/N, where N is the total exposure. This is about 3/N, the "rule of three". If N is 0,
    the rate is NaN and the interval is 0 to infinity.
    """
    events, exposure = np.asarray(events, float), np.asarray(exposure, float)
    total = float(exposure.sum())
    if not total:
        return Estimate(np.nan, 0.0, np.inf, len(events))
    if not events.any():
        return Estimate(0.0, 0.0, float(-np.log(1 - LEVEL) / total), len(events))
    exact = poisson_rate(int(events.sum()), total, len(events))
    runs = bootstrap(lambda i: events[i].sum(-1) / exposure[i].sum(-1), [len(events)], rng)
    return Estimate(exact.value, min(exact.low, runs.low), max(exact.high, runs.high), len(events))


def median(values: np.ndarray) -> Estimate:
    """Return the lower median of `values` (n,), with a distribution-free interval.

    If n is even, the lower median is the smaller of the two middle values. Infinite values are
    allowed. The interval inverts the sign test (David & Nagaraja 2003, section 7.1). It runs from
    the r-th smallest to the r-th largest value. Here r is the largest number for which n tosses of
    a fair coin show fewer than r heads with a probability of at most 0.025. If there are too few
    values for any such r, the interval is unbounded.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    if n == 0:
        return Estimate(np.nan, -np.inf, np.inf, 0)
    r = int(scipy.stats.binom.ppf(TAIL, n, 0.5))
    r += int(scipy.stats.binom.cdf(r, n, 0.5) <= TAIL)
    low, high = (ordered[r - 1], ordered[n - r]) if r else (-np.inf, np.inf)
    return Estimate(float(ordered[(n - 1) // 2]), float(low), float(high), n)


# --- the bootstrap ------------------------------------------------------------------------------


def bootstrap(
    statistic: Callable[..., np.ndarray], sizes: list[int], rng: np.random.Generator
) -> Estimate:
    """Return a statistic with its bootstrap interval, found by resampling runs.

    The interval is BCa (bias-corrected and accelerated, Efron 1987). Where BCa is undefined, for
    example if all resamples agree, the percentile interval is returned instead. If a sample has
    fewer than two runs, the interval is unbounded. If a sample has no runs, the statistic is NaN.

    `sizes` holds the size of each sample. It is [n] for one sample of n runs or n pairs of runs,
    and [n, m] for two samples that are resampled independently. `statistic` takes one array of run
    indices (..., n) per sample, and returns one number for each resample, as an array (...).
    """
    samples = tuple(np.arange(size) for size in sizes)
    value = float(statistic(*samples)) if min(sizes) else np.nan
    if min(sizes) < 2:
        return Estimate(value, -np.inf, np.inf, sum(sizes))
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)
        found = scipy.stats.bootstrap(
            samples,
            lambda *indices, axis: statistic(*indices),  # noqa: PLW0108
            n_resamples=RESAMPLES,
            vectorized=True,
            confidence_level=LEVEL,
            rng=rng,
        )
    low, high = found.confidence_interval
    if np.isnan(low) or np.isnan(high):
        low, high = np.quantile(found.bootstrap_distribution, [TAIL, 1 - TAIL])
    return Estimate(value, float(low), float(high), sum(sizes))


def rank_association(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Contrast:
    """Return Spearman's rank correlation of `x` (n,) and `y` (n,) with its bootstrap interval.

    Tied values get their mean rank. A censored value can be passed as infinity, so that it ranks
    last. p comes from the t distribution. The correlation is NaN if `x` or `y` is constant.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return Contrast(np.nan, -1.0, 1.0, len(x), np.nan)

    def correlation(i: np.ndarray) -> np.ndarray:
        a, b = (scipy.stats.rankdata(v[i], axis=-1) for v in (x, y))
        a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
        with np.errstate(invalid="ignore"):
            found = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
        return np.nan_to_num(found)  # a resample that repeats one run counts as correlation 0

    found = bootstrap(correlation, [len(x)], rng)
    theirs: Any = scipy.stats.spearmanr(x, y)
    low, high = max(found.low, -1.0), min(found.high, 1.0)
    return Contrast(found.value, low, high, len(x), float(theirs.pvalue))

"""Paired comparisons: the same seeds, so the same noise and initial weights, under two settings.

Pairing takes out what the seed decides. Times are right-censored, so differences of times are not known; their
order often is. Three contrasts, from plain to sharp: who solves at all, who solves sooner, and the mean time saved
within a horizon; and one test of times that uses their size as well as their order.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import scipy

from study.stats.intervals import Contrast, wilson

EXACT_PAIRS = 12  # up to so many, every way to exchange the members of pairs is counted


def paired_share_difference(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> Contrast:
    """Share in `a` minus share in `b` over pairs; (pairs,) bool each.

    p is McNemar's exact test; the interval is Newcombe's (1998b, method 10), from two Wilson intervals.
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    return _net_share(a & ~b, b & ~a, _newcombe(a, b, confidence))


def paired_order(
    times_a: np.ndarray,
    solved_a: np.ndarray,
    times_b: np.ndarray,
    solved_b: np.ndarray,
    confidence: float = 0.95,
) -> Contrast:
    """Share of pairs in which `a` is solved sooner, minus those in which `b` is; (pairs,) each.

    A pair counts for neither where both times are equal, both are censored, or one is censored before the other
    is solved. p is the exact sign test; the interval is Newcombe's for sooner against later as two shares.
    """
    sooner = np.asarray(solved_a, bool) & _before(times_a, times_b, solved_b)
    later = np.asarray(solved_b, bool) & _before(times_b, times_a, solved_a)
    return _net_share(sooner, later, _newcombe(sooner, later, confidence))


def _before(times: np.ndarray, others: np.ndarray, others_solved: np.ndarray) -> np.ndarray:
    """Where a run solved at `times` is known to be before the other of its pair."""
    times, others = np.asarray(times, float), np.asarray(others, float)
    return (times < others) | ((times == others) & ~np.asarray(others_solved, bool))


def _net_share(wins: np.ndarray, losses: np.ndarray, interval: tuple[float, float]) -> Contrast:
    n, won, lost = len(wins), int(wins.sum()), int(losses.sum())
    p = scipy.stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    return Contrast((won - lost) / n if n else np.nan, *interval, n, float(p))


def _newcombe(a: np.ndarray, b: np.ndarray, confidence: float) -> tuple[float, float]:
    """Newcombe's interval of mean(a) - mean(b) over pairs: Wilson intervals joined by the pairs' correlation."""
    n = len(a)
    if n == 0:
        return -1.0, 1.0
    both, only_a, only_b, neither = (int(s.sum()) for s in (a & b, a & ~b, b & ~a, ~a & ~b))
    shares = np.array([both + only_a, both + only_b]) / n
    low, high = wilson(shares * n, np.array([n, n]), confidence)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    phi = _correlation(both * neither - only_a * only_b, n) / np.sqrt(margins) if margins else 0.0
    down, up = shares - low, high - shares
    difference = shares[0] - shares[1]
    below = np.sqrt(max(down[0] ** 2 - 2 * phi * down[0] * up[1] + up[1] ** 2, 0.0))
    above = np.sqrt(max(up[0] ** 2 - 2 * phi * up[0] * down[1] + down[1] ** 2, 0.0))
    return float(max(difference - below, -1.0)), float(min(difference + above, 1.0))


def _correlation(determinant: float, n: int) -> float:
    """Newcombe's continuity correction of the fourfold determinant, for positive ones."""
    return max(determinant - n / 2, 0.0) if determinant > 0 else float(determinant)


# --- times ----------------------------------------------------------------------------------------


def prentice_scores(times: np.ndarray, is_solved: np.ndarray) -> np.ndarray:
    """Prentice's (1978) generalised Wilcoxon scores of censored times, (n,): low is soon, from -1 to 1.

    Solved at t: 1 - 2 S(t); censored at t: 1 - S(t), with S the product of (at risk - solved + 1)/(at risk + 1)
    over the distinct times up to t. Without censoring they are ranks: 2 rank/(n + 1) - 1.
    """
    times, is_solved = np.asarray(times, float), np.asarray(is_solved, bool)
    distinct, index = np.unique(times, return_inverse=True)
    solved = np.bincount(index, weights=is_solved, minlength=len(distinct))
    leaving = np.bincount(index, minlength=len(distinct))
    at_risk = (
        len(times) - np.concatenate([[0], np.cumsum(leaving)[:-1]]) if len(times) else np.array([])
    )
    survival = np.cumprod((at_risk - solved + 1) / (at_risk + 1))[index]
    return np.where(is_solved, 1 - 2 * survival, 1 - survival)


def paired_prentice_wilcoxon(
    times_a: np.ndarray, solved_a: np.ndarray, times_b: np.ndarray, solved_b: np.ndarray
) -> tuple[float, float]:
    """The paired Prentice-Wilcoxon test (O'Brien & Fleming 1987) of equal times: z, negative where `a` is sooner; p.

    All 2n times are scored together; under no difference the members of a pair can be exchanged, so the difference
    of their scores has either sign. With many pairs z is normal, with up to EXACT_PAIRS that differ, p counts every
    way to exchange them. It takes censoring in, which the signed-rank test cannot, and uses how far apart times
    are, which the sign test does not.
    """
    n = len(times_a)
    scores = prentice_scores(
        np.concatenate([times_a, times_b]), np.concatenate([solved_a, solved_b])
    )
    differences = scores[:n] - scores[n:]
    differences = differences[np.abs(differences) > 1e-12]
    if not len(differences):
        return 0.0, 1.0
    scale = np.sqrt((differences**2).sum())
    z = float(differences.sum() / scale)
    if len(differences) > EXACT_PAIRS:
        return z, float(2 * scipy.stats.norm.sf(abs(z)))
    signs = np.array(list(product([-1, 1], repeat=len(differences))))
    return z, float((np.abs(signs @ differences) / scale >= abs(z) - 1e-9).mean())

"""Paired comparisons: runs with the same seed under two settings.

The two runs of a pair have the same noise and initial weights, so pairing removes the variation
that the seed causes. Convergence times are right-censored, so the difference of two times is not
always known, but often their order is. Hence there are three contrasts: which run solves the task
at all, which solves it sooner, and (in `survival`) the mean time saved within a horizon. A test of
times uses their size as well as their order.
"""

from itertools import product

import numpy as np
import scipy

from study.stats.intervals import Contrast, newcombe, share
from study.stats.survival import risk_table

EXACT_PAIRS = 12  # up to this many pairs, p counts every exchange within pairs


def paired_share_difference(a: np.ndarray, b: np.ndarray) -> Contrast:
    """Return the share in `a` minus the share in `b` over pairs of runs; (pairs,) bool each.

    p is from McNemar's exact test. The interval is Newcombe's (1998b, method 10), which combines
    two Wilson intervals by means of the correlation within pairs.
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    n = len(a)
    if n == 0:
        return Contrast(np.nan, -1.0, 1.0, 0, 1.0)
    both, only_a, only_b, neither = (int(s.sum()) for s in (a & b, a & ~b, b & ~a, ~a & ~b))
    determinant = both * neither - only_a * only_b
    if determinant > 0:
        determinant = max(determinant - n / 2, 0.0)  # Newcombe's continuity correction
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    correlation = determinant / np.sqrt(margins) if margins else 0.0
    low, high = newcombe(share(both + only_a, n), share(both + only_b, n), correlation)
    differ = only_a + only_b
    p = float(scipy.stats.binomtest(only_a, differ).pvalue) if differ else 1.0
    return Contrast((only_a - only_b) / n, max(low, -1.0), min(high, 1.0), n, p)


def paired_order(
    times_a: np.ndarray, solved_a: np.ndarray, times_b: np.ndarray, solved_b: np.ndarray
) -> Contrast:
    """Return how much more often `a` than `b` solves the task sooner, as a share of the pairs.

    The arrays are (pairs,) each. A pair counts for neither side if both runs solve the task at the
    same time, if neither solves it, or if one is censored before the other solves it. p is from the
    exact sign test. The interval is Newcombe's for the difference of the two shares.
    """
    solved_a, solved_b = np.asarray(solved_a, bool), np.asarray(solved_b, bool)
    times_a, times_b = np.asarray(times_a, float), np.asarray(times_b, float)
    tied = times_a == times_b
    sooner = solved_a & ((times_a < times_b) | (tied & ~solved_b))
    later = solved_b & ((times_b < times_a) | (tied & ~solved_a))
    return paired_share_difference(sooner, later)


# --- times ----------------------------------------------------------------------------------------


def prentice_scores(times: np.ndarray, is_solved: np.ndarray) -> np.ndarray:
    """Return Prentice's (1978) generalised Wilcoxon scores of censored times, (n,).

    The scores run from -1 (soon) to 1 (late). A run that solves the task at t scores 1 - 2 S(t); a
    run that is censored at t scores 1 - S(t). S(t) is the product of (at risk - solved + 1)/(at
    risk + 1) over the distinct times up to t. Without censoring or ties, the scores are rescaled
    ranks: 2 rank/(n + 1) - 1.
    """
    _, index, solved, at_risk = risk_table(times, is_solved)
    survival = np.cumprod((at_risk - solved + 1) / (at_risk + 1))[index]
    return np.where(is_solved, 1 - 2 * survival, 1 - survival)


def paired_prentice_wilcoxon(
    times_a: np.ndarray, solved_a: np.ndarray, times_b: np.ndarray, solved_b: np.ndarray
) -> tuple[float, float]:
    """Test whether paired times are equal, by the paired Prentice-Wilcoxon test; return z and p.

    z is negative if `a` is sooner. All 2n times are scored together. Under the null hypothesis the
    two runs of a pair can be exchanged, so the difference of their scores takes either sign
    (O'Brien & Fleming 1987). With many pairs, z is standard normal. With up to EXACT_PAIRS pairs
    that differ, p counts all exchanges. Unlike the signed-rank test, this test allows for
    censoring. Unlike the sign test, it uses how far apart the times are.
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

"""Compare two settings by pairs of runs with the same seed.

The two runs of a pair have the same noise and initial weights, so pairing removes the variation
that the seed causes. Convergence times are right-censored. So the difference of two times is not
always known, but their order often is. Three contrasts allow for this: which run solves the task at
all, which run solves it sooner, and how much time is saved on average within a horizon (in
`study.stats.survival`). The test `paired_prentice_wilcoxon` asks whether the times differ at all.
"""

from itertools import product

import numpy as np
import scipy

from study.stats.intervals import Contrast, newcombe, share
from study.stats.survival import risk_table

EXACT_PAIRS = 12  # up to this many pairs, p counts every exchange within pairs


def paired_share_difference(a: np.ndarray, b: np.ndarray) -> Contrast:
    """Return the share of true values in `a` minus the share of true values in `b`.

    Both arrays are (pairs,) bool. Pair i consists of the runs behind `a[i]` and `b[i]`. For
    example, the values say whether each run solved the task. p comes from McNemar's exact test. The
    interval is Newcombe's (1998b, method 10), which combines two Wilson intervals and allows for
    the correlation within pairs.
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
    """Return the share of pairs in which `a` is sooner, minus the share in which `b` is sooner.

    The arrays are (pairs,) each. The times say when a run solves the task or is censored, and
    `solved_a` and `solved_b` say which of the two happens. A pair counts for neither side if both
    runs solve the task at the same time, if neither solves it, or if one is censored before the
    other solves it. p comes from the exact sign test. The interval is Newcombe's for the difference
    of the two shares.
    """
    solved_a, solved_b = np.asarray(solved_a, bool), np.asarray(solved_b, bool)
    times_a, times_b = np.asarray(times_a, float), np.asarray(times_b, float)
    tied = times_a == times_b
    sooner = solved_a & ((times_a < times_b) | (tied & ~solved_b))
    later = solved_b & ((times_b < times_a) | (tied & ~solved_a))
    return paired_share_difference(sooner, later)


# --- times ----------------------------------------------------------------------------------------


def prentice_scores(times: np.ndarray, is_solved: np.ndarray) -> np.ndarray:
    """Return Prentice's (1978) generalised Wilcoxon scores of censored times.

    `times`, `is_solved` and the scores are (n,) for n runs. `is_solved` tells whether a time is the
    time of solving the task or of censoring. The scores run from -1 (soon) to 1 (late). A run that
    solves the task at time t scores 1 - 2 S(t). A run that is censored at t scores 1 - S(t). Here
    S(t) is the product of (r - s + 1)/(r + 1) over the distinct times up to t. At each of these
    times, r runs are at risk and s runs solve the task. Without censoring or ties, the scores are
    rescaled ranks: 2 rank/(n + 1) - 1.
    """
    _, index, solved, at_risk = risk_table(times, is_solved)
    survival = np.cumprod((at_risk - solved + 1) / (at_risk + 1))[index]
    return np.where(is_solved, 1 - 2 * survival, 1 - survival)


def paired_prentice_wilcoxon(
    times_a: np.ndarray, solved_a: np.ndarray, times_b: np.ndarray, solved_b: np.ndarray
) -> tuple[float, float]:
    """Return the statistic z and the p-value of the paired Prentice-Wilcoxon test.

    The test asks whether the two times of a pair differ systematically. The arrays are (n,) each
    for n pairs. z is negative if the `a` runs are sooner. All 2n times are scored together by
    `prentice_scores`. Under the null hypothesis, the two runs of a pair can be exchanged. So the
    difference of their scores is as likely to be positive as negative (O'Brien & Fleming 1987). For
    many pairs, p treats z as standard normal. If at most EXACT_PAIRS pairs have a difference other
    than 0, p is exact. It is then the share of all ways to exchange runs within pairs that give a
    |z| at least as large. Unlike the signed-rank test, this test allows for censoring. Unlike the
    sign test, it uses how far apart the times are.
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

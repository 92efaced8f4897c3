"""Adjust the p-values of several tests, so that each can be compared with one level directly."""

import numpy as np
import scipy


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust the p-values `p` (tests,) by Holm's (1979) method, and return them in the same order.

    The study uses this method for comparisons that were named in advance. If every adjusted p-value
    below a level such as 0.05 counts as a finding, the probability of any false finding is at most
    that level. NaN marks a test that was not made, and stays NaN.
    """
    adjusted = np.array(p, float)
    order = np.argsort(adjusted)[: np.isfinite(adjusted).sum()]  # NaN sorts last
    steps = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjust the p-values `p` (tests,) by the method of Benjamini and Hochberg (1995).

    The adjusted p-values are returned in the same order. The study uses this method for comparisons
    that were not named in advance. If every adjusted p-value below a level such as 0.05 counts as a
    finding, the expected share of false findings among all findings is at most that level. NaN
    marks a test that was not made, and stays NaN.
    """
    adjusted = np.array(p, float)
    tested = np.isfinite(adjusted)
    if tested.any():
        adjusted[tested] = scipy.stats.false_discovery_control(adjusted[tested])
    return adjusted

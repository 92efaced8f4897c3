"""Many tests at once: adjusted p-values, which can be compared with the level directly."""

import numpy as np
import scipy


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values, (tests,), for contrasts named in advance.

    If every p-value below the level counts as a finding, the level bounds the probability of any
    false finding. NaN marks a test that was not made, and stays NaN.
    """
    adjusted = np.array(p, float)
    order = np.argsort(adjusted)[: np.isfinite(adjusted).sum()]  # NaN sorts last
    steps = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's (1995) adjusted p-values, (tests,), for all other contrasts.

    If every p-value below the level counts as a finding, the level bounds the expected share of
    false findings among them. NaN marks a test that was not made, and stays NaN.
    """
    adjusted = np.array(p, float)
    tested = np.isfinite(adjusted)
    if tested.any():
        adjusted[tested] = scipy.stats.false_discovery_control(adjusted[tested])
    return adjusted

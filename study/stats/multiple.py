"""Many tests at once: adjusted p-values, to be compared with the level as they are."""

import numpy as np
import scipy


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values, (tests,): for contrasts named in advance.

    Calling those below the level findings bounds the chance of even one false finding in the
    family. NaN means that no test was made, and stays.
    """
    adjusted = np.array(p, float)
    order = np.argsort(adjusted)[: np.isfinite(adjusted).sum()]  # NaN sorts last
    steps = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's (1995) adjusted p-values, (tests,): for everything else.

    Calling those below the level findings bounds the expected share of false ones among them.
    NaN means that no test was made, and stays.
    """
    adjusted = np.array(p, float)
    tested = np.isfinite(adjusted)
    if tested.any():
        adjusted[tested] = scipy.stats.false_discovery_control(adjusted[tested])
    return adjusted

"""Many tests at once: adjusted p-values, to be held against the level as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values, (tests,): for contrasts named in advance.

    Below the level: the chance of even one false finding in the family is held. NaN is no test and stays.
    """
    return _adjusted(p, _holm)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's (1995) adjusted p-values, (tests,): for everything else.

    Below the level: the expected share of false findings among the findings is held. NaN is no test and stays.
    """
    return _adjusted(p, scipy.stats.false_discovery_control)


def _adjusted(p: np.ndarray, method: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    p = np.asarray(p, float)
    adjusted, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        adjusted[tested] = method(p[tested])
    return adjusted


def _holm(p: np.ndarray) -> np.ndarray:
    """The k-th smallest times the tests not smaller, no less than the one before."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted

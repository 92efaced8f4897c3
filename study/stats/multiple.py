"""Many tests at once: adjusted p-values, to be held against the level as they are."""

from __future__ import annotations

import numpy as np
from statsmodels.stats.multitest import multipletests


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values, (tests,): for contrasts named in advance.

    Below the level: the chance of even one false finding in the family is held. NaN is no test and stays.
    """
    return _adjusted(p, "holm")


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's (1995) adjusted p-values, (tests,): for everything else.

    Below the level: the expected share of false findings among the findings is held. NaN is no test and stays.
    """
    return _adjusted(p, "fdr_bh")


def _adjusted(p: np.ndarray, method: str) -> np.ndarray:
    p = np.asarray(p, float)
    adjusted, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method=method)[1]
    return adjusted

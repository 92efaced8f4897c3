"""Adjusted p-values against tables worked out by hand, and the error rates they promise."""

import numpy as np
from statsmodels.stats.multitest import multipletests

from study.stats import benjamini_hochberg, holm


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.04 times 3, 2, 1: 0.03, 0.04, 0.04. NaN, no test, does not count."""
    np.testing.assert_allclose(
        holm(np.array([0.04, 0.01, np.nan, 0.02])), [0.04, 0.03, np.nan, 0.04]
    )


def test_benjamini_hochberg_by_hand():
    """Sorted 0.01, 0.02, 0.04, 0.5 times 4/rank: 0.04, 0.04, 0.0533, 0.5."""
    np.testing.assert_allclose(
        benjamini_hochberg(np.array([0.5, 0.02, 0.01, 0.04])), [0.5, 0.04, 0.04, 0.16 / 3]
    )


def test_they_are_statsmodels():
    # Rounding makes ties, zeros and ones.
    p = np.round(np.random.default_rng(1).beta(0.3, 1, size=60), 2)
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(
        benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], atol=1e-12
    )


def test_no_tests_at_all():
    assert holm(np.array([])).shape == (0,)
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()

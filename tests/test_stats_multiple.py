"""Adjusted p-values against tables worked out by hand, and the error rates they promise."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from study.stats import benjamini_hochberg, holm


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.04 times 3, 2, 1: 0.03, 0.04, 0.04. The test that was not made does not count."""
    np.testing.assert_allclose(
        holm(np.array([0.04, 0.01, np.nan, 0.02])), [0.04, 0.03, np.nan, 0.04]
    )


def test_benjamini_hochberg_by_hand():
    """Sorted 0.01, 0.02, 0.04, 0.5 times 4/rank: 0.04, 0.04, 0.0533, 0.5."""
    np.testing.assert_allclose(
        benjamini_hochberg(np.array([0.5, 0.02, 0.01, 0.04])), [0.5, 0.04, 0.04, 0.16 / 3]
    )


def test_they_are_statsmodels():
    p = np.round(
        np.random.default_rng(1).beta(0.3, 1, size=60), 2
    )  # rounded, so with ties, zeros and ones
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(
        benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], atol=1e-12
    )


def test_no_tests_at_all():
    assert holm(np.array([])).shape == (0,)
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


def test_they_hold_what_they_promise():
    """20 tests, 15 of them of nothing: a false finding in at most 5 % of families; in at most 5 % of findings."""
    rng = np.random.default_rng(0)
    false_families, false_share = 0, []
    for _ in range(1000):
        p = np.concatenate([rng.random(15), rng.beta(0.05, 4, size=5)])
        false_families += (holm(p)[:15] < 0.05).any()
        found = benjamini_hochberg(p) < 0.05
        false_share.append(found[:15].sum() / max(found.sum(), 1))
    assert false_families / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(false_share) <= 0.05
    assert np.mean(false_share) == pytest.approx(0.05 * 15 / 20, abs=0.01)  # what it is in theory

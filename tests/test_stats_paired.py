"""Paired comparisons, against scipy, statsmodels, results by hand and simulated coverage."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from study.stats import paired_order, paired_prentice_wilcoxon, paired_share_difference
from study.stats.paired import prentice_scores


def fourfold(both, only_a, only_b, neither):
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


def test_mcnemar_is_statsmodels():
    found = paired_share_difference(*fourfold(40, 12, 3, 45))
    assert found.p == pytest.approx(mcnemar([[40, 12], [3, 45]], exact=True).pvalue)
    assert (found.value, found.n) == (pytest.approx(0.09), 100)


def test_equal_pairs_do_not_differ():
    found = paired_share_difference(*fourfold(10, 0, 0, 10))
    assert (found.value, found.p) == (0, 1)
    assert found.low < 0 < found.high


@pytest.mark.parametrize(
    "shares", [(0.6, 0.15, 0.05, 0.2), (0.9, 0.05, 0.03, 0.02), (0.1, 0.3, 0.3, 0.3)]
)
def test_paired_share_interval_covers(shares):
    rng = np.random.default_rng(1)
    tables = rng.multinomial(50, shares, size=3000)
    found = [paired_share_difference(*fourfold(*table)) for table in np.unique(tables, axis=0)]
    _, index = np.unique(tables, axis=0, return_inverse=True)
    inside = np.array([f.low <= shares[1] - shares[2] <= f.high for f in found])[index.ravel()]
    assert inside.mean() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 3000)
    assert inside.mean() <= 0.995


def test_order_by_hand():
    """In order: sooner, sooner than a censored run, tied, unknown because censored first, later,
    both censored, and sooner because the other run is censored at the same time."""
    a, solved_a = np.array([1, 2, 3, 4, 9, 9, 9]), np.array([1, 1, 1, 0, 1, 0, 1], bool)
    b, solved_b = np.array([5, 9, 3, 6, 2, 9, 9]), np.array([1, 0, 1, 1, 1, 0, 0], bool)
    found = paired_order(a, solved_a, b, solved_b)
    assert found.value == pytest.approx((3 - 1) / 7)
    assert found.p == pytest.approx(stats.binomtest(3, 4).pvalue)


def test_scores_without_censoring_are_ranks():
    """2 rank/(n + 1) - 1 of 4 times."""
    scores = prentice_scores(np.array([30, 10, 40, 20]), np.ones(4, bool))
    np.testing.assert_allclose(scores, 2 * np.array([3, 1, 4, 2]) / 5 - 1)


def test_scores_by_hand():
    """Of 1, 2+, 3: S is 3/4 after 1 and 3/4 * 1/2 after 3; 2+ scores 1 - 3/4."""
    scores = prentice_scores(np.array([1, 2, 3]), np.array([True, False, True]))
    np.testing.assert_allclose(scores, [1 - 2 * 3 / 4, 1 - 3 / 4, 1 - 2 * 3 / 8])


def test_without_censoring_it_is_the_paired_test_of_ranks():
    """z is the sum of the rank differences over the root of the sum of their squares."""
    rng = np.random.default_rng(0)
    a, b = rng.permutation(40).reshape(2, 20)
    ranks = stats.rankdata(np.concatenate([a, b]))
    differences = ranks[:20] - ranks[20:]
    z, p = paired_prentice_wilcoxon(a, np.ones(20, bool), b, np.ones(20, bool))
    assert z == pytest.approx(differences.sum() / np.sqrt((differences**2).sum()))
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_all_exchanges_of_a_few_pairs_are_counted():
    """Of the 8 ways to exchange 3 pairs that all point one way, 2 are as extreme."""
    z, p = paired_prentice_wilcoxon(
        np.array([1, 2, 3]), np.ones(3, bool), np.array([4, 5, 6]), np.ones(3, bool)
    )
    assert z < 0
    assert p == pytest.approx(2 / 8)


def test_equal_times_do_not_differ():
    times, solved = np.array([5, 9, 9]), np.array([True, False, False])
    assert paired_prentice_wilcoxon(times, solved, times, solved) == (0, 1)


def pairs(rng, n, effect):
    """Log times that share half of their variance, on a grid of 5 updates, censored at 100."""
    shared = rng.normal(size=n)
    times = np.exp(3.5 + shared + rng.normal(size=(2, n)) + np.array([[effect], [0]]))
    times = np.ceil(times / 5) * 5
    return np.minimum(times, 100), times <= 100


@pytest.mark.parametrize("n", [8, 40])
def test_the_size_of_the_test_is_nominal(n):
    """Without an effect it rejects at most 5 % of 2,000 samples, within simulation error."""
    rng = np.random.default_rng(3)
    rejected = {0.0: 0, -0.8: 0}
    for effect in rejected:
        for _ in range(2000 if effect == 0 else 300):
            (a, b), (solved_a, solved_b) = pairs(rng, n, effect)
            rejected[effect] += paired_prentice_wilcoxon(a, solved_a, b, solved_b)[1] < 0.05
    assert rejected[0.0] / 2000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert rejected[-0.8] / 300 > 2 * rejected[0.0] / 2000

"""Statistics against scipy, closed forms, and tables worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, binomtest, ecdf

from study.stats import restricted_mean, share, solved_curve, time_to_share, wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case):
    k, n = case
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    ours = share(k, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.value == k / n


def test_nothing_is_known_from_no_runs():
    assert (share(0, 0).low, share(0, 0).high) == (0, 1)
    assert np.isnan(share(0, 0).value)


def test_wilson_covers():
    """Mean coverage over p of a 95 % interval at n = 30, by simulation."""
    rng = np.random.default_rng(4)
    p = rng.random(20_000)
    low, high = wilson(rng.binomial(30, p), np.full(p.shape, 30))
    assert ((low <= p) & (p <= high)).mean() == pytest.approx(0.95, abs=0.01)


times = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=40)


@given(times)
def test_solved_curve_is_one_minus_scipys_survival(cases):
    t = np.array([time for time, _ in cases])
    solved = np.array([event for _, event in cases])
    curve = solved_curve(t, solved)
    theirs = ecdf(CensoredData.right_censored(t, ~solved)).sf
    np.testing.assert_allclose(1 - curve.solved[1:], theirs.evaluate(curve.times[1:]), atol=1e-12)
    assert (curve.low <= curve.solved + 1e-12).all()
    assert (curve.solved <= curve.high + 1e-12).all()
    assert ((curve.low >= 0) & (curve.high <= 1)).all()


def test_without_censoring_the_interval_is_wilsons():
    curve = solved_curve(np.array([1, 2, 2, 5, 9]), np.ones(5, bool))
    low, high = wilson(np.array([0, 1, 3, 4, 5]), np.full(5, 5))
    np.testing.assert_allclose(curve.low, low, atol=1e-12)
    np.testing.assert_allclose(curve.high, high, atol=1e-12)


def test_solved_curve_by_hand():
    """Of 4 runs: one solved at 1, one censored at 2, one solved at 3, one censored at 4."""
    curve = solved_curve(np.array([1, 2, 3, 4]), np.array([True, False, True, False]))
    np.testing.assert_allclose(curve.solved, [0, 1 / 4, 1 / 4, 1 - 3 / 4 * 1 / 2, 1 - 3 / 4 * 1 / 2])
    assert curve.at_risk.tolist() == [4, 4, 3, 2, 1]


def test_median_and_its_interval_invert_the_curve():
    t, solved = np.arange(1, 101), np.arange(1, 101) <= 80
    median = time_to_share(solved_curve(t, solved))
    assert median.value == 50
    assert median.low < 50 < median.high
    assert median.n == 100


def test_a_median_beyond_the_budget_is_infinite():
    curve = solved_curve(np.full(10, 7), np.arange(10) < 3)
    assert time_to_share(curve).value == np.inf
    assert time_to_share(curve, 0.25).value == 7
    assert time_to_share(curve, 0.25).high == np.inf


def test_solved_curve_interval_covers_under_censoring():
    """Coverage of the share solved by 0.7 when unit exponential times are censored uniformly on (0, 2)."""
    rng, truth, inside = np.random.default_rng(5), 1 - np.exp(-0.7), 0
    for _ in range(2000):
        event, censor = rng.exponential(size=40), rng.uniform(0, 2, size=40)
        curve = solved_curve(np.minimum(event, censor), event <= censor)
        at = np.searchsorted(curve.times, 0.7, side="right") - 1
        inside += curve.low[at] <= truth <= curve.high[at]
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_restricted_mean_by_hand():
    """Solved at 2 and at 6, one never: within 10 that is (2 + 6 + 10)/3; within 4 it is (2 + 4 + 4)/3."""
    curve = solved_curve(np.array([2, 6, 10]), np.array([True, True, False]))
    assert restricted_mean(curve, 10) == pytest.approx(6)
    assert restricted_mean(curve, 4) == pytest.approx(10 / 3)

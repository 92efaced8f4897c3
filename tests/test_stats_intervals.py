"""Shares, rates, medians and rank association, against scipy, closed forms and published tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from study.stats import (
    bootstrap,
    boundary,
    median,
    poisson_rate,
    rank_association,
    rate_over_runs,
    share,
    share_difference,
    share_over_runs,
)
from study.stats.intervals import wilson


def covers(low, high, truth) -> float:
    return float(np.mean((np.asarray(low) <= truth) & (truth <= np.asarray(high))))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case):
    k, n = case
    theirs = stats.binomtest(k, n).proportion_ci(method="wilson")
    ours = share(k, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.value == k / n


def test_no_runs_give_no_information():
    assert (share(0, 0).low, share(0, 0).high) == (0, 1)
    assert np.isnan(share(0, 0).value)
    rng, none = np.random.default_rng(0), np.empty(0)
    for found, low, high in [
        (share_difference(none, none), -1, 1),
        (share_difference(np.array([True]), none), -1, 1),
        (poisson_rate(0, 0.0, 0), 0, np.inf),
        (rate_over_runs(none, none, rng), 0, np.inf),
        (bootstrap(lambda i: none[i].mean(-1), [0], rng), -np.inf, np.inf),
        (boundary(none, none), 0, np.inf),
    ]:
        assert np.isnan(found.value)
        assert (found.low, found.high) == (low, high)


def test_shares_of_runs_that_agree_within_count_each_run_once():
    """Runs whose trials all agree are worth n - 1 trials, or n if all runs agree too."""
    found = share_over_runs(np.array([32, 32, 32, 0]), np.full(4, 32))
    assert (found.value, found.n) == (0.75, 4)
    assert (found.low, found.high) == pytest.approx(
        tuple(map(float, wilson(np.array(2.25), np.array(3.0))))
    )
    every = share_over_runs(np.full(50, 32), np.full(50, 32))
    assert every == share(50, 50)


def test_a_share_over_runs_covers_although_runs_differ():
    rng = np.random.default_rng(0)
    chances = rng.beta(0.8, 0.3, (2000, 40))  # the runs of a sample differ widely
    hits = rng.binomial(20, chances)
    found = [share_over_runs(row, np.full(40, 20)) for row in hits]
    assert 0.92 <= covers([f.low for f in found], [f.high for f in found], 0.8 / 1.1) <= 0.98


def test_difference_of_shares_is_the_published_one():
    """Newcombe (1998), table II, method 10: 56/70 against 48/80, and 9/10 against 3/10."""
    found = share_difference(np.arange(70) < 56, np.arange(80) < 48)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    found = share_difference(np.arange(10) < 9, np.arange(10) < 3)
    assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.1705, 0.8090), abs=5e-5)
    assert found.p == pytest.approx(stats.fisher_exact([[9, 1], [3, 7]])[1])


# --- rates --------------------------------------------------------------------------------------


def test_poisson_interval_is_the_published_one():
    """From Garwood's (1936) table, for 0, 1 and 10 events."""
    for events, low, high in [(0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)]:
        found = poisson_rate(events, 1.0, 5)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-3)
    assert poisson_rate(10, 1000.0, 5).high == pytest.approx(0.01839, rel=1e-3)


def test_rate_without_events_is_bounded_by_the_rule_of_three():
    found = rate_over_runs(np.zeros(20), np.full(20, 500), np.random.default_rng(0))
    assert (found.value, found.low, found.n) == (0, 0, 20)
    assert np.exp(-found.high * 10_000) == pytest.approx(0.05)  # the chance of no event


def test_rate_covers_when_runs_differ():
    """Gamma-distributed rates, mean and variance 1: Garwood's interval covers some 86 %."""
    rng = np.random.default_rng(2)
    events = rng.poisson(rng.gamma(1.0, 1.0, size=(300, 30)))
    found = [rate_over_runs(e, np.ones(30), rng) for e in events]
    alone = [poisson_rate(int(e.sum()), 30.0, 30) for e in events]
    assert covers([f.low for f in found], [f.high for f in found], 1.0) >= 0.91
    assert covers([f.low for f in alone], [f.high for f in alone], 1.0) <= 0.88


# --- the bootstrap ------------------------------------------------------------------------------


def test_bootstrap_is_scipys():
    x = np.random.default_rng(0).exponential(size=40)
    ours = bootstrap(lambda i: x[i].mean(-1), [40], np.random.default_rng(1))
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(1)
    )
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-12)
    assert (ours.value, ours.n) == (pytest.approx(x.mean()), 40)


def test_the_same_generator_gives_the_same_interval_and_one_run_gives_none():
    x = np.arange(9.0)
    first, second = (
        bootstrap(lambda i: x[i].mean(-1), [9], np.random.default_rng(3)) for _ in range(2)
    )
    assert first == second
    alone = bootstrap(lambda i: x[i].mean(-1), [1], np.random.default_rng(3))
    assert (alone.low, alone.high) == (-np.inf, np.inf)


def test_median_by_hand():
    """Fewer than 2 of 10 coins show heads with probability 11/1024, so r = 2."""
    found = median(np.array([3, 1, 2, 10, 9, 8, 4, 5, 6, np.inf]))
    assert (found.value, found.low, found.high, found.n) == (5, 2, 10, 10)
    few = median(np.arange(5))
    # Even the extremes of 5 values miss the median with probability 1/16.
    assert (few.value, few.low, few.high) == (2, -np.inf, np.inf)


def test_median_covers():
    samples = np.random.default_rng(0).exponential(size=(2000, 31))
    found = [median(sample) for sample in samples]
    assert 0.95 <= covers([f.low for f in found], [f.high for f in found], np.log(2)) <= 0.98


def test_rank_association_is_spearmans():
    """1, 2, 3, 4, 5 against 2, 1, 4, 3, 5: 1 - 6 * 4 / (5 * 24) = 0.8."""
    found = rank_association(np.arange(5), np.array([2, 1, 4, 3, 5]), np.random.default_rng(0))
    assert found.value == pytest.approx(0.8)
    assert found.p == pytest.approx(stats.spearmanr(np.arange(5), [2, 1, 4, 3, 5])[1])
    assert -1 <= found.low <= 0.8 <= found.high <= 1


def test_infinite_values_rank_last_and_a_constant_has_no_association():
    x = np.arange(6)
    rising = rank_association(x, np.array([0, 1, 2, 3, 4, np.inf]), np.random.default_rng(0))
    assert rising.value == pytest.approx(1)
    constant = rank_association(x, np.ones(6), np.random.default_rng(0))
    assert np.isnan(constant.value)
    assert (constant.low, constant.high) == (-1, 1)

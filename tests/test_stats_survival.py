"""Censored times against scipy, closed forms, and tables worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf
from statsmodels.duration.survfunc import survdiff

from study.stats import (
    logrank,
    restricted_means,
    rmst,
    rmst_difference,
    solved_curve,
    time_to_share,
)
from study.stats.intervals import wilson

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
    np.testing.assert_allclose(
        curve.solved, [0, 1 / 4, 1 / 4, 1 - 3 / 4 * 1 / 2, 1 - 3 / 4 * 1 / 2]
    )
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
    """The share solved by 0.7, for unit exponential times censored uniformly on (0, 2)."""
    rng, truth, inside = np.random.default_rng(5), 1 - np.exp(-0.7), 0
    for _ in range(2000):
        event, censor = rng.exponential(size=40), rng.uniform(0, 2, size=40)
        curve = solved_curve(np.minimum(event, censor), event <= censor)
        at = np.searchsorted(curve.times, 0.7, side="right") - 1
        inside += curve.low[at] <= truth <= curve.high[at]
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_restricted_mean_by_hand():
    """Solved at 2, at 6 and never: (2 + 6 + 10)/3 within 10, and (2 + 4 + 4)/3 within 4."""
    times, solved = np.array([2.0, 6, 10]), np.array([True, True, False])
    assert restricted_means(times, solved, 10) == pytest.approx(6)
    assert restricted_means(times, solved, 4) == pytest.approx(10 / 3)


@given(times, st.integers(1, 14))
def test_restricted_means_of_many_samples_are_the_areas_under_their_curves(cases, horizon):
    t = np.array([time for time, _ in cases], float)
    solved = np.array([event for _, event in cases])
    curve = solved_curve(t, solved)
    within = curve.times < horizon
    widths = np.diff(np.append(curve.times[within], horizon))
    rng = np.random.default_rng(len(cases))
    order = rng.permuted(np.tile(np.arange(len(t)), (3, 1)), axis=1)
    found = restricted_means(t[order], solved[order], horizon)
    np.testing.assert_allclose(found, ((1 - curve.solved[within]) * widths).sum(), rtol=1e-9)


def test_restricted_mean_interval_and_difference_by_hand():
    rng = np.random.default_rng(0)
    a = (np.array([2.0, 6, 10, 4]), np.array([True, True, False, True]))
    b = (np.array([3.0, 10, 10, 5]), np.array([True, False, False, True]))
    found = rmst(*a, 10, rng)
    assert found.value == pytest.approx(5.5)
    assert 2 <= found.low < 5.5 < found.high <= 10
    paired = rmst_difference(a, b, 10, rng, paired=True)
    apart = rmst_difference(a, b, 10, rng, paired=False)
    assert paired.value == apart.value == pytest.approx(5.5 - 7)
    assert paired.n == 4
    assert apart.n == 8
    assert paired.high - paired.low < apart.high - apart.low


def test_if_all_runs_agree_the_interval_is_wilsons():
    """None of 20 runs solved the task within 100, so up to 16.1 % of others might, at once."""
    never = rmst(np.full(20, 100), np.zeros(20, bool), 100, np.random.default_rng(0))
    assert (never.value, never.low, never.high) == pytest.approx(
        (100, 100 * (1 - 0.1611), 100), abs=0.01
    )
    at_ten = rmst(np.full(20, 10), np.ones(20, bool), 100, np.random.default_rng(0))
    assert (at_ten.low, at_ten.high) == pytest.approx((10 * 0.8389, 10 * 0.8389 + 16.11), abs=0.01)


def test_a_restricted_mean_beyond_the_last_time_is_refused():
    with pytest.raises(ValueError, match="horizon 20 is beyond 10"):
        rmst(np.array([3, 10]), np.array([True, False]), 20, np.random.default_rng(0))
    one, two = (np.array([1, 2]), np.ones(2, bool)), (np.array([1]), np.ones(1, bool))
    with pytest.raises(ValueError, match="equally many runs"):
        rmst_difference(one, two, 1, np.random.default_rng(0), paired=True)


def bimodal(rng, n):
    """Four in five runs solve the task after an exponential time of mean 20; censored at 100."""
    t = np.where(rng.random(n) < 0.8, rng.exponential(20, size=n), np.inf)
    return np.minimum(t, 100), t <= 100


def test_restricted_mean_interval_covers_bimodal_times():
    rng, truth = np.random.default_rng(8), 0.2 * 100 + 0.8 * 20 * (1 - np.exp(-5))
    found = [rmst(*bimodal(rng, 40), 100, rng) for _ in range(400)]
    inside = np.mean([f.low <= truth <= f.high for f in found])
    assert inside == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def test_logrank_is_statsmodels():
    rng = np.random.default_rng(1)
    t, solved = rng.integers(1, 30, size=(2, 30)), rng.random((2, 30)) < 0.7
    _, expected = survdiff(t.ravel(), solved.ravel().astype(int), np.repeat([0, 1], 30))
    assert logrank((t[0], solved[0]), (t[1], solved[1])) == pytest.approx(expected)
    never = np.zeros(30, bool)
    assert logrank((t[0], never), (t[1], never)) == 1


def test_samples_that_no_time_can_tell_apart_do_not_differ():
    """All runs solve the task at the same time, so the log-rank statistic has no variance."""
    same = (np.full(4, 10.0), np.ones(4, bool))
    assert logrank(same, same) == 1


def test_runs_censored_at_different_budgets_leave_room_for_others():
    """Nobody solved the task: at most a share s of others would, with s as in Wilson's interval."""
    rng, s = np.random.default_rng(0), float(wilson(0, 2)[1])
    times, never = np.array([50.0, 100.0]), np.zeros(2, bool)
    found = rmst(times, never, 100, rng)
    assert (found.value, found.low, found.high) == (100, pytest.approx(100 * (1 - s)), 100)
    difference = rmst_difference((times, never), (times, never), 100, rng, paired=True)
    assert difference.value == 0
    assert difference.low == pytest.approx(-100 * s)
    assert difference.high == pytest.approx(100 * s)


def test_without_runs_the_estimate_is_missing_and_anything_is_possible():
    rng, none = np.random.default_rng(0), (np.empty(0), np.empty(0, bool))
    some = (np.array([1.0, 2.0]), np.ones(2, bool))
    for found, low, high in [
        (time_to_share(solved_curve(*none)), 0, np.inf),
        (rmst(*none, 100, rng), 0, 100),
        (rmst_difference(none, none, 100, rng, paired=True), -100, 100),
        (rmst_difference(some, none, 100, rng, paired=False), -100, 100),
    ]:
        assert np.isnan(found.value)
        assert (found.low, found.high) == (low, high)

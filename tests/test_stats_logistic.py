"""Boundaries and effects, against statsmodels and closed forms."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit
from scipy.stats import chi2

from study.stats import boundary, logistic_effects

LENGTHS = np.array([5, 10, 20, 40, 80])


def runs(solved, n=30):
    """`solved` of `n` runs at each of LENGTHS."""
    return np.repeat(LENGTHS, n), np.concatenate([np.arange(n) < k for k in solved])


# --- boundaries ---------------------------------------------------------------------------------


def test_boundary_is_that_of_the_logistic_fit():
    length, solved = runs([29, 25, 17, 8, 1])
    fit = sm.Logit(solved.astype(float), sm.add_constant(np.log(length))).fit(disp=0)
    found = boundary(length, solved)
    assert found.value == pytest.approx(np.exp(-fit.params[0] / fit.params[1]), rel=1e-5)
    for end in (found.low, found.high):  # where the likelihood ratio test just rejects
        held = sm.Logit(solved.astype(float), np.log(length / end)[:, None]).fit(disp=0)
        assert fit.llf - held.llf == pytest.approx(3.8415 / 2, abs=1e-3)
    assert found.n == 150


def test_a_rising_share_mirrors_a_falling_one():
    length, solved = runs([29, 25, 17, 8, 1])
    down, up = boundary(length, solved), boundary(1 / length, solved, falling=False)
    assert (up.value, up.low, up.high) == pytest.approx(
        (1 / down.value, 1 / down.high, 1 / down.low), rel=1e-6
    )


def test_separated_levels_leave_the_gap_between_them():
    found = boundary(*runs([30, 30, 30, 0, 0]))
    assert (found.value, found.low, found.high) == pytest.approx((np.sqrt(20 * 40), 20, 40))


def test_a_boundary_beyond_all_levels_is_open():
    always, never = boundary(*runs([30] * 5)), boundary(*runs([0] * 5))
    assert (always.value, always.low, always.high) == (np.inf, pytest.approx(80), np.inf)
    assert (never.value, never.low, never.high) == (0, 0, pytest.approx(5))


def test_the_interval_is_open_if_the_share_does_not_depend_on_the_level():
    high = boundary(*runs([24, 23, 25, 24, 24]))
    assert high.high == np.inf
    assert high.low > 80
    even = boundary(*runs([15, 16, 15, 14, 15]))
    assert (even.low, even.high) == (0, np.inf)


# --- effects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [([3, 7], [10, 12]), ([0, 9], [10, 9])])
def test_one_factor_adds_half_a_run_to_each_entry(k, n):
    """Firth's estimate for a 2 x 2 table is the log odds ratio of the counts plus 1/2."""
    solved = np.concatenate([np.arange(n[i]) < k[i] for i in range(2)])
    (row,) = logistic_effects({"a": np.repeat([0, 1], n)}, solved).to_dict("records")
    odds = [(k[i] + 0.5) / (n[i] - k[i] + 0.5) for i in range(2)]
    assert row["log_odds_ratio"] == pytest.approx(np.log(odds[1] / odds[0]), abs=1e-6)
    assert row["low"] < row["log_odds_ratio"] < row["high"]
    assert row["n"] == sum(n)


def penalised(odds, solved, n):
    """Firth's log likelihood of a 2 x 2 table: every cell gains half a run of each kind."""
    return ((solved + 0.5) * log_expit(odds) + (n - solved + 0.5) * log_expit(-odds)).sum()


def test_intervals_and_p_are_those_of_the_profile_likelihood():
    """The likelihood of a 2 x 2 table, maximised over the constant, falls by chi-square / 2."""
    solved, n = np.array([0, 9]), np.array([10, 12])
    outcome = np.concatenate([np.arange(n[i]) < solved[i] for i in range(2)])
    (row,) = logistic_effects({"a": np.repeat([0, 1], n)}, outcome).to_dict("records")

    def top(ratio):
        """The penalised log likelihood at a log odds ratio and its best constant."""
        return -minimize_scalar(
            lambda middle: -penalised(middle + ratio * np.array([-0.5, 0.5]), solved, n)
        ).fun

    best = top(row["log_odds_ratio"])
    for end in (row["low"], row["high"]):
        assert best - top(end) == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=1e-5)
    assert row["p"] == pytest.approx(chi2.sf(2 * (best - top(0)), 1), rel=1e-5)


def test_centred_columns_make_main_effects_averages():
    """For log odds 0, 1, 2, 5 in the four cells, a is (2 + 4)/2, b is (1 + 3)/2, a : b is 5 - 3."""
    n = 40_000
    a, b = np.repeat(["no", "no", "yes", "yes"], n), np.tile(np.repeat([1, 10], n), 2)
    solved = np.concatenate([np.arange(n) < round(n * expit(odds)) for odds in (0, 1, 2, 5)])
    table = logistic_effects({"a": a, "b": b}, solved).set_index("term")
    assert table["log_odds_ratio"].to_dict() == pytest.approx(
        {"a=yes": 3, "b=10": 2, "a=yes : b=10": 2}, abs=0.02
    )


def test_three_levels_are_compared_with_the_first():
    n = 20_000
    level = np.repeat(["gru", "lstm", "rnn"], n)
    solved = np.concatenate([np.arange(n) < round(n * expit(odds)) for odds in (0, 1, -2)])
    table = logistic_effects({"cell": level}, solved).set_index("term")["log_odds_ratio"]
    assert table.to_dict() == pytest.approx({"cell=lstm": 1, "cell=rnn": -2}, abs=0.01)


def test_terms_that_cannot_be_told_apart_and_constant_factors_are_refused():
    a = np.repeat([0, 1], 10)
    with pytest.raises(ValueError, match="cannot tell apart the effects of 3 terms"):
        logistic_effects({"a": a, "b": a}, a > 0)
    with pytest.raises(ValueError, match="factor 'b' has only the level"):
        logistic_effects({"a": a, "b": np.zeros(20)}, a > 0)

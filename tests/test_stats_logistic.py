"""Boundaries and effects: against statsmodels, closed forms, a published analysis, and coverage."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from study.stats import boundary, logistic_effects
from study.stats.logistic import _Firth

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
    assert found.slope == pytest.approx(fit.params[1], rel=1e-5)
    for end in (found.low, found.high):  # where the likelihood ratio test just rejects
        held = sm.Logit(solved.astype(float), np.log(length / end)[:, None]).fit(disp=0)
        assert fit.llf - held.llf == pytest.approx(3.8415 / 2, abs=1e-3)
    assert found.n == 150


def test_rising_is_falling_seen_in_a_mirror():
    length, solved = runs([29, 25, 17, 8, 1])
    down, up = boundary(length, solved), boundary(1 / length, solved, falling=False)
    assert (up.value, up.low, up.high) == pytest.approx(
        (1 / down.value, 1 / down.high, 1 / down.low), rel=1e-6
    )
    linear = boundary(np.log(length), solved, log=False)
    assert np.exp([linear.value, linear.low, linear.high]) == pytest.approx(
        [down.value, down.low, down.high], rel=1e-6
    )


def test_separated_levels_leave_the_gap_between_them():
    found = boundary(*runs([30, 30, 30, 0, 0]))
    assert (found.value, found.low, found.high) == pytest.approx((np.sqrt(20 * 40), 20, 40))
    assert found.slope == -np.inf


def test_a_boundary_beyond_all_levels_is_open():
    always, never = boundary(*runs([30] * 5)), boundary(*runs([0] * 5))
    assert (always.value, always.low, always.high) == (np.inf, pytest.approx(80), np.inf)
    assert (never.value, never.low, never.high) == (0, 0, pytest.approx(5))


def test_without_dependence_the_interval_has_no_end_where_the_share_leaves_it_open():
    high = boundary(*runs([24, 23, 25, 24, 24]))
    assert high.high == np.inf
    assert high.low > 80
    even = boundary(*runs([15, 16, 15, 14, 15]))
    assert (even.low, even.high) == (0, np.inf)


def test_boundary_interval_covers():
    rng = np.random.default_rng(0)
    share, inside = expit(-2 * np.log(LENGTHS / 25)), 0
    for solved in rng.binomial(30, share, size=(250, 5)):
        found = boundary(*runs(solved))
        inside += found.low <= 25 <= found.high
    assert inside / 250 == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 250))


# --- effects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [([3, 7], [10, 12]), ([0, 9], [10, 9])])
def test_one_factor_adds_half_a_run_to_each_entry(k, n):
    """Firth's likelihood of a saturated 2 x 2 table: log odds ratio of counts + 1/2."""
    solved = np.concatenate([np.arange(n[i]) < k[i] for i in range(2)])
    (row,) = logistic_effects({"a": np.repeat([0, 1], n)}, solved).to_dict("records")
    odds = [(k[i] + 0.5) / (n[i] - k[i] + 0.5) for i in range(2)]
    assert row["log_odds_ratio"] == pytest.approx(np.log(odds[1] / odds[0]), abs=1e-6)
    assert row["low"] < row["log_odds_ratio"] < row["high"]
    assert row["n"] == sum(n)


# Heinze & Schemper (2002), endometrial cancer: neovasculisation NV, pulsatility PI, cavity depth EH, grade HG.
NV = [21, 22, 23, 24, 25, 47, 48, 49, 50, 70, 74, 75, 77]
PI = """13 16 8 34 20 5 17 10 26 17 8 7 20 10 18 16 18 8 29 12 20 38 22 7 25 15 7 28 11 19 10 10 18 14 21 11 17 25 16 19
15 33 24 48 12 19 2 22 40 5 0 21 15 29 15 12 3 20 23 12 22 42 15 13 14 19 12 13 10 12 49 6 5 17 11 21 5 19 33"""
EH = """1.64 2.26 3.14 2.68 1.28 2.31 1.8 1.68 1.56 2.31 2.01 1.89 3.15 1.23 1.27 1.76 2 2.64 .88 1.27 1.37 .97 1.14 .88
.91 .58 .97 1.5 1.33 2.37 1.82 3.13 1.31 1.92 1.64 2.01 1.88 1.93 2.11 1.29 1.72 .75 1.92 1.84 1.11 1.61 1.18 1.44 1.18
.93 1.17 1.19 1.06 2.02 2.29 2.33 2.9 1.7 1.41 2.25 1.54 1.97 1.75 2.16 2.57 1.37 3.61 2.04 2.17 1.69 .27 1.84 1.3 .96
1.01 .98 .35 1.02 .85"""
HG = [*range(17, 27), *range(43, 53), *range(69, 79)]


def test_effects_are_the_published_ones():
    """Estimates and profile intervals of R's logistf; NV separates the outcome, so plain likelihood has no estimate."""
    nv, grade = np.zeros(79), np.zeros(79)
    nv[NV], grade[HG] = 1, 1
    design = np.column_stack(
        [np.ones(79), nv, np.array(PI.split(), float), np.array(EH.split(), float)]
    )
    model = _Firth(design, grade)
    np.testing.assert_allclose(
        model.coefficients, [3.77455951, 2.92927330, -0.03475175, -2.60416387], rtol=1e-4
    )
    intervals = [model.effect(j, 3.841459 / 2)[1:3] for j in range(4)]
    published = [
        (1.0825371, 7.2092805),
        (0.6097244, 7.8546317),
        (-0.1244587, 0.0404555),
        (-4.3651832, -1.2327211),
    ]
    np.testing.assert_allclose(intervals, published, rtol=1e-3)


def test_centred_columns_make_main_effects_averages():
    """Log odds 0, 1, 2, 5 in the four cells of many runs: a: (2 + 4)/2 = 3, b: (1 + 3)/2 = 2, a : b: 4 - 2 = 2."""
    n = 40_000
    a, b = np.repeat(["no", "no", "yes", "yes"], n), np.tile(np.repeat([1, 10], n), 2)
    solved = np.concatenate([np.arange(n) < round(n * expit(odds)) for odds in (0, 1, 2, 5)])
    table = logistic_effects({"a": a, "b": b}, solved).set_index("term")
    assert table["log_odds_ratio"].to_dict() == pytest.approx(
        {"a=yes": 3, "b=10": 2, "a=yes : b=10": 2}, abs=0.02
    )


def test_three_levels_are_held_against_the_first():
    n = 20_000
    level = np.repeat(["gru", "lstm", "rnn"], n)
    solved = np.concatenate([np.arange(n) < round(n * expit(odds)) for odds in (0, 1, -2)])
    table = logistic_effects({"cell": level}, solved).set_index("term")["log_odds_ratio"]
    assert table.to_dict() == pytest.approx({"cell=lstm": 1, "cell=rnn": -2}, abs=0.01)


def test_terms_that_cannot_be_told_apart_and_constant_factors_are_refused():
    a = np.repeat([0, 1], 10)
    with pytest.raises(ValueError, match="cannot be told apart"):
        logistic_effects({"a": a, "b": a}, a > 0)
    with pytest.raises(ValueError, match="factor 'b' has the one level"):
        logistic_effects({"a": a, "b": np.zeros(20)}, a > 0)


def test_effect_interval_covers():
    rng = np.random.default_rng(1)
    a, inside = np.repeat([0, 1], 25), 0
    for _ in range(250):
        (row,) = logistic_effects({"a": a}, rng.random(50) < expit(-1 + 2 * a)).to_dict("records")
        inside += row["low"] <= 2 <= row["high"]
    assert inside / 250 == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 250))

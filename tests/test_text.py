"""Numbers in text and tables."""

import math

import pytest

from study.text import decimals_text, estimate_text, power_text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.915, 0.868, 0.946), "0.915 [0.868, 0.946]"),
        ((1, 0.98, 1), "1.000 [0.980, 1.000]"),
        ((0, 0, 0.1571), "0.000 [0.000, 0.157]"),
        ((-0.5647, -0.6141, -0.5), "−0.565 [−0.614, −0.500]"),
        ((0.0119083, 0.0117479, 0.012216), "0.0119 [0.0117, 0.0122]"),
        ((0, 0, 0.00489457), "0 [0, 0.00489]"),
        ((0, 0, 4.61e-8), "0 [0, 4.6\u00a0×\u00a010⁻⁸]"),
        ((-2, -3, 1), "−2 [−3, 1]"),
        ((1, 0, 1), "1 [0, 1]"),
        ((2.11, 1.7299, 2.53), "2.11 [1.73, 2.53]"),
        ((12.34, 9.9, 1234.5), "12 [10, 1,234]"),
        ((5, 4, math.inf), "5 [4, ∞]"),
        ((0.5,), "0.500"),
        ((0,), "0.000"),
    ],
)
def test_an_estimate_and_its_bounds_have_the_same_decimals(values, text):
    assert estimate_text(*values) == text


def test_a_difference_has_its_sign():
    assert estimate_text(0.99, -0.01, 1, sign=True) == "+0.990 [−0.010, +1.000]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.234e-37, "1\u00a0×\u00a010⁻³⁷"),
        (0.00056, "6\u00a0×\u00a010⁻⁴"),
        (0.012, "0.01"),
        (0, "0"),
    ],
)
def test_a_small_number_has_a_power_of_ten(value, text):
    assert power_text(value, 1) == text


def test_thousands_are_set_apart():
    assert decimals_text(-20000.4) == "−20,000"

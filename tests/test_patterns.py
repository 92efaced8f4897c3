"""The arithmetic of patterns against sums written out and patterns solved by hand."""

import cmath

import numpy as np
import pytest

from study.dynamics import patterns

PATTERNS = ["10", "110", "1100", "1000", "11010", "111000", "1010"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_harmonics_are_the_sums_that_define_them_and_give_the_pattern_back(pattern):
    p, mean = len(pattern), pattern.count("1") / len(pattern)
    found, turns = patterns.harmonics(pattern), patterns.angles(p)
    assert turns == pytest.approx([2 * cmath.pi * k / p for k in range(p)])
    for k in range(p):
        terms = [(int(pattern[t]) - mean) * cmath.exp(-1j * turns[k] * t) for t in range(p)]
        assert found[k] == pytest.approx(sum(terms) / p, abs=1e-15)
    again = [mean + sum(found * np.exp(1j * turns * t)) for t in range(p)]
    assert again == pytest.approx([int(symbol) for symbol in pattern])


@pytest.mark.parametrize(
    ("pattern", "angle", "k", "distance"),
    [
        ("10", 3.0, 1, np.pi - 3),
        ("10", 0.0, 1, np.pi),
        ("110", -2.0, 1, 2 * np.pi / 3 - 2),
        ("110", 2.0 + 2 * np.pi, 1, 2 * np.pi / 3 - 2),
        ("1100", np.pi, 1, np.pi / 2),  # it has no power at π
        ("1000", np.pi, 2, 0.0),
        ("111000", 2.0, 1, 2 - np.pi / 3),  # nor has this one at 2 π/3
        ("1010", 0.5, 2, np.pi - 0.5),
    ],
)
def test_the_nearest_harmonic_has_power(pattern, angle, k, distance):
    found = patterns.nearest_harmonic(pattern, angle)
    assert found[0] == k
    assert found[1] == pytest.approx(distance, abs=1e-12)


def test_a_constant_pattern_has_no_harmonic():
    with pytest.raises(ValueError, match="'111' has no harmonic"):
        patterns.nearest_harmonic("111", 1.0)


def test_angles_are_folded():
    turns = np.array([0.5, -0.5, np.pi, 2 * np.pi - 1, 7.0])
    expected = [0.5, 0.5, np.pi, 1.0, 7 - 2 * np.pi]
    assert patterns.folded(turns) == pytest.approx(expected)


def test_labels_are_matched_to_the_pattern():
    assert patterns.right_labels("110", 7).tolist() == [1, 1, 0, 1, 1, 0, 1]
    labels = [np.array([int(symbol) for symbol in text]) for text in ("110", "101", "011", "010")]
    assert [patterns.rotation("110", some) for some in labels] == [0, 1, 2, None]
    assert patterns.rotation("1010", np.array([0, 1])) == 1
    assert patterns.rotation("110", np.array([1])) == 0  # too short to tell


def test_the_step_from_which_labels_are_right():
    right = patterns.right_labels("110", 9)
    assert patterns.right_from("110", right) == 0
    for step in (0, 4, 8):
        wrong = right.copy()
        wrong[: step + 1] = 1 - wrong[: step + 1]
        assert patterns.right_from("110", wrong) == step + 1


def test_eigenvalues_are_followed_through_a_change_of_order():
    """A pair turns by a small angle while a real eigenvalue passes it in modulus."""
    before = np.array([0.9j, -0.9j, 0.8])
    after = np.array([0.95, 0.9 * np.exp(1.5j), 0.9 * np.exp(-1.5j)])
    assert patterns.matched(before, after) == pytest.approx(after[[1, 2, 0]])
    rng = np.random.default_rng(0)
    many = rng.normal(size=20) + 1j * rng.normal(size=20)
    moved = many + 1e-3
    assert patterns.matched(many, rng.permutation(moved)) == pytest.approx(moved)

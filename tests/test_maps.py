"""Fixed points and cycles of maps that are solved by hand."""

import math

import numpy as np
import pytest

from study.dynamics import maps

ANYWHERE = np.array([np.inf])


def of_one_number(function, slope) -> maps.Map:
    """The map z' = function(z) of states with one entry."""
    return lambda points: (function(points), slope(points)[..., None])


def tanh_of(weight: float) -> maps.Map:
    """The map z' = tanh(weight z) of states with one entry."""
    return of_one_number(
        lambda z: np.tanh(weight * z), lambda z: weight * (1 - np.tanh(weight * z) ** 2)
    )


def linear(matrix: np.ndarray) -> maps.Map:
    """The map z' = matrix z."""
    return lambda points: (points @ matrix.T, np.broadcast_to(matrix, (len(points), *matrix.shape)))


def test_a_tanh_map_with_a_2_cycle():
    """z' = tanh(-2 z): unstable at 0 with multiplier -2, and the cycle ±z with z = tanh(2 z)."""
    starts = np.linspace(-1, 1, 21)[:, None]
    fixed, cycle = maps.find(tanh_of(-2.0), starts, 2, ANYWHERE)
    z = 0.957504024  # to nine digits
    assert (fixed.period, fixed.is_stable, cycle.period, cycle.is_stable) == (1, False, 2, True)
    assert fixed.points.ravel() == pytest.approx([0.0], abs=1e-12)
    assert fixed.multipliers == pytest.approx([-2.0])  # of one step, though two were searched for
    assert sorted(cycle.points.ravel()) == pytest.approx([-z, z])
    assert cycle.multipliers == pytest.approx([(2 * (1 - z**2)) ** 2])
    assert cycle.residual < 1e-12


def test_the_logistic_map_has_two_3_cycles_at_3_84():
    """Of the eight fixed points of three steps, two are fixed by one step."""
    logistic = of_one_number(lambda z: 3.84 * z * (1 - z), lambda z: 3.84 * (1 - 2 * z))
    found = maps.find(logistic, np.linspace(0, 1, 101)[:, None], 3, ANYWHERE)
    assert [cycle.period for cycle in found] == [1, 1, 3, 3]
    assert sorted(cycle.is_stable for cycle in found) == [False, False, False, True]
    for cycle in found[2:]:
        onward = 3.84 * cycle.points * (1 - cycle.points)
        assert onward == pytest.approx(np.roll(cycle.points, -1, axis=0), abs=1e-11)
        assert cycle.multipliers == pytest.approx(np.prod(3.84 * (1 - 2 * cycle.points)))
    fixed = sorted(cycle.points[0, 0] for cycle in found[:2])
    assert fixed == pytest.approx([0.0, 1 - 1 / 3.84], abs=1e-11)


def test_steps_are_repeated_with_their_jacobian():
    matrix = np.random.default_rng(0).normal(size=(3, 3))
    points, jacobians = maps.repeated(linear(matrix), np.ones((2, 3)), 4)
    power = np.linalg.matrix_power(matrix, 4)
    assert points == pytest.approx(np.tile(power.sum(axis=1), (2, 1)))
    assert jacobians == pytest.approx(np.stack([power, power]))


def test_eigenvalues_are_sorted_and_the_upper_one_of_a_pair_comes_first():
    turn = 0.9 * np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    matrix = np.zeros((4, 4))
    matrix[:2, :2], matrix[2, 2], matrix[3, 3] = turn, 0.5, -0.95
    expected = [-0.95, 0.9 * np.exp(1j), 0.9 * np.exp(-1j), 0.5]
    assert maps.sorted_eigenvalues(matrix) == pytest.approx(np.array(expected))


def test_a_singular_matrix_ends_only_its_own_search():
    """z' = z² + z/4 has the slope 1 at 3/8 and the fixed points 0 and 3/4."""
    square = of_one_number(lambda z: z**2 + z / 4, lambda z: 2 * z + 1 / 4)
    points, residuals = maps.newton(square, np.array([[3 / 8], [0.1], [1.0]]), 1)
    assert points.ravel() == pytest.approx([3 / 8, 0.0, 3 / 4], abs=1e-9)
    assert residuals[0] > 0.1
    assert residuals[1:].max() < 1e-12


def test_states_that_overflow_or_lie_beyond_the_bounds_are_no_roots():
    shift = of_one_number(lambda z: z + 1.0, np.ones_like)  # it has no fixed point
    starts = np.array([[0.0], [1e300], [np.nan]])  # at 1e300 rounding hides the step
    assert maps.find(shift, starts, 1, np.array([1e5])) == []
    cubic = of_one_number(lambda z: z**3, lambda z: 3 * z**2)  # fixed at 0 and ±1
    starts = np.array([[0.1], [1.2], [-1.2]])
    assert len(maps.find(cubic, starts, 1, ANYWHERE)) == 3
    assert len(maps.find(cubic, starts, 1, np.array([0.5]))) == 1

"""Measures on tiny tables whose answers are worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.model.measures import (
    accuracy,
    converged_index,
    converged_indices,
    exact_share,
    first_errors,
    lost_index,
    lost_indices,
    phase_free,
    phase_slips,
    score,
)

# step 0 is wrong in every sequence, and counts nowhere
CORRECT = np.array([[0, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 0]], dtype=bool)


def test_step_zero_is_never_counted():
    assert accuracy(CORRECT) == (4 + 3 + 0 + 3) / 16
    assert exact_share(CORRECT) == 1 / 4
    assert first_errors(CORRECT).tolist() == [5, 2, 1, 4]  # 5 = T: none


@pytest.mark.parametrize(
    ("exact", "consecutive", "threshold", "index"),
    [
        ([0, 1, 1, 1], 3, 1.0, 1),
        ([0, 1, 0, 1, 1], 2, 1.0, 3),
        ([0, 1, 0, 1, 1], 3, 1.0, None),
        ([1], 1, 1.0, 0),
        ([1], 2, 1.0, None),
        ([], 1, 1.0, None),
        ([0.0, 0.9, 0.99, 1.0], 2, 0.9, 1),
        ([0.0, 0.9, np.nan, 1.0], 2, 0.9, None),
    ],
)
def test_convergence_is_the_first_of_consecutive_solved_evaluations(
    exact, consecutive, threshold, index
):
    assert converged_index(np.array(exact), consecutive, threshold) == index


def test_loss_of_a_solution():
    exact = np.array([0, 1, 1, 0.5, 1])
    assert lost_index(exact, 1) == 3
    assert lost_index(exact, 4) is None
    assert lost_index(exact, None) is None
    assert lost_index(exact, 1, threshold=0.5) is None


def test_score_reports_no_error_as_none():
    seen = score(0.25, CORRECT)
    assert (seen.loss, seen.first_error, seen.first_error_median) == (0.25, 1, 2)
    perfect = score(0.0, np.ones((3, 4), dtype=bool))
    assert (perfect.accuracy, perfect.exact, perfect.first_error, perfect.first_error_median) == (
        1,
        1,
        None,
        None,
    )


levels = st.sampled_from([0.0, 0.5, 0.9, 1.0, float("nan")])


@given(
    st.lists(st.lists(levels, max_size=9), max_size=6),
    st.integers(1, 4),
    st.sampled_from([0.5, 0.95, 1.0]),
)
def test_many_curves_at_once_are_each_by_itself(curves, consecutive, threshold):
    lengths = np.array([len(curve) for curve in curves], dtype=int)
    values = np.array([value for curve in curves for value in curve])
    found = converged_indices(values, lengths, consecutive, threshold)
    each = [converged_index(np.array(curve), consecutive, threshold) for curve in curves]
    assert found.tolist() == [-1 if index is None else index for index in each]
    lost = lost_indices(values, lengths, found, threshold)
    alone = [
        lost_index(np.array(curve), index, threshold)
        for curve, index in zip(curves, each, strict=True)
    ]
    assert lost.tolist() == [-1 if index is None else index for index in alone]


@pytest.mark.parametrize(
    ("labels", "slips"),
    [
        ("x1111111", 0),
        ("01110000", 1),  # step 0 counts nowhere
        ("01100110", 2),  # out of phase, back in phase; the last wrong label is not held
        ("01110111", 0),  # an error, not a slip
        ("01110101", 0),  # errors that are never held
        ("00000000", 1),  # out of phase from the first step that counts
        ("01110100", 1),
        ("0", 0),
    ],
)
def test_phase_slips_by_hand(labels, slips):
    correct = np.array([[label == "1" for label in labels]])
    assert phase_slips(correct).tolist() == [slips]


def test_a_slip_is_what_is_held_long_enough():
    correct = np.array([[1, 1, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1]], dtype=bool)
    assert phase_slips(correct, hold=3).tolist() == [2, 0]
    assert phase_slips(correct, hold=4).tolist() == [0, 0]


def test_phase_free_accuracy():
    assert phase_free(np.array([0.1, 0.5, 0.8])).tolist() == [0.9, 0.5, 0.8]

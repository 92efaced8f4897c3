"""Measures on tiny tables whose answers are worked out by hand."""

import numpy as np
import pytest

from study.model.measures import (
    accuracy,
    converged_index,
    exact_share,
    first_errors,
    lost_index,
    score,
)

# Step 0 is wrong in every sequence and must never count.
CORRECT = np.array([[0, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 0]], dtype=bool)


def test_step_zero_is_never_counted():
    assert accuracy(CORRECT) == (4 + 3 + 0 + 3) / 16
    assert exact_share(CORRECT) == 1 / 4
    assert first_errors(CORRECT).tolist() == [5, 2, 1, 4]  # 5 = T: no error


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
    assert (perfect.accuracy, perfect.exact) == (1, 1)
    assert (perfect.first_error, perfect.first_error_median) == (None, None)

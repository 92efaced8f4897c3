"""Measure how well a network solves the task, and when its training reached or lost a solution.

The exact share is the share of sequences whose labels are all right. Step 0 never counts, because
its input can be a cue that gives the label away even to a network without memory. `converged_index`
and `lost_index` work on a series of evaluations, such as a stored curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def accuracy(correct: np.ndarray) -> float:
    """Return the share of right labels from step 1 on.

    `correct` (n, T) bool says which labels of n sequences of T steps are right.
    """
    return float(correct[:, 1:].mean())


def exact_share(correct: np.ndarray) -> float:
    """Return the share of sequences with every label right from step 1 on.

    `correct` (n, T) bool says which labels of n sequences of T steps are right.
    """
    return float(correct[:, 1:].all(axis=1).mean())


def first_errors(correct: np.ndarray) -> np.ndarray:
    """Return the step of each sequence's first wrong label, not counting step 0.

    `correct` (n, T) bool says which labels of n sequences of T steps are right. The result is (n,)
    int64 with values from 1 to T. The value T means that a sequence has no wrong label, so its
    first error is right-censored at the end.
    """
    wrong = ~correct[:, 1:]
    return np.where(wrong.any(axis=1), wrong.argmax(axis=1) + 1, correct.shape[1])


def converged_index(exact: np.ndarray, consecutive: int, threshold: float = 1.0) -> int | None:
    """Return the index of the evaluation at which a run converged, or None if it never did.

    If the exact share is at least `threshold` at `consecutive` evaluations in a row, the run
    converged at the first of them. `exact` (evaluations,) holds the exact share at each evaluation,
    the share of sequences with every label right (see `exact_share`). If the run never converged,
    the time of convergence is right-censored at the end of the run.
    """
    solved = (np.asarray(exact) >= threshold).tobytes()  # one byte per evaluation
    index = solved.find(b"\x01" * consecutive)
    return None if index < 0 else index


def lost_index(exact: np.ndarray, converged: int | None, threshold: float = 1.0) -> int | None:
    """Return the index of the evaluation at which a run lost its solution, or None.

    This is the first evaluation after convergence at which `exact` is below `threshold`. `exact`
    (evaluations,) is the share of sequences with every label right (see `exact_share`), and
    `converged` is the result of `converged_index`. Returns None if the run never converged or kept
    its solution to the end.
    """
    if converged is None:
        return None
    delay = (np.asarray(exact)[converged:] < threshold).tobytes().find(b"\x01")
    return None if delay < 0 else converged + delay


@dataclass(frozen=True)
class Score:
    """The measures of one evaluation on n sequences of length T."""

    loss: float
    accuracy: float
    exact: float
    first_error: int | None  # earliest step of an error in any sequence; None if there is no error
    first_error_median: int | None  # lower median; None if most sequences have no error


def score(loss: float, correct: np.ndarray) -> Score:
    """Return the measures of one evaluation.

    `loss` is in nats per label. `correct` (n, T) bool says which labels of n sequences of T steps
    are right.
    """
    wrong = np.count_nonzero(~correct[:, 1:], axis=1)
    return score_of(loss, wrong, first_errors(correct), correct.shape[1])


def score_of(loss: float, wrong: np.ndarray, errors: np.ndarray, length: int) -> Score:
    """Return the measures of one evaluation on n sequences of `length` steps.

    `loss` is in nats per label. `wrong` (n,) are the numbers of wrong labels, and `errors` (n,) the
    steps of the first wrong label, or `length` if there is none; both disregard step 0.
    """
    middle = (errors.size - 1) // 2
    earliest, median = int(errors.min()), int(np.partition(errors, middle)[middle])
    labels = wrong.size * (length - 1)
    return Score(
        loss=loss,
        accuracy=(labels - int(wrong.sum())) / labels,
        exact=float(np.count_nonzero(wrong == 0) / wrong.size),
        first_error=earliest if earliest < length else None,
        first_error_median=median if median < length else None,
    )

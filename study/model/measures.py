"""The measures: accuracy, exact share, first error, convergence, loss of a solution.

Step 0 never counts, because the cue gives its label away to a predictor that sees only x_t. The
measures of convergence work on stored curves too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def accuracy(correct: np.ndarray) -> float:
    """Share of correct labels over t >= 1; `correct` (n, T) bool."""
    return float(correct[:, 1:].mean())


def exact_share(correct: np.ndarray) -> float:
    """Share of sequences whose labels are all correct over t >= 1; `correct` (n, T) bool."""
    return float(correct[:, 1:].all(axis=1).mean())


def first_errors(correct: np.ndarray) -> np.ndarray:
    """The step of each sequence's first wrong label; T if all are correct.

    `correct` (n, T) bool -> (n,) int64 in 1..T; T means right-censored at the sequence's end.
    """
    wrong = ~correct[:, 1:]
    return np.where(wrong.any(axis=1), wrong.argmax(axis=1) + 1, correct.shape[1])


def converged_index(exact: np.ndarray, consecutive: int, threshold: float = 1.0) -> int | None:
    """Index of the first of `consecutive` evaluations in a row with `exact >= threshold`.

    `exact` (evaluations,) float. None if the curve has no such evaluation: the run is then
    right-censored at its end.
    """
    solved = (np.asarray(exact) >= threshold).tobytes()  # one byte per evaluation
    index = solved.find(b"\x01" * consecutive)
    return None if index < 0 else index


def lost_index(exact: np.ndarray, converged: int | None, threshold: float = 1.0) -> int | None:
    """Index of the first unsolved evaluation after convergence; None if the solution is kept."""
    if converged is None:
        return None
    delay = (np.asarray(exact)[converged:] < threshold).tobytes().find(b"\x01")
    return None if delay < 0 else converged + delay


@dataclass(frozen=True)
class Score:
    """One evaluation on n sequences of length T."""

    loss: float
    accuracy: float
    exact: float
    first_error: int | None  # the earliest of all sequences; None if there is no error
    first_error_median: int | None  # lower median; None if more than half have no error


def score(loss: float, correct: np.ndarray) -> Score:
    """The measures of one evaluation; `loss` in nats per label, `correct` (n, T) bool."""
    errors = first_errors(correct)
    length = correct.shape[1]
    earliest, median = int(errors.min()), int(np.quantile(errors, 0.5, method="lower"))
    return Score(
        loss=loss,
        accuracy=accuracy(correct),
        exact=exact_share(correct),
        first_error=earliest if earliest < length else None,
        first_error_median=median if median < length else None,
    )

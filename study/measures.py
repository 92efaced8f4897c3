"""What is measured, defined once: accuracy, exact share, first error, convergence, loss of a solution.

Step 0 is never counted: a predictor that sees only x_t gets it right from the cue.
Everything here works on stored curves as well as on fresh predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def accuracy(correct: np.ndarray) -> float:
    """Share of right labels over t >= 1; `correct` (n, T) bool."""
    return float(correct[:, 1:].mean())


def exact_share(correct: np.ndarray) -> float:
    """Share of sequences with every label right over t >= 1; `correct` (n, T) bool."""
    return float(correct[:, 1:].all(axis=1).mean())


def first_errors(correct: np.ndarray) -> np.ndarray:
    """The step of each sequence's first wrong label, T where there is none.

    `correct` (n, T) bool -> (n,) int64 in 1..T; T means right-censored at the sequence's end.
    """
    wrong = ~correct[:, 1:]
    return np.where(wrong.any(axis=1), wrong.argmax(axis=1) + 1, correct.shape[1])


def converged_index(exact: np.ndarray, consecutive: int, threshold: float = 1.0) -> int | None:
    """Index of the first of `consecutive` evaluations in a row with `exact >= threshold`.

    `exact` (evaluations,) float. None: not within the curve, so right-censored at its end.
    """
    solved = np.asarray(exact) >= threshold
    if len(solved) < consecutive:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(solved, consecutive).all(axis=1)
    return int(windows.argmax()) if windows.any() else None


def lost_index(exact: np.ndarray, converged: int | None, threshold: float = 1.0) -> int | None:
    """Index of the first evaluation after convergence that is not solved; None: never lost."""
    if converged is None:
        return None
    unsolved = np.asarray(exact)[converged:] < threshold
    return int(converged + unsolved.argmax()) if unsolved.any() else None


@dataclass(frozen=True)
class Score:
    """One evaluation on n sequences of length T."""

    loss: float
    accuracy: float
    exact: float
    first_error: int | None  # the earliest over all sequences; None: no error anywhere
    first_error_median: int | None  # the lower median over sequences; None: more than half have no error


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

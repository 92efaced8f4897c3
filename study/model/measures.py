"""The measures: accuracy, exact share, first error, convergence, loss of a solution.

Step 0 is never counted: a predictor that sees only x_t gets it right from the cue. The measures
work on stored curves as well as on fresh predictions.
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
    solved = (np.asarray(exact) >= threshold).tobytes()  # one byte per evaluation
    found = solved.find(b"\x01" * consecutive)
    return None if found < 0 else found


def lost_index(exact: np.ndarray, converged: int | None, threshold: float = 1.0) -> int | None:
    """Index of the first unsolved evaluation after convergence; None: never lost."""
    if converged is None:
        return None
    found = (np.asarray(exact)[converged:] < threshold).tobytes().find(b"\x01")
    return None if found < 0 else converged + found


# --- many curves at once ------------------------------------------------------------------------


def converged_indices(
    values: np.ndarray, lengths: np.ndarray, consecutive: int, threshold: float = 1.0
) -> np.ndarray:
    """`converged_index` of many curves laid end to end; -1: not within its curve.

    values (sum of lengths,), lengths (runs,) -> (runs,).
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    place = np.arange(len(values))
    # Solved evaluations are counted from the last barrier: an unsolved one, or the curve's start.
    barrier = np.where(np.asarray(values) >= threshold, -1, place)
    first = starts[np.asarray(lengths) > 0]
    barrier[first] = np.maximum(barrier[first], first - 1)
    in_a_row = place - np.maximum.accumulate(barrier)
    complete = np.flatnonzero(in_a_row >= consecutive)
    first = np.searchsorted(complete, starts)
    candidate = np.append(complete, len(values))[first]
    return np.where(candidate < ends, candidate - consecutive + 1 - starts, -1)


def lost_indices(
    values: np.ndarray, lengths: np.ndarray, converged: np.ndarray, threshold: float = 1.0
) -> np.ndarray:
    """`lost_index` of many curves laid end to end; -1: never lost.

    `converged` (runs,) from `converged_indices`; the rest as there.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    unsolved = np.flatnonzero(np.asarray(values) < threshold)
    first = np.searchsorted(unsolved, starts + np.maximum(converged, 0))
    candidate = np.append(unsolved, len(values))[first]
    return np.where((converged >= 0) & (candidate < ends), candidate - starts, -1)


# --- phase --------------------------------------------------------------------------------------


def phase_slips(correct: np.ndarray, hold: int = 2) -> np.ndarray:
    """How often each sequence turns from right to wrong, or back, for `hold` steps or more; t >= 1.

    `correct` (n, T) bool -> (n,) int64. On the alternating task a slip makes everything after it
    wrong, until the next slip; a shorter excursion is an error, not a slip. A sequence is taken to
    start in phase. Divide by n (T - 1) for a rate.
    """
    seen = correct[:, 1:]
    if correct.shape[1] <= hold:
        return np.zeros(len(seen), dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(seen, hold, axis=1)
    held = windows.all(axis=2) | ~windows.any(axis=2)
    # The last step at which a phase was held, 0 at the start; then the phase at that step.
    last = np.maximum.accumulate(np.where(held, np.arange(1, windows.shape[1] + 1), 0), axis=1)
    in_phase = np.ones((len(seen), 1), dtype=bool)
    phases = np.concatenate([in_phase, seen[:, hold - 1 :]], axis=1)
    phase = np.take_along_axis(phases, last, axis=1)
    changes = np.diff(np.concatenate([in_phase, phase], axis=1).astype(np.int8), axis=1)
    return np.abs(changes).sum(axis=1).astype(np.int64)


def phase_free(accuracy: np.ndarray) -> np.ndarray:
    """max(accuracy, 1 - accuracy), which one early slip does not lower."""
    accuracy = np.asarray(accuracy)
    return np.maximum(accuracy, 1 - accuracy)


@dataclass(frozen=True)
class Score:
    """One evaluation on n sequences of length T."""

    loss: float
    accuracy: float
    exact: float
    first_error: int | None  # the earliest over all sequences; None: no error anywhere
    first_error_median: int | None  # lower median; None: more than half have no error


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

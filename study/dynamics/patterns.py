"""Compute the harmonics of a pattern, and compare angles, labels and eigenvalues with it.

A pattern is a text of 0s and 1s such as "110". It repeats for ever, so that the label of step t is
y_t = pattern[t mod p], where p is the pattern's length. Angles are in radians per step.
"""

from __future__ import annotations

import numpy as np
import scipy

POWER = 1e-9  # a harmonic has power if |y_k| is larger than this


def right_labels(pattern: str, length: int) -> np.ndarray:
    """Return the labels (T,) of steps 0 to T - 1, where T = `length`."""
    return np.resize([int(symbol) for symbol in pattern], length)


def angles(p: int) -> np.ndarray:
    """Return the angles ω_k = 2 π k / p (p,) of a pattern of length p, for k = 0 to p - 1."""
    return 2 * np.pi * np.arange(p) / p


def harmonics(pattern: str) -> np.ndarray:
    """Return the harmonics y_k = (1/p) Σ_t (y_t - mean) exp(-i ω_k t) (p,), for k = 0 to p - 1."""
    labels = right_labels(pattern, len(pattern))
    return np.fft.fft(labels - labels.mean()) / len(labels)


def folded(angle: np.ndarray | float) -> np.ndarray:
    """Return angles folded to [0, π]. An angle, its negative and its full turns are the same."""
    return np.abs(np.angle(np.exp(1j * np.asarray(angle))))


def nearest_harmonic(pattern: str, angle: float) -> tuple[int, float]:
    """Return the harmonic k with power whose angle is nearest to `angle`, and its distance.

    Both angles are folded to [0, π], so k is at most p/2. Raises `ValueError` if all labels are
    equal, since such a pattern has no harmonic with power.
    """
    half = len(pattern) // 2 + 1
    (powered,) = np.nonzero(np.abs(harmonics(pattern)[:half]) > POWER)
    if not powered.size:
        raise ValueError(f"the pattern {pattern!r} has no harmonic with power")
    distances = np.abs(angles(len(pattern))[powered] - folded(angle))
    best = distances.argmin()
    return int(powered[best]), float(distances[best])


def rotation(pattern: str, labels: np.ndarray) -> int | None:
    """Return the place in the pattern at which the `labels` (T,) begin, or None if they do not fit.

    The place r is the smallest one with labels[t] = pattern[(t + r) mod p] for every t.
    """
    p = len(pattern)
    right = right_labels(pattern, p + len(labels))
    fits = [r for r in range(p) if np.array_equal(right[r : r + len(labels)], labels)]
    return fits[0] if fits else None


def right_from(pattern: str, labels: np.ndarray) -> int:
    """Return the first step from which the `labels` (T,) are right to the end, or T if none is."""
    (wrong,) = np.nonzero(right_labels(pattern, len(labels)) != labels)
    return int(wrong[-1]) + 1 if wrong.size else 0


def matched(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the eigenvalues `after` (D,) in the order in which they continue `before` (D,).

    Each eigenvalue of `before` gets one of `after`, so that the sum of the distances is smallest.
    """
    distances = np.abs(before[:, None] - after[None, :])
    _, order = scipy.optimize.linear_sum_assignment(distances)
    return after[order]

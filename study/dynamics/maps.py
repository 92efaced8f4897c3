"""Find the fixed points and cycles of any map F from states to states, given its Jacobian.

A map is a function `derivatives` from states (S,D) to their next states (S,D) and to the Jacobians
(S,D,D) of F at these states. For a `Network` under the constant input u, this is
`lambda points: network.derivatives(points, u)`.

A cycle of period m is a state that returns after m steps and not before, with the states between.
Its multipliers are the eigenvalues of the Jacobian of m steps. It is stable if all of them lie
inside the unit circle. A fixed point is a cycle of period 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from study.dynamics.cycles import CONVERGED, SAME

Map = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

MOST_NEWTON_STEPS = 100  # steps that were too long and were halved are counted too
TOLERANCE = 1e-13  # Newton's method stops when the residual is this small
DIVERGED = 1e9  # or this large
SHORTEST = 2.0**-8  # or when even this fraction of a step does not reduce it


@dataclass(frozen=True)
class Cycle:
    """A cycle of a map, with its states in order. A fixed point is a cycle of period 1."""

    points: np.ndarray  # (period, D)
    residual: float  # largest entry by which the state misses itself after the steps searched for
    multipliers: np.ndarray  # (D,) complex, largest modulus first

    @property
    def period(self) -> int:
        """The smallest number of steps after which the states repeat."""
        return len(self.points)

    @property
    def rho(self) -> float:
        """The spectral radius, which is the largest absolute value of the multipliers."""
        return float(np.abs(self.multipliers[0]))

    @property
    def is_stable(self) -> bool:
        """Whether all multipliers lie inside the unit circle."""
        return self.rho < 1


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether the states a (D,) and b (D,) count as the same state."""
    return bool(np.abs(a - b).max() < SAME * (1 + np.abs(a).max()))


def repeated(derivatives: Map, points: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the states (S,D) after `times` steps from the points (S,D), and their Jacobians."""
    points, jacobians = derivatives(points)
    for _ in range(times - 1):
        points, factors = derivatives(points)
        jacobians = factors @ jacobians
    return points, jacobians


def newton(derivatives: Map, starts: np.ndarray, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Search for states that return after `period` steps, by Newton's method from `starts` (S,D).

    Returns the last states of the searches (S,D) and their residuals (S,). A residual is the
    largest absolute entry of the difference between a state and the state `period` steps later. A
    step of the search that would not reduce the residual is halved until it does.
    """
    points, identity = np.array(starts, float), np.eye(starts.shape[1])
    fractions = np.ones(len(points))
    with np.errstate(all="ignore"):  # a search that overflows ends with a residual of NaN
        images, jacobians = repeated(derivatives, points, period)
        residuals = np.abs(images - points).max(axis=1)
        for _ in range(MOST_NEWTON_STEPS):
            open_ = (residuals > TOLERANCE) & (residuals < DIVERGED) & (fractions > SHORTEST)
            (searching,) = np.nonzero(open_)
            if not searching.size:
                break
            moves = _solved(identity - jacobians[searching], images[searching] - points[searching])
            trials = points[searching] + fractions[searching, None] * moves
            trial_images, trial_jacobians = repeated(derivatives, trials, period)
            trial_residuals = np.abs(trial_images - trials).max(axis=1)
            better = trial_residuals < residuals[searching]
            fractions[searching] = np.where(better, 1.0, fractions[searching] / 2)
            moved = searching[better]
            points[moved], images[moved] = trials[better], trial_images[better]
            jacobians[moved], residuals[moved] = trial_jacobians[better], trial_residuals[better]
    return points, residuals


def _solved(matrices: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return the solutions (S,D) of S linear systems, NaN where a matrix is singular."""
    try:
        return np.linalg.solve(matrices, sides[..., None])[..., 0]
    except np.linalg.LinAlgError:  # one singular matrix spoils the call for all
        if len(matrices) == 1:
            return np.full_like(sides, np.nan)
        pairs = zip(matrices, sides, strict=True)
        return np.concatenate([_solved(matrix[None], side[None]) for matrix, side in pairs])


# Threads cost more than such small matrices do.
@threadpool_limits.wrap(limits=1, user_api="blas")
def find(derivatives: Map, starts: np.ndarray, period: int, bounds: np.ndarray) -> list[Cycle]:
    """Return the cycles whose period divides `period`, each once, by increasing period.

    Newton's method searches from each of the `starts` (S,D), and may miss a cycle. `bounds` (D,)
    has the largest absolute value that each entry of a state can have. States beyond it are
    rejected, since rounding can make a state seem fixed that the map cannot reach (see
    `study.dynamics.cycles.are_roots`).
    """
    points, residuals = newton(derivatives, starts, period)
    small = residuals < CONVERGED * (1 + np.abs(points).max(axis=1))  # False for NaN
    found: list[Cycle] = []
    for i in np.nonzero(small & (np.abs(points) <= bounds).all(axis=1))[0]:
        if not any(near(known, points[i]) for cycle in found for known in cycle.points):
            found.append(_cycle(derivatives, points[i], period, float(residuals[i])))
    return sorted(found, key=lambda cycle: cycle.period)


def _cycle(derivatives: Map, point: np.ndarray, period: int, residual: float) -> Cycle:
    """Return the cycle of a state (D,) that returns after `period` steps, or after fewer."""
    path, jacobian = [point], np.eye(len(point))
    for _ in range(period):
        images, jacobians = derivatives(path[-1][None])
        jacobian = jacobians[0] @ jacobian
        if near(point, images[0]):
            break
        path.append(images[0])
    return Cycle(np.array(path[:period]), residual, sorted_eigenvalues(jacobian))


def sorted_eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Return the eigenvalues (D,) of a matrix (D,D), complex, by decreasing modulus.

    Of a pair of conjugates, the one with a positive imaginary part comes first.
    """
    values = np.linalg.eigvals(matrix).astype(complex)
    return values[np.lexsort((-np.imag(values), -np.abs(values).round(12)))]

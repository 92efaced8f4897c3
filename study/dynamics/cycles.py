"""Find the fixed points and 2-cycles of a trained network under a constant input u.

One step of the network maps its state to the next state. This map is called F_u, and J is its
Jacobian. A fixed point is a state that a step does not change. A 2-cycle (q, p) is a pair of states
between which the network goes back and forth. Both are called roots. Newton's method searches for
roots from many starting states.

The multipliers of a fixed point are the eigenvalues of J at this point. The multipliers of a
2-cycle are the eigenvalues of J(q)J(p). A root is stable if all its multipliers lie inside the unit
circle. A 2-cycle alternates, and so carries the pattern, if the readout gives label 1 at q and
label 0 at p. A flip saddle is a fixed point with a real eigenvalue below -1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row

INPUTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # constant inputs u to examine; the noise lies in [0, 1]
CONVERGED = 1e-11  # largest residual of a root, relative to 1 + its largest entry
SAME = 1e-6  # two roots closer than this (also relative) count as the same root
FARTHEST = 1e5  # a state with a larger entry does not count as a root
SETTLED = 2000  # steps before an orbit is examined
LONGEST = 8  # longest period that `orbit` reports
# Cells whose hidden state may lie outside [-1, 1].
UNBOUNDED = ("rnn_relu", "mingru", "minlstm")
UNBOUNDED += ("diagonal_positive", "diagonal_signed", "diagonal_complex")


@dataclass(frozen=True)
class Root:
    """A fixed point (period 1) or a 2-cycle (period 2) of a network under the constant input u."""

    u: float
    period: int
    points: np.ndarray  # (period, D); an alternating cycle has its point with label 1 first
    residual: float
    alternates: bool
    multipliers: np.ndarray  # (D,) complex: eigenvalues of J, or of J(q)J(p)
    starts: int = 1  # number of starts from which Newton's method found it

    @property
    def rho(self) -> float:
        """The spectral radius, which is the largest absolute value of the multipliers."""
        return float(np.abs(self.multipliers).max())

    @property
    def smallest_real(self) -> float:
        """The smallest multiplier that is real, or NaN if no multiplier is real."""
        return smallest_real(self.multipliers)

    @property
    def is_stable(self) -> bool:
        """Whether all multipliers lie inside the unit circle."""
        return self.rho < 1


def smallest_real(eigenvalues: np.ndarray) -> float:
    """Return the smallest real number among the eigenvalues (D,), or NaN if none is real."""
    real = np.real(eigenvalues)[np.abs(np.imag(eigenvalues)) < 1e-9]
    return float(real.min()) if real.size else np.nan


@lru_cache(maxsize=8)
def find(network: Network, u: float) -> list[Root]:
    """Return the network's fixed points, then its 2-cycles, under the constant input u.

    Newton's method searches from the states that `_starts` returns, and may miss a root.
    """
    starts = _starts(network, u)
    found: list[Root] = []
    for period in (1, 2):
        roots, residuals = network.roots(starts, u, period)
        good = are_roots(network, roots, residuals)
        images, _ = network.derivatives(roots[good], u)
        for root, image, residual in zip(roots[good], images, residuals[good], strict=True):
            if _near(root, image):
                _enter(network, found, u, root[None], residual)
            elif period == 2:
                _enter(network, found, u, np.array([root, image]), residual)
    return sorted(found, key=lambda root: root.period)


def are_roots(network: Network, states: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Decide which of the given states count as roots (states of fixed points or 2-cycles).

    The states are (S,D), and their residuals are (S,). The result has one truth value per state:
    (S,). A small residual is not enough, because rounding can hide that a state moves. This happens
    in a huge state, such as a cell state of 1e11 to which Newton's method diverged. It also happens
    if a gate is almost shut. Every state then looks fixed, even a state with |h| above 1, which the
    cell cannot reach. So states with an entry beyond FARTHEST or an unreachable h are rejected.
    """
    largest = np.abs(states).max(axis=1)
    good = (residuals < CONVERGED * (1 + largest)) & (largest < FARTHEST)  # False for NaN
    if network.run.cell not in UNBOUNDED:
        good &= np.abs(states[:, : network.hidden_size]).max(axis=1) <= 1 + SAME
    return good


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() < SAME * (1 + np.abs(a).max()))


def _enter(network: Network, found: list[Root], u: float, points: np.ndarray, residual) -> None:
    """Add a root to the list `found`, or count it again if it is already there.

    `points` (period,D) has the root's states under the constant input u, in order. If the list
    already has the same root, only the root's number of starts grows by 1.
    """
    for i, known in enumerate(found):
        if known.period == len(points) and any(_near(point, points[0]) for point in known.points):
            found[i] = replace(known, starts=known.starts + 1)
            return
    labels = network.logit_margin(points) > 0
    alternates = len(points) == 2 and bool(labels[0] != labels[1])
    if alternates and not labels[0]:
        points = points[::-1]
    _, jacobians = network.derivatives(points, u)
    product = jacobians[0] if len(points) == 1 else jacobians[1] @ jacobians[0]
    multipliers = np.linalg.eigvals(product).astype(complex)
    found.append(Root(u, len(points), points, float(residual), alternates, multipliers))


def _starts(network: Network, u: float) -> np.ndarray:
    """Return up to 35 states (S,D) from which Newton's method starts.

    Some are states that the network visits under noise. Some are states that it reaches from these
    states under the constant input u. The others are random states in and around the box that the
    visited states span.
    """
    rng, hidden = network.stream(f"cycle starts {u:g}"), network.hidden_size
    visited = network.typical[::5]
    visited = visited[np.isfinite(visited).all(axis=1)]
    if not len(visited):
        visited = np.zeros((1, network.dimension))
    settled = network.settled(visited[:10], u, 100)
    low, high = visited.min(axis=0), visited.max(axis=0)
    spread = np.maximum(high - low, 0.5)
    random = rng.uniform(low - spread, high + spread, (12, network.dimension))
    if network.run.cell not in UNBOUNDED:
        random[:, :hidden] = rng.uniform(-1, 1, (12, hidden))
    starts = np.concatenate([visited, settled, random])
    return starts[np.isfinite(starts).all(axis=1)]


def orbit(network: Network, u: float) -> tuple[int, bool]:
    """Find how the network behaves in the long run under the constant input u.

    Returns the period with which its states repeat, and whether its labels alternate at every step.
    These results describe networks without a stable 2-cycle. Such a network may follow a longer
    cycle, its cell state may keep growing, or its labels may not alternate.

    Two orbits are followed, from two states that the network visits in successive steps under
    noise. The first SETTLED steps of each orbit are ignored. The period is the number of steps
    after which an orbit returns to its state. If the two orbits have different periods, the larger
    counts. The period is 0 if an orbit does not return within LONGEST steps, for instance because
    the state drifts. If a state overflows, the result is (0, False).
    """
    ends = network.settled(network.typical[:2], u, SETTLED)
    paths = np.stack([network.visited(np.full(2 * LONGEST, u), state) for state in ends])
    if not np.isfinite(paths).all():
        return 0, False
    labels = network.logit_margin(paths) > 0
    returns = [[_near(path[0], path[k]) for k in range(1, LONGEST + 1)] for path in paths]
    periods = [near.index(True) + 1 if any(near) else 0 for near in returns]
    return 0 if 0 in periods else max(periods), bool((labels[:, 1:] != labels[:, :-1]).all())


def reference_input(network: Network) -> float:
    """Return the mean of the run's noise, which serves as the constant input of most analyses."""
    return 0.5 * float(network.run.noise or 0)


def reference_roots(network: Network) -> list[Root]:
    """Return the network's fixed points and 2-cycles under the reference input."""
    return find(network, reference_input(network))


def carrier(roots: list[Root]) -> Root | None:
    """Return the cycle that carries the pattern, or None if there is none.

    This is a stable 2-cycle with alternating labels. If there are several, the cycle with the
    smallest spectral radius is returned.
    """
    stable = [root for root in roots if root.alternates and root.is_stable]
    return min(stable, key=lambda root: root.rho, default=None)


def saddle(roots: list[Root]) -> Root | None:
    """Return the fixed point with the smallest real eigenvalue, or None if no eigenvalue is real.

    The fixed point is a flip saddle if this eigenvalue is below -1.
    """
    fixed = [root for root in roots if root.period == 1 and not np.isnan(root.smallest_real)]
    return min(fixed, key=lambda root: root.smallest_real, default=None)


def rows(network: Network) -> list[Row]:
    """Return the network's rows of the table `cycles`, one row per constant input in INPUTS."""
    return [_summary(network, u, find(network, u)) for u in INPUTS]


def _summary(network: Network, u: float, roots: list[Root]) -> Row:
    cycle, flip = carrier(roots), saddle(roots)
    fixed = [root for root in roots if root.period == 1]
    period, alternates = orbit(network, u)
    margins = np.abs(network.logit_margin(cycle.points)) if cycle else np.array([np.nan])
    return {
        "u": u,
        "fixed_points": len(fixed),
        "stable_fixed_points": sum(root.is_stable for root in fixed),
        "two_cycles": len(roots) - len(fixed),
        "stable_alternating": sum(root.alternates and root.is_stable for root in roots),
        "rho": cycle.rho if cycle else np.nan,
        "logit_margin": float(margins.min()),
        "flip_eigenvalue": flip.smallest_real if flip else np.nan,
        "flip_unstable": int((np.abs(flip.multipliers) > 1).sum()) if flip else 0,
        "orbit_period": period,
        "orbit_alternates": alternates,
        "worst_residual": max((root.residual for root in roots), default=np.nan),
    }


def spectra(network: Network) -> list[Row]:
    """Return the network's rows of the table `spectra`, one row per root at the reference input.

    A root is a fixed point or a 2-cycle. `real` and `imaginary` list the real and imaginary parts
    of its multipliers, which are sorted by absolute value, largest first.
    """
    names = ("u", "period", "alternates", "is_stable", "rho", "smallest_real", "residual", "starts")
    found = []
    for root in reference_roots(network):
        order = np.argsort(-np.abs(root.multipliers), kind="stable")
        ordered = root.multipliers[order].astype(np.complex64)
        row = {name.removeprefix("is_"): getattr(root, name) for name in names}
        found.append(row | {"real": ordered.real.tolist(), "imaginary": ordered.imag.tolist()})
    return found

"""Fixed points and 2-cycles: every root of F∘F - id that Newton finds from many starts, and its multipliers.

A 2-cycle (q, p) is stable where the eigenvalues of J(q)J(p), its multipliers, lie inside the unit circle. It carries
the pattern where the readout says 1 at q and 0 at p. A flip saddle is a fixed point with a real eigenvalue below -1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row

INPUTS = (
    0.0,
    0.25,
    0.5,
    0.75,
    1.0,
)  # the constant inputs u, chosen beforehand: the range of the noise
CONVERGED = 1e-11  # largest residual of a root, and
SAME = 1e-6  # largest distance of two roots taken for one; both relative to 1 + the largest entry
FARTHEST = 1e5  # no entry of a root is larger
SETTLED, LONGEST = (
    2000,
    8,
)  # steps after which an orbit is looked at, and the longest period that is told
UNBOUNDED = (
    "rnn_relu",
    "mingru",
    "minlstm",
    "diagonal_positive",
    "diagonal_signed",
)  # h is not within (-1, 1)


@dataclass(frozen=True)
class Root:
    """A fixed point (period 1) or 2-cycle (period 2) of F_u, and where it was found from."""

    u: float
    period: int
    points: np.ndarray  # (period, D); of a cycle that alternates, the point of label 1 first
    multipliers: np.ndarray  # (D,) complex: eigenvalues of J, or of J(q)J(p)
    residual: float
    starts: int  # how many starts led there
    alternates: bool

    @property
    def rho(self) -> float:
        """Spectral radius of the multipliers."""
        return float(np.abs(self.multipliers).max())

    @property
    def smallest_real(self) -> float:
        """The smallest real eigenvalue, NaN where none is real."""
        real = np.real(self.multipliers)[np.abs(np.imag(self.multipliers)) < 1e-9]
        return float(real.min()) if real.size else np.nan

    @property
    def is_stable(self) -> bool:
        """Inside the unit circle."""
        return self.rho < 1


@lru_cache(maxsize=8)
def find(network: Network, u: float) -> list[Root]:
    """All fixed points and 2-cycles found under the constant input u, fixed points first."""
    starts = _starts(network, u)
    found: list[Root] = []
    for period in (1, 2):
        roots, residuals = network.roots(starts, u, period)
        good = are_roots(network, roots, residuals)
        images, _ = network.derivatives(roots[good], u)
        for root, image, residual in zip(roots[good], images, residuals[good], strict=True):
            is_fixed = _near(root, image)
            if is_fixed or period == 2:
                _enter(network, found, u, np.array([root] if is_fixed else [root, image]), residual)
    return sorted(
        (_with_multipliers(network, root) for root in found), key=lambda root: root.period
    )


def are_roots(network: Network, states: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Which of states (S,D) with residuals (S,) count as roots, (S,) bool.

    Not those where a step is lost in the rounding of the state, such as a cell state of 1e11 that Newton ran off to,
    nor those with an |h| above 1 that the cell cannot reach, where a gate shut to rounding makes any state look fixed.
    """
    largest = np.abs(states).max(axis=1)
    good = (residuals < CONVERGED * (1 + largest)) & (largest < FARTHEST)  # False for NaN
    if network.run.cell not in UNBOUNDED:
        good &= np.abs(states[:, : network.run.hidden_size]).max(axis=1) <= 1 + SAME
    return good


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() < SAME * (1 + np.abs(a).max()))


def _enter(
    network: Network, found: list[Root], u: float, points: np.ndarray, residual: float
) -> None:
    """Count a root once, however many starts lead to it."""
    for i, known in enumerate(found):
        if known.period == len(points) and any(_near(point, points[0]) for point in known.points):
            found[i] = replace(known, starts=known.starts + 1)
            return
    says = network.logit_margin(points) > 0
    alternates = len(points) == 2 and bool(says[0] != says[1])
    if alternates and not says[0]:
        points = points[::-1]
    found.append(Root(u, len(points), points, np.empty(0), float(residual), 1, alternates))


def _with_multipliers(network: Network, root: Root) -> Root:
    _, jacobians = network.derivatives(root.points, root.u)
    product = jacobians[0] if root.period == 1 else jacobians[1] @ jacobians[0]
    multipliers = np.linalg.eigvals(product).astype(complex)
    return replace(root, multipliers=multipliers)


def _starts(network: Network, u: float) -> np.ndarray:
    """36 states: visited under noise, those moved on under u, and random ones around them."""
    rng = network.stream(f"cycle starts {u:g}")
    visited = network.typical[::5]
    visited = visited[np.isfinite(visited).all(axis=1)]
    if not len(visited):
        visited = np.zeros((1, network.dimension))
    settled = network.settled(visited[:10], u, 100)
    low, high = visited.min(axis=0), visited.max(axis=0)
    spread = np.maximum(high - low, 0.5)
    random = rng.uniform(low - spread, high + spread, (12, network.dimension))
    if network.run.cell not in UNBOUNDED:
        hidden = network.run.hidden_size
        random[:, :hidden] = rng.uniform(-1, 1, (12, hidden))
    starts = np.concatenate([visited, settled, random])
    return np.ascontiguousarray(starts[np.isfinite(starts).all(axis=1)])


def orbit(network: Network, u: float) -> tuple[int, bool]:
    """Where two visited states, one of each phase, end under the constant input u: a period; do labels alternate?

    The period is the longer of the two, 0 where it is above LONGEST or a state still drifts. It tells what a network
    without a stable 2-cycle does instead: a longer cycle, a cell state that grows on, or nothing that alternates.
    """
    ends = network.settled(network.typical[:2], u, SETTLED)
    paths = np.stack([network.visited(np.full(2 * LONGEST, u), state) for state in ends])
    if not np.isfinite(paths).all():
        return 0, False
    says = network.logit_margin(paths) > 0
    returns = [[_near(path[0], path[k]) for k in range(1, LONGEST + 1)] for path in paths]
    periods = [one.index(True) + 1 if any(one) else 0 for one in returns]
    return 0 if 0 in periods else max(periods), bool((says[:, 1:] != says[:, :-1]).all())


def reference_input(network: Network) -> float:
    """The mean of the run's noise: the constant input at which a cycle stands for the network."""
    return 0.5 * float(network.run.noise or 0)


def carrier(roots: list[Root]) -> Root | None:
    """The stable 2-cycle that alternates, the most stable if several do; None: there is none."""
    stable = [root for root in roots if root.alternates and root.is_stable]
    return min(stable, key=lambda root: root.rho) if stable else None


def saddle(roots: list[Root]) -> Root | None:
    """The fixed point with the smallest real eigenvalue."""
    fixed = [root for root in roots if root.period == 1 and not np.isnan(root.smallest_real)]
    return min(fixed, key=lambda root: root.smallest_real) if fixed else None


def summary(network: Network, u: float, roots: list[Root]) -> Row:
    """A row of the table `cycles`: what stands at one constant input."""
    cycle, flip = carrier(roots), saddle(roots)
    fixed = [root for root in roots if root.period == 1]
    cycles = [root for root in roots if root.period == 2]
    period, alternates = orbit(network, u)
    return {
        "u": u,
        "fixed_points": len(fixed),
        "stable_fixed_points": sum(root.is_stable for root in fixed),
        "two_cycles": len(cycles),
        "stable_alternating": sum(root.alternates and root.is_stable for root in cycles),
        "rho": cycle.rho if cycle else np.nan,
        "logit_margin": float(np.abs(network.logit_margin(cycle.points)).min())
        if cycle
        else np.nan,
        "flip_eigenvalue": flip.smallest_real if flip else np.nan,
        "flip_unstable": int((np.abs(flip.multipliers) > 1).sum()) if flip else 0,
        "orbit_period": period,
        "orbit_alternates": alternates,
        "worst_residual": max((root.residual for root in roots), default=np.nan),
    }


def spectrum(root: Root) -> Row:
    """A row of the table `spectra`: one root at the reference input."""
    order = np.argsort(-np.abs(root.multipliers), kind="stable")
    ordered = root.multipliers[order].astype(np.complex64)
    return {
        "u": root.u,
        "period": root.period,
        "alternates": root.alternates,
        "stable": root.is_stable,
        "rho": root.rho,
        "smallest_real": root.smallest_real,
        "residual": root.residual,
        "starts": root.starts,
        "real": ordered.real.tolist(),
        "imaginary": ordered.imag.tolist(),
    }

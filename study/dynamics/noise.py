"""Stability under noise: conditional Lyapunov exponents, margins to the separatrix, recovery."""

from __future__ import annotations

import math

import numpy as np

from study.dynamics import cycles
from study.dynamics.network import Network
from study.dynamics.tables import Row

STEPS, BURN = 4000, 200
DIRECTIONS = 8  # random ones, half of them from each point of the cycle
RADII = np.geomspace(0.02, 5.0, 25)  # in distances between the cycle's two points
PUSH, LEFT = 0.1, 0.01  # size of a push in those distances; share of it left after recovery
PUSHES, LONGEST = 16, 500  # number of pushes, and of steps in which each may shrink


def exponents(network: Network) -> list[Row]:
    """The largest Lyapunov exponent in nats per step, under the task's noise and without noise.

    Without noise, on the stable cycle at the reference input, it must equal ½ ln ρ(J(q)J(p)).
    """
    cycle = cycles.carrier(cycles.reference_roots(network))
    inputs = network.inputs("exponents", 1, STEPS)[0]
    noisy = _largest(network, np.zeros(network.dimension), inputs)
    row = {"noisy": noisy, "quiet": math.nan, "half_log_rho": math.nan}
    if cycle is not None:
        row["quiet"] = _largest(network, cycle.points[0].copy(), np.full(STEPS, cycle.u))
        row["half_log_rho"] = 0.5 * math.log(cycle.rho) if cycle.rho > 0 else -math.inf
    return [row]


def lyapunov(network: Network, start: np.ndarray, inputs: np.ndarray, burn: int) -> np.ndarray:
    """All exponents (D,) along inputs (T,) from `start`, which becomes the last state."""
    found, inputs = np.empty(network.dimension), np.ascontiguousarray(inputs)
    network.kernels.lyapunov(network.theta, network.hidden_size, start, inputs, burn, found)
    return found


def _largest(network: Network, start: np.ndarray, inputs: np.ndarray) -> float:
    """The largest exponent along inputs (T,); NaN if the state overflows."""
    found = lyapunov(network, start, inputs, BURN)
    return float(found.max()) if np.isfinite(start).all() and np.isfinite(found).all() else math.nan


def margins(network: Network) -> list[Row]:
    """How long a push must be to change the phase, in distances between the cycle's two points.

    `toward` is for pushes toward the cycle's other point, `saddle` for pushes toward the flip
    saddle (there in units of the distance to it), and `nearest` the smallest over random directions
    from either point. A margin is infinite if no push up to 5 changes the phase. A network without
    a stable cycle has no row.
    """
    roots = cycles.reference_roots(network)
    cycle, flip = cycles.carrier(roots), cycles.saddle(roots)
    if cycle is None:
        return []
    q, p = cycle.points
    distance = float(np.linalg.norm(p - q))
    random = network.stream("margins").standard_normal((DIRECTIONS, network.dimension))
    random *= distance / np.linalg.norm(random, axis=1, keepdims=True)
    row = {
        "distance": distance,
        "toward": _flips_at(network, cycle, p - q),
        "saddle": _flips_at(network, cycle, flip.points[0] - q) if flip else math.nan,
        "nearest": min(_flips_at(network, cycle, way, i % 2) for i, way in enumerate(random)),
    }
    return [row]


def _flips_at(network: Network, cycle: cycles.Root, way: np.ndarray, point: int = 0) -> float:
    """The smallest multiple of `way` that, added to a point, changes the phase for good."""
    high, radii = math.inf, RADII
    for _ in range(2):
        states = cycle.points[point] + radii[:, None] * way
        after = network.settled(states, cycle.u, 60)  # an even number of steps
        flipped = (network.logit_margin(after) > 0) != (point == 0)
        if not flipped.any():
            break
        first = int(flipped.argmax())
        low, high = (radii[first - 1] if first else 0.0), float(radii[first])
        radii = np.linspace(low, high, 17)[1:]
    return high


def recovery(network: Network) -> list[Row]:
    """Steps until a push has shrunk to a hundredth, under the same noise and without noise.

    The steps are medians over random directions, and `never` counts the pushes that took more than
    LONGEST steps. An exponent λ predicts ln 100 / -λ steps. A network without a stable cycle has no
    row.
    """
    cycle = cycles.carrier(cycles.reference_roots(network))
    if cycle is None:
        return []
    rng = network.stream("recovery")
    distance = np.linalg.norm(cycle.points[1] - cycle.points[0])
    steps = np.empty((2, PUSHES))
    for i, inputs in enumerate(network.inputs("recovery", PUSHES, 20 + LONGEST)):
        push = rng.standard_normal(network.dimension)
        push *= PUSH * distance / np.linalg.norm(push)
        steps[0, i] = shrinks(network, network.visited(inputs[:20])[-1], push, inputs[20:])
        steps[1, i] = shrinks(network, cycle.points[i % 2], push, np.full(LONGEST, cycle.u))
    noisy, quiet = np.median(steps, axis=1).tolist()
    noisy_never, quiet_never = np.isinf(steps).sum(axis=1).tolist()
    row = {"noisy_steps": noisy, "quiet_steps": quiet, "noisy_never": noisy_never}
    return [row | {"quiet_never": quiet_never, "rho": cycle.rho}]


def shrinks(network: Network, state: np.ndarray, push: np.ndarray, inputs: np.ndarray) -> float:
    """Steps until a push has shrunk to the share LEFT for good; infinite if it never does."""
    path, pushed = (network.visited(inputs, start) for start in (state, state + push))
    near = np.linalg.norm(pushed - path, axis=1) <= LEFT * np.linalg.norm(push)
    far = np.flatnonzero(~near)
    last = int(far[-1]) + 1 if far.size else 0
    return math.inf if last == len(inputs) else last + 1

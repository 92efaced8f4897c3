"""Driven by noise: conditional Lyapunov exponents, the distance to the separatrix, and recovery from a push."""

from __future__ import annotations

import math

import numpy as np

from study.dynamics import cycles
from study.dynamics.cycles import Root
from study.dynamics.network import Network
from study.dynamics.tables import Row

STEPS, BURN = 4000, 200
DIRECTIONS = 8  # random ones, from each point of the cycle
RADII = np.geomspace(0.02, 5.0, 25)  # in distances between the cycle's two points
PUSH, LEFT = 0.1, 0.01  # a push's size in those distances, and the share of it at which it is over
PUSHES = 16


def exponents(network: Network) -> Row:
    """The largest Lyapunov exponent, nats per step: under the task's noise, and without.

    Without noise, at the reference input on the stable cycle, it must equal ½ ln ρ(J(q)J(p)).
    """
    cycle = cycles.carrier(cycles.find(network, cycles.reference_input(network)))
    noisy = _largest(network, np.zeros(network.dimension), network.inputs("exponents", 1, STEPS)[0])
    row: Row = {"noisy": noisy, "quiet": math.nan, "half_log_rho": math.nan}
    if cycle is not None:
        quiet = _largest(network, cycle.points[0].copy(), np.full(STEPS, cycle.u))
        row |= {
            "quiet": quiet,
            "half_log_rho": 0.5 * math.log(cycle.rho) if cycle.rho > 0 else -math.inf,
        }
    return row


def _largest(network: Network, start: np.ndarray, inputs: np.ndarray) -> float:
    """The largest exponent along inputs; NaN where the state leaves the numbers."""
    found = np.empty(network.dimension)
    network.kernels.lyapunov(
        network.theta, network.sizes, start, np.ascontiguousarray(inputs), BURN, found
    )
    return float(found.max()) if np.isfinite(start).all() and np.isfinite(found).all() else math.nan


def margins(network: Network) -> list[Row]:
    """How far a push must go to change the phase, in distances between the cycle's points; none without a cycle.

    `toward` the cycle's other point, `saddle` toward the flip saddle (1 is at it), `nearest` of random directions:
    the smallest over both points of the cycle. Infinite: no push up to 5 changed it.
    """
    roots = cycles.find(network, cycles.reference_input(network))
    cycle, flip = cycles.carrier(roots), cycles.saddle(roots)
    if cycle is None:
        return []
    q, p = cycle.points
    distance = float(np.linalg.norm(p - q))
    rng = network.stream("margins")
    random = rng.standard_normal((DIRECTIONS, network.dimension))
    random *= distance / np.linalg.norm(random, axis=1, keepdims=True)
    found: Row = {"distance": distance, "toward": _flips_at(network, cycle, p - q)}
    found["saddle"] = _flips_at(network, cycle, flip.points[0] - q) if flip else math.nan
    found["nearest"] = min(_flips_at(network, cycle, way, i % 2) for i, way in enumerate(random))
    return [found]


def _flips_at(network: Network, cycle: Root, way: np.ndarray, point: int = 0) -> float:
    """The first length of a push along `way` from a point of the cycle that changes the phase for good."""
    low, high = 0.0, math.inf
    radii = RADII
    for _ in range(2):
        flipped = _phase_changed(network, cycle, cycle.points[point] + radii[:, None] * way, point)
        if not flipped.any():
            break
        first = int(flipped.argmax())
        low, high = (radii[first - 1] if first else low), float(radii[first])
        radii = np.linspace(low, high, 17)[1:]
    return high


def _phase_changed(network: Network, cycle: Root, states: np.ndarray, point: int) -> np.ndarray:
    """Whether states, even steps later, say the other label than the point they were pushed from; (n,) bool."""
    after = network.settled(states, cycle.u, 60)
    return (network.logit_margin(after) > 0) != (point == 0)


def recovery(network: Network) -> list[Row]:
    """Steps until a push has shrunk to a hundredth under common noise, and without noise at the cycle.

    Medians over random directions; `never` counts pushes that did not within 500 steps. Predicted from the
    exponents: ln 100 / -exponent. None without a cycle.
    """
    cycle = cycles.carrier(cycles.find(network, cycles.reference_input(network)))
    if cycle is None:
        return []
    rng = network.stream("recovery")
    inputs = network.inputs("recovery", PUSHES, 520)
    distance = np.linalg.norm(cycle.points[1] - cycle.points[0])
    noisy, quiet = np.empty(PUSHES), np.empty(PUSHES)
    for i, sequence in enumerate(inputs):
        push = rng.standard_normal(network.dimension)
        push *= PUSH * distance / np.linalg.norm(push)
        noisy[i] = _shrinks(network, network.visited(sequence[:20])[-1], push, sequence[20:])
        quiet[i] = _shrinks(network, cycle.points[i % 2], push, np.full(500, cycle.u))
    return [
        {
            "noisy_steps": float(np.median(np.where(noisy < 0, np.inf, noisy))),
            "quiet_steps": float(np.median(np.where(quiet < 0, np.inf, quiet))),
            "noisy_never": int((noisy < 0).sum()),
            "quiet_never": int((quiet < 0).sum()),
            "rho": cycle.rho,
        }
    ]


def _shrinks(network: Network, state: np.ndarray, push: np.ndarray, inputs: np.ndarray) -> int:
    z, twin = state.copy(), state + push
    return network.kernels.shrink(
        network.theta, network.sizes, z, twin, np.ascontiguousarray(inputs), LEFT
    )

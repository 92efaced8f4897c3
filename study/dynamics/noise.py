"""Measure how stable a network is, by Lyapunov exponents, margins and recovery from pushes.

A conditional Lyapunov exponent is the rate, in nats per step, at which two nearby states under the
same inputs move apart. The phase is whether the next label is 1 or 0. A push is a vector that is
added to the state. A margin is the length of the shortest push that changes the phase for good.
"""

from __future__ import annotations

import math

import numpy as np

from study.dynamics import cycles
from study.dynamics.network import Network
from study.dynamics.tables import Row

STEPS, BURN = 4000, 200  # number of steps for an exponent; the first BURN steps are left out
DIRECTIONS = 8  # number of random directions; half of them start at each point of the cycle
RADII = np.geomspace(0.02, 5.0, 25)  # lengths of pushes, in distances between the cycle's points
PUSH, LEFT = 0.1, 0.01  # length of a push, in the same unit; share of it that recovery leaves
PUSHES, LONGEST = 16, 500  # number of pushes; number of steps in which each may shrink


def exponents(network: Network) -> list[Row]:
    """Return the row of the table `exponents`, with the network's largest Lyapunov exponents.

    All numbers are in nats per step. `noisy` is the exponent under the task's noise. `quiet` is the
    exponent on the network's stable alternating 2-cycle, which goes back and forth between the
    states q and p. For `quiet`, the input is constant at the mean of the noise. In theory `quiet`
    equals `half_log_rho`, which is ½ ln ρ, where ρ is the spectral radius of the product J(q)J(p)
    of the Jacobians. `quiet` and `half_log_rho` are NaN if the network has no such cycle.
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
    """Return all Lyapunov exponents (D,), in nats per step, of the orbit from `start` (D,).

    The network has the inputs (T,) on this orbit. The first `burn` steps are left out of the
    exponents. Overwrites `start` with the last state.
    """
    found, inputs = np.empty(network.dimension), np.ascontiguousarray(inputs)
    network.kernels.lyapunov(network.theta, network.hidden_size, start, inputs, burn, found)
    return found


def _largest(network: Network, start: np.ndarray, inputs: np.ndarray) -> float:
    """Return the largest Lyapunov exponent of the orbit from `start`, or NaN after an overflow."""
    found = lyapunov(network, start, inputs, BURN)
    return float(found.max()) if np.isfinite(start).all() and np.isfinite(found).all() else math.nan


def margins(network: Network) -> list[Row]:
    """Measure how long a push must be to change the phase, and return a row of the table `margins`.

    The push is added to a point of the network's stable 2-cycle. The row has the length of
    the shortest push that changes the phase, for three kinds of direction:

    - `toward`: from one point of the cycle toward the other point, in units of the distance between
      the two points;
    - `saddle`: from one point of the cycle toward the flip saddle, in units of the distance to the
      saddle. The flip saddle is the fixed point with the smallest real eigenvalue, which is usually
      below -1;
    - `nearest`: in several random directions from either point, in units of the distance between
      the two points. The row has the smallest of these lengths.

    `distance` is the distance between the two points. A length is infinite if no push of up to 5
    units changes the phase. A network without a stable cycle has no row.
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
    """Return the smallest factor by which the vector `way` must be multiplied to change the phase.

    The product is added to the cycle's point with the index `point`, 0 or 1. The result is infinite
    if no factor up to 5 changes the phase.
    """
    high, radii = math.inf, RADII
    for _ in range(2):
        states = cycle.points[point] + radii[:, None] * way
        # After an even number of steps the label shows whether the phase has changed.
        after = network.settled(states, cycle.u, 60)
        flipped = (network.logit_margin(after) > 0) != (point == 0)
        if not flipped.any():
            break
        first = int(flipped.argmax())
        low, high = (radii[first - 1] if first else 0.0), float(radii[first])
        radii = np.linspace(low, high, 17)[1:]
    return high


def recovery(network: Network) -> list[Row]:
    """Count the steps to recover from a push, and return the network's row of the table `recovery`.

    The network has recovered once the effect of the push has shrunk to a hundredth. `noisy_steps`
    and `quiet_steps` are the median numbers of steps over pushes in random directions, under the
    task's noise and without noise. `noisy_never` and `quiet_never` count the pushes from which the
    network had not recovered after LONGEST steps. `rho` is the spectral radius of the network's
    stable cycle. A Lyapunov exponent λ < 0 predicts ln 100 / |λ| steps. A network without a stable
    cycle has no row.
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
    """Return the number of steps until the effect of a push on `state` has faded for good.

    The network runs twice with the same inputs (T,), from the state with the push and from the
    state without the push. The effect has faded once the distance between these two paths stays
    within LEFT times the length of the push. The result is infinite if T steps are not enough.
    """
    path, pushed = (network.visited(inputs, start) for start in (state, state + push))
    near = np.linalg.norm(pushed - path, axis=1) <= LEFT * np.linalg.norm(push)
    far = np.flatnonzero(~near)
    last = int(far[-1]) + 1 if far.size else 0
    return math.inf if last == len(inputs) else last + 1

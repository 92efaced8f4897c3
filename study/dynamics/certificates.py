"""Prove that a network answers right for ever, or find inputs under which it does not.

A proof covers all steps and every sequence of inputs in the range of the noise. It bounds the set
of states that the network can reach after the cue by zonotopes (`study.dynamics.zonotopes`), step
by step, until it closes. For this the states at an even step t are enclosed in boxes a little
larger than they are. From these boxes, a few more steps must lead back into them, after an even
number of steps, and all labels on the way must be right. By induction they then stay right for
ever, and up to step t each was checked.

What is proved is about the network's weights as numbers in float64, for exact arithmetic and for
arithmetic rounded to float64, and for the label that has the larger logit. Nothing is said about
inputs beyond the range of the noise, about float32, or about networks for which no proof closes:
some of these may be right for ever, too.

A refutation is a sequence of inputs in the range, found by `attack`, under which the network gives
a wrong label in float64. Proved networks are attacked as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.dynamics.zonotopes import ROUNDING, Form, as_rays, box, form, joined
from study.model import CELLS

# For each method: into how many pieces the range of an input is cut, and for how many steps the
# set of states is kept apart by the pieces that the last inputs lay in.
METHODS = {"whole": (1, 0), "subdivided": (4, 1)}
RAYS = 30  # rays that a step keeps beside those of the last inputs; it encloses others in boxes
MOST_STEPS = 40  # from which a proof may close
FIRST, EVERY = 6, 4  # the first step from which a proof tries to close, and how often it tries
LONGEST = 20  # steps in which the states must be back in their boxes
LARGER = 0.05  # how much larger the boxes are, as a share of their width
LEAST_LARGER = 1e-9  # and in absolute terms

ATTACK = 10_000  # steps of an attack
EPISODE, RANDOM = 100, 20  # steps of an episode, of which the first have random inputs
LEVELS = np.array([5, 3, 2])  # inputs per step that an attack tries, by the steps it looks ahead

SMALLEST_NOISE, LARGEST_NOISE = 1 / 16, 4.0  # levels between which the largest is sought
PRECISION = 1.05  # ratio of the levels at which the search for the largest ends
NOISE_SEEDS = 5  # networks with a smaller seed have their largest noise sought
NOISE_SETTINGS = {"hidden_size": 6, "length": 20}  # if they have these, as in the headline


class Proof(NamedTuple):
    """The method with which a proof closed, and the step from which its boxes hold all states."""

    method: str
    steps: int


class Tube:
    """Bounds on the states that a network can reach, under inputs between 0 and `noise`.

    The states are kept apart by the pieces in which the last `memory` inputs lie, of `pieces`
    pieces of the range. So bounds are forms (P,D), where P = pieces ** memory and D is the size of
    the state. The first `memory` rays belong to these inputs, the last input first.
    """

    def __init__(self, network: Network, noise: float, pieces: int = 1, memory: int = 0):
        self.rule, self.noise = CELLS[network.run.cell].rule, noise
        self.pieces, self.memory, self.sets = pieces, memory, pieces**memory
        self.hidden_size, self.states = network.hidden_size, len(network.states)
        weights = {name: form(array) for name, array in network.weights.items()}
        self.weights = {n[5:-3]: w for n, w in weights.items() if n.startswith("cell.")}
        first, second = weights["readout.weight"].chunk(2)
        self.readout = (second - first).T
        first, second = weights["readout.bias"].chunk(2)
        self.bias = second - first

    def after_cue(self) -> Form:
        """Return the bounds on the state at step 0, after the cue."""
        zero = form(np.zeros((1, self.hidden_size * self.states)))
        state = self._image(zero, form(np.ones((1, 1))))
        return self.boxes(*(np.repeat(end, self.sets, 0) for end in state.ends()))

    def boxes(self, low: np.ndarray, high: np.ndarray) -> Form:
        """Return the bounds that consist of the boxes with the corners `low` and `high` (P,D)."""
        found = box(low, high)
        inputs = np.zeros((self.memory, *low.shape))
        return Form(found.centre, found.error, np.concatenate([inputs, found.rays]))

    def next(self, bounds: Form) -> Form:
        """Return the bounds on the next states."""
        k, p = self.pieces, self.sets
        half = 0.5 * self.noise / k
        centre = np.repeat(half * (2 * np.arange(k) + 1), p)[:, None]
        new = np.full((1, k * p, 1), half)
        old = np.zeros((len(bounds.rays), k * p, 1))
        x = Form(centre, np.zeros_like(centre), np.concatenate([new, old]))
        before = Form(
            np.tile(bounds.centre, (k, 1)),
            np.tile(bounds.error, (k, 1)),
            np.concatenate([np.zeros((1, k * p, bounds.centre.shape[1])),
                            np.tile(bounds.rays, (1, k, 1))]),
        )  # fmt: skip
        return self._fewer_rays(self._merged(self._image(before, x)))

    def are_right(self, bounds: Form, step: int) -> bool:
        """Return whether all states within the bounds give the right label of the step."""
        h, *_ = bounds.chunk(self.states, -1)
        low, high = (h @ self.readout + self.bias).ends()
        return bool((low > 0).all() if step % 2 == 0 else (high < 0).all())  # False for NaN

    def _image(self, state: Form, x: Form) -> Form:
        return joined(self.rule(x, tuple(state.chunk(self.states, -1)), self.weights))

    def _merged(self, images: Form) -> Form:
        """Return bounds in which the pieces of the oldest input that is kept apart are one range.

        `images` (K*P,D) has the pieces of this input innermost. Its ray then spans its whole range
        ε in [-1, 1], of which piece i is (offsetᵢ + ε)/K.
        """
        k, oldest = self.pieces, self.memory
        shape = (self.sets, k, images.centre.shape[-1])
        centre, error = images.centre.reshape(shape), images.error.reshape(shape)
        rays = images.rays.reshape(-1, *shape)
        mean = rays.mean(2)
        if k > 1:
            mean[oldest] = (centre[:, -1] - centre[:, 0]) / (2 * (k - 1))
        offsets = 2.0 * np.arange(k)[:, None] - (k - 1)
        rest = centre - mean[oldest][:, None] * offsets
        middle = 0.5 * (rest.min(1) + rest.max(1))
        gap = np.abs(rest - middle[:, None]) + np.abs(rays - mean[:, :, None]).sum(0)
        size = np.abs(centre).max(1) + np.abs(mean).sum(0) * k + gap.max(1)
        mean[oldest] *= k
        return _rounded(Form(middle, (error + gap).max(1), mean), size)

    def _fewer_rays(self, bounds: Form) -> Form:
        """Return bounds with at most RAYS + D rays beside those of the inputs, and no errors.

        The rays that reach least far beyond a box, and all errors, become boxes.
        """
        inputs, others = bounds.rays[: self.memory], bounds.rays[self.memory :]
        reach = (np.abs(others).sum(-1) - np.abs(others).max(-1)).mean(1)
        order = np.argsort(-reach, kind="stable")
        error = bounds.error + np.abs(others[order[RAYS:]]).sum(0)
        error = _rounded(Form(bounds.centre, error, others[:0]), error).error
        rays = np.concatenate([inputs, others[order[:RAYS]], as_rays(error)])
        return Form(bounds.centre, np.zeros_like(error), rays)


def _rounded(bounds: Form, size: np.ndarray) -> Form:
    """Return the bounds with errors that allow for rounding of numbers of this size."""
    return Form(bounds.centre, bounds.error + ROUNDING * size, bounds.rays)


def prove(network: Network, noise: float) -> Proof | None:
    """Return a proof that the network is right for ever under inputs in [0, noise], if one closes.

    The methods are tried in the order of METHODS.
    """
    for method, (pieces, memory) in METHODS.items():
        tube = Tube(network, noise, pieces, memory)
        with np.errstate(all="ignore"):  # bounds that overflow prove nothing
            step = _closes_at(tube)
        if step is not None:
            return Proof(method, step)
    return None


def _closes_at(tube: Tube) -> int | None:
    """Return the step from which a proof closes, or None if it does not."""
    bounds = tube.after_cue()
    for step in range(1, MOST_STEPS + 1):
        bounds = tube.next(bounds)
        if not tube.are_right(bounds, step):
            return None
        if step >= FIRST and (step - FIRST) % EVERY == 0 and _returns(tube, bounds):
            return step
    return None


def _returns(tube: Tube, bounds: Form) -> bool:
    """Return whether boxes around the bounds, at an even step, lead back into themselves.

    All labels on the way must be right.
    """
    low, high = bounds.ends()
    more = LARGER * (high - low) + LEAST_LARGER
    low, high = low - more, high + more
    now = tube.boxes(low, high)
    for step in range(LONGEST):
        if not tube.are_right(now, step):
            return False
        now = tube.next(now)
        least, most = now.ends()
        if step % 2 == 1 and (least >= low).all() and (most <= high).all():
            return True
    return False


def largest_noise(network: Network, proved: bool) -> float:
    """Return the largest level of noise at which a proof closes, to within 5 %.

    Levels are sought up to LARGEST_NOISE. The result is 0 if no proof closes at SMALLEST_NOISE.
    `proved` says whether one closes at the level of the network's run.
    """
    noise = network.run.noise or SMALLEST_NOISE
    low, high = (noise, LARGEST_NOISE) if proved else (SMALLEST_NOISE, noise)
    ends = high if proved else low
    if (prove(network, ends) is not None) == proved:
        return ends if proved else 0.0
    while high / low > PRECISION:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if prove(network, middle) else (low, middle)
    return low


@njit
def attack(advance, unpack, margin, theta, start, hidden, noise, levels, steps, rng):
    """Search for inputs in [0, noise] that make a label wrong, and return the first wrong step.

    `advance`, `unpack` and `margin` are the cell's kernels. `theta` has the network's weights, and
    `start` (D,) is the state after the cue. Each episode of EPISODE steps begins with RANDOM random
    inputs. For the other steps, the attack looks 1, 2 or 3 steps ahead (episodes take turns), and
    tries all sequences of levels[ahead - 1] inputs each. It then takes the first input of the
    sequence whose last margin is the most wrong. Returns -1 if no label is wrong in `steps` steps.
    """
    net = unpack(theta, hidden)
    path = np.empty((levels.size + 1, start.size))
    digits = np.zeros(levels.size, np.int64)
    z = start.copy()
    for t in range(1, steps + 1):
        ahead = 1 + (t // EPISODE) % levels.size
        u = noise * rng.random()
        if t % EPISODE >= RANDOM:
            count, best, changed = levels[ahead - 1], np.inf, 0
            path[0] = z
            digits[:] = 0
            while changed >= 0:
                for d in range(changed, ahead):
                    advance(net, path[d], noise * digits[d] / (count - 1), path[d + 1])
                m = margin(net, path[ahead])
                m = m if (t + ahead - 1) % 2 == 0 else -m
                if m < best:
                    best, u = m, noise * digits[0] / (count - 1)
                changed = ahead - 1
                while changed >= 0 and digits[changed] == count - 1:
                    digits[changed] = 0
                    changed -= 1
                if changed >= 0:
                    digits[changed] += 1
        advance(net, z, u, path[0])
        z[:] = path[0]
        if (margin(net, z) > 0) != (t % 2 == 0):
            return t
    return -1


def first_wrong(network: Network, steps: int) -> int | None:
    """Return the first step at which an attack makes a label wrong, or None if it does not."""
    kernels = network.kernels
    start = network.visited(np.ones(1))[0]
    found = attack(
        kernels.advance, kernels.unpack, kernels.margin, network.theta, start, network.hidden_size,
        float(network.run.noise or 0), LEVELS, steps, network.stream("attack"),
    )  # fmt: skip
    return None if found < 0 else found


def rows(network: Network) -> list[Row]:
    """Return the network's row of the table `certificates`.

    - verdict: `proved` right for ever over all inputs in the range of the run's noise, `refuted` by
      an attack, or `undecided`;
    - method: the name in METHODS of the method with which the proof closed, or None;
    - steps: the step from which the boxes of the proof hold all states, or None;
    - first_wrong: the first step at which an attack made a label wrong, or None;
    - attacked_steps: the number of steps of the attack;
    - largest_noise: the result of `largest_noise` for networks with a seed below NOISE_SEEDS and
      with NOISE_SETTINGS, or None for others.
    """
    proof = prove(network, float(network.run.noise or 0))
    wrong = first_wrong(network, ATTACK)
    settings = {name: getattr(network.run, name) for name in NOISE_SETTINGS}
    is_sought = network.run.seed < NOISE_SEEDS and settings == NOISE_SETTINGS
    return [
        {
            "verdict": "proved" if proof else "undecided" if wrong is None else "refuted",
            "method": proof and proof.method,
            "steps": proof and proof.steps,
            "first_wrong": wrong,
            "attacked_steps": ATTACK if wrong is None else wrong,
            "largest_noise": largest_noise(network, proof is not None) if is_sought else None,
        }
    ]

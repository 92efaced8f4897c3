"""A trained network as a map of its state, in float64 whatever precision it was trained in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from study.dynamics.build import kernels
from study.model import CELLS
from study.runs import Run, Sequences, stream

NO_JOLTS = np.empty((0, 0, 0))


def is_suitable(run: Run) -> bool:
    """Whether the analysis applies: one layer that learns to alternate from the zero state."""
    kind = (run.task, run.pattern, run.cue, run.noise_kind, run.layers, run.start, run.state)
    return kind == ("alternating", "10", True, "uniform", 1, "zeros", "carried")


def packed(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """All weights in one vector as the kernels unpack them: the layer's matrices transposed."""
    arrays = [a.T if name.startswith("cell.weight") else a for name, a in weights.items()]
    return np.concatenate([np.ravel(array) for array in arrays]).astype(float)


class Network:
    """The network of a run as a map of its state (D,): D = H, or 2 H if a cell state follows h."""

    def __init__(self, run: Run, weights: Mapping[str, np.ndarray]):
        self.run, self.weights = run, dict(weights)
        self.kernels, self.theta = kernels(run.cell), packed(self.weights)
        self.hidden_size, self.states = run.hidden_size, CELLS[run.cell].states
        self.dimension = run.hidden_size * len(self.states)

    def with_weights(self, **changed: np.ndarray) -> Network:
        """The same network with some weights of its layer replaced, by short name (`weight_hh`)."""
        new = {f"cell.{name}_l0": array for name, array in changed.items()}
        return Network(self.run, self.weights | new)

    def stream(self, purpose: str) -> np.random.Generator:
        """A generator for one purpose, which no other network shares."""
        return stream(f"dynamics: {purpose}", self.run.run_id)

    def inputs(self, purpose: str, n: int, length: int) -> np.ndarray:
        """Fresh sequences (n,T) of the run's task; runs with the same seed and noise share them."""
        return Sequences(self.run, f"dynamics: {purpose}", length).draw(n)[0][:, :, 0]

    def derivatives(
        self, points: np.ndarray, inputs: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """F (S,D) and its Jacobian (S,D,D) at points (S,D) under inputs (S,), or under one u."""
        points = np.ascontiguousarray(points, float)
        inputs = np.broadcast_to(np.asarray(inputs, float), len(points)).copy()
        images, jacobians = np.empty_like(points), np.empty((*points.shape, points.shape[1]))
        self.kernels.derivatives(self.theta, self.hidden_size, points, inputs, images, jacobians)
        return images, jacobians

    def roots(self, starts: np.ndarray, u: float, period: int) -> tuple[np.ndarray, np.ndarray]:
        """The roots (S,D) of F_u^period - id to which Newton's method leads from starts (S,D).

        Also returns their residuals (S,): the largest entry of each |F_u^period(z) - z|.
        """
        roots, newton = np.array(starts, float), self.kernels.newton
        return roots, np.array([newton(self.theta, self.hidden_size, z, u, period) for z in roots])

    def follow(
        self, starts: np.ndarray, inputs: np.ndarray, jolts: np.ndarray = NO_JOLTS
    ) -> tuple[np.ndarray, np.ndarray]:
        """The states (B,T,D) after each step of inputs (B,T) from starts (B,D), and gates' means.

        `jolts` (B,T,D) are added to the state after each step. The means (G*H,) are over all steps.
        """
        starts, inputs = np.array(starts, float), np.ascontiguousarray(inputs, float)
        states = np.empty((*inputs.shape, self.dimension))
        means = np.empty(self.kernels.KEPT * self.hidden_size)
        self.kernels.visit(self.theta, self.hidden_size, starts, inputs, jolts, states, means)
        return states, means[: self.kernels.GATES * self.hidden_size]

    def visited(self, inputs: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """The states (T,D) after each step of inputs (T,) from `start`, by default zeros."""
        start = np.zeros(self.dimension) if start is None else start
        return self.follow(start[None], inputs[None])[0][0]

    def settled(self, states: np.ndarray, u: float, steps: int) -> np.ndarray:
        """The states to which states (B,D) come after `steps` steps of the constant input u."""
        inputs = np.full(steps, u)
        return np.array([self.visited(inputs, state)[-1] for state in states])

    def wrong(self, states: np.ndarray) -> np.ndarray:
        """Whether states (B,T,D) give other labels than 1, 0, 1, … from step 0 on, (B,T) bool."""
        # NaN counts as label 0, as in the engine's evaluation
        return (self.logit_margin(states) > 0) != (np.arange(states.shape[1]) % 2 == 0)

    def logit_margin(self, states: np.ndarray) -> np.ndarray:
        """The logit of label 1 minus that of label 0 in states (...,D)."""
        weight, bias = self.weights["readout.weight"], self.weights["readout.bias"]
        return states[..., : self.hidden_size] @ (weight[1] - weight[0]) + bias[1] - bias[0]

    @cached_property
    def typical(self) -> np.ndarray:
        """States (64,D) visited under the task's noise: steps 20 to 35 of four sequences."""
        sequences = self.inputs("typical states", 4, 36)
        return np.concatenate([self.visited(sequence)[20:36] for sequence in sequences])

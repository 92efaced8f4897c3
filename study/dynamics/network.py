"""A trained network as a map of its state, in float64 whatever it was trained in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from study.dynamics.build import kernels
from study.model import CELLS
from study.runs import Run, Sequences, stream, weights_of

NO_HELD, NO_VALUE, NO_JOLTS = np.empty(0, np.bool_), np.empty(0), np.empty((0, 0, 0))


def is_suitable(run: Run) -> bool:
    """Whether the analysis is about such a run: one layer that alternates from the zero state."""
    return (
        (run.task, run.pattern, run.layers, run.start, run.state)
        == ("alternating", "10", 1, "zeros", "carried")
        and run.cue is True
        and run.noise_kind == "uniform"
    )


def packed(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """All weights in one vector, a layer's matrices turned, as the kernels' `views` find them."""
    turned = (
        array.T if name.startswith("cell.weight") else array for name, array in weights.items()
    )
    return np.concatenate([np.ravel(array) for array in turned]).astype(float)


class Network:
    """A run's network and the maps that its weights make; D = H, or 2 H with a cell state behind h."""

    def __init__(self, run: Run, weights: Mapping[str, np.ndarray]):
        self.run, self.weights = run, dict(weights)
        self.kernels, self.theta = kernels(run.cell), packed(self.weights)
        self.states = CELLS[run.cell].states
        self.sizes = np.array([run.hidden_size, len(self.states)], np.int64)
        self.dimension = run.hidden_size * len(self.states)

    def untrained(self) -> Network:
        """The same network before its first update."""
        return Network(self.run, weights_of(self.run))

    def with_weights(self, **changed: np.ndarray) -> Network:
        """The same network with some weights of its layer replaced, by their short name, such as `weight_hh`."""
        return Network(
            self.run, self.weights | {f"cell.{name}_l0": array for name, array in changed.items()}
        )

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers of this network alone for one purpose."""
        return stream(f"dynamics: {purpose}", self.run.run_id)

    def inputs(self, purpose: str, n: int, length: int) -> np.ndarray:
        """Fresh sequences of the run's own task, (n, length); the same for all runs of one seed and noise."""
        return Sequences(self.run, f"dynamics: {purpose}", length).draw(n)[0][:, :, 0]

    def derivatives(
        self, points: np.ndarray, inputs: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """F (S,D) and its Jacobian (S,D,D) at points (S,D) under inputs (S,) or one input for all."""
        points = np.ascontiguousarray(points, float)
        inputs = np.broadcast_to(np.asarray(inputs, float), len(points)).copy()
        images, jacobians = np.empty_like(points), np.empty((*points.shape, points.shape[1]))
        self.kernels.derivatives(self.theta, self.sizes, points, inputs, images, jacobians)
        return images, jacobians

    def roots(
        self, starts: np.ndarray, u: float, period: int, most: int = 60
    ) -> tuple[np.ndarray, np.ndarray]:
        """Newton's roots of F_u^period - id from starts (S,D): roots (S,D), residuals (S,), largest entries."""
        roots = np.empty_like(starts)
        residuals = self.kernels.find_roots(
            self.theta, self.sizes, starts, u, period, most, 1e-13, roots
        )
        return roots, residuals

    def visited(self, inputs: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """States (T,D) after each step of inputs (T,) from `start`, or from zeros."""
        states = np.empty((len(inputs), self.dimension))
        start = np.zeros(self.dimension) if start is None else np.array(start, float)
        self.kernels.visit(
            self.theta, self.sizes, start, np.ascontiguousarray(inputs, float), states
        )
        return states

    def settled(self, states: np.ndarray, u: float, steps: int) -> np.ndarray:
        """Where states (B,D) are after `steps` steps of the constant input u."""
        states = np.array(states, float)
        self.kernels.settle(self.theta, self.sizes, states, u, steps)
        return states

    def follow(
        self,
        states: np.ndarray,
        inputs: np.ndarray,
        held: np.ndarray = NO_HELD,
        value: np.ndarray = NO_VALUE,
        jolts: np.ndarray = NO_JOLTS,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run states (B,D) through inputs (B,T) against the labels 1, 0, 1, ...

        Gives wrong (B,T) bool, the final states (B,D), and the mean of each gate (G*H,). See the kernel.
        """
        states, inputs = np.array(states, float), np.ascontiguousarray(inputs, float)
        hidden, wrong = self.run.hidden_size, np.empty(inputs.shape, np.uint8)
        kept = np.empty(self.kernels.KEPT * hidden)
        self.kernels.follow(self.theta, self.sizes, held, value, jolts, states, inputs, wrong, kept)
        return wrong.astype(bool), states, kept[: self.kernels.GATES * hidden]

    def logit_margin(self, states: np.ndarray) -> np.ndarray:
        """Logit of label 1 minus logit of label 0 in states (...,D)."""
        weight, bias = self.weights["readout.weight"], self.weights["readout.bias"]
        return states[..., : self.run.hidden_size] @ (weight[1] - weight[0]) + bias[1] - bias[0]

    @cached_property
    def typical(self) -> np.ndarray:
        """States (64,D) visited under the task's own noise: steps 20 to 35 of four sequences."""
        return np.concatenate(
            [self.visited(one)[20:36] for one in self.inputs("typical states", 4, 36)]
        )

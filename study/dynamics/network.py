"""Treat a trained network as a map from its state to its next state.

The map is computed in float64, whatever precision the network was trained in.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from study.dynamics.build import kernels
from study.model import CELLS
from study.runs import Run, Sequences, stream

NO_JOLTS = np.empty((0, 0, 0))


def is_suitable(run: Run) -> bool:
    """Return whether this package can analyse the network of a run with these settings.

    The network must have one layer, start from the zero state, and carry its state from step to
    step. Its task must be to output 1, 0, 1, 0, … after a cue, under uniform noise.
    """
    kind = (run.task, run.pattern, run.cue, run.noise_kind, run.layers, run.start, run.state)
    return kind == ("alternating", "10", True, "uniform", 1, "zeros", "carried")


def packed(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return all weights in one vector, in the order that the compiled functions expect.

    The matrices of the recurrent layer are transposed first.
    """
    arrays = [a.T if name.startswith("cell.weight") else a for name, a in weights.items()]
    return np.concatenate([np.ravel(array) for array in arrays]).astype(float)


class Network:
    """A trained network as a map F_u from its state (D,) to its next state, under the input u.

    The state is the hidden state h, followed by the cell state c if there is one. So D is H or 2 H,
    where H is the hidden size.
    """

    def __init__(self, run: Run, weights: Mapping[str, np.ndarray]):
        self.run, self.weights = run, dict(weights)
        self.kernels, self.theta = kernels(run.cell), packed(self.weights)
        self.hidden_size, self.states = run.hidden_size, CELLS[run.cell].states
        self.dimension = run.hidden_size * len(self.states)

    def with_weights(self, **changed: np.ndarray) -> Network:
        """Return a copy of the network with other weights in its recurrent layer.

        For example, `with_weights(weight_hh=array)` replaces the weight `cell.weight_hh_l0`.
        """
        new = {f"cell.{name}_l0": array for name, array in changed.items()}
        return Network(self.run, self.weights | new)

    def stream(self, purpose: str) -> np.random.Generator:
        """Return a random generator that depends only on the network's run and on `purpose`."""
        return stream(f"dynamics: {purpose}", self.run.run_id)

    def inputs(self, purpose: str, n: int, length: int) -> np.ndarray:
        """Return n fresh input sequences (n,T) of the run's task, each T = `length` steps long.

        Runs with the same seed and noise get the same inputs.
        """
        return Sequences(self.run, f"dynamics: {purpose}", length).draw(n)[0][:, :, 0]

    def derivatives(
        self, points: np.ndarray, inputs: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute one step from each of the states `points` (S,D).

        Returns the next states (S,D), and the Jacobians (S,D,D) of the next states with respect to
        `points`. `inputs` (S,) has one input per point, or is a single number for all points.
        """
        points = np.ascontiguousarray(points, float)
        inputs = np.broadcast_to(np.asarray(inputs, float), len(points)).copy()
        images, jacobians = np.empty_like(points), np.empty((*points.shape, points.shape[1]))
        self.kernels.derivatives(self.theta, self.hidden_size, points, inputs, images, jacobians)
        return images, jacobians

    def roots(self, starts: np.ndarray, u: float, period: int) -> tuple[np.ndarray, np.ndarray]:
        """Search for states to which the network returns after `period` steps under the input u.

        Newton's method searches from each of the states `starts` (S,D). Returns the last states of
        the searches (S,D) and their residuals (S,). A residual compares the last state with the
        state `period` steps later, and is the largest absolute difference between their entries. A
        large residual means that the search found no state to which the network returns.
        """
        roots, newton = np.array(starts, float), self.kernels.newton
        return roots, np.array([newton(self.theta, self.hidden_size, z, u, period) for z in roots])

    def follow(
        self, starts: np.ndarray, inputs: np.ndarray, jolts: np.ndarray = NO_JOLTS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the network on B sequences, and return its states and the mean values of its gates.

        Sequence b begins in state b of `starts` (B,D), and has row b of `inputs` (B,T) as its
        inputs. The states (B,T,D) are recorded after each step. If `jolts` (B,T,D) are given, each
        vector (D,) is added to a state after this state was recorded, and so changes the next step.
        The values of the G gates are averaged over all sequences and steps, which gives (G*H,).
        """
        starts, inputs = np.array(starts, float), np.ascontiguousarray(inputs, float)
        states = np.empty((*inputs.shape, self.dimension))
        means = np.empty(self.kernels.KEPT * self.hidden_size)
        self.kernels.visit(self.theta, self.hidden_size, starts, inputs, jolts, states, means)
        return states, means[: self.kernels.GATES * self.hidden_size]

    def visited(self, inputs: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """Return the states (T,D) that the network visits when it has the inputs (T,).

        A state is recorded after each step. The network begins in the state `start` (D,), or in the
        zero state if `start` is None.
        """
        start = np.zeros(self.dimension) if start is None else start
        return self.follow(start[None], inputs[None])[0][0]

    def settled(self, states: np.ndarray, u: float, steps: int) -> np.ndarray:
        """Return the states (B,D) in which the network ends after `steps` steps of input u.

        The network runs once from each of the given states (B,D).
        """
        inputs = np.full(steps, u)
        return np.array([self.visited(inputs, state)[-1] for state in states])

    def wrong(self, states: np.ndarray) -> np.ndarray:
        """Return which of the states (B,T,D) give the wrong label, as truth values (B,T).

        The right labels of a sequence are 1, 0, 1, 0, …, starting at step 0.
        """
        # A margin of NaN counts as label 0, as in the engine's evaluation.
        return (self.logit_margin(states) > 0) != (np.arange(states.shape[1]) % 2 == 0)

    def logit_margin(self, states: np.ndarray) -> np.ndarray:
        """Return the logit of label 1 minus the logit of label 0 in each of the states (...,D)."""
        weight, bias = self.weights["readout.weight"], self.weights["readout.bias"]
        return states[..., : self.hidden_size] @ (weight[1] - weight[0]) + bias[1] - bias[0]

    @cached_property
    def typical(self) -> np.ndarray:
        """The 64 states (64,D) visited at steps 20 to 35 of four sequences with the task's noise.

        The first 16 states come from the first sequence, in order. The next 16 come from the second
        sequence, and so on.
        """
        sequences = self.inputs("typical states", 4, 36)
        return np.concatenate([self.visited(sequence)[20:36] for sequence in sequences])

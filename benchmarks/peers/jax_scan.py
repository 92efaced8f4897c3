"""The peer `jax`: JAX trains M models at once, by `jit(vmap(value_and_grad(scan)))` and SGD."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.gates import GATES
from benchmarks.problem import LEARNING_RATE, Case, stacked_batches, stacked_weights
from benchmarks.timing import best_of_models
from study.model import CELLS

jax: Any = import_module("jax") if find_spec("jax") else None
jnp: Any = jax and jax.numpy

MODELS = (1, 16, 64, 256, 512)


def unavailable() -> str | None:
    """Return why JAX, an optional package, is not available, or None if it is."""
    return "jax is not installed; `pip install -e .[bench]` adds it" if jax is None else None


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Measure an update of the case at the number of models that is fastest per model."""
    return best_of_models(lambda models: Scan(case, models), MODELS, seconds)


def jax_ops() -> Any:
    """Return the functions of JAX under the names that `benchmarks.gates` uses."""
    split = partial(jnp.split, axis=-1)
    return SimpleNamespace(sigmoid=jax.nn.sigmoid, tanh=jnp.tanh, relu=jax.nn.relu, split=split)


def update_of(cell: str) -> Any:
    """Return a compiled function that does one update of M models of this cell.

    Its arguments are the weights by name, each (M, ...), the inputs (M, T, B, I) and the labels
    (M, T, B). It returns the new weights and the losses (M,).
    """
    ops, rule, states = jax_ops(), GATES[cell], len(CELLS[cell].states)

    def loss(w: dict, inputs: Any, labels: Any) -> Any:
        """Return the mean loss of one model, for inputs (T, B, I) and labels (T, B)."""
        zeros = jnp.zeros((inputs.shape[1], w["cell.weight_hh_l0"].shape[1]), inputs.dtype)

        def step(state: tuple, a: Any) -> tuple:
            after = rule(ops, a, state[0] @ w["cell.weight_hh_l0"].T + w["cell.bias_hh_l0"], state)
            return after, after[0]

        parts = inputs @ w["cell.weight_ih_l0"].T + w["cell.bias_ih_l0"]
        _, hidden = jax.lax.scan(step, (zeros,) * states, parts)
        logits = hidden @ w["readout.weight"].T + w["readout.bias"]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1).mean()

    def update(w: dict, inputs: Any, labels: Any) -> tuple:
        losses, gradient = jax.vmap(jax.value_and_grad(loss))(w, inputs, labels)
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, w, gradient), losses

    return jax.jit(update, donate_argnums=0)


class Scan:
    """M = `models` networks in training; calling this with n does n updates of each network."""

    def __init__(self, case: Case, models: int):
        self.update = update_of(case.cell)
        self.w: dict[str, Any] = jax.tree.map(jnp.asarray, stacked_weights(case, models))
        inputs, labels = stacked_batches(case, models)
        self.batches = [
            (jnp.asarray(x), jnp.asarray(y))
            for x, y in zip(inputs, labels.astype(np.int32), strict=True)
        ]
        self.done = 0

    def __call__(self, n: int) -> None:
        """Do n updates of each model, and wait for them."""
        for _ in range(n):
            self.w, _ = self.update(self.w, *self.batches[self.done % len(self.batches)])
            self.done += 1
        jax.block_until_ready(self.w)

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """Return the weights of the model with this index, with torch's names and shapes."""
        return {name: np.asarray(array[model]) for name, array in self.w.items()}

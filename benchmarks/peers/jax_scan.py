"""The peer `jax`: JAX trains M models at once, with many updates in one compiled call.

The call is a loop over updates, each of which is `vmap(grad(scan))` and a step of SGD. The batches
are on the device beforehand.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.gates import GATES
from benchmarks.problem import BATCHES, LEARNING_RATE, Case, stacked_batches, stacked_weights
from benchmarks.timing import best_of_models
from study.model import CELLS

jax: Any = import_module("jax") if find_spec("jax") else None
jnp: Any = jax and jax.numpy

MODELS = (16, 64, 256)
UNROLLS = (1, 4)  # steps of a sequence per turn of the inner loop


def unavailable() -> str | None:
    """Return why JAX, an optional package, is not available, or None if it is."""
    return "jax is not installed; `pip install -e .[bench]` adds it" if jax is None else None


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Measure an update of the case at the number of models and unrolling that are fastest."""
    found = [best_of_models(partial(Scan, case, unroll=u), MODELS, seconds) for u in UNROLLS]
    tried = [f"unroll {u}: {one['models_tried']}" for u, one in zip(UNROLLS, found, strict=True)]
    return min(found, key=lambda one: one["min_seconds"]) | {"models_tried": "; ".join(tried)}


def jax_ops() -> Any:
    """Return the functions of JAX under the names that `benchmarks.gates` uses."""
    split = partial(jnp.split, axis=-1)
    return SimpleNamespace(sigmoid=jax.nn.sigmoid, tanh=jnp.tanh, relu=jax.nn.relu, split=split)


def updates_of(cell: str, unroll: int) -> Any:
    """Return a compiled function that does n updates of M models of this cell.

    Its arguments are the weights by name, each (M, ...), the inputs (BATCHES, M, T, B, I), the
    labels (BATCHES, M, T, B), the number of updates done before, and n. It returns the new weights.
    """
    ops, rule, states = jax_ops(), GATES[cell], len(CELLS[cell].states)

    def loss(w: dict, inputs: Any, labels: Any) -> Any:
        """Return the mean loss of one model, for inputs (T, B, I) and labels (T, B)."""
        zeros = jnp.zeros((inputs.shape[1], w["cell.weight_hh_l0"].shape[1]), inputs.dtype)

        def step(state: tuple, a: Any) -> tuple:
            after = rule(ops, a, state[0] @ w["cell.weight_hh_l0"].T + w["cell.bias_hh_l0"], state)
            return after, after[0]

        parts = inputs @ w["cell.weight_ih_l0"].T + w["cell.bias_ih_l0"]
        _, hidden = jax.lax.scan(step, (zeros,) * states, parts, unroll=unroll)
        logits = hidden @ w["readout.weight"].T + w["readout.bias"]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1).mean()

    def updates(w: dict, inputs: Any, labels: Any, done: int, n: int) -> dict:
        def update(i: Any, w: dict) -> dict:
            batch = (done + i) % BATCHES
            gradient = jax.vmap(jax.grad(loss))(w, inputs[batch], labels[batch])
            return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, w, gradient)

        return jax.lax.fori_loop(0, n, update, w)  # as `scan` does, but for any n

    return jax.jit(updates, donate_argnums=0)


class Scan:
    """M = `models` networks in training; calling this with n does n updates of each network."""

    def __init__(self, case: Case, models: int, unroll: int = 1):
        self.updates = updates_of(case.cell, unroll)
        self.w: dict[str, Any] = jax.tree.map(jnp.asarray, stacked_weights(case, models))
        inputs, labels = stacked_batches(case, models)
        self.batches = jnp.asarray(inputs), jnp.asarray(labels.astype(np.int32))
        self.done = 0

    def __call__(self, n: int) -> None:
        """Do n updates of each model, and wait for them."""
        self.w = jax.block_until_ready(self.updates(self.w, *self.batches, self.done, n))
        self.done += n

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """Return the weights of the model with this index, with torch's names and shapes."""
        return {name: np.asarray(array[model]) for name, array in self.w.items()}

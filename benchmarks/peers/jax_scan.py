"""M models trained at once by JAX: `jit(vmap(value_and_grad(scan)))` and a step of SGD."""

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
    """Why JAX is not available: it is an optional extra."""
    return "jax is not installed; it comes with the extra 'bench'" if jax is None else None


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Time the update of a case, per model, at the best number of models."""
    return best_of_models(lambda models: Scan(case, models), MODELS, seconds)


def jax_ops() -> Any:
    """JAX's functions under the names that `gates` uses."""
    split = partial(jnp.split, axis=-1)
    return SimpleNamespace(sigmoid=jax.nn.sigmoid, tanh=jnp.tanh, relu=jax.nn.relu, split=split)


def update_of(cell: str) -> Any:
    """The compiled update of M models.

    (weights, inputs (M, T, B, I), labels (M, T, B)) -> weights, losses (M,).
    """
    ops, rule, states = jax_ops(), GATES[cell], len(CELLS[cell].states)

    def loss(w: dict, inputs: Any, labels: Any) -> Any:
        """One model's mean loss; inputs (T, B, I), labels (T, B)."""
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
    """M networks in training; a call does n updates of each."""

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
        """One model's weights, in torch's shapes."""
        return {name: np.asarray(array[model]) for name, array in self.w.items()}

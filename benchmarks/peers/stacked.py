"""The peers `stacked` and `compiled`: torch trains M models at once.

The weights of the models are stacked, so that each step needs one batched product for all of them.
In the peer `compiled`, `torch.compile` compiles a single step and its gradient. Compiling all 50
steps as one graph would take minutes, and would gain nothing over single steps of more models.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gates import GATES
from benchmarks.problem import LEARNING_RATE, Case, stacked_batches, stacked_weights
from benchmarks.timing import best_of_models
from study.model import CELLS

MODELS = (1, 16, 64, 256, 512)
COMPILED_MODELS = (64, 512)  # each takes seconds to compile
Step = Callable[..., tuple[Tensor, ...]]


def unavailable(compiled: bool = False) -> str | None:
    """Return why the peer cannot run here, or None: torch.compile needs a C++ compiler."""
    compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++"))
    return "no C++ compiler found" if compiled and not any(map(shutil.which, compilers)) else None


def measure(case: Case, seconds: float, compiled: bool = False) -> dict[str, Any]:
    """Measure an update of the case at the number of models that is fastest per model."""
    torch.compiler.reset()  # forget the shapes of other cases
    numbers = COMPILED_MODELS if compiled else MODELS
    return best_of_models(lambda models: Stacked(case, models, compiled), numbers, seconds)


class Ops:
    """The functions of torch under the names that `benchmarks.gates` uses."""

    sigmoid, tanh, relu = map(staticmethod, (torch.sigmoid, torch.tanh, torch.relu))

    @staticmethod
    def split(a: Tensor, n: int) -> tuple[Tensor, ...]:
        """Split the last axis of `a` into n equal blocks."""
        return a.chunk(n, -1)


def step_of(cell: str) -> Step:
    """Return a function that does one step of M models of this cell.

    Its arguments are the part of the gates' arguments that comes from the input (M, B, gates * H),
    the recurrent weight (M, H, gates * H) and bias (M, 1, gates * H), and the state, as one or more
    tensors (M, B, H). It returns the next state.
    """
    rule = GATES[cell]

    def step(part: Tensor, weight: Tensor, bias: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return rule(Ops, part, torch.baddbmm(bias, state[0], weight), state)

    return step


def total_loss(
    step: Step, states: int, w: dict[str, Tensor], inputs: Tensor, labels: Tensor
) -> Tensor:
    """Return the sum of the mean losses of M models, so that each model gets its own gradient.

    `step` comes from `step_of`, and `states` is the number of tensors in its state. `w` has the
    weights by name, each (M, ...). The inputs are (M, T, B, I) and the labels (M, T, B).
    """
    models, steps, batch, _ = inputs.shape
    parts = torch.baddbmm(
        w["cell.bias_ih_l0"][:, None], inputs.flatten(1, 2), w["cell.weight_ih_l0"].mT
    )
    weight, bias = w["cell.weight_hh_l0"].mT, w["cell.bias_hh_l0"][:, None]
    state = tuple(inputs.new_zeros(models, batch, weight.shape[1]) for _ in range(states))
    outputs = []
    for part in parts.view(models, steps, batch, -1).transpose(0, 1).contiguous().unbind(0):
        state = step(part, weight, bias, *state)
        outputs.append(state[0])
    hidden = torch.stack(outputs, 1).flatten(1, 2)
    logits = torch.baddbmm(w["readout.bias"][:, None], hidden, w["readout.weight"].mT)
    total = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="sum"
    )
    return total / (steps * batch)


class Stacked:
    """M = `models` networks in training; calling this with n does n updates of each network."""

    def __init__(self, case: Case, models: int, compiled: bool = False):
        step = step_of(case.cell)
        if compiled:
            step = torch.compile(step, fullgraph=True, dynamic=False)
        self.loss = partial(total_loss, step, len(CELLS[case.cell].states))
        weights = stacked_weights(case, models)
        self.w = {name: torch.tensor(array, requires_grad=True) for name, array in weights.items()}
        inputs, labels = stacked_batches(case, models)
        self.batches = list(zip(torch.tensor(inputs), torch.tensor(labels), strict=True))
        self.optimizer = torch.optim.SGD(self.w.values(), lr=LEARNING_RATE)
        self.done = 0

    def __call__(self, n: int) -> None:
        """Do n updates of each network."""
        for _ in range(n):
            self.optimizer.zero_grad()
            self.loss(self.w, *self.batches[self.done % len(self.batches)]).backward()
            self.optimizer.step()
            self.done += 1

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """Return the weights of the model with this index, with torch's names and shapes."""
        return {name: tensor[model].detach().numpy() for name, tensor in self.w.items()}

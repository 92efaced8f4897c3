"""M models trained at once by torch: weights stacked, one batched product per step for all of them.

In the peer `compiled`, `torch.compile` compiles the step and its gradient. It compiles a single
step, since compiling all 50 steps as one graph takes minutes and gains nothing over single steps of
more models.
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
    """Why it is not available: torch.compile needs a C++ compiler."""
    compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++"))
    return "no C++ compiler" if compiled and not any(map(shutil.which, compilers)) else None


def measure(case: Case, seconds: float, compiled: bool = False) -> dict[str, Any]:
    """Time the update of a case, per model, at the best number of models."""
    numbers = COMPILED_MODELS if compiled else MODELS
    return best_of_models(lambda models: Stacked(case, models, compiled), numbers, seconds)


class Ops:
    """torch's functions under the names that `gates` uses."""

    sigmoid, tanh, relu = map(staticmethod, (torch.sigmoid, torch.tanh, torch.relu))

    @staticmethod
    def split(a: Tensor, n: int) -> tuple[Tensor, ...]:
        """n equal blocks of the last axis."""
        return a.chunk(n, -1)


def step_of(cell: str) -> Step:
    """The step of M models.

    (input part (M, B, gates * H), weight, bias, *state (M, B, H)) -> the next state.
    """
    rule = GATES[cell]

    def step(part: Tensor, weight: Tensor, bias: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return rule(Ops, part, torch.baddbmm(bias, state[0], weight), state)

    return step


def total_loss(
    step: Step, states: int, w: dict[str, Tensor], inputs: Tensor, labels: Tensor
) -> Tensor:
    """The sum over models of each one's mean loss, so that every model has its own gradient.

    inputs (M, T, B, I), labels (M, T, B).
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
    """M networks in training; a call does n updates of each."""

    def __init__(self, case: Case, models: int, compiled: bool = False):
        step = step_of(case.cell)
        if compiled:
            torch.compiler.reset()  # forget the shapes of other cases
            step = torch.compile(step, fullgraph=True, dynamic=False)
        self.loss = partial(total_loss, step, len(CELLS[case.cell].states))
        weights = stacked_weights(case, models)
        self.w = {name: torch.tensor(array, requires_grad=True) for name, array in weights.items()}
        inputs, labels = stacked_batches(case, models)
        self.batches = list(zip(torch.tensor(inputs), torch.tensor(labels), strict=True))
        self.optimizer = torch.optim.SGD(self.w.values(), lr=LEARNING_RATE)
        self.done = 0

    def __call__(self, n: int) -> None:
        """Do n updates of each model."""
        for _ in range(n):
            self.optimizer.zero_grad()
            self.loss(self.w, *self.batches[self.done % len(self.batches)]).backward()
            self.optimizer.step()
            self.done += 1

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """One model's weights, in torch's shapes."""
        return {name: tensor[model].detach().numpy() for name, tensor in self.w.items()}

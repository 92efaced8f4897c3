"""The peer `torch`: torch.nn and torch.optim train one model, as in the study's torch engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Case, run_of
from benchmarks.timing import timed
from study.engines.torch_engine import Trainer


def unavailable() -> str | None:
    """Return None, since this peer runs wherever the study does."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Measure an update of the case.

    A cell that torch.nn lacks is computed step by step from its equations, with autograd.
    """
    return timed(Model(case), seconds)


class Model:
    """A network in training; calling it with n does n updates."""

    def __init__(self, case: Case, seed: int = 0):
        self.trainer = Trainer(run_of(case, seed))

    def __call__(self, n: int) -> None:
        """Do n updates."""
        for _ in range(n):
            self.trainer.update()

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """Return the weights by name; `model` is ignored, since there is only one."""
        return {
            name: tensor.detach().numpy()
            for name, tensor in self.trainer.network.state_dict().items()
        }

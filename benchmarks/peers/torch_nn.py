"""torch.nn and torch.optim, one model, as in the study's torch engine and any PyTorch code."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Case, run_of
from benchmarks.timing import timed
from study.engines.torch_engine import Trainer


def unavailable() -> str | None:
    """Return None, since it is available wherever the study is."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Time the update of a case; a cell that torch.nn lacks runs by its rule, with autograd."""
    return timed(Model(case), seconds)


class Model:
    """A network in training; a call does n updates."""

    def __init__(self, case: Case, seed: int = 0):
        self.trainer = Trainer(run_of(case, seed))

    def __call__(self, n: int) -> None:
        """Do n updates."""
        for _ in range(n):
            self.trainer.update()

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """The weights, in torch's shapes."""
        return {
            name: tensor.detach().numpy()
            for name, tensor in self.trainer.network.state_dict().items()
        }

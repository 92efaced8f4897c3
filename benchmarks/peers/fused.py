"""The study's fused engine: one model, its compiled loop entered once for many updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Case, run_of
from benchmarks.timing import timed
from study.engines.fused import Training


def unavailable() -> str | None:
    """It is everywhere where the study is."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """The update of a case; `prepare_seconds` has the compiling where the machine has not compiled it yet."""
    return timed(Loop(case), seconds)


class Loop:
    """A network in training; a call does n updates on the batches drawn beforehand.

    The loop ends each call by an evaluation, here of one sequence of two steps.
    """

    def __init__(self, case: Case):
        run = run_of(case).model_copy(
            update={"test_length": 2, "eval_sequences": 1, "engine": "fused"}
        )
        self.training = Training(run)
        self.test = self.training.draw(self.training.evaluation, 1, 1)
        self.done = 0

    def __call__(self, n: int) -> None:
        """n updates."""
        self.done += n
        for option in ("EVAL_EVERY", "MAX_UPDATES"):
            self.training.set_option(option, self.done)
        assert self.training.epoch is not None
        self.training.enter(self.training.epoch, self.test, (2, 1), np.empty((1, 6)))
        if self.training.option("UPDATES") != self.done:
            raise ArithmeticError(f"diverged at update {self.training.option('UPDATES')}")

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """The weights, in torch's shapes."""
        return self.training.weights()

"""The study's fused engine: one model, its compiled loop entered once for many updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Case, run_of
from benchmarks.timing import timed
from study.engines.fused import Training


def unavailable() -> str | None:
    """Return None, since it is available wherever the study is."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Time the update of a case; `prepare_seconds` includes compiling where that is needed."""
    return timed(Loop(case), seconds)


class Loop(Training):
    """A network in training; a call does n updates on batches drawn beforehand.

    The loop ends each call with an evaluation, here of a single sequence of two steps.
    """

    def __init__(self, case: Case):
        least = {"test_length": 2, "eval_sequences": 1, "engine": "fused"}
        super().__init__(run_of(case).model_copy(update=least))
        self.test = self.draw(self.evaluation, 1, 1)
        self.done = 0

    def __call__(self, n: int) -> None:
        """Do n updates."""
        self.done += n
        for option in ("EVAL_EVERY", "MAX_UPDATES"):
            self.set_option(option, self.done)
        assert self.epoch is not None
        self.enter(self.epoch, self.test, (2, 1), np.empty((1, 6)))
        if self.option("UPDATES") != self.done:
            raise ArithmeticError(f"diverged at update {self.option('UPDATES')}")

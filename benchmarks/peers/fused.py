"""The peer `fused`: the study's compiled loop, which trains one model for many updates per call."""

from __future__ import annotations

from typing import Any

from benchmarks.problem import Case, run_of
from benchmarks.timing import timed
from study.engines.fused import Training, enter


def unavailable() -> str | None:
    """Return None, since this peer runs wherever the study does."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Measure an update of the case; `prepare_seconds` includes compilation if it is needed."""
    return timed(Loop(case), seconds)


class Loop(Training):
    """A network in training; calling it with n does n updates on batches drawn beforehand.

    The compiled loop ends each call with an evaluation. Here that is as short as possible: one
    sequence of two steps.
    """

    def __init__(self, case: Case):
        least = {"test_length": 2, "eval_sequences": 1, "engine": "fused"}
        super().__init__(run_of(case).model_copy(update=least))
        self.set_option("FRESH", 0)
        self.done = 0

    def __call__(self, n: int) -> None:
        """Do n updates; raises `ArithmeticError` if the training diverges."""
        self.done += n
        for option in ("EVAL_EVERY", "MAX_UPDATES"):
            self.set_option(option, self.done)
        batches, test = self.training.take(0, self.epoch), self.evaluation.take(0, 1)
        enter([self], batches, [test], self.evaluation, 1)
        if self.option("UPDATES") != self.done:
            raise ArithmeticError(f"diverged at update {self.option('UPDATES')}")

"""The peers `fused` and `alone`: the study's compiled loop, with many updates per call.

The peer `fused` trains models as a grid does: several side by side if the batch size is 1 or 2. The
peer `alone` trains one model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.problem import Case, run_of
from benchmarks.timing import timed
from study.engines.fused import Training, enter
from study.engines.fused.data import side_by_side
from study.model import runs_side_by_side


def unavailable(alone: bool = False) -> str | None:
    """Return None, since this peer runs wherever the study does."""


def measure(case: Case, seconds: float, alone: bool = False) -> dict[str, Any]:
    """Measure an update of the case; `prepare_seconds` includes compilation if it is needed."""
    models = 1 if alone else runs_side_by_side("fused", case.batch_size)
    return timed(Loop(case, models), seconds, models)


class Loop:
    """M = `models` networks in training; calling this with n does n updates of each network.

    The batches are drawn beforehand. The compiled loop ends each call with an evaluation of each
    network. Here that is as short as possible: one sequence of two steps.
    """

    def __init__(self, case: Case, models: int = 1):
        least = {"test_length": 2, "eval_sequences": 1, "engine": "fused"}
        runs = [run_of(case, seed).model_copy(update=least) for seed in range(models)]
        self.trainings = [Training(run) for run in runs]
        for each in self.trainings:
            each.set_option("FRESH", 0)
        drawn = [each.training.take(0, each.epoch) for each in self.trainings]
        self.batches = side_by_side(drawn, case.batch_size) if models > 1 else drawn[0]
        self.tests = [each.evaluation.take(0, 1) for each in self.trainings]
        self.done = 0

    def __call__(self, n: int) -> None:
        """Do n updates of each network; raises `ArithmeticError` if one diverges."""
        self.done += n
        for each in self.trainings:
            each.set_option("EVAL_EVERY", self.done)
            each.set_option("MAX_UPDATES", self.done)
        feed = self.trainings[0].evaluation
        enter(self.trainings, self.batches, self.tests, feed, len(self.trainings))
        for each in self.trainings:
            if each.option("UPDATES") != self.done:
                raise ArithmeticError(f"diverged at update {each.option('UPDATES')}")

    def weights(self, model: int = 0) -> dict[str, np.ndarray]:
        """Return the weights of the model with this index, with torch's names and shapes."""
        return self.trainings[model].weights()

"""Train networks with engines, each of which trains a whole `Run` and returns an `Outcome`.

The settings of a run name its engine:

    torch   the reference engine, which uses `torch.nn` and `torch.optim` on any device
    fused   one compiled loop, which does a whole run on the CPU and is faster for small networks
    auto    the faster of these two for the run (the run's row says which one was used)

To add an engine, write a module with `train(run, check) -> Outcome` and
`unavailable(run) -> str | None`, and enter it in `study.model.engines.ENGINES`. An engine that has
to compile before it trains also needs `is_ready` and `prepare`. Modules are imported when first
used, since torch and Numba are slow to import.

Other packages may also import the modules `torch_engine` and `fused` from here, but should use only
the names in the `__all__` of these modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any, Protocol, cast

import numpy as np

from study.errors import BadInput
from study.model import ENGINES, Score
from study.runs import Run

__all__ = ["Curve", "Engine", "Outcome", "engine_of", "train"]

_one_at_a_time = Lock()


@dataclass(frozen=True)
class Curve:
    """The learning curve of a run, as arrays (evaluations,) with one number per evaluation.

    The first evaluation takes place before any update, so its `training_loss` is NaN.
    """

    update: np.ndarray  # number of updates done
    training_loss: np.ndarray  # nats per label, mean over the updates since the last evaluation
    loss: np.ndarray  # nats per label, on fresh sequences of the test length
    accuracy: np.ndarray  # on the same sequences as `loss`
    exact: np.ndarray  # share of these sequences with every label right from step 1 on
    train_seconds: np.ndarray  # spent on updates so far, including drawing their data


@dataclass(frozen=True)
class Outcome:
    """The result of training one run. Times are in seconds and include drawing the data."""

    curve: Curve
    updates: int
    diverged_update: int | None  # the first update with a loss that was not finite
    final: Score | None  # at the test length; None if the run diverged
    long: Score | None  # at ten times the test length; None if the run diverged
    weights: dict[str, np.ndarray]
    train_seconds: float
    evaluation_seconds: float
    final_seconds: float
    side_by_side: int = 1  # runs that shared the processor's lanes, at most, this one included


def never_stop() -> None:
    """Do nothing.

    As the default of `check` in `train`, this function never stops the training.
    """


class Engine(Protocol):
    """The functions of an engine's module.

    `is_ready` and `prepare` are needed only by engines that compile code.
    """

    def train(self, run: Any, check: Callable[[], None] = ...) -> Outcome:
        """Train the run.

        Calls `check` before the first update, and then after every few evaluations. `check` may
        raise an exception to stop the training.
        """
        ...

    def unavailable(self, run: Any) -> str | None:
        """Return why this machine cannot train the run, or None if it can."""
        ...

    def is_ready(self, run: Any) -> bool:
        """Return whether the run can be trained without calling `prepare` first."""
        ...

    def prepare(self, *runs: Any) -> None:
        """Compile the code for the runs' cells and data types, once per machine."""
        ...


def engine_of(run: Any) -> Engine:
    """Return the module of the engine that trains the run."""
    return cast(Engine, import_module(ENGINES[run.engine].module))


def train(run: Run) -> Outcome:
    """Train one run, and return its learning curve, final scores and trained weights.

    Nothing is stored. Threads take turns, since engines share data and settings of torch within a
    process. Raises `BadInput` if this machine lacks the run's device. Any error of the engine is
    raised too.
    """
    engine = engine_of(run)
    if reason := engine.unavailable(run):
        raise BadInput.at(f"run {run.run_id}", f"cannot be trained here: {reason}")
    with _one_at_a_time:
        return engine.train(run)

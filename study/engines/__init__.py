"""Engines: each trains a whole `Run` and returns an `Outcome`.

To add one: write a module with `train(run) -> Outcome` and `unavailable(run) -> str | None`, and
enter it in `ENGINES`. Modules are imported when first used, since torch is slow to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from study.measures import Score

if TYPE_CHECKING:
    from study.runs import Run

ENGINES = {
    "torch": "study.engines.torch_engine",
    "fused": "study.engines.fused",
}


@dataclass(frozen=True)
class Curve:
    """What was seen at each evaluation; all arrays (evaluations,), the first before any update."""

    update: np.ndarray  # updates done
    training_loss: np.ndarray  # mean over the updates since the evaluation before; nats per label
    loss: np.ndarray  # on fresh sequences, as are accuracy and exact
    accuracy: np.ndarray
    exact: np.ndarray
    train_seconds: np.ndarray  # spent on updates so far, evaluation excluded


@dataclass(frozen=True)
class Outcome:
    """What one training gave; times in seconds."""

    curve: Curve
    updates: int
    diverged_update: int | None  # the update whose loss was not finite
    final: Score | None  # at the test length; None when diverged
    long: Score | None  # at ten test lengths
    weights: dict[str, np.ndarray]
    train_seconds: float
    evaluation_seconds: float
    final_seconds: float


class Engine(Protocol):
    """What the module of an engine offers."""

    def train(self, run: Run) -> Outcome: ...

    def unavailable(self, run: Run) -> str | None:
        """Why a run cannot be trained on this machine; None when it can."""
        ...


def engine_of(run: Any) -> Engine:
    """The engine module of a run."""
    return cast(Engine, import_module(ENGINES[run.engine]))

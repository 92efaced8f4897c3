"""Engines: each trains a whole `Run` and returns an `Outcome`.

    torch   `torch.nn` and `torch.optim`, any device: the reference
    fused   one compiled loop for a whole run, on the CPU: the faster where networks are small
    auto    the one of the two that is faster for the run; its row says which

To add one: write a module with `train(run, check) -> Outcome` and `unavailable(run) -> str | None`, and
enter it in `ENGINES`. One that has to compile first adds `is_ready` and `prepare`, and is entered in
`COMPILING`. Modules are imported when first
used, since torch is slow to import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from study.model import ENGINES, Score

if TYPE_CHECKING:
    from study.runs import Run


@dataclass(frozen=True)
class Curve:
    """What was seen at each evaluation; all arrays (evaluations,), the first before any update."""

    update: np.ndarray  # updates done
    training_loss: np.ndarray  # mean over the updates since the evaluation before; nats per label
    loss: np.ndarray  # on fresh sequences, as are accuracy and exact
    accuracy: np.ndarray
    exact: np.ndarray
    train_seconds: (
        np.ndarray
    )  # spent on updates so far, drawing their data included, evaluation excluded


@dataclass(frozen=True)
class Outcome:
    """What one training gave; times in seconds, each with the drawing of the data it is for."""

    curve: Curve
    updates: int
    diverged_update: int | None  # the update whose loss was not finite
    final: Score | None  # at the test length; None when diverged
    long: Score | None  # at ten test lengths
    weights: dict[str, np.ndarray]
    train_seconds: float
    evaluation_seconds: float
    final_seconds: float


def never_stop() -> None:
    """The check of a training that nothing stops before its end."""


class Engine(Protocol):
    """What the module of an engine offers."""

    def train(self, run: Run, check: Callable[[], None] = ...) -> Outcome:
        """Train a run, calling `check`, which may raise, at least every few evaluations."""
        ...

    def unavailable(self, run: Run) -> str | None:
        """Why a run cannot be trained on this machine; None when it can."""
        ...

    def is_ready(self, run: Run) -> bool:
        """Whether a run can be trained without `prepare`; only engines in COMPILING have this and the next."""
        ...

    def prepare(self, run: Run) -> None:
        """Do what is to be done once on a machine before such runs, such as compiling."""
        ...


def engine_of(run: Any) -> Engine:
    """The engine module of a run."""
    return _engine(run.engine)


@cache
def _engine(name: str) -> Engine:
    return cast(Engine, import_module(ENGINES[name]))

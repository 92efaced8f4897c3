"""Engines: each trains a whole `Run` and returns an `Outcome`.

    torch   `torch.nn` and `torch.optim`, any device: the reference
    fused   one compiled loop for a whole run, on the CPU: faster where networks are small
    auto    the faster of the two for the run; its row says which

To add one: write a module with `train(run, check) -> Outcome` and `unavailable(run) -> str | None`, and
enter it in `ENGINES`. An engine that has to compile first adds `is_ready` and `prepare`. Modules
are imported when first used, since torch and Numba are slow to import.

`torch_engine` and `fused` are part of this door: `from study.engines import fused`. Each offers
what its own `__all__` names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np

from study.model import ENGINES, Score

__all__ = ["Curve", "Engine", "Outcome", "engine_of"]


@dataclass(frozen=True)
class Curve:
    """The measurements at each evaluation, the first before any update; all (evaluations,)."""

    update: np.ndarray  # updates done
    training_loss: np.ndarray  # mean over the updates since the last evaluation; nats per label
    loss: np.ndarray  # on fresh sequences, as are accuracy and exact
    accuracy: np.ndarray
    exact: np.ndarray
    train_seconds: np.ndarray  # spent on updates so far, drawing their data included


@dataclass(frozen=True)
class Outcome:
    """The result of one training; times in seconds, each with the drawing of its data."""

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
    """The functions that an engine's module offers."""

    def train(self, run: Any, check: Callable[[], None] = ...) -> Outcome:
        """Train a run, calling `check`, which may raise, at least every few evaluations."""
        ...

    def unavailable(self, run: Any) -> str | None:
        """Why a run cannot be trained on this machine; None when it can."""
        ...

    def is_ready(self, run: Any) -> bool:
        """Whether a run can be trained without `prepare`; for engines that compile."""
        ...

    def prepare(self, run: Any) -> None:
        """Do what has to be done once per machine before such runs, such as compiling."""
        ...


def engine_of(run: Any) -> Engine:
    """The engine module of a run."""
    return cast(Engine, import_module(ENGINES[run.engine]))

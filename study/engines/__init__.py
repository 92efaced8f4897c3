"""Engines: each trains a whole `Run` and returns an `Outcome`.

    torch   `torch.nn` and `torch.optim`, any device: the reference
    fused   one compiled loop for a whole run, on the CPU: faster where networks are small
    auto    the faster of the two for the run; its row says which

To add an engine, write a module with `train(run, check) -> Outcome` and
`unavailable(run) -> str | None`, and enter it in `ENGINES`. An engine that compiles before it
trains also has `is_ready` and `prepare`. Modules are imported when first used, since torch and
Numba are slow to import.

Other packages may import the modules `torch_engine` and `fused` from here, and use the names in
their `__all__`.
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
    training_loss: np.ndarray  # nats per label, mean over the updates since the last evaluation
    loss: np.ndarray  # nats per label; this and the next two are on fresh sequences
    accuracy: np.ndarray
    exact: np.ndarray
    train_seconds: np.ndarray  # spent on updates so far, including the drawing of their data


@dataclass(frozen=True)
class Outcome:
    """The result of one training. Times are in seconds and include the drawing of data."""

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
    """The `check` that lets a training run to its end."""


class Engine(Protocol):
    """The functions that an engine's module offers."""

    def train(self, run: Any, check: Callable[[], None] = ...) -> Outcome:
        """Train a run. Every few evaluations call `check`, which may raise to stop it."""
        ...

    def unavailable(self, run: Any) -> str | None:
        """Why a run cannot be trained on this machine; None if it can."""
        ...

    def is_ready(self, run: Any) -> bool:
        """Whether a run can be trained without calling `prepare` first."""
        ...

    def prepare(self, run: Any) -> None:
        """Compile what runs of this kind need, once per machine."""
        ...


def engine_of(run: Any) -> Engine:
    """The engine module of a run."""
    return cast(Engine, import_module(ENGINES[run.engine]))

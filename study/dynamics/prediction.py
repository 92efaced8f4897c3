"""Predict when a network starts to learn its pattern, from its initial weights alone."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from study.dynamics import crossings
from study.dynamics.closed_form import functions
from study.model import CELLS
from study.runs import Run

NEWTON_STEPS = 2  # per update, from the fixed point of the update before


class Prediction(NamedTuple):
    """The update after which an eigenvalue leaves the unit circle, and its angle in radians."""

    update: int
    angle: float


def predict(run: Run) -> Prediction | None:
    """Predict the crossing (see `study.dynamics.crossings`) of a run from its initial weights.

    The network is trained with the run's own optimizer, but on one balanced batch instead of noise
    (see `study.runs.balanced`). So it descends the expected loss, and no random number is drawn but
    those of the initial weights. This takes as many updates as the run itself, on larger batches.

    The cell may be one of your own. Then torch trains the network, which takes longer.

    Returns None if no eigenvalue leaves the unit circle within the run's `max_updates`. Raises
    pydantic's ValidationError if the run cannot have the setting `data: balanced`.
    """
    size = 1 << (2 * run.length - 1).bit_length()  # the least power of two that is 2 T or more
    settings = run.model_dump(exclude_unset=True) | {"data": "balanced", "batch_size": size}
    balanced = Run(**settings)
    if CELLS[run.cell].version is None:
        return by_autograd(balanced)
    crossing = crossings.follow(balanced)[1].get("crossing")
    return crossing and Prediction(crossing.update, crossing.angle)


def by_autograd(run: Run) -> Prediction | None:
    """Return the crossing of a run of any cell, or None if no eigenvalue leaves the unit circle.

    Torch trains the network, and differentiates the cell's rule. The network is looked at after
    every update.
    """
    import torch  # heavy, and needed only for cells that this package does not ship

    from study.engines import torch_engine

    step, _ = functions(run)
    slope, trainer = torch.func.jacrev(step, argnums=1), torch_engine.Trainer(run)
    size = run.hidden_size * len(CELLS[run.cell].states)
    fixed, one = torch.zeros(size).double(), torch.eye(size).double()
    for update in range(run.max_updates + 1):
        named: Any = trainer.network.named_parameters()
        weights = {name: array.detach().double() for name, array in named}
        if update == 0:
            fixed = step(weights, fixed, 1.0 if run.cue else crossings.mean_input(run))
            for _ in range(crossings.SETTLING):
                fixed = step(weights, fixed)
        for _ in range(NEWTON_STEPS):
            away = step(weights, fixed) - fixed
            fixed = fixed + torch.linalg.lstsq(one - slope(weights, fixed), away[:, None])[0][:, 0]
        inside = slope(weights, fixed).numpy()
        if not np.isfinite(inside).all():
            return None
        eigenvalues = np.linalg.eigvals(inside)
        farthest = eigenvalues[np.abs(eigenvalues).argmax()]
        if abs(farthest) >= 1:
            return Prediction(update, abs(math.atan2(farthest.imag, farthest.real)))
        trainer.update()
    return None

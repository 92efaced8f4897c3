"""Predict when a network starts to learn its pattern, from its initial weights alone."""

from __future__ import annotations

from typing import NamedTuple

from study.dynamics import crossings, own
from study.model import CELLS
from study.runs import Run


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
    crossed = (look for look in own.looks(run) if look.radius >= 1)
    look = next(crossed, None)
    return look and Prediction(look.update, look.angle)

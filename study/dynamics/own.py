"""Follow the training of a cell without compiled kernels, such as one of a user's own.

Torch trains the network, and differentiates the cell's rule to get the derivative of a step. This
takes some hundred times longer. `study.dynamics.crossings` explains what is looked for. Here the
network is looked at after every update.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from study.dynamics import maps
from study.dynamics.crossings import (
    EVENTS,
    SHARE,
    Snapshot,
    distance,
    is_locked,
    plateau,
    spectrum,
    strongest,
)
from study.dynamics.network import NO_JOLTS, Network
from study.dynamics.patterns import nearest_harmonic
from study.dynamics.tables import Row
from study.model import CELLS
from study.runs import Run, Sequences, weights_of

CURVES = ("curve_update", "curve_loss", "curve_real", "curve_imaginary")


class OwnNetwork(Network):
    """A `Network` whose step and derivatives torch computes from the cell's rule, in float64."""

    def __init__(self, run: Run, weights: Mapping[str, np.ndarray]):
        import torch  # heavy, and needed only for cells that this package does not ship

        self.run, self.weights, self.torch = run, dict(weights), torch
        self.hidden_size, self.states = run.hidden_size, CELLS[run.cell].states
        self.dimension = run.hidden_size * len(self.states)
        double = {name: torch.tensor(array).double() for name, array in weights.items()}
        self.layer = {n[5:-3]: array for n, array in double.items() if n.startswith("cell.")}

    def _step(self, state: Any, x: Any) -> Any:
        """Return the next states (B,D) of B states (B,D) under the inputs (B,)."""
        states = tuple(state.split(self.hidden_size, dim=1))
        return self.torch.cat(self.run.cell_rule(x[:, None], states, self.layer), dim=1)

    def derivatives(
        self, points: np.ndarray, inputs: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute one step from each of the states `points` (S,D), as `Network` does."""
        torch, size = self.torch, self.dimension
        # Row i of a Jacobian is the gradient of entry i. So each point is repeated for each entry.
        copies = torch.tensor(points).double().repeat_interleave(size, 0).requires_grad_()
        each = np.broadcast_to(np.asarray(inputs, float), len(points)).repeat(size)
        after = self._step(copies, torch.tensor(each)).reshape(len(points), size, size)
        entries = after.diagonal(dim1=1, dim2=2)
        (slopes,) = torch.autograd.grad(entries.sum(), copies)
        return entries.detach().numpy(), slopes.reshape(after.shape).numpy()

    def roots(self, starts: np.ndarray, u: float, period: int) -> tuple[np.ndarray, np.ndarray]:
        """Search for states that return after `period` steps of input u, as `Network` does."""
        return maps.newton(lambda points: self.derivatives(points, u), starts, period)

    def follow(
        self, starts: np.ndarray, inputs: np.ndarray, jolts: np.ndarray = NO_JOLTS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the states (B,T,D) as `Network` does, but an empty array for the gates."""
        z, x = self.torch.tensor(starts).double(), self.torch.tensor(inputs).double()
        states = np.empty((*inputs.shape, self.dimension))
        with self.torch.no_grad():
            for t in range(inputs.shape[1]):
                z = self._step(z, x[:, t])
                states[:, t] = z.numpy()
                z = z + self.torch.tensor(jolts[:, t]) if jolts.size else z
        return states, np.empty(0)


def rows(network: Network) -> list[Row]:
    """Train the network's run again, and return its row of the table `crossings`.

    `study.dynamics.crossings.rows` explains the columns. Those of spectra in training stay empty.
    """
    run, pattern = network.run, network.run.pattern or ""
    moments, last, jump, lost, first = dict[str, Snapshot](), None, math.nan, 0, None
    for look in looks(run):
        new = _shown(run, look) - moments.keys()
        if "crossing" in new and last:
            jump = look.radius - last.radius
        moments |= dict.fromkeys(new, look)
        first, last, lost = first or look, look, lost + look.is_new
        if len(moments) == len(EVENTS):
            break
    if first is None or last is None:
        return []
    crossing, leaving = moments.get("crossing"), moments.get("leaving")
    harmonic, miss = nearest_harmonic(pattern, crossing.angle) if crossing else (None, math.nan)
    start = OwnNetwork(run, weights_of(run))
    row: Row = {
        "last_update": last.update,
        **{name: moments[name].update if name in moments else None for name in EVENTS},
        "angle": crossing.angle if crossing else math.nan,
        "harmonic": harmonic,
        "miss": miss,
        "jump": jump,
        "distance_at_leaving": distance(pattern, leaving.eigenvalues) if leaving else math.nan,
        "is_new_at_crossing": crossing.is_new if crossing else None,
        "first_radius": first.radius,
        "first_miss": nearest_harmonic(pattern, first.angle)[1],
        "strongest": strongest(start, first.fixed),
        "distance": distance(pattern, first.eigenvalues),
        "first_step": math.nan,
        "lost": lost,
        "unseen": 0,
    }
    return [row | dict.fromkeys(CURVES)]


def looks(run: Run) -> Iterator[Snapshot]:
    """Train a run, and yield a look at the network before training and after every update.

    The iterator ends after `max_updates`, or when the fixed point is no longer finite. Whether the
    network is on its cycle is asked only once the crossing or the leaving has come.
    """
    import torch

    from study.engines import torch_engine

    torch.set_num_threads(1)  # the arrays are small
    trainer, last, may_lock = torch_engine.Trainer(run), None, False
    sequences = Sequences(run, "evaluation", run.evaluation_length)
    for update in range(run.max_updates + 1):
        named: Any = trainer.network.named_parameters()
        network = OwnNetwork(run, {name: array.detach().numpy() for name, array in named})
        fixed, eigenvalues, is_new = spectrum(network, last)
        if not np.isfinite(fixed).all():
            return
        loss = trainer.evaluate(sequences, run.eval_sequences).loss
        last = Snapshot(update, loss, fixed, eigenvalues, is_new, False)
        may_lock = may_lock or bool(_shown(run, last))
        yield replace(last, is_locked=may_lock and is_locked(network))
        trainer.update()


def _shown(run: Run, look: Snapshot) -> set[str]:
    """Return the names of the moments that have come by this look."""
    has_left = look.loss < SHARE * plateau(run.pattern or "", run.length)
    came = zip(EVENTS, (look.radius >= 1, has_left, look.is_locked), strict=True)
    return {name for name, is_shown in came if is_shown}

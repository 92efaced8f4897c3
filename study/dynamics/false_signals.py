"""Compute how much of a truncated gradient is a false signal, before a network is trained.

If the gradient is cut every k steps, each chunk of k steps takes the state at its start for a
constant. While the network answers nearly the same at every step, each chunk then pretends that the
sequence begins there. If a harmonic of the pattern has the angle ω and k ω is a multiple of 2π, all
T/k chunks begin at the same place of this harmonic, and their gradients add up to a false signal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from study.dynamics.closed_form import functions
from study.dynamics.crossings import spectrum
from study.dynamics.network import Network
from study.dynamics.patterns import right_labels
from study.dynamics.tables import Row
from study.grid import of_blocks
from study.runs import Run, cut_offsets

PLACES = ("fixed", "shifted", "random")


def chosen(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one run per network of the grid `truncation`, those without cuts."""
    return of_blocks(runs, "uncut")


def rows(network: Network) -> list[Row]:
    """Return the network's rows of the table `false_signals`, one for each k and kind of place.

    `false_signal` is the length of the gradient of the loss with cuts over that without cuts, at
    the network's fixed point under the mean input. There every state is the fixed point, so that
    only the false part of the gradient is left (see the module's docstring). It is taken for the
    initial weights of the recurrent layer, and for `random` it is that of the mean gradient.
    """
    run, found = network.run, list[Row]()
    periods = range(1, 3 * len(run.pattern or "") + 1)
    cases = [(k, place) for k in periods for place in PLACES[: 3 if k > 1 else 1]]
    offsets = [
        list(range(k)) if place == "random" else [_offset(run, k, place)] for k, place in cases
    ]
    cuts = [
        np.arange(run.length) % k == offset
        for (k, _), some in zip(cases, offsets, strict=True)
        for offset in some
    ]
    gradients = _gradients(network, np.array([np.zeros(run.length, bool), *cuts]))
    whole, rest = np.linalg.norm(gradients[0]), iter(gradients[1:])
    for (k, place), some in zip(cases, offsets, strict=True):
        mean = np.mean([next(rest) for _ in some], axis=0)
        signal = float(np.linalg.norm(mean) / whole)
        found.append({
            "pattern": run.pattern, "cut_every": k, "cut_offset": place, "false_signal": signal,
        })  # fmt: skip
    return found


def _offset(run: Run, k: int, place: str) -> int:
    settings = {"cut_every": k, "cut_offset": place}
    return int(cut_offsets(run.model_copy(update=settings), 0, 1)[0])


def _gradients(network: Network, cuts: np.ndarray) -> np.ndarray:
    """Return the gradients (n,W) at the fixed point, if the state is cut before the given steps.

    Each row of `cuts` (n,T) has a truth value per step. W is the number of weights of the
    recurrent layer.
    """
    import torch  # heavy, and needed for nothing else here

    run = network.run
    fixed, *_ = spectrum(network, None)
    step, _ = functions(run)
    labels = right_labels(run.pattern or "", run.length)
    pulls = torch.tensor((labels - labels.mean()) / run.length)

    def loss(weights: Any, is_cut: Any) -> Any:
        state, total = torch.tensor(fixed), 0.0
        readout = weights["readout.weight"]
        for t in range(run.length):
            state = step(weights, torch.where(is_cut[t], state.detach(), state))
            total = total - pulls[t] * (state[: run.hidden_size] @ (readout[1] - readout[0]))
        return total

    weights = {name: torch.tensor(array).double() for name, array in network.weights.items()}
    slopes = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, torch.tensor(cuts))
    layer = [part.flatten(1) for name, part in slopes.items() if name.startswith("cell.")]
    return torch.cat(layer, 1).numpy()

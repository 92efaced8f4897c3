"""Follow networks that learn a word problem, to see whether and where their state crosses.

In a word problem the input decides: each input is an element of a group, and the label at each step
is the product of all inputs so far (the tasks `parity`, `cyclic` and `permutation`). So a network
is not one map from state to state but one per input. Under the same input for ever, an element of
order m makes the labels repeat after m steps.

The account of patterns (`study.dynamics.crossings`) linearises the network at its fixed point under
the mean input. To first order, an answer is then a sum of responses to single inputs. But a label
hardly depends on any single input (`dependence`), so this account expects no growth.

Each run is trained again, bit for bit as before, until it is solved or its updates are used up. At
its evaluations, a look finds the fixed point of the network under the mean input, and under each
input alone. Until the loss leaves its plateau, looks are at least APART of the updates so far
apart. The crossing is the first look at which an eigenvalue of the Jacobian at such a point lies on
or outside the unit circle. The leaving is the first at which the loss is below `crossings.SHARE`
times that of the plateau.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd

from study.dynamics import crossings
from study.dynamics.crossings import Snapshot
from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.engines import fused
from study.grid import of_blocks
from study.model import TASKS

APART = 0.01  # until the leaving, looks are this share of the updates so far apart
MEAN = "mean"
# For each task: its inputs by name, each with the order of its group element, or of the mean.
INPUTS: dict[str, dict[str, tuple[tuple[float, ...], int]]] = {
    "alternating": {MEAN: ((0.5,), 2)},
    "parity": {"0": ((0.0,), 1), "1": ((1.0,), 2), MEAN: ((0.5,), 2)},
    "cyclic": {
        "0": ((1.0, 0.0, 0.0), 1), "1": ((0.0, 1.0, 0.0), 3), "2": ((0.0, 0.0, 1.0), 3),
        MEAN: ((1 / 3, 1 / 3, 1 / 3), 3),
    },
    "permutation": {"s": ((1.0, 0.0), 2), "r": ((0.0, 1.0), 3), MEAN: ((0.5, 0.5), 6)},
}  # fmt: skip


def chosen(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs to follow: those of the block `words`, by SGD, and of the control."""
    return of_blocks(runs, "words", "words_sgd", "words_control")


def under(network: Network, x: np.ndarray) -> Network:
    """Return a network whose map is that of `network` under the constant input x (I,).

    Its own input has no effect. Its readout has the first two classes only, so its labels mean
    nothing.
    """
    weights = dict(network.weights)
    kernel = weights["cell.weight_ih_l0"]
    weights["cell.bias_ih_l0"] = weights["cell.bias_ih_l0"] + kernel @ x
    weights["cell.weight_ih_l0"] = np.zeros((len(kernel), 1))
    weights |= {name: weights[name][:2] for name in ("readout.weight", "readout.bias")}
    return Network(network.run, weights)


def plateau(task: str, length: int) -> float:
    """Return the loss, in nats per label, of equal answers at all steps but step 0.

    The label of step 0 follows from its input.
    """
    return (1 - 1 / length) * math.log(TASKS[task].outputs)


def rows(network: Network) -> list[Row]:
    """Train the network's run again, and return its rows of the table `words`, one per input.

    `crossing` and `leaving` hold updates, or None if the moment never came, and `last` the last
    update looked at. `angle` is that of the outermost eigenvalue at the crossing, in radians from 0
    to π, and `radius` the spectral radius. Further columns have both before training (`first_`) and
    at the leaving (`left_`). `order` is that of the input's group element.
    """
    run = network.run
    inputs, limit = INPUTS[run.task], crossings.SHARE * plateau(run.task, run.length)
    training, left, last = fused.Training(run), None, 0
    looks: dict[str, list[Snapshot]] = {name: [] for name in inputs}
    for update, loss in fused.looks(training):
        leaves, is_late = left is None and loss < limit, update >= (1 + APART) * last
        if not (is_late or leaves or left is not None or training.is_over()):
            continue
        now, last = Network(run, training.weights()), update
        for name, (x, _) in inputs.items():
            seen = looks[name]
            found = crossings.spectrum(under(now, np.array(x)), seen[-1] if seen else None)
            seen.append(Snapshot(update, loss, *found, is_locked=False))
        left = len(looks[MEAN]) - 1 if leaves else left
    table = []
    for name, (_, order) in inputs.items():
        seen = looks[name]
        crossing = next((look for look in seen if look.radius >= 1), None)
        leaving = seen[left] if left is not None else None
        row: Row = {"task": run.task, "input": name, "order": order, "last": seen[-1].update}
        for when, look in (("crossing", crossing), ("leaving", leaving)):
            row[when] = look.update if look else None
        for prefix, look in (("", crossing), ("first_", seen[0]), ("left_", leaving)):
            row[f"{prefix}angle"] = look.angle if look else math.nan
            row[f"{prefix}radius"] = look.radius if look else math.nan
        table.append(row)
    return table


def dependence(task: str, length: int) -> np.ndarray:
    """Return by how much single inputs change the odds of labels, (length, length).

    Entry (t, s) is the largest change, over all labels and inputs, of the probability of a label at
    step t if the input at step s is known. All words of this length are counted, so it is exact.
    """
    symbols = len(INPUTS[task]) - 1
    words = np.array(list(product(range(symbols), repeat=length)))
    # The middle of the uniform numbers that a task turns into this symbol.
    _, labels = TASKS[task].make(((words + 0.5) / symbols)[:, :, None])
    answers = np.eye(TASKS[task].outputs)[labels]
    change = np.array([
        [np.abs(answers[words[:, s] == symbol].mean(0) - answers.mean(0)).max(1)
         for symbol in range(symbols)]
        for s in range(length)
    ])  # fmt: skip
    return change.max(1).T

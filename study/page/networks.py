"""Gather small trained networks, and what they were like while they learned.

The block `planes` of the grid `page` holds networks whose state is drawn in a plane, and its block
`post` holds the network of the forum post. Their final weights are stored. The weights after
earlier updates are not, so some runs are trained again, to the same bits, which takes a fraction of
a second each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from study.dynamics import crossings, predict
from study.engines import fused
from study.grid import Results, run_of
from study.model import CELLS
from study.runs import Run

BLOCKS = ("planes", "post")
FOLLOWED = {"planes": 2, "post": 1}  # runs of one setting whose learning is shown
# Networks whose state is the plane come first, and of these the LSTM.
ORDER = ["dimension", "other", "cell", "hidden_size", "pattern", "accumulate", "seed"]
SHOWN = 56  # updates of a run after which its weights are shown
BEYOND = 1.35  # the learning is shown for this many times the updates until it is over
MOST_LOSSES = 400  # points of a curve of losses


def networks_in(results: Results) -> list[dict[str, Any]]:
    """Return one entry per network of the grid `page`, or an empty list for another grid."""
    if not all(map(results.has_block, BLOCKS)):
        return []
    found = []
    for block in BLOCKS:
        rows = results.block(block)
        states = np.array([len(CELLS[name].states) for name in rows["cell"]])
        rows = rows.assign(dimension=rows["hidden_size"] * states, other=rows["cell"] != "lstm")
        rows = rows.sort_values(ORDER)
        followed = set(_followed(rows, FOLLOWED[block])["run_id"])
        for _, row in rows.iterrows():
            run = run_of(row)
            weights = results.weights(row["run_id"])
            entry = _described(row, run) | {"weights": _flat(weights, run)}
            if row["run_id"] in followed:
                entry["learning"] = learning(run)
            found.append(entry)
    return found


def _followed(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the first runs of each setting that solved the task: those with the lowest seeds."""
    solved = rows[rows["status"] == "solved"]
    return solved.groupby(["cell", "hidden_size", "pattern", "accumulate"]).head(most)


def _described(row: pd.Series, run: Run) -> dict[str, Any]:
    return {
        "id": row["run_id"],
        "cell": run.cell,
        "hidden": run.hidden_size,
        "pattern": run.pattern,
        "seed": run.seed,
        "noise": run.noise,
        "optimizer": run.optimizer,
        "accumulate": run.accumulate,
        "status": row["status"],
        "updates": int(row["updates"]),
    }


def _flat(weights: dict[str, np.ndarray], run: Run) -> np.ndarray:
    """Return all weights in one array, in torch's order, at the precision they were trained in."""
    return np.concatenate([np.ravel(array) for array in weights.values()]).astype(run.dtype)


def learning(run: Run) -> dict[str, Any]:
    """Train a run again, and return the weights and losses that it had on the way.

    `crossing`, `leaving` and `locking` are updates (see `study.dynamics.crossings`), or None.
    `predicted` is the update of the crossing that the initial weights alone predict. It is None if
    they predict none, or if the run trains on sequences that stay the same.
    """
    looks, moments, _, _ = crossings.follow(run)
    measured = {name: moments[name].update for name in crossings.EVENTS if name in moments}
    last = max(measured.values(), default=looks[-1].update)
    end = min(run.max_updates, math.ceil(BEYOND * last) + 1)
    updates = np.unique(
        np.concatenate([np.linspace(0, end, SHOWN).round(), [*measured.values()]]).astype(int)
    )
    weights, losses = _looked_at(run, updates)
    foreseen = predict(run) if run.data == "fresh" else None  # others cannot be predicted
    shown = updates[: len(weights)]
    steps = np.unique(np.linspace(0, len(losses) - 1, MOST_LOSSES).round().astype(int))
    return {
        **{name: measured.get(name) for name in crossings.EVENTS},
        "predicted": foreseen and foreseen.update,
        "plateau": crossings.plateau(run.pattern or "", run.length),
        "updates": shown.astype(np.int32),
        "weights": np.concatenate(weights),
        "loss_updates": steps.astype(np.int32),
        "losses": np.array(losses)[steps].astype(np.float32),
    }


def _looked_at(run: Run, updates: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Return the weights after each of the `updates`, and the loss after every update."""
    wanted, weights, losses = set(updates.tolist()), list[np.ndarray](), list[float]()
    training = fused.Training(run.model_copy(update={"stop_when_solved": False})).fork()
    for update, loss in fused.looks(training):
        losses.append(loss)
        if update in wanted:
            weights.append(_flat(training.weights(), run))
        if update >= updates[-1]:
            break
    return weights, losses

"""Learning watched update by update: is the pattern learned when a fixed point's eigenvalue passes -1?

A run is trained again by the fused engine, bit for bit what it was, and looked at after every update. The fixed point
at the reference input is followed by Newton from one update to the next. Two moments are compared:

    crossing   the first update at which the smallest real eigenvalue of the fixed point is below -1: a flip
               bifurcation, which gives birth to a 2-cycle
    leaving    the first update at which the loss is below a share (0.9 unless said) of what an answer that sees
               only x_t can reach, (1 - 1/T) ln 2

The rival (a ghost: arXiv 2501.02378) is that damped alternation, without any cycle, does the work: then the loss
leaves first, and at that moment no stable 2-cycle exists.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from study.dynamics import cycles
from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.engines.fused import Training
from study.runs import Run

SHARES = (0.95, 0.9, 0.8, 0.5)
MAIN_SHARE = 0.9
CURVE_SEEDS = 20  # networks whose curves are kept
SEEDS = 100
TESTED = 32  # fresh sequences of the loss after each update


def is_watched(row) -> bool:
    """Which runs are trained again: two optimizers of the headline cells."""
    return (
        "headline" in row["blocks"] and row["optimizer"] in ("adam", "sgd") and row["seed"] < SEEDS
    )


def watch(network: Network) -> Row:
    """One training; a row of the table `learning`."""
    run = network.run
    losses, eigenvalues, passed = [], [], {}
    followed: np.ndarray | None = None
    chance = (1 - 1 / run.length) * math.log(2)
    stable_at_leaving = None
    for loss, weights in updates_of(run):
        losses.append(loss)
        now = Network(run, weights)
        followed, smallest = _followed(now, followed)
        eigenvalues.append(smallest)
        update = len(losses) - 1
        for share in SHARES:
            if share not in passed and loss < share * chance:
                passed[share] = update
                if share == MAIN_SHARE:
                    stable_at_leaving = _has_cycle(now)
    below = np.array(eigenvalues) < -1
    crossing = int(below.argmax()) if below.any() else None
    leaving = passed.get(MAIN_SHARE)
    keeps = run.seed < CURVE_SEEDS
    row: Row = {
        "updates": len(losses) - 1,
        "crossing": crossing,
        "leaving": leaving,
        "lag": None if crossing is None or leaving is None else leaving - crossing,
        "eigenvalue_at_leaving": math.nan if leaving is None else eigenvalues[leaving],
        "cycle_at_leaving": stable_at_leaving,
        "first_eigenvalue": eigenvalues[0],
        "last_eigenvalue": eigenvalues[-1],
        "loss_at_crossing": math.nan if crossing is None else losses[crossing] / chance,
        "curve_loss": np.array(losses, np.float32).tolist() if keeps else None,
        "curve_eigenvalue": np.array(eigenvalues, np.float32).tolist() if keeps else None,
    }
    return row | {f"leaving_{share:g}": passed.get(share) for share in SHARES}


def updates_of(run: Run) -> Iterator[tuple[float, dict[str, np.ndarray]]]:
    """The loss on fresh sequences and the weights, before any update and after each.

    It ends a little later than the run did: when as many updates in a row were exact as the run's own evaluations
    in a row spanned, or at the budget.
    """
    inspected = {"eval_every": 1, "eval_sequences": TESTED}
    inspected["solved_evaluations"] = run.solved_evaluations * run.eval_every
    training = Training(run.model_copy(update=inspected))
    yield training.points[0][0, 2], training.weights()
    while not training.is_over():
        training.ahead = 1
        training.segment()
        if training.option("DIVERGED"):
            return
        yield training.points[-1][0, 2], training.weights()


def _followed(network: Network, before: np.ndarray | None) -> tuple[np.ndarray | None, float]:
    """The fixed point near the one before, or the one with the smallest eigenvalue; that eigenvalue."""
    u = cycles.reference_input(network)
    start = np.zeros((1, network.dimension)) if before is None else before[None]
    roots, residuals = network.roots(start, u, 1)
    if residuals[0] < 1e-9:
        _, jacobians = network.derivatives(roots, u)
        eigenvalues = np.linalg.eigvals(jacobians[0])
        real = eigenvalues.real[np.abs(eigenvalues.imag) < 1e-9]
        return roots[0], float(real.min()) if real.size else math.nan
    flip = cycles.saddle(cycles.find(network, u))
    return (None, math.nan) if flip is None else (flip.points[0], flip.smallest_real)


def _has_cycle(network: Network) -> bool:
    """Whether a stable 2-cycle exists at the reference input, whatever the readout makes of it."""
    roots = cycles.find(network, cycles.reference_input(network))
    return any(root.period == 2 and root.is_stable for root in roots)

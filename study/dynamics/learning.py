"""Follow training update by update, to see if learning starts when an eigenvalue passes -1.

The fused engine (`study.engines.fused`) trains a run again, bit for bit as before, and the network
is analysed after every update. Newton's method follows the network's fixed point at the reference
input (`cycles.reference_input`) from one update to the next. Two moments are compared:

    crossing   the first update after which the smallest real eigenvalue of the fixed point is below
               -1. At this point, a flip bifurcation creates a 2-cycle.
    leaving    the first update after which the loss is below 0.9 times chance, and so has left its
               plateau. Chance is the loss (1 - 1/T) ln 2, where T is the length of a sequence. No
               network with answers that depend on the input x_t alone has a lower loss. The other
               factors in SHARES are tried as well.

The rival hypothesis is called a "ghost" (arXiv 2501.02378). It says that damped alternation solves
the task without any cycle. If so, the leaving comes before the crossing, and no stable 2-cycle
exists by then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from study.dynamics import cycles
from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.engines import fused
from study.grid import of_blocks
from study.runs import Run

SHARES = (0.95, 0.9, 0.8, 0.5)
MAIN_SHARE = 0.9
CURVE_SEEDS = 20  # curves are stored for seeds below this number
SEEDS = 100
TESTED = 32  # number of fresh sequences on which the loss is measured after each update


def watched(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs to train again.

    These are the runs of the grid's block `headline` with Adam or SGD and with a seed below SEEDS.
    """
    runs = of_blocks(runs, "headline")
    return runs[runs["optimizer"].isin(("adam", "sgd")) & (runs["seed"] < SEEDS)]


def rows(network: Network) -> list[Row]:
    """Train the network's run again, and return its row of the table `learning`.

    `crossing` is the number of updates after which an eigenvalue is below -1 for the first time.
    `leaving` is the number of updates after which the loss is below MAIN_SHARE times chance for the
    first time. Each is None if this never happens. The module's docstring explains both. `lag` is
    `leaving` minus `crossing`. A column such as `leaving_0.5` is `leaving` for another factor in
    SHARES. `loss_at_crossing` is given as a multiple of chance.
    """
    run = network.run
    chance = (1 - 1 / run.length) * math.log(2)
    losses, eigenvalues, point = [], [], None
    left: dict[float, int] = {}  # by share: the first update with a loss below share * chance
    cycle_at_leaving = None
    for update, (loss, weights) in enumerate(updates_of(run)):
        now = Network(run, weights)
        point, eigenvalue = _followed(now, point)
        losses.append(loss)
        eigenvalues.append(eigenvalue)
        if loss < MAIN_SHARE * chance and MAIN_SHARE not in left:
            roots = cycles.reference_roots(now)
            cycle_at_leaving = any(root.period == 2 and root.is_stable for root in roots)
        left |= {share: update for share in SHARES if loss < share * chance and share not in left}
    crossing = next((i for i, eigenvalue in enumerate(eigenvalues) if eigenvalue < -1), None)
    leaving = left.get(MAIN_SHARE)
    keeps = run.seed < CURVE_SEEDS
    row: Row = {
        "updates": len(losses) - 1,
        "crossing": crossing,
        "leaving": leaving,
        "lag": None if crossing is None or leaving is None else leaving - crossing,
        "eigenvalue_at_leaving": math.nan if leaving is None else eigenvalues[leaving],
        "cycle_at_leaving": cycle_at_leaving,  # whether a stable 2-cycle exists, alternating or not
        "first_eigenvalue": eigenvalues[0],
        "last_eigenvalue": eigenvalues[-1],
        "loss_at_crossing": math.nan if crossing is None else losses[crossing] / chance,
        "curve_loss": np.array(losses, np.float32).tolist() if keeps else None,
        "curve_eigenvalue": np.array(eigenvalues, np.float32).tolist() if keeps else None,
    }
    return [row | {f"leaving_{share:g}": left.get(share) for share in SHARES}]


def updates_of(run: Run) -> Iterator[tuple[float, dict[str, np.ndarray]]]:
    """Train the run again, and yield its test loss and weights as training goes on.

    Yields both before the first update, and again after each update. The loss is measured on TESTED
    fresh sequences. Training ends if the budget is used up, if the loss diverges, or if every label
    is right after each of n updates in a row. Here n is the run's `solved_evaluations` times its
    `eval_every`, so training lasts about as long as before.
    """
    settings = {"eval_every": 1, "eval_sequences": TESTED}
    settings["solved_evaluations"] = run.solved_evaluations * run.eval_every
    for _, loss, weights in fused.followed(run.model_copy(update=settings)):
        yield loss, weights


def _followed(network: Network, before: np.ndarray | None) -> tuple[np.ndarray | None, float]:
    """Return the fixed point that continues `before`, and its smallest real eigenvalue.

    `before` is the fixed point at the previous update. Newton's method starts from this point, or
    from the zero state if `before` is None. If Newton's method fails, the result is the fixed point
    that `cycles.saddle` chooses, or (None, NaN) if there is none.
    """
    u = cycles.reference_input(network)
    start = np.zeros(network.dimension) if before is None else before
    roots, residuals = network.roots(start[None], u, 1)
    if residuals[0] < 1e-9:
        _, jacobians = network.derivatives(roots, u)
        return roots[0], cycles.smallest_real(np.linalg.eigvals(jacobians[0]))
    flip = cycles.saddle(cycles.find(network, u))
    return (None, math.nan) if flip is None else (flip.points[0], flip.smallest_real)

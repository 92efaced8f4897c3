"""Predict the crossing from the initial weights by a formula for the loss, without any sequence.

On the plateau the state stays close to the fixed point z* that the network has under the mean
input. To first order in the distance δ₀ = z₀ − z* after step 0, the expected loss is

    softplus(m*) − ȳ m* + (σ(m*) − ȳ) v·S(0) − Re Σ_k ŷ_k v·S(ω_k),
    S(ω) = (I − e^(iω) J)⁻¹ (I − e^(iωT) J^T) δ₀ / T,

where J is the Jacobian at z*, v the difference of the readout's rows, m* the margin at z*, ȳ the
share of ones, and ŷ_k the harmonics of the pattern, at the angles ω_k. So the
network enters only by its response at these angles. This loss is descended by automatic
differentiation, also through z*. `study.dynamics.crossings` explains the crossing.

The margins enter linearly, so nothing keeps this loss from falling without bound. The longer the
plateau lasts, the more this matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from study.dynamics.crossings import mean_input
from study.dynamics.patterns import angles, harmonics, right_labels
from study.dynamics.tables import RUN_COLUMNS, Row
from study.grid import of_blocks, run_of
from study.model import CELLS
from study.runs import Run, weights_of

SEEDS = 120  # only networks with smaller seeds are predicted
LONGEST_STEP = 0.3  # learning rate times the number of updates that are taken in one step
GATED_STEP = 1.0  # the same for gated cells, which take thousands of updates
FOUND = 1e-6  # largest entry of a step away from a fixed point
SETTLING = 300  # steps under the mean input before Newton's method starts


def chosen(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs to predict: those on noise of `resonance_patterns` with seeds below SEEDS."""
    runs = of_blocks(runs, "resonance_patterns")
    return runs[(runs["data"] == "fresh") & runs["noise_seed"].isna() & (runs["seed"] < SEEDS)]


def rows(runs: pd.DataFrame, jobs: int) -> list[Row]:
    """Return the rows of the table `closed_form`, one per run, computed in `jobs` processes."""
    settings = [some for _, some in runs.groupby(["cell", "pattern", "lr"], sort=False)]
    parallel: Any = Parallel(n_jobs=jobs, return_as="generator_unordered")
    tasks = parallel(delayed(_rows_of)(some) for some in settings)
    found = chain.from_iterable(tqdm(tasks, total=len(settings), unit="setting", disable=None))
    return sorted(found, key=lambda row: row["run_id"])


def _rows_of(runs: pd.DataFrame) -> list[Row]:
    guesses = crossings_of([run_of(row) for _, row in runs.iterrows()])
    return [
        {name: row[name] for name in RUN_COLUMNS} | {"crossing": update, "angle": angle}
        for (_, row), update, angle in zip(runs.iterrows(), *guesses, strict=True)
    ]


def crossings_of(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted update (n,) and angle (n,) of the crossing of runs.

    The runs must differ in their seed alone, use SGD, and have one layer. Several small updates are
    taken in one step, and the update of the crossing is interpolated. The prediction is NaN if no
    eigenvalue crosses within the run's `max_updates`, or if the descent diverges or Newton's method
    loses the fixed point.
    """
    import torch  # heavy, and needed for nothing else here

    torch.set_num_threads(1)  # the arrays are small
    lead, initial = runs[0], [weights_of(run) for run in runs]
    step, loss = functions(lead)
    weights = {name: torch.tensor(np.stack([w[name] for w in initial])) for name in initial[0]}
    steps, gradients = torch.func.vmap(step), torch.func.vmap(torch.func.grad(loss))
    jacobians = torch.func.vmap(torch.func.jacrev(step, argnums=1))
    states = lead.hidden_size * len(CELLS[lead.cell].states)
    fixed, one = torch.zeros(len(runs), states, dtype=torch.float64), torch.eye(states).double()
    for _ in range(SETTLING):
        fixed = steps(weights, fixed)
    found, live, radius = np.full((2, len(runs)), math.nan), np.arange(len(runs)), np.empty(0)
    longest = LONGEST_STEP if lead.cell.startswith("rnn") else GATED_STEP
    stride = max(1, int(longest / lead.lr))
    for update in range(0, lead.max_updates + 1, stride):
        for _ in range(2):  # Newton's method
            inside = torch.nan_to_num(jacobians(weights, fixed))
            away = (steps(weights, fixed) - fixed)[..., None]
            fixed = fixed + (torch.linalg.pinv(one - inside) @ away)[..., 0]
        inside = jacobians(weights, fixed).numpy()
        is_known = np.isfinite(inside).all((1, 2))  # or else the descent diverged
        is_known &= ((steps(weights, fixed) - fixed).abs() < FOUND).all(1).numpy()
        eigenvalues = np.linalg.eigvals(np.where(is_known[:, None, None], inside, 0.0))
        before, radius = radius, np.abs(eigenvalues).max(1)
        (out,) = np.nonzero(radius >= 1)
        for i in out:
            share = (radius[i] - 1) / (radius[i] - before[i]) if update else 0.0
            farthest = eigenvalues[i, np.abs(eigenvalues[i]).argmax()]
            found[:, live[i]] = update - share * stride, abs(np.angle(farthest))
        stays = np.nonzero((radius < 1) & is_known)[0]
        if not len(stays):
            break
        weights = {name: array[stays] for name, array in weights.items()}
        fixed, live, radius = fixed[stays], live[stays], radius[stays]
        slopes = gradients(weights, fixed)
        weights = {n: array - stride * lead.lr * slopes[n] for n, array in weights.items()}
    return found[0], found[1]


def functions(run: Run) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return two functions of weights and a state: the step under the mean input, and the loss.

    The weights are tensors by parameter name, as in `weights_of`. The state of `loss` (D,) must be
    the fixed point, up to rounding, and is differentiated as it depends on the weights.
    """
    import torch

    rule, hidden, length = run.cell_rule, run.hidden_size, run.length
    pattern, u = run.pattern or "", mean_input(run)
    share = float(right_labels(pattern, length).mean())
    powers, turns = (
        torch.tensor(harmonics(pattern)),
        torch.tensor(np.exp(1j * angles(len(pattern)))),
    )
    powers[0] = right_labels(pattern, len(pattern)).mean() - share  # T may not be whole periods

    def step(weights: Any, state: Any, x: float = u) -> Any:
        layer = {n[5:-3]: array for n, array in weights.items() if n.startswith("cell.")}
        states = tuple(part[None] for part in state.split(hidden))
        after = rule(torch.full((1, 1), x, dtype=state.dtype), states, layer)
        return torch.cat([part[0] for part in after])

    def loss(weights: Any, state: Any) -> Any:
        one = torch.eye(len(state)).double()
        jacobian = torch.func.jacrev(step, argnums=1)
        # One step of Newton's method moves the fixed point nowhere, but carries its derivative.
        away = step(weights, state) - state
        fixed = state + torch.linalg.solve(one - jacobian(weights, state).detach(), away)
        inside = jacobian(weights, fixed)
        start = torch.zeros_like(state)
        delta = step(weights, start, 1.0 if run.cue else u) - fixed
        readout, bias = weights["readout.weight"], weights["readout.bias"]
        difference = torch.nn.functional.pad(readout[1] - readout[0], (0, len(state) - hidden))
        margin = difference @ fixed + bias[1] - bias[0]
        last = torch.linalg.matrix_power(inside, length) @ delta
        ends = delta - turns[:, None] ** length * last
        responses = torch.linalg.solve(one - turns[:, None, None] * inside, ends[..., None])
        answers = (responses[..., 0] @ difference.to(turns.dtype)) / length
        plateau = torch.nn.functional.softplus(margin) - share * margin
        settling = (torch.sigmoid(margin) - share) * answers[0].real
        return plateau + settling - (powers * answers).sum().real

    return step, loss

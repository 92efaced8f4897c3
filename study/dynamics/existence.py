"""Ask which networks can solve the task at all, however they are trained.

The module builds networks of one unit by hand, and it guesses weights at random. It also gives a
bound on how many labels a linear recurrence with positive decays can get right (`bound`).

One unit is enough to alternate for ever under noise in [0, 1]. The proofs follow, in which h'
is the next hidden state. Take `rnn_tanh` with h' = tanh(-10 h + x + 1) and x in [0, 1], and let m =
3/4. The drive d = x + 1 lies in [1, 2]. From h = 0 we have h' = tanh(d) >= tanh(1) > m. If |h| >=
m, the pre-activation has the opposite sign to h and a size of at least 10 m - 2, so |h'| >= tanh(10
m - 2) > m. Hence h alternates for ever. The slack is how much the pre-activation could shrink
before this fails: 10 m - 2 - atanh(m) = 4.5.

    gru       The candidate state has the weights of `rnn_tanh`. Biases of ±20 open the reset gate
              r and shut the update gate z, so 1 - r and z are at most ε = 1/(1 + exp(20)) = 2e-9.
              Hence |h'| >= (1 - ε) tanh((1 - ε) 10 m - 2) - ε, and the same m will do.
    lstm      Biases of ±20 again open or shut the gates. Then |c'| >= (1 - ε) |g| - ε |c| and
              h' = o tanh(c'). Let m = 3/5. Apart from terms of order ε, |h'| is at least
              tanh(tanh(10 m - 2)) = 0.76 > m. The slack is 10 m - 2 - atanh(atanh(m)) = 3.1.
    rnn_relu  h' = max(0, -3 h + x/4 + 1). From h = 0 the next state lies in [1, 5/4]. From there
              the pre-activation is at most -3 + 5/4 < 0, so the next state is 0. The slack is 7/4.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from study.dynamics import cycles, slips
from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.runs import Run, stream, weights_of

OPEN = 20.0  # a bias of OPEN opens a gate; a bias of -OPEN shuts it
SLACK = 10 * 0.75 - 2 - math.atanh(0.75)
# For each cell: weight_ih, weight_hh and bias_ih of its gates in order; the weight and bias of its
# readout; m and the slack, which the module's docstring explains.
HAND_BUILT = {
    "rnn_tanh": ((1.0,), (-10.0,), (1.0,), (4.0, 0.0), 0.75, SLACK),
    "gru": ((0.0, 0.0, 1.0), (0.0, 0.0, -10.0), (OPEN, -OPEN, 1.0), (4.0, 0.0), 0.75, SLACK),
    "lstm": (
        (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, -10.0, 0.0), (OPEN, -OPEN, 1.0, OPEN), (4.0, 0.0), 0.6,
        10 * 0.6 - 2 - math.atanh(math.atanh(0.6)),
    ),
    "rnn_relu": ((0.25,), (-3.0,), (1.0,), (4.0, -2.0), 1.0, 1.75),
}  # fmt: skip
GUESSED_SIZES = (1, 2, 4, 8, 16)
GUESSED_RANGES = (1.0, 10.0, 100.0)  # guessed weights are uniform on [-range, range]
GUESSES = 20_000
BUILT_SEEDS = 10
POSITIVE = ("diagonal_positive", "mingru", "minlstm")


def run_with(cell: str, hidden_size: int, noise: float, seed: int = 0) -> Run:
    """Return a run with the given settings, and with defaults for all other settings."""
    return Run(cell=cell, hidden_size=hidden_size, noise=noise, seed=seed)


def hand_built(cell: str, seed: int = 0) -> Network:
    """Return a network of one unit with the cell's weights in HAND_BUILT, for the noisy task."""
    weight_ih, weight_hh, bias, (scale, shift), _, _ = HAND_BUILT[cell]
    weights = {
        "cell.weight_ih_l0": np.array(weight_ih)[:, None],
        "cell.weight_hh_l0": np.array(weight_hh)[:, None],
        "cell.bias_ih_l0": np.array(bias),
        "cell.bias_hh_l0": np.zeros(len(bias)),
        "readout.weight": np.array([[-scale], [scale]]),
        "readout.bias": np.array([-shift, shift]),
    }
    return Network(run_with(cell, 1, 1.0, seed), weights)


def built() -> list[Row]:
    """Return the rows of the table `hand_built`, one row per cell in HAND_BUILT and seed.

    A row counts the slips of a hand-built network in a million steps. A slip is a step at which the
    labels change from right to wrong or from wrong to right. `inputs_with_cycle` is the number of
    constant inputs in `cycles.INPUTS` at which the network has a stable alternating 2-cycle. The
    module's docstring explains `slack`, and also `smallest_state`, which is called m there.
    """
    found = []
    for cell, (*_, m, slack) in HAND_BUILT.items():
        for seed in range(BUILT_SEEDS):
            network = hand_built(cell, seed)
            carriers = [cycles.carrier(cycles.find(network, u)) for u in cycles.INPUTS]
            row = {"cell": cell, "seed": seed, "smallest_state": m, "slack": slack}
            row["inputs_with_cycle"] = sum(carrier is not None for carrier in carriers)
            found.append(row | slips.count(network, slips.STEPS))
    return found


def guessing() -> list[Row]:
    """Return the rows of the table `guessing`, which counts random networks that solve the task.

    There is one row per cell, hidden size and range of weights. A guess is a network with random
    weights. It solves the noisy task if all its answers from step 1 on are right, in 64 sequences
    of 20 steps. Hochreiter & Schmidhuber (1996) call a task trivial if random guessing soon solves
    it.
    """
    found = []
    for cell in HAND_BUILT:
        for size in GUESSED_SIZES:
            run = run_with(cell, size, 1.0)
            network = Network(run, weights_of(run))
            inputs = network.inputs("guessing", 64, 20)
            for limit in GUESSED_RANGES:
                rng = stream("guessing", cell, size, limit)
                thetas = rng.uniform(-limit, limit, (GUESSES, network.theta.size))
                solved = sum(_solves(network, theta, inputs) for theta in thetas)
                row = {"cell": cell, "hidden_size": size, "range": limit}
                found.append(row | {"n": GUESSES, "solved": solved})
    return found


def _solves(network: Network, theta: np.ndarray, inputs: np.ndarray) -> bool:
    """Return whether a network with the weights `theta` gets every label right from step 1 on.

    The network has the cell and the size of `network`, and is tested on the sequences in `inputs`
    (n,T).
    """
    zeros = np.zeros(network.dimension)
    count, size = network.kernels.count_slips, network.hidden_size
    return all(count(theta, size, zeros.copy(), sequence, 1)[1] == 0 for sequence in inputs)


# --- the bound ----------------------------------------------------------------------------------


def bound(runs: pd.DataFrame) -> list[Row]:
    """Return the rows of the table `bound`, one row per run of a linear recurrence with one layer.

    A linear recurrence multiplies each entry of its state by a decay λᵢ at each step. `prefix` is
    the number of labels that the network got right in a row from step 1 on. `bound` is H + 1, where
    H is the hidden size. If all decays are positive and there is no noise, the prefix cannot exceed
    H + 1. The reason is that the logits at step t >= 1 differ by c + Σ wᵢ λᵢᵗ, and this sum changes
    sign at most H times. `censored` is True if the network made no error in the long evaluation.
    """
    rows = runs[runs["cell"].isin((*POSITIVE, "diagonal_signed")) & (runs["layers"] == 1)]
    rows = rows[(rows["task"] == "alternating") & (rows["pattern"] == "10")]
    found = []
    for _, row in rows[rows["long_exact"].notna()].iterrows():
        censored = bool(pd.isna(row["long_first_error"]))
        first = 10 * row["test_length"] if censored else row["long_first_error"]
        names = ("run_id", "cell", "hidden_size", "noise", "length", "seed")
        columns = {name: row[name] for name in names} | {"prefix": int(first) - 1}
        found.append(columns | {"bound": int(row["hidden_size"]) + 1, "censored": censored})
    return found


def tightest(hidden_size: int) -> Network:
    """Return a recurrence with positive decays that gets as many labels right as `bound` allows.

    Without noise, the recurrence gets the labels of steps 1 to H + 1 right, where H is
    `hidden_size`. Its H decays are spread evenly over [0.2, 0.95]. The H + 1 numbers of its readout
    solve linear equations, which say that the two logits differ by ±1 at these steps.
    """
    decay = np.linspace(0.2, 0.95, hidden_size)
    steps = np.arange(1, hidden_size + 2)
    system = np.column_stack([decay[None, :] ** steps[:, None], np.ones(len(steps))])
    solution = np.linalg.solve(system, np.where(steps % 2 == 0, 0.5, -0.5))
    weights = {
        "cell.weight_ih_l0": np.ones((hidden_size, 1)),
        "cell.bias_ih_l0": np.zeros(hidden_size),
        "cell.weight_decay_l0": np.log(decay / (1 - decay)),
        "readout.weight": np.stack([-solution[:-1], solution[:-1]]),
        "readout.bias": np.array([-solution[-1], solution[-1]]),
    }
    return Network(run_with("diagonal_positive", hidden_size, 0.0), weights)

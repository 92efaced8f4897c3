"""How long a network keeps its phase: slips and the first error over a million steps of fresh noise."""

from __future__ import annotations

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.stats import poisson_rate

STEPS = 1_000_000  # of networks with a seed below LONG_SEEDS
FEWER_STEPS = 100_000  # of the others
LONG_SEEDS = 50
MOST_SLIPS = 1000  # a network that slips so often has its rate long before the end


def steps_of(network: Network) -> int:
    """How long a network is watched."""
    return STEPS if network.run.seed < LONG_SEEDS else FEWER_STEPS


def count(network: Network, steps: int) -> Row:
    """A row of the table `slips`: one sequence of `steps` steps from the zero state, its cue at step 0.

    `first_error` counts from step 1 on, missing: none. `rate` is slips per step done with the exact Poisson
    interval; without a slip `high` is the two-sided bound 3.7/N. `smallest_margin` is of the logits.
    """
    counts = np.zeros(4, np.int64)
    inputs = network.inputs("slips", 1, steps)[0]
    margin = network.kernels.count_slips(network.theta, network.sizes, inputs, MOST_SLIPS, counts)
    done, slips, first, errors = (int(value) for value in counts)
    rate = poisson_rate(slips, done, 1)
    return {
        "steps": done,
        "slips": slips,
        "first_error": None if first < 0 else first,
        "errors": errors,
        "rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "smallest_margin": float(margin),
    }

"""How long a network keeps its phase: its slips over a million steps of fresh noise."""

from __future__ import annotations

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.stats import poisson_rate

STEPS = 1_000_000  # for networks with a seed below LONG_SEEDS
FEWER_STEPS = 100_000  # for the others
LONG_SEEDS = 50
MOST_SLIPS = 1000  # after these the rate is known well enough


def rows(network: Network) -> list[Row]:
    """The row of the table `slips` for one network."""
    return [count(network, STEPS if network.run.seed < LONG_SEEDS else FEWER_STEPS)]


def count(network: Network, steps: int) -> Row:
    """Count the slips in one sequence of `steps` steps from the zero state, with a cue at step 0.

    `first_error` is the first wrong step from step 1 on, or None. `rate` is in slips per step, with
    the exact Poisson interval; without a slip `high` is the two-sided bound 3.7/N.
    `smallest_margin` is the smallest difference between the logits.
    """
    inputs = network.inputs("slips", 1, steps)[0]
    done, slips, first, errors, margin = network.kernels.count_slips(
        network.theta, network.hidden_size, np.zeros(network.dimension), inputs, MOST_SLIPS
    )
    rate = poisson_rate(slips, done, 1)
    return {
        "steps": done,
        "slips": slips,
        "first_error": None if first < 0 else first,
        "errors": errors,
        "rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "smallest_margin": margin,
    }

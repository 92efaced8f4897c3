"""How long a network keeps its phase: slips over a million steps of fresh noise."""

from __future__ import annotations

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.stats import poisson_rate

STEPS = 1_000_000  # for networks with a seed below LONG_SEEDS
FEWER_STEPS = 100_000  # for the others
LONG_SEEDS = 50
MOST_SLIPS = 1000  # by then the rate is known well enough


def rows(network: Network) -> list[Row]:
    """The table `slips`: one row per network."""
    return [count(network, STEPS if network.run.seed < LONG_SEEDS else FEWER_STEPS)]


def count(network: Network, steps: int) -> Row:
    """Slips in one sequence of `steps` steps from the zero state, with its cue at step 0.

    `first_error` counts from step 1 on and is None if there was none. `rate` is slips per step
    done, with the exact Poisson interval; without a slip `high` is the two-sided bound 3.7/N.
    `smallest_margin` is of the logits.
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

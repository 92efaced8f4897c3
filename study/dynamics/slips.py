"""Count how often a network slips in up to a million steps of fresh noise.

A slip is a step at which the network's labels change from right to wrong or from wrong to right.
"""

from __future__ import annotations

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.stats import poisson_rate

STEPS = 1_000_000  # for networks with a seed below LONG_SEEDS
FEWER_STEPS = 100_000  # for networks with a seed of at least LONG_SEEDS
LONG_SEEDS = 50
MOST_SLIPS = 1000  # counting stops at this many, when the rate is known well enough


def rows(network: Network) -> list[Row]:
    """Return a list with the network's row of the table `slips`.

    `count` describes the row, and says what a slip is.
    """
    return [count(network, STEPS if network.run.seed < LONG_SEEDS else FEWER_STEPS)]


def count(network: Network, steps: int) -> Row:
    """Count the slips in one sequence of `steps` steps from the zero state, with a cue at step 0.

    A slip is a step at which the network's labels change from right to wrong or from wrong to
    right. Counting stops after MOST_SLIPS slips. The row has these columns:

    - steps: the number of steps until counting stopped;
    - slips: the number of slips in these steps;
    - first_error: the first step after step 0 with a wrong label, or None if all labels are right;
    - errors: the number of steps after step 0 with a wrong label;
    - rate: the number of slips per step;
    - low and high: the ends of the exact Poisson interval of the rate. If there is no slip in N
      steps, high is about 3.7/N, because the interval is two-sided;
    - smallest_margin: the smallest absolute difference between the two logits.
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

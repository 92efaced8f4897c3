"""Test how it is judged that time runs as a square root if the gradient is never zeroed."""

import math

import numpy as np
import pandas as pd
import pytest

from study.dynamics import crossings, zeroing
from study.runs import Run

RATES = (0.01, 0.03, 0.1)


def followed(exponent: float, late: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return runs whose times are powers of the rate; without zeroing, `late` of 9 never leave."""
    rng, rows = np.random.default_rng(0), []
    spread = np.exp(rng.normal(0, 0.1, 9))
    for rate in RATES:
        for accumulate in (False, True):
            for seed in range(9):
                at = 30 * spread[seed] * rate**exponent if accumulate else 20 / rate * spread[seed]
                rows.append({
                    "run_id": f"{rate} {accumulate} {seed}", "cell": "gru", "optimizer": "sgd",
                    "pattern": "10", "length": 20, "noise": 1.0, "noise_kind": "uniform",
                    "hidden_size": 6, "lr": rate, "momentum": math.nan, "data": "fresh",
                    "noise_seed": math.nan, "accumulate": accumulate, "seed": seed,
                    "blocks": ("resonance_zeroing",),
                    "leaving": math.nan if accumulate and seed < late else at,
                })  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame[["run_id", "seed", "leaving"]], frame.drop(columns="leaving")


@pytest.mark.parametrize(("exponent", "holds"), [(-0.5, True), (-0.54, True), (-0.6, False)])
def test_exponents_and_the_drift_of_the_ratio_are_judged(exponent, holds):
    found = {finding.key: finding for finding in zeroing.square_root(*followed(exponent))}
    assert found["R4.exponent/zeroed"].held
    assert found["R4.exponent/never"].held == holds
    assert found["R4.exponent/never"].estimate.value == pytest.approx(exponent)
    assert found["R4.drift"].estimate.value == pytest.approx(2 * exponent + 1)
    assert found["R4.drift"].held == (abs(2 * exponent + 1) <= 0.1)


def test_runs_that_never_leave_are_late():
    few, most = (
        {finding.key: finding for finding in zeroing.square_root(*followed(-0.5, late))}
        for late in (2, 5)
    )
    assert few["R4.left/never"].agreeing == 21
    assert few["R4.exponent/never"].held
    assert math.isinf(most["R4.ratio/0.1"].estimate.value)
    assert not most["R4.exponent/never"].held


def test_a_tanh_network_waits_as_theory_says():
    settings = {"cell": "rnn_tanh", "hidden_size": 4, "length": 12, "optimizer": "sgd"}
    times = {
        (rate, never): crossings.follow(
            Run(**settings, lr=rate, accumulate=never, max_updates=4000, seed=2)
        )[1]["leaving"].update
        for rate in (0.01, 0.04)
        for never in (False, True)
    }
    assert times[0.01, False] / times[0.04, False] == pytest.approx(4, rel=0.1)
    assert times[0.01, True] / times[0.04, True] == pytest.approx(2, rel=0.1)

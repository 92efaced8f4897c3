"""Test the false signal of truncated gradients, and how the hypothesis on them is judged."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from study.dynamics import false_signals, truncation
from study.dynamics.crossings import mean_input, spectrum
from study.dynamics.network import Network
from study.dynamics.patterns import right_labels
from study.runs import Run, weights_of

HARMONICS = "k meets the harmonics", "k misses the harmonics"


def network(pattern: str, cell: str = "rnn_tanh") -> Network:
    run = Run(cell=cell, hidden_size=4, length=24, pattern=pattern, optimizer="sgd", seed=3)
    return Network(run, weights_of(run))


def by_case(one: Network) -> dict[tuple[int, str], float]:
    return {(r["cut_every"], r["cut_offset"]): r["false_signal"] for r in false_signals.rows(one)}


def test_cuts_every_whole_period_add_up_the_chunks():
    signals = by_case(network("1100"))
    chunks = [signals[k, "fixed"] for k in (4, 8, 12)]
    assert chunks == pytest.approx([6, 3, 2], rel=0.1)  # one false signal per chunk of 24 steps
    assert signals[2, "fixed"] < 0.01  # this pattern has no power at π
    assert by_case(network("1000"))[2, "fixed"] > 2
    assert all(signals[k, "random"] < 1 for k in range(2, 13))


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
def test_the_false_signal_is_the_gradient_of_torch(cell):
    """A layer of torch.nn runs chunk by chunk from its fixed point, and autograd differentiates."""
    one = network("110", cell)
    fixed = torch.tensor(spectrum(one, None)[0])
    layer = {"rnn_tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](1, 4)
    layer = layer.double()
    layer.load_state_dict({
        n.removeprefix("cell."): torch.tensor(w).double()
        for n, w in one.weights.items() if n.startswith("cell.")
    })  # fmt: skip
    readout = torch.tensor(one.weights["readout.weight"]).double()
    labels = right_labels("110", 24)
    pulls = torch.tensor(labels - labels.mean()) / 24

    def length(k: int) -> float:
        states, total = fixed.split(4), 0.0
        for first in range(0, 24, k):
            start = tuple(part.detach()[None] for part in states)
            inputs = torch.full((k, 1), mean_input(one.run)).double()
            outputs, end = layer(inputs, start if len(start) > 1 else start[0])
            states = [part[0] for part in (end if len(start) > 1 else (end,))]
            total = total - (pulls[first : first + k] * (outputs @ (readout[1] - readout[0]))).sum()
        gradients = torch.autograd.grad(total, list(layer.parameters()))
        return math.sqrt(sum(float((g**2).sum()) for g in gradients))

    signals = by_case(one)
    for k in (3, 4, 8):
        assert signals[k, "fixed"] == pytest.approx(length(k) / length(24), rel=1e-6)


def test_cuts_meet_a_harmonic_with_power():
    assert [k for k in range(1, 7) if truncation.meets("1100", k)] == [4]
    assert [k for k in range(1, 7) if truncation.meets("1000", k)] == [2, 4, 6]
    assert [k for k in range(1, 7) if truncation.meets("111000", k)] == [2, 4, 6]


def runs(slow: float, cured: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return false signals and runs of which some are `slow` times as late as without cuts.

    These are those with cuts at fixed places that meet a harmonic. Runs with cuts at random places
    are `cured` times as late.
    """
    found, signals, rng = [], [], np.random.default_rng(0)
    for seed in range(20):
        base = 1000 * math.exp(rng.normal(0, 0.1))
        for k, place in [
            (None, None),
            *((k, p) for k in range(2, 7) for p in false_signals.PLACES),
        ]:
            met = place != "random" and k is not None and truncation.meets("10", k)
            late = cured if place == "random" else slow if met else 1.0
            settings = {"cell": "gru", "pattern": "10", "seed": seed, "cut_every": k}
            settings |= {"cut_offset": place, "blocks": ("cut" if k else "uncut",)}
            times = {"converged_update": base * late, "updates": 9e9, "max_updates": 9e9}
            found.append(settings | times | {"status": "solved"})
            if k:
                signal = 5.0 / k if met else 1.0 + rng.normal(0, 0.01)
                signals.append(settings | {"false_signal": signal})
    return pd.DataFrame(signals), pd.DataFrame(found)


@pytest.mark.parametrize(
    ("slow", "cured", "rises", "cures"), [(5, 1.5, True, True), (0.5, 3, False, False)]
)
def test_slow_cuts_and_their_cure_are_judged(slow, cured, rises, cures):
    found = {finding.key: finding for finding in truncation.interferes(*runs(slow, cured))}
    assert found["R5.rank"].held == rises
    assert found["R5.cured"].held == cures
    assert found["R5.slower"].estimate.value == pytest.approx(cured)
    assert found[f"R5.slow/{HARMONICS[0][2:]}"].estimate.value == (1 if slow > 2 else 0)
    assert found[f"R5.slow/{HARMONICS[1][2:]}"].estimate.value == 0

"""Linear probes: can the phase be read from the state, and would the probe read anything else as well?

A ridge classifier on standardised states, trained on some sequences and tested on others. Two control labels say what
a probe of this size reads where there is nothing to read (Hewitt & Liang 2019): `shuffled`, the phases in random order,
and `hashed`, a coin for each step of the sequence, the same in all sequences. Selectivity is the probe's accuracy less
that with hashed labels. The start of a sequence is left out, where a state that only fades tells the step.
"""

from __future__ import annotations

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row

SEQUENCES, FIRST, LAST = 64, 20, 60  # half of the sequences to train on
RIDGE = 1e-3


def rows(network: Network) -> list[Row]:
    """The trained network and the same one before its first update."""
    return [
        {"trained": trained} | found
        for trained, one in ((True, network), (False, network.untrained()))
        for found in _probe(one)
    ]


def _probe(network: Network) -> list[Row]:
    rng = network.stream("probes")
    inputs = network.inputs("probes", SEQUENCES, LAST)
    states = np.stack([network.visited(sequence)[FIRST:] for sequence in inputs])
    if not np.isfinite(states).all():
        return []
    steps = np.arange(FIRST, LAST)
    phase = np.broadcast_to(steps % 2, states.shape[:2])
    coins = rng.permutation(np.arange(len(steps)) % 2)
    labels = {
        "phase": phase,
        "shuffled": rng.permuted(phase.ravel()).reshape(phase.shape),
        "hashed": np.broadcast_to(coins, phase.shape),
    }
    return [{name: accuracy(states, label) for name, label in labels.items()}]


def accuracy(states: np.ndarray, labels: np.ndarray) -> float:
    """Test accuracy of a ridge classifier; states (n,T,D), labels (n,T) of 0 and 1, split by sequence."""
    half = len(states) // 2
    train, test = (
        states[:half].reshape(-1, states.shape[2]),
        states[half:].reshape(-1, states.shape[2]),
    )
    mean, deviation = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-12)
    train, test = (train - mean) / deviation, (test - mean) / deviation
    target = 2.0 * labels[:half].ravel() - 1
    gram = train.T @ train + RIDGE * len(train) * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ (target - target.mean()))
    says = test @ weights + target.mean() > 0
    return float((says == (labels[half:].ravel() == 1)).mean())

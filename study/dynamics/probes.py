"""Train linear probes to test whether the phase can be read from a network's state.

The phase is whether the step is even or odd, and so whether the label is 1 or 0. A probe is a ridge
classifier on standardised states, trained on half of the sequences and tested on the other half.
Control labels show how well the same probe does with labels that mean nothing (Hewitt & Liang
2019). `shuffled` labels are the phases in random order. `hashed` labels are drawn at random for
each step, but are the same in all sequences. Selectivity is the accuracy on the phase minus the
accuracy on hashed labels. The first steps are left out, because the state is still far from its
usual values then, and so shows how many steps have passed.
"""

from __future__ import annotations

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.runs import weights_of

SEQUENCES, FIRST, LAST = 64, 20, 60  # states from step FIRST up to LAST - 1 are probed
RIDGE = 1e-3


def rows(network: Network) -> list[Row]:
    """Return two rows of the table `probes`, for the network after and before its training."""
    networks = {True: network, False: Network(network.run, weights_of(network.run))}
    return [{"trained": key} | row for key, probed in networks.items() for row in _probed(probed)]


def _probed(network: Network) -> list[Row]:
    """Return a row with a probe's accuracy on each kind of label, or no row after an overflow."""
    rng = network.stream("probes")
    inputs = network.inputs("probes", SEQUENCES, LAST)
    states = np.stack([network.visited(sequence)[FIRST:] for sequence in inputs])
    if not np.isfinite(states).all():
        return []
    steps = np.arange(FIRST, LAST)
    phase = np.broadcast_to(steps % 2, states.shape[:2])
    coins = rng.permutation(np.arange(len(steps)) % 2)
    shuffled = rng.permuted(phase.ravel()).reshape(phase.shape)
    labels = {"phase": phase, "shuffled": shuffled, "hashed": np.broadcast_to(coins, phase.shape)}
    return [{name: accuracy(states, label) for name, label in labels.items()}]


def accuracy(states: np.ndarray, labels: np.ndarray) -> float:
    """Return the test accuracy of a ridge classifier that predicts labels from states.

    `states` is (n,T,D), and `labels` (n,T) has a 0 or a 1 for each state. The classifier is trained
    on the first half of the n sequences and tested on the second half.
    """
    half = len(states) // 2
    train, test = (some.reshape(-1, states.shape[2]) for some in (states[:half], states[half:]))
    mean, deviation = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-12)
    train, test = (train - mean) / deviation, (test - mean) / deviation
    target = 2.0 * labels[:half].ravel() - 1
    gram = train.T @ train + RIDGE * len(train) * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ (target - target.mean()))
    predicted = test @ weights + target.mean() > 0
    return float((predicted == (labels[half:].ravel() == 1)).mean())

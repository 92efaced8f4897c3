"""The state changed by hand: does the phase follow what was put in?

At step AT of a sequence the state of a receiver is changed, and the network goes on with the receiver's own noise to
the end. `flipped` counts the trials in which every label from GRACE steps on is of the other phase, `kept` those in
which every one is right; what is neither lost the pattern. `at_once` counts flips from the first label on.
"""

from __future__ import annotations

import numpy as np

from study.dynamics.network import Network
from study.dynamics.tables import Row
from study.model import CELLS

TRIALS, AT, END, GRACE = 32, 20, 60, 4
SIZES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of one push, in distances between the two phases' mean states
NOISES = (
    0.02,
    0.05,
    0.1,
    0.2,
    0.4,
)  # standard deviation of a push at every step, in the same distances
# Cells whose gates' values `gate_forward` leaves in a, so that their means are known.
FREEZABLE = ("lstm", "gru", "gru_v1", "mgu", "lstm_cifg", "lstm_nfg")


class Scene:
    """Receivers and donors at step AT: states (TRIALS, D) each, and the receivers' noise from there on."""

    def __init__(self, network: Network):
        self.network, self.rng = network, network.stream("interventions")
        sequences = network.inputs("interventions", 2 * TRIALS, END)
        paths = np.stack([network.visited(sequence[: AT + 1]) for sequence in sequences])
        self.receiver, self.before = paths[:TRIALS, AT - 1], paths[:TRIALS, AT - 2]
        self.same, self.opposite = paths[TRIALS:, AT - 1], paths[TRIALS:, AT]
        self.inputs = sequences[:TRIALS, AT:]
        typical = network.typical.reshape(4, -1, network.dimension)
        self.means = np.stack([typical[:, phase::2].mean(axis=(0, 1)) for phase in (0, 1)])
        self.mean = self.means.mean(axis=0)
        self.distance = float(np.linalg.norm(self.means[1] - self.means[0]))
        self.low, self.high = network.typical.min(axis=0), network.typical.max(axis=0)

    def outcome(
        self, name: str, part: str, states: np.ndarray, size: float = np.nan, jolts=None
    ) -> Row:
        """Go on from changed states; the row of an intervention."""
        extra = {} if jolts is None else {"jolts": jolts}
        wrong, _, _ = self.network.follow(states, self.inputs, **extra)
        late = wrong[:, GRACE:]
        return {
            "intervention": name,
            "part": part,
            "size": size,
            "trials": TRIALS,
            "flipped": int(late.all(axis=1).sum()),
            "at_once": int(wrong.all(axis=1).sum()),
            "kept": int((~late).all(axis=1).sum()),
            "accuracy": float(1 - wrong.mean()),
        }

    def replaced(self, new: np.ndarray, part: str) -> np.ndarray:
        """The receivers' states with one part, or all, taken from `new`."""
        states, hidden = self.receiver.copy(), self.network.run.hidden_size
        chosen = {"all": slice(None), "h": slice(hidden), "c": slice(hidden, None)}[part]
        states[:, chosen] = np.broadcast_to(new, states.shape)[:, chosen]
        return states


def rows(network: Network) -> list[Row]:
    """Every intervention on one network; nothing for a network whose states are no numbers."""
    scene = Scene(network)
    if not np.isfinite(scene.receiver).all() or not scene.distance > 0:
        return []
    return [*_swaps(scene), *_ablations(scene), *_pushes(scene), *_gates(network, scene)]


def _parts(network: Network) -> tuple[str, ...]:
    return ("all", "h", "c") if len(network.states) == 2 else ("all",)


def _swaps(scene: Scene) -> list[Row]:
    """A donor's state of the opposite and of the same phase, and two controls that keep no phase.

    `random` is uniform over the box of visited states; `shuffled` is the opposite donor's, its units permuted.
    """
    order = scene.rng.permuted(np.tile(np.arange(scene.network.dimension), (TRIALS, 1)), axis=1)
    new = {
        "opposite donor": scene.opposite,
        "same donor": scene.same,
        "random state": scene.rng.uniform(scene.low, scene.high, scene.receiver.shape),
        "shuffled donor": np.take_along_axis(scene.opposite, order, axis=1),
    }
    return [
        scene.outcome(name, part, scene.replaced(states, part))
        for name, states in new.items()
        for part in _parts(scene.network)
    ]


def _ablations(scene: Scene) -> list[Row]:
    """Zeros, the mean over both phases, or the value of the step before (frozen: the part misses one update)."""
    new = {"zero": np.zeros(scene.network.dimension), "mean": scene.mean, "frozen": scene.before}
    return [
        scene.outcome(name, part, scene.replaced(states, part))
        for name, states in new.items()
        for part in _parts(scene.network)
    ]


def _pushes(scene: Scene) -> list[Row]:
    """Once, at random, along the phase or across it, and at every step."""
    shape = scene.receiver.shape
    along = scene.means[0] - scene.means[1]
    along = (
        along
        if np.linalg.norm(scene.receiver[0] + along - scene.means[0]) < scene.distance
        else -along
    )
    unit = along / np.linalg.norm(along)
    random = scene.rng.standard_normal(shape)
    across = random - (random @ unit)[:, None] * unit
    ways = {"random": random, "phase": np.broadcast_to(unit, shape)}
    if shape[1] > 1:
        ways["across"] = across
    found = []
    for part, drawn in ways.items():
        way = drawn * scene.distance / np.linalg.norm(drawn, axis=1, keepdims=True)
        found += [scene.outcome("push", part, scene.receiver + size * way, size) for size in SIZES]
    steps = scene.inputs.shape[1]
    noise = (
        scene.rng.standard_normal((TRIALS, steps, shape[1])) * scene.distance / np.sqrt(shape[1])
    )
    found += [scene.outcome("noise", "all", scene.receiver, size, size * noise) for size in NOISES]
    return found


def _gates(network: Network, scene: Scene) -> list[Row]:
    """Each gate held at its mean, and the recurrence into each replaced by its mean, from step 0 on.

    Here `kept` counts whole sequences, from step 1 on, and `accuracy` is over those steps.
    """
    cell = CELLS[network.run.cell]
    if network.run.cell not in FREEZABLE:
        return []
    inputs = network.inputs("gates", TRIALS, END)
    start = np.zeros((TRIALS, network.dimension))
    _, _, means = network.follow(start, inputs)
    hidden, found = network.run.hidden_size, []
    for i, gate in enumerate(cell.gates):
        held = np.zeros(means.size, np.bool_)
        held[i * hidden : (i + 1) * hidden] = True
        is_tanh = gate == "candidate"
        wrong, _, _ = network.follow(start, inputs, held, _before(means, is_tanh))
        found.append(_kept("freeze gate", gate, wrong))
        wrong, _, _ = _cut(network, held, scene.mean[:hidden]).follow(start, inputs)
        found.append(_kept("cut recurrence", gate, wrong))
    return found


def _before(means: np.ndarray, is_tanh: bool) -> np.ndarray:
    """The pre-activations whose values are the means."""
    close = 1 - 1e-12
    if is_tanh:
        return np.arctanh(np.clip(means, -close, close))
    clipped = np.clip(means, 1e-12, close)
    return np.log(clipped / (1 - clipped))


def _cut(network: Network, rows_of_gate: np.ndarray, mean: np.ndarray) -> Network:
    """The network whose gate gets the recurrent contribution of the mean state at every step."""
    weight, bias = (
        network.weights["cell.weight_hh_l0"].copy(),
        network.weights["cell.bias_hh_l0"].copy(),
    )
    bias[rows_of_gate] += weight[rows_of_gate] @ mean
    weight[rows_of_gate] = 0.0
    return network.with_weights(weight_hh=weight, bias_hh=bias)


def _kept(name: str, gate: str, wrong: np.ndarray) -> Row:
    late = wrong[:, 1:]
    return {
        "intervention": name,
        "part": gate,
        "size": np.nan,
        "trials": len(wrong),
        "flipped": 0,
        "at_once": 0,
        "kept": int((~late).all(axis=1).sum()),
        "accuracy": float(1 - late.mean()),
    }

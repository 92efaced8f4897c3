"""Change a network's state in the middle of a sequence, and see whether the labels follow.

The phase of a network is whether its next label is 1 or 0. In each trial, one sequence is the
receiver. Before step AT, the network's state is replaced or pushed. A push adds a vector to it.
The new state often comes from another sequence, the donor. The network then continues with the
receiver's inputs until the sequence ends, after END steps. Each intervention is tried on TRIALS
receivers. The table has one row per intervention, which counts three kinds of trials:

    flipped   every label belongs to the other phase, apart from the first GRACE labels after the
              change, which are ignored
    at_once   every label belongs to the other phase, including the first GRACE labels
    kept      every label is right, again apart from the first GRACE labels

In trials that are neither flipped nor kept, the pattern is lost.
"""

from __future__ import annotations

import numpy as np

from study.dynamics.network import NO_JOLTS, Network
from study.dynamics.tables import Row
from study.model import CELLS

TRIALS, AT, END, GRACE = 32, 20, 60, 4
# Lengths of a single push, and root-mean-square lengths of pushes at every step. The unit is the
# distance between the mean states of the two phases.
SIZES = (0.1, 0.25, 0.5, 0.75, 1.0)
NOISES = (0.02, 0.05, 0.1, 0.2, 0.4)
# Cells whose `gate_forward` keeps the gates' values before others, so that `follow` averages them.
FREEZABLE = ("lstm", "gru", "gru_v1", "mgu", "lstm_cifg", "lstm_nfg")
# Cells with h = o ∘ tanh(c), in which c can be replaced before h is computed from it.
OUTPUT_GATED = ("lstm", "lstm_cifg", "lstm_nfg")


class Scene:
    """The states (TRIALS,D) that interventions exchange, and the inputs after the exchange.

    A receiver is a sequence with a state that is changed before step AT. A donor is a sequence that
    gives the new state. `receiver` has the receivers' states before step AT, and `before` has their
    states one step earlier. `inputs` has the receivers' inputs from step AT on. `same` has states
    of donors in the same phase as the receivers, and `opposite` has states of donors in the other
    phase. `means` (2,D) has the mean state of each phase, and `distance` is the distance between
    the two means.
    """

    def __init__(self, network: Network):
        self.network, self.rng = network, network.stream("interventions")
        sequences = network.inputs("interventions", 2 * TRIALS, END)
        paths = np.stack([network.visited(sequence[: AT + 1]) for sequence in sequences])
        self.receiver, self.before = paths[:TRIALS, AT - 1], paths[:TRIALS, AT - 2]
        self.same, self.opposite = paths[TRIALS:, AT - 1], paths[TRIALS:, AT]
        self.inputs = sequences[:TRIALS, AT:]
        typical = network.typical.reshape(4, -1, network.dimension)
        self.means = np.stack([typical[:, phase::2].mean(axis=(0, 1)) for phase in (0, 1)])
        self.distance = float(np.linalg.norm(self.means[1] - self.means[0]))

    def outcome(self, name: str, part: str, states: np.ndarray, size=np.nan, jolts=NO_JOLTS) -> Row:
        """Run the network on from the changed states (TRIALS,D), and return the row of the results.

        `name` is the name of the intervention. `part` is the part of the state that was changed, or
        the direction of the push. `size` is the length of the push. `jolts`, if given, has vectors
        that are added to the state at every later step.
        """
        wrong = self.network.wrong(self.network.follow(states, self.inputs, jolts)[0])
        return _row(name, part, size, wrong, late=wrong[:, GRACE:])

    def replaced(self, name: str, new: np.ndarray) -> list[Row]:
        """Replace the receivers' states by the states `new`, and return a row per part replaced.

        Three parts are tried in turn: the whole state, the hidden state h alone, and the cell state
        c alone. If the cell has no c, only the whole state is tried.
        """
        hidden, found = self.network.hidden_size, []
        parts = {"all": slice(None), "h": slice(hidden), "c": slice(hidden, None)}
        for part in parts if len(self.network.states) == 2 else ["all"]:
            states = self.receiver.copy()
            states[:, parts[part]] = np.broadcast_to(new, states.shape)[:, parts[part]]
            found.append(self.outcome(name, part, states))
        return found


def _row(name: str, part: str, size: float, wrong: np.ndarray, late: np.ndarray) -> Row:
    return {
        "intervention": name,
        "part": part,
        "size": size,
        "trials": len(wrong),
        "flipped": int(late.all(axis=1).sum()),
        "at_once": int(wrong.all(axis=1).sum()),
        "kept": int((~late).all(axis=1).sum()),
        "accuracy": float(1 - wrong.mean()),
    }


def rows(network: Network) -> list[Row]:
    """Return the network's rows of the table `interventions`, one row per intervention.

    There are no rows if the states overflow or if both phases have the same mean state.
    """
    scene = Scene(network)
    if not np.isfinite(scene.receiver).all() or not scene.distance > 0:
        return []
    return [*_swaps(scene), *_swaps_within(scene), *_pushes(scene), *_gates(scene)]


def _swaps(scene: Scene) -> list[Row]:
    """Replace the receivers' states by other states, and return the rows of the results.

    The state of a donor is the state of another sequence, in the same or in the opposite phase. A
    random state is drawn uniformly from the box that visited states span. A shuffled donor is the
    state of the opposite donor with its entries permuted. `zero` is the zero state, and `mean` is
    the average of the mean states of the two phases. `frozen` is the receiver's state one step
    earlier, so that the receiver misses one update.
    """
    typical, dimension = scene.network.typical, scene.network.dimension
    order = scene.rng.permuted(np.tile(np.arange(dimension), (TRIALS, 1)), axis=1)
    box = typical.min(axis=0), typical.max(axis=0)
    new = {
        "opposite donor": scene.opposite,
        "same donor": scene.same,
        "random state": scene.rng.uniform(*box, scene.receiver.shape),
        "shuffled donor": np.take_along_axis(scene.opposite, order, axis=1),
        "zero": np.zeros(dimension),
        "mean": scene.means.mean(axis=0),
        "frozen": scene.before,
    }
    return [row for name, states in new.items() for row in scene.replaced(name, states)]


def _swaps_within(scene: Scene) -> list[Row]:
    """Replace c between the two halves of step AT, and return the rows of the results.

    An LSTM first computes its new cell state c and output gate o, and then the new hidden state
    h = o ∘ tanh(c). The receiver keeps its gate o, and gets the cell state that the donor computes
    in the same step. Other cells have no rows.
    """
    network, hidden = scene.network, scene.network.hidden_size
    if network.run.cell not in OUTPUT_GATED:
        return []
    found = []
    now = network.follow(scene.receiver, scene.inputs[:, :1])[0][:, 0]
    gate = now[:, :hidden] / np.tanh(now[:, hidden:])
    for name in ("opposite", "same"):
        donors = getattr(scene, name)
        cells = network.follow(donors, scene.inputs[:, :1])[0][:, 0, hidden:]
        new = np.concatenate([gate * np.tanh(cells), cells], axis=1)
        later = network.follow(new, scene.inputs[:, 1:])[0]
        wrong = network.wrong(np.concatenate([new[:, None], later], axis=1))
        found.append(_row(f"{name} donor within", "c", np.nan, wrong, wrong[:, GRACE:]))
    return found


def _pushes(scene: Scene) -> list[Row]:
    """Push the receivers' states once, or at every later step, and return the rows of the results.

    A single push goes in a random direction (`random`), toward the mean state of the other phase
    (`phase`), or in a random direction at right angles to `phase` (`across`). Pushes at every step
    are random.
    """
    shape = scene.receiver.shape
    along = scene.means[0] - scene.means[1]
    if np.linalg.norm(scene.receiver[0] + along - scene.means[0]) >= scene.distance:
        along = -along
    unit = along / np.linalg.norm(along)
    random = scene.rng.standard_normal(shape)
    ways = {"random": random, "phase": np.broadcast_to(unit, shape)}
    if shape[1] > 1:
        ways["across"] = random - (random @ unit)[:, None] * unit
    found = []
    for part, direction in ways.items():
        way = direction * scene.distance / np.linalg.norm(direction, axis=1, keepdims=True)
        found += [scene.outcome("push", part, scene.receiver + size * way, size) for size in SIZES]
    noise = scene.rng.standard_normal((TRIALS, scene.inputs.shape[1], shape[1]))
    noise = noise * scene.distance / np.sqrt(shape[1])
    found += [scene.outcome("noise", "all", scene.receiver, size, size * noise) for size in NOISES]
    return found


def _gates(scene: Scene) -> list[Row]:
    """Hold each gate, or only its recurrent input, at its mean value, and return the rows.

    The intervention `freeze gate` holds the whole gate constant. The intervention `cut recurrence`
    holds constant only the input that the gate receives from the state. Both last from step 0 on.
    In these rows, `kept` counts the sequences with only right labels from step 1 on, and `accuracy`
    is the share of right labels over the same steps. Cells outside FREEZABLE have no rows.
    """
    network = scene.network
    if network.run.cell not in FREEZABLE:
        return []
    inputs = network.inputs("gates", TRIALS, END)
    start = np.zeros((TRIALS, network.dimension))
    _, means = network.follow(start, inputs)
    hidden, found = network.hidden_size, []
    for i, gate in enumerate(CELLS[network.run.cell].gates):
        units = slice(i * hidden, (i + 1) * hidden)
        networks = {
            "freeze gate": _frozen(network, units, _before(means[units], gate == "candidate")),
            "cut recurrence": _cut(network, units, scene.means.mean(axis=0)[:hidden]),
        }
        for name, other in networks.items():
            late = other.wrong(other.follow(start, inputs)[0])[:, 1:]
            found.append(_row(name, gate, np.nan, late, late) | {"flipped": 0, "at_once": 0})
    return found


def _before(means: np.ndarray, is_tanh: bool) -> np.ndarray:
    """Return the pre-activations at which a gate takes the values `means`.

    The gate's activation function is tanh if `is_tanh` is true, and otherwise the logistic
    function.
    """
    close = 1 - 1e-12
    if is_tanh:
        return np.arctanh(np.clip(means, -close, close))
    clipped = np.clip(means, 1e-12, close)
    return np.log(clipped / (1 - clipped))


def _frozen(network: Network, gate: slice, value: np.ndarray) -> Network:
    """Return a copy of the network that holds one gate's pre-activations at `value` at every step.

    `gate` selects the rows of this gate in the weights.
    """
    new = {"weight_ih": 0.0, "weight_hh": 0.0, "bias_ih": value, "bias_hh": 0.0}
    weights = {name: np.array(network.weights[f"cell.{name}_l0"], float) for name in new}
    for name, array in weights.items():
        array[gate] = new[name]
    return network.with_weights(**weights)


def _cut(network: Network, gate: slice, mean: np.ndarray) -> Network:
    """Return a copy of the network in which one gate receives a constant recurrent input.

    The constant is the input that the gate receives from the state `mean` (H,). `gate` selects the
    rows of this gate in the weights.
    """
    weight, bias = (network.weights[f"cell.{name}_l0"].copy() for name in ("weight_hh", "bias_hh"))
    bias[gate] += weight[gate] @ mean
    weight[gate] = 0.0
    return network.with_weights(weight_hh=weight, bias_hh=bias)

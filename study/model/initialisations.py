"""The initialisations: the initial weights of `torch.nn`, or these weights with one change.

All draws are float64 and the same for every initialisation of a cell and size. So two
initialisations with the same seed differ only in the weights that one of them changes.

To add an initialisation, write a function that changes a layer's weights in place, and enter it in
`INITIALISATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from study.errors import SettingError
from study.model.cells import Cell

Layer = dict[str, np.ndarray]


def _block(array: np.ndarray, cell: Cell, gate: str) -> np.ndarray:
    """The rows of one gate in a stacked weight or bias; a view."""
    size = array.shape[0] // len(cell.gates)
    start = cell.gates.index(gate) * size
    return array[start : start + size]


def torch_default(layer: Layer, cell: Cell, value: float | None, rng: np.random.Generator) -> None:
    """Every weight and bias drawn from U(-1/sqrt(H), 1/sqrt(H)), as in `torch.nn`."""


def forget_bias(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """The forget gate's bias is `value` (b_ih = value, b_hh = 0): Jozefowicz et al. 2015."""
    _block(layer["bias_ih"], cell, "forget")[:] = value
    if cell.recurrent:
        _block(layer["bias_hh"], cell, "forget")[:] = 0.0


def orthogonal(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """Each gate's recurrent matrix orthogonal, times `value`: Saxe et al. 2014, arXiv 1312.6120."""
    for gate in cell.gates:
        block = _block(layer["weight_hh"], cell, gate)
        q, r = np.linalg.qr(rng.standard_normal(block.shape))
        block[:] = value * q * np.sign(np.diag(r))  # the signs make q uniform over rotations


def identity(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """The candidate's recurrent matrix `value` times the identity, its biases zero.

    For `rnn_relu` this is the IRNN of Le et al. 2015 (arXiv 1504.00941). Gates keep their weights.
    """
    block = _block(layer["weight_hh"], cell, "candidate")
    block[:] = value * np.eye(len(block))
    _block(layer["bias_ih"], cell, "candidate")[:] = 0.0
    _block(layer["bias_hh"], cell, "candidate")[:] = 0.0


def negative_identity(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """As `identity` with the opposite sign, so each unit at first negates its last value."""
    identity(layer, cell, -value, rng)


def scaled(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """The recurrent weights of `torch_default` times `value`."""
    layer["weight_hh"] *= value


@dataclass(frozen=True)
class Initialisation:
    """A change of the weights, its default value, and the gate or matrix that a cell must have."""

    change: Callable[..., None]
    default_value: float | None = None
    gate: str | None = None
    recurrent: bool = False


INITIALISATIONS = {
    "default": Initialisation(torch_default),
    "forget_bias": Initialisation(forget_bias, 1.0, gate="forget"),
    "orthogonal": Initialisation(orthogonal, 1.0, recurrent=True),
    "identity": Initialisation(identity, 1.0, gate="candidate", recurrent=True),
    "negative_identity": Initialisation(negative_identity, 1.0, gate="candidate", recurrent=True),
    "scaled": Initialisation(scaled, 2.0, recurrent=True),
}


def resolve_value(name: str, value: float | None, cell_name: str, cell: Cell) -> float | None:
    """The value that an initialisation uses; `SettingError` if it does not apply to the cell."""
    init, lacking = INITIALISATIONS[name], None
    if init.gate is not None and init.gate not in cell.gates:
        lacking = f"{init.gate} gate"
    elif init.recurrent and not cell.recurrent:
        lacking = "recurrent matrix"
    if lacking:
        raise SettingError("init", f"{name!r} needs a {lacking}, and cell {cell_name!r} has none")
    if init.default_value is None and value is not None:
        raise SettingError("init_value", f"does not apply to init {name!r}")
    return init.default_value if value is None else value


def initial_weights(
    cell: Cell,
    *,
    input_size: int,
    hidden_size: int,
    layers: int,
    outputs: int,
    init: str,
    init_value: float | None,
    rng: np.random.Generator,
    init_rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """All weights of a network, float64, by the names of its torch parameters.

    `cell.<weight>_l<layer>` in the shapes of `Cell.shapes`, then `readout.weight` (outputs, H) and
    `readout.bias` (outputs,). `rng` draws the default weights. An initialisation that needs more
    draws takes them from `init_rng`, so that they never shift the default ones.
    """
    bound = 1.0 / np.sqrt(hidden_size)
    shapes = weight_shapes(cell, input_size, hidden_size, layers, outputs)
    weights = {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}
    for i in range(layers):
        layer = {name: weights[f"cell.{name}_l{i}"] for name in cell.shapes(1, 1)}
        INITIALISATIONS[init].change(layer, cell, init_value, init_rng)
    return weights


def weight_shapes(
    cell: Cell, input_size: int, hidden_size: int, layers: int, outputs: int
) -> dict[str, tuple[int, ...]]:
    """The shapes of `initial_weights`, in its order, without drawing any."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        of_layer = cell.shapes(input_size if layer == 0 else hidden_size, hidden_size)
        shapes |= {f"cell.{name}_l{layer}": shape for name, shape in of_layer.items()}
    return shapes | {"readout.weight": (outputs, hidden_size), "readout.bias": (outputs,)}

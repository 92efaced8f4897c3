"""Initialise weights as `torch.nn` does by default, or with one change to this default.

All draws are float64. For a given cell, size and seed, every initialisation starts from the same
draws. So two initialisations differ only in the weights that one of them changes. An initialisation
changes all layers in the same way.

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
    """Return the rows that belong to one gate, as a view of a weight or bias of all gates."""
    size = array.shape[0] // len(cell.gates)
    start = cell.gates.index(gate) * size
    return array[start : start + size]


def torch_default(layer: Layer, cell: Cell, value: float | None, rng: np.random.Generator) -> None:
    """Leave the layer with the default weights of `torch.nn`.

    Every weight and bias is already drawn from U(-1/sqrt(H), 1/sqrt(H)) for hidden size H.
    """


def forget_bias(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """Set the forget gate's bias_ih to `value` and its bias_hh to 0 (Jozefowicz et al. 2015)."""
    _block(layer["bias_ih"], cell, "forget")[:] = value
    if cell.recurrent:
        _block(layer["bias_hh"], cell, "forget")[:] = 0.0


def orthogonal(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """Set each gate's recurrent matrix to `value` times a random orthogonal matrix.

    This follows Saxe et al. 2014 (arXiv 1312.6120). `rng` draws the orthogonal matrix.
    """
    for gate in cell.gates:
        block = _block(layer["weight_hh"], cell, gate)
        q, r = np.linalg.qr(rng.standard_normal(block.shape))
        block[:] = value * q * np.sign(np.diag(r))  # these signs make q uniformly distributed


def identity(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """Set the candidate's recurrent matrix to `value` times the identity, and its biases to zero.

    The other gates keep their weights. For `rnn_relu` this is the IRNN of Le et al. 2015 (arXiv
    1504.00941).
    """
    block = _block(layer["weight_hh"], cell, "candidate")
    block[:] = value * np.eye(len(block))
    _block(layer["bias_ih"], cell, "candidate")[:] = 0.0
    _block(layer["bias_hh"], cell, "candidate")[:] = 0.0


def negative_identity(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """Apply `identity` with -`value`, so that an untrained unit negates its previous value."""
    identity(layer, cell, -value, rng)


def scaled(layer: Layer, cell: Cell, value: float, rng: np.random.Generator) -> None:
    """Multiply the recurrent weights of `torch_default` by `value`."""
    layer["weight_hh"] *= value


@dataclass(frozen=True)
class Initialisation:
    """A way to initialise weights, by the function `change`, which changes a layer's weights.

    `default_value` is the number that the function takes unless a run gives another. If `gate` is
    given, the function applies only to cells with this gate. If `recurrent` is true, it applies
    only to cells with a recurrent matrix. `version` identifies the code of a shipped initialisation
    (see `study.model.rules`).
    """

    change: Callable[..., None]
    default_value: float | None = None
    gate: str | None = None
    recurrent: bool = False
    version: int | None = None


INITIALISATIONS = {
    "default": Initialisation(torch_default, version=1),
    "forget_bias": Initialisation(forget_bias, 1.0, gate="forget", version=1),
    "orthogonal": Initialisation(orthogonal, 1.0, recurrent=True, version=1),
    "identity": Initialisation(identity, 1.0, gate="candidate", recurrent=True, version=1),
    "negative_identity": Initialisation(
        negative_identity, 1.0, gate="candidate", recurrent=True, version=1
    ),
    "scaled": Initialisation(scaled, 2.0, recurrent=True, version=1),
}
SHIPPED_INITIALISATIONS = dict(INITIALISATIONS)


def resolve_value(name: str, value: float | None, cell_name: str, cell: Cell) -> float | None:
    """Return `value`, or if it is None, the default value of the initialisation `name`.

    Raises `SettingError` if the initialisation does not apply to the cell, or if `value` is given
    although the initialisation takes none.
    """
    init, lacking = INITIALISATIONS[name], None
    if init.gate is not None and init.gate not in cell.gates:
        lacking = f"{init.gate} gate"
    elif init.recurrent and not cell.recurrent:
        lacking = "recurrent matrix"
    if lacking:
        raise SettingError("init", f"{name!r} needs a {lacking}, but cell {cell_name!r} has none")
    if init.default_value is None and value is not None:
        message = f"'init_value' does not apply to init {name!r}; leave it out"
        raise SettingError("init_value", message)
    return init.default_value if value is None else value


def init_fault(
    init: Initialisation, value: float | None, cell: Cell, input_size: int, hidden_size: int
) -> str | None:
    """Return a message that says why an initialisation cannot be used, or None if it can.

    This function tries the initialisation with the number `value` on one layer of the cell.
    """
    rng = np.random.default_rng(0)
    shapes = cell.shapes(input_size, hidden_size)
    layer = {name: rng.uniform(-0.5, 0.5, shape) for name, shape in shapes.items()}
    before = dict(layer)
    try:
        init.change(layer, cell, value, rng)
    except Exception as error:  # a function of the user's own may raise any exception
        return f"its function raises {type(error).__name__}: {error}"
    for name, array in before.items():
        if layer.get(name) is not array:
            return f"it replaces {name}; change the array in place: layer[{name!r}][:] = …"
        if not np.isfinite(array).all():
            return f"it makes {name} not finite"
    return None


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
    """Return all initial weights of a network as float64 arrays, by parameter name.

    The first names are `cell.<weight>_l<layer>`, with the shapes that `Cell.shapes` returns. Then
    come `readout.weight` (outputs, hidden_size) and `readout.bias` (outputs,). `rng` draws the
    default weights. An initialisation that needs more draws takes them from `init_rng`, so that the
    default weights stay the same.
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
    """Return the shapes of a network's weights by name, in the order of `initial_weights`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        of_layer = cell.shapes(input_size if layer == 0 else hidden_size, hidden_size)
        shapes |= {f"cell.{name}_l{layer}": shape for name, shape in of_layer.items()}
    return shapes | {"readout.weight": (outputs, hidden_size), "readout.bias": (outputs,)}

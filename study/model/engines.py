"""Say which runs each training engine can train, and choose an engine for a run.

    torch   the reference: `torch.nn` and `torch.optim`, on any device
    fused   one compiled loop that trains a whole run on the CPU; faster for small networks
    auto    the faster of the two, if both can train the run; the run's row says which was used

The code of the engines is in `study.engines`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from study.model.cells import Cell


@dataclass(frozen=True)
class Engine:
    """An engine: its module, and a version (see `study.model.rules`), raised if results change.

    Version 2 of `fused` has the lanes of two units by eight sequences.
    """

    module: str
    version: int | None = None


ENGINES = {
    "torch": Engine("study.engines.torch_engine", version=1),
    "fused": Engine("study.engines.fused", version=2),
}
SHIPPED_ENGINES = dict(ENGINES)
AUTO = "auto"
COMPILING = ("fused",)  # engines whose function `prepare` compiles their code, once per machine

# The cells and the classes of torch.optim that the fused engine can train.
FUSED_CELLS = (
    "lstm", "gru", "rnn_tanh", "rnn_relu", "gru_v1", "mgu", "lstm_peephole", "lstm_cifg",
    "lstm_nfg", "lstm_no_recurrence", "mingru", "minlstm", "diagonal_positive", "diagonal_signed",
    "diagonal_complex",
)  # fmt: skip
FUSED_OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adam", "AdamW")
# The most hidden units, and the most work per update, up to which the fused engine is chosen rather
# than each class of torch.nn. The work is batch * sqrt(T) * H**2, where T is the length: a formula
# that separates the cases of results/benchmarks in which each engine was faster (hidden sizes 1 to
# 128, batch sizes 1 to 32, lengths 20 to 200). Each limit of work lies a factor of sqrt(2) from the
# nearest cases. Sizes above 128 were not measured. The engine is part of a run's identity, so these
# limits are the same on every machine.
FUSED_MOST = {"LSTM": (64, 330_000), "GRU": (128, 2_600_000), "RNN": (128, 5_200_000)}


def runs_side_by_side(engine: str, batch_size: int) -> int:
    """Return how many runs with batches of this size an engine trains at once, if it gets as many.

    The fused engine computes with eight sequences at a time. Runs with only one or two sequences
    per batch share this space.
    """
    return 8 // batch_size if engine == "fused" and batch_size <= 2 else 1


def not_there(device: str) -> str:
    """Return the reason that is stored for a run if it is skipped for lack of its device."""
    return f"this machine has no device {device!r}"


def lacks(cell: str, optimizer_class: object, device: str) -> str | None:
    """Return why the fused engine cannot train a run with these settings, or None if it can.

    `optimizer_class` is the name of a class in `torch.optim`, or a class of the user's own.
    """
    if device != "cpu":
        return f"engine 'fused' cannot use device {device!r}; use 'torch' or 'auto'"
    if cell not in FUSED_CELLS:
        return f"engine 'fused' cannot train cell {cell!r}; use 'torch' or 'auto'"
    if optimizer_class not in FUSED_OPTIMIZERS:
        name = getattr(optimizer_class, "__name__", f"torch.optim.{optimizer_class}")
        return f"engine 'fused' has no {name}; use 'torch' or 'auto'"
    return None


def choose(
    cell: Cell, name: str, optimizer_class: object, device: str, shape: tuple[int, int, int]
) -> str:
    """Return the engine that `auto` chooses for a run: `torch` or `fused`.

    `name` is the cell's name, and `optimizer_class` is as in `lacks`.
    `shape` is (length, batch size, hidden size).
    """
    if lacks(name, optimizer_class, device):
        return "torch"
    length, batch_size, hidden_size = shape
    if cell.torch_class is None:
        return "fused"
    most_hidden, most_work = FUSED_MOST[cell.torch_class]
    work = batch_size * math.sqrt(length) * hidden_size**2
    return "fused" if hidden_size <= most_hidden and work <= most_work else "torch"

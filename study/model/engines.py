"""The engines, the runs that each can train, and the choice that `auto` makes.

    torch   `torch.nn` and `torch.optim`, any device: the reference
    fused   one compiled loop for a whole run, on the CPU: faster where networks are small
    auto    the faster of the two for the run, whose row names it

The loops themselves are in `study.engines`.
"""

from __future__ import annotations

from study.model.cells import Cell

ENGINES = {"torch": "study.engines.torch_engine", "fused": "study.engines.fused"}
AUTO = "auto"
COMPILING = ("fused",)  # engines that compile themselves once per machine, with `prepare`

# The cells that `fused/gates.py` knows, and the classes of torch.optim that its loop knows.
FUSED_CELLS = (
    "lstm", "gru", "rnn_tanh", "rnn_relu", "gru_v1", "mgu", "lstm_peephole", "lstm_cifg",
    "lstm_nfg", "lstm_no_recurrence", "mingru", "minlstm", "diagonal_positive", "diagonal_signed",
)  # fmt: skip
FUSED_OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adam", "AdamW")
# Where the fused loop is the faster engine, from results/benchmarks (hidden size 1 to 128, batch
# size 1 to 32, length 50 and 200). Up to FUSED_ALWAYS units the caches hold the weights, and the
# loop always wins. Above that it wins while the work per update, T * batch * H * (H + 64), is
# small: nn.LSTM overtakes it between 7 and 10 million. For the other classes the constant is the
# largest work measured, at which the loop still leads. The engine is part of a run's identity, so
# these are constants, not measurements.
FUSED_ALWAYS = 64
FUSED_MOST_WORK = {"LSTM": 9_000_000, "GRU": 160_000_000, "RNN": 160_000_000}


def not_there(device: str) -> str:
    """The reason stored for a run whose device this machine lacks."""
    return f"device {device!r} is not there"


def lacks(cell: str, optimizer_class: str, device: str) -> str | None:
    """Why the fused engine cannot train a run; None if it can."""
    if device != "cpu":
        return f"engine 'fused' has no device {device!r}"
    if cell not in FUSED_CELLS:
        return f"engine 'fused' has no cell {cell!r}"
    if optimizer_class not in FUSED_OPTIMIZERS:
        return f"engine 'fused' has no optimizer torch.optim.{optimizer_class}"
    return None


def choose(
    cell: Cell, name: str, optimizer_class: str, device: str, shape: tuple[int, int, int]
) -> str:
    """The engine that `auto` chooses; `shape` is (length, batch size, hidden size)."""
    if lacks(name, optimizer_class, device):
        return "torch"
    length, batch_size, hidden_size = shape
    if cell.torch_class is None or hidden_size <= FUSED_ALWAYS:
        return "fused"
    work = length * batch_size * hidden_size * (hidden_size + 64)
    return "fused" if work <= FUSED_MOST_WORK[cell.torch_class] else "torch"

"""Engines: each trains a whole `Run` and returns an `Outcome`.

    torch   `torch.nn` and `torch.optim`, any device: the reference
    fused   one compiled loop for a whole run, on the CPU: the faster where networks are small
    auto    the one of the two that is faster for the run; its row says which

To add one: write a module with `train(run) -> Outcome` and `unavailable(run) -> str | None`, and
enter it in `ENGINES`. One that has to compile first adds `is_ready` and `prepare`, and is entered in
`COMPILING`; one that takes seconds to import, in `START_SECONDS`. Modules are imported when first
used, since torch is slow to import. A pack of runs is of one engine: see `schedule.make_packs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from study.cells import Cell
from study.measures import Score

if TYPE_CHECKING:
    from study.runs import Run

ENGINES = {
    "torch": "study.engines.torch_engine",
    "fused": "study.engines.fused",
}
AUTO = "auto"
START_SECONDS = {"torch": 1.5}  # that a process takes before its first run on an engine, where that is long: its import
COMPILING = ("fused",)  # engines with something to `prepare` on a machine: known without importing the others

# The cells whose gate arithmetic `fused/gates.py` has, and the classes of torch.optim that its loop knows.
FUSED_CELLS = (
    "lstm", "gru", "rnn_tanh", "rnn_relu", "gru_v1", "mgu", "lstm_peephole", "lstm_cifg", "lstm_nfg",
    "lstm_no_recurrence", "mingru", "minlstm", "diagonal_positive", "diagonal_signed",
)  # fmt: skip
FUSED_OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adam", "AdamW")
# Where the loop is the faster, from results/benchmarks (hidden 1 to 128, batch 1 to 32, T 50 and 200): with up to
# FUSED_ALWAYS units, whose weights the near caches hold, whatever the batch; beyond, up to a work of an update,
# T * batch * H * (H + 64), that nn.LSTM overtakes between 7 and 10 million. Of the other classes that is the largest
# measured, where the loop still leads. Part of what a run is, so these are numbers and not measurements on the spot.
FUSED_ALWAYS = 64
FUSED_MOST_WORK = {"LSTM": 9_000_000, "GRU": 160_000_000, "RNN": 160_000_000}


def lacks(cell: str, optimizer_class: str, device: str) -> str | None:
    """What the fused engine lacks for a run, or None."""
    if device != "cpu":
        return f"engine 'fused' has no device {device!r}"
    if cell not in FUSED_CELLS:
        return f"engine 'fused' has no cell {cell!r}"
    if optimizer_class not in FUSED_OPTIMIZERS:
        return f"engine 'fused' has no optimizer torch.optim.{optimizer_class}"
    return None


def choose(cell: Cell, name: str, optimizer_class: str, device: str, shape: tuple[int, int, int]) -> str:
    """The engine that `auto` stands for; `shape` is length, batch size, hidden size."""
    if lacks(name, optimizer_class, device):
        return "torch"
    length, batch_size, hidden_size = shape
    if cell.torch_class is None or hidden_size <= FUSED_ALWAYS:
        return "fused"
    work = length * batch_size * hidden_size * (hidden_size + 64)
    return "fused" if work <= FUSED_MOST_WORK[cell.torch_class] else "torch"


@dataclass(frozen=True)
class Curve:
    """What was seen at each evaluation; all arrays (evaluations,), the first before any update."""

    update: np.ndarray  # updates done
    training_loss: np.ndarray  # mean over the updates since the evaluation before; nats per label
    loss: np.ndarray  # on fresh sequences, as are accuracy and exact
    accuracy: np.ndarray
    exact: np.ndarray
    train_seconds: np.ndarray  # spent on updates so far, drawing their data included, evaluation excluded


@dataclass(frozen=True)
class Outcome:
    """What one training gave; times in seconds, each with the drawing of the data it is for."""

    curve: Curve
    updates: int
    diverged_update: int | None  # the update whose loss was not finite
    final: Score | None  # at the test length; None when diverged
    long: Score | None  # at ten test lengths
    weights: dict[str, np.ndarray]
    train_seconds: float
    evaluation_seconds: float
    final_seconds: float


class Engine(Protocol):
    """What the module of an engine offers."""

    def train(self, run: Run) -> Outcome: ...

    def unavailable(self, run: Run) -> str | None:
        """Why a run cannot be trained on this machine; None when it can."""
        ...

    def is_ready(self, run: Run) -> bool:
        """Whether a run can be trained without `prepare`; only engines in COMPILING have this and the next."""
        ...

    def prepare(self, run: Run) -> None:
        """Do what is to be done once on a machine before such runs, such as compiling."""
        ...


def engine_of(run: Any) -> Engine:
    """The engine module of a run."""
    return _engine(run.engine)


@cache
def _engine(name: str) -> Engine:
    return cast(Engine, import_module(ENGINES[name]))

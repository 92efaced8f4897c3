"""List the peers: implementations that do the same update of the same network, to be compared.

The module of a peer has two functions. `unavailable()` returns None, or says why this machine
cannot run the peer. `measure(case, seconds)` times the update. The module may need heavy packages,
so it is imported only in the process that measures this peer.

To add a peer, write its module and enter it in `PEERS` with its cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from typing import Any

from benchmarks.gates import GATES
from benchmarks.problem import Case
from study.model import CELLS, lacks

HIDDEN_SIZES = (1, 6, 16, 32, 64, 128)
BATCH_SIZES = (1, 2, 8, 32)
MAIN, FORUM = (8, 20), (2, 50)  # the batch size and length of the main grid and of the forum's post
SHAPES = (MAIN, *product(BATCH_SIZES, (50, 200)))
# Compiling takes seconds per case, so some peers are measured in few cases only.
FEW_CELLS, FEW_SIZES = ("lstm", "gru", "rnn_tanh"), (6, 32)
GRID_SIZES = tuple(size for size in HIDDEN_SIZES if size <= 32)  # as in the main grid


def cases(
    cells: Iterable[str],
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    shapes: Sequence[tuple[int, int]] = SHAPES,
) -> list[Case]:
    """Return all combinations of cells, hidden sizes and shapes (batch size, length)."""
    return [Case(cell, size, *shape) for cell, size, shape in product(cells, hidden_sizes, shapes)]


@dataclass(frozen=True)
class Peer:
    """A peer: its module, its description, and the cases in which it is measured.

    `options` are passed to both functions of the module. The cases are measured in several rounds,
    of which the fastest counts, since a machine may be slow for some seconds.
    """

    module: str
    description: str
    cases: Sequence[Case]
    options: dict[str, Any] = field(default_factory=dict)
    rounds: int = 3

    def unavailable(self) -> str | None:
        """Return why this machine cannot run the peer, or None if it can.

        This imports the peer's module, so it is called only in the process that measures the peer.
        """
        return self._function("unavailable")(**self.options)

    def measure(self, case: Case, seconds: float) -> dict[str, Any]:
        """Measure an update for about `seconds`; the result has the keys of `timing.timed`.

        This imports the peer's module, so it is called only in the process that measures the peer.
        """
        return self._function("measure")(case, seconds, **self.options)

    def _function(self, name: str) -> Callable[..., Any]:
        return getattr(import_module(self.module), name)


FUSED_CELLS = tuple(name for name in CELLS if lacks(name, "SGD", "cpu") is None)
_RARER = [name for name in FUSED_CELLS if name not in GATES]  # torch.nn lacks these cells
_MOST = cases(GATES) + cases(_RARER, GRID_SIZES, (MAIN,))
FEW = cases(FEW_CELLS, FEW_SIZES, (MAIN, FORUM))
_ALONE = cases(FEW_CELLS, FEW_SIZES, ((1, 50), FORUM))
_FUSED, _STACKED = "benchmarks.peers.fused", "benchmarks.peers.stacked"
PEERS = {
    "floor": Peer("benchmarks.peers.floor", "lower bound for this machine", cases(GATES)),
    "fused": Peer(_FUSED, "the study's compiled loop, as a grid trains models", _MOST),
    "alone": Peer(_FUSED, "as fused, one model even at batch sizes 1 and 2", _ALONE, {"alone": 1}),
    "torch": Peer("benchmarks.peers.torch_nn", "torch.nn and torch.optim, one model", _MOST),
    "stacked": Peer(_STACKED, "torch, many models at once", FEW, rounds=1),
    "compiled": Peer(_STACKED, "as stacked, with torch.compile", FEW, {"compiled": True}, 1),
    "jax": Peer("benchmarks.peers.jax_scan", "JAX, many models at once", FEW, rounds=1),
}


def cases_of(peer: str, cells: Sequence[str] = (), quick: bool = False) -> list[Case]:
    """Return the cases in which a peer is measured: all of them, or only a few if `quick`.

    If `cells` are given, only their cases are returned.
    """
    return [
        case
        for case in PEERS[peer].cases
        if (not cells or case.cell in cells) and (not quick or case in FEW)
    ]

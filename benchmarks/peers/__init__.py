"""List the peers: implementations that do the same update of the same network, to be compared.

The module of a peer has two functions. `unavailable()` returns None, or says why this machine
cannot run the peer. `measure(case, seconds)` times the update. The module may need heavy packages,
so it is imported only in the process that measures this peer.

To add a peer, write its module and enter it in `PEERS` with its cells and sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from typing import Any

from benchmarks.gates import GATES
from benchmarks.problem import Case
from study.model import CELLS, lacks

HIDDEN_SIZES = (1, 6, 16, 32, 64, 128)
BATCH_SIZES = (1, 2, 8, 32)
LENGTHS = (50, 200)
QUICK_CELLS = ("lstm", "gru", "rnn_tanh")
QUICK_SIZES = ((6, 32), (2,), (50,))  # hidden sizes, batch sizes, lengths


@dataclass(frozen=True)
class Peer:
    """A peer: its module, its description, and the cells and sizes in which it is measured.

    `options` are passed to both functions of the module.
    """

    module: str
    description: str
    cells: Sequence[str]
    hidden_sizes: Sequence[int] = HIDDEN_SIZES
    batch_sizes: Sequence[int] = BATCH_SIZES
    lengths: Sequence[int] = LENGTHS
    options: dict[str, Any] = field(default_factory=dict)

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


# Compiling takes seconds per case, so some peers measure one shape only.
_ONE_SHAPE: dict[str, Any] = {"batch_sizes": (2,), "lengths": (50,)}
_FUSED = tuple(name for name in CELLS if lacks(name, "SGD", "cpu") is None)
_STACKED = "benchmarks.peers.stacked"
PEERS = {
    "floor": Peer("benchmarks.peers.floor", "lower bound for this machine", tuple(CELLS)),
    "fused": Peer("benchmarks.peers.fused", "the study's compiled loop, one model", _FUSED),
    "torch": Peer("benchmarks.peers.torch_nn", "torch.nn and torch.optim, one model", tuple(CELLS)),
    "stacked": Peer(_STACKED, "torch, many models at once", tuple(GATES), **_ONE_SHAPE),
    "compiled": Peer(
        _STACKED, "as stacked, with torch.compile", tuple(GATES), (6, 32), **_ONE_SHAPE,
        options={"compiled": True},
    ),
    "jax": Peer(
        "benchmarks.peers.jax_scan", "JAX, many models at once", tuple(GATES), **_ONE_SHAPE
    ),
}  # fmt: skip


def cases_of(peer: str, cells: Sequence[str] = (), quick: bool = False) -> list[Case]:
    """Return the cases in which a peer is measured: all of them, or only a few if `quick`.

    If `cells` are given, only their cases are returned.
    """
    chosen = PEERS[peer]
    sizes = chosen.hidden_sizes, chosen.batch_sizes, chosen.lengths
    measured = cells or (QUICK_CELLS if quick else chosen.cells)
    return [
        Case(*values)
        for values in product(chosen.cells, *(QUICK_SIZES if quick else sizes))
        if values[0] in measured
    ]

"""The peers: each does the same update of the same network in its own way.

A peer's module has `unavailable()`, which says why this machine lacks it or returns None, and
`measure(case, seconds)`, which times the update. Modules are imported in the peer's own process
only, since they bring heavy packages.

To add a peer, write its module and enter it in `PEERS` with its cells and the sizes it measures by
default.
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


@dataclass(frozen=True)
class Peer:
    """A peer's module, its description, its cells, and the sizes it measures by default."""

    module: str
    what: str
    cells: Sequence[str]
    hidden_sizes: Sequence[int] = HIDDEN_SIZES
    batch_sizes: Sequence[int] = BATCH_SIZES
    lengths: Sequence[int] = LENGTHS
    options: dict[str, Any] = field(default_factory=dict)

    def unavailable(self) -> str | None:
        """Why it cannot be measured here; called in the peer's own process."""
        return self._function("unavailable")(**self.options)

    def measure(self, case: Case, seconds: float) -> dict[str, Any]:
        """Time an update of the case; called in the peer's own process."""
        return self._function("measure")(case, seconds, **self.options)

    def _function(self, name: str) -> Callable[..., Any]:
        return getattr(import_module(self.module), name)


_ONE_SHAPE: dict[str, Any] = {
    "batch_sizes": (2,),
    "lengths": (50,),
}  # compiling takes seconds per case
_FUSED = tuple(name for name in CELLS if lacks(name, "SGD", "cpu") is None)
PEERS = {
    "floor": Peer("benchmarks.peers.floor", "the machine's floor", tuple(CELLS)),
    "fused": Peer("benchmarks.peers.fused", "the study's compiled loop, one model", _FUSED),
    "torch": Peer("benchmarks.peers.torch_nn", "torch.nn and torch.optim, one model", tuple(CELLS)),
    "stacked": Peer(
        "benchmarks.peers.stacked", "torch over stacked models", tuple(GATES), **_ONE_SHAPE
    ),
    "compiled": Peer(
        "benchmarks.peers.stacked",
        "the stack, its step under torch.compile",
        tuple(GATES),
        hidden_sizes=(6, 32),
        options={"compiled": True},
        **_ONE_SHAPE,
    ),
    "jax": Peer(
        "benchmarks.peers.jax_scan", "jit(vmap(value_and_grad(scan)))", tuple(GATES), **_ONE_SHAPE
    ),
}


def cases_of(peer: str, complete: bool = False) -> list[Case]:
    """The cases that a peer measures, by default or with `complete`."""
    chosen = PEERS[peer]
    default = chosen.hidden_sizes, chosen.batch_sizes, chosen.lengths
    sizes = (HIDDEN_SIZES, BATCH_SIZES, LENGTHS) if complete else default
    return [Case(*values) for values in product(chosen.cells, *sizes)]

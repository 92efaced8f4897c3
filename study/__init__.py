"""Compare how recurrent networks learn to keep an alternating pattern in their hidden state.

    study.load("results/main")            load stored results as a DataFrame, one row per run
    study.Results("results/main")         read blocks, curves and weights as the figures do
    study.network("results/main", run_id) rebuild a trained network as a `torch.nn.Module`
    study.Run(cell="gru", seed=3)         describe a training run
    study.train(run)                      train a run; returns its learning curve and weights

docs/python.md has examples. `python -m study` lists the commands.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.engines import train
    from study.grid import Results, load, network
    from study.runs import Run

__all__ = ["Results", "Run", "load", "network", "train"]
__version__ = "0.1.0"

_HOMES = {
    "Results": "study.grid", "Run": "study.runs", "load": "study.grid", "network": "study.grid",
    "train": "study.engines",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Return one of the names in `__all__`.

    Each is imported only when it is first used, so that `study --help` starts fast. Raises
    `AttributeError` for any other name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'study' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the names that an editor or notebook offers after `study.`."""
    return sorted({*globals(), *__all__})

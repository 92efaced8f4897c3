"""Compare how recurrent networks learn to keep an alternating pattern in their hidden state.

    study.load("results/main")     load stored results as a DataFrame, one row per run
    study.train(study.Run(...))    train one run and return its row

`python -m study` lists the commands.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.grid import load
    from study.grid import train_run as train
    from study.runs import Run

__all__ = ["Run", "load", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Return `load`, `train` or `Run`.

    Each is imported only when it is first used, so that `study --help` starts fast. Raises
    `AttributeError` for any other name.
    """
    if name in ("load", "train"):
        import study.grid

        return study.grid.load if name == "load" else study.grid.train_run
    if name == "Run":
        import study.runs

        return study.runs.Run
    raise AttributeError(f"module 'study' has no attribute {name!r}")

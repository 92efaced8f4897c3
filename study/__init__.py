"""A comparative study of recurrent networks: how their state carries an alternating pattern.

`study.load("results/main")` gives the stored results as a DataFrame; `python -m study` lists the
commands.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.runs import Run
    from study.store import load

__all__ = ["Run", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` and `Run` when they are asked for, so that workers start without pandas."""
    if name == "load":
        from study.store import load

        return load
    if name == "Run":
        from study.runs import Run

        return Run
    raise AttributeError(f"module 'study' has no attribute {name!r}")

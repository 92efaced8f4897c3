"""A comparative study of recurrent networks: how their state carries an alternating pattern.

`study.load("results/main")` gives the stored results as a DataFrame; `python -m study` lists the
commands.
"""

import sys
from typing import TYPE_CHECKING, Any

from study.command import leave_on_interrupt

if TYPE_CHECKING:
    from study.grid import load
    from study.runs import Run

__all__ = ["Run", "load"]

if sys.argv[:1] == ["-m"]:  # so it stands while `python -m study.…` imports this
    leave_on_interrupt()


def __getattr__(name: str) -> Any:
    """Import `load` and `Run` when they are asked for, so that workers start without pandas."""
    if name == "load":
        from study.grid import load

        return load
    if name == "Run":
        from study.runs import Run

        return Run
    raise AttributeError(f"module 'study' has no attribute {name!r}")

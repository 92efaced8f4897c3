"""Compile the kernels, once for each cell, on top of the fused engine's gate arithmetic."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from study.engines.fused.build import gates_of, marked, module_of, traits

ENTRIES = (
    "find_roots", "derivatives", "follow", "visit", "count_slips", "lyapunov", "settle", "shrink",
)  # fmt: skip
_HEADER = '''"""Compiled by study.dynamics: {cell}, float64."""
import math
import numpy as np
from numba import njit

real = np.float64
one = real(1)
how = dict(fastmath={{"contract", "reassoc", "nsz", "arcp"}}, error_model="numpy", nogil=True)
part = njit(**how)
kept = njit(cache=True, **how)
{constants}


@part
def gates_of(x, j, hidden):
    return {gates_of}


@part
def own_of(x, j, hidden):
    return {own_of}


@part
def kept_of(x, j, hidden):
    return {kept_of}
'''


@cache
def kernels(cell: str) -> ModuleType:
    """The compiled kernels of a cell, float64."""
    facts = traits(cell)
    constants = "\n".join(f"{name} = {value}" for name, value in facts.items())
    tuples = {
        f"{name}_of": _tuple(facts[count])
        for name, count in (("gates", "GATES"), ("own", "OWN"), ("kept", "KEPT"))
    }
    header = _HEADER.format(cell=cell, constants=constants, **tuples)
    text = (
        header
        + gates_of(cell)
        + "".join(marked(Path(__file__).parent / name) for name in ("step.py", "kernels.py"))
    )
    for name in ENTRIES:
        text = text.replace(f"@part\ndef {name}(", f"@kept\ndef {name}(")
    return module_of(f"dynamics_{cell}", text)


def _tuple(count: int) -> str:
    """The text of a tuple with an entry of each of `count` blocks, for unit j."""
    return "(" + "".join(f"x[{block} * hidden + j], " for block in range(count)) + ")"

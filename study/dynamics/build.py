"""Compile the numerical functions of the analysis ("kernels") for each cell.

The kernels call the gate arithmetic with which the fused engine (`study.engines.fused`) trains
networks. So analysis and training compute the same step.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from study.engines import fused

HERE, TEXTS = Path(__file__).parent, ("step.py", "kernels.py")
ENTRIES = ("newton", "derivatives", "visit", "count_slips", "lyapunov")
HEADER = '''"""The kernels of study.dynamics for the cell {cell}, compiled in float64."""
import math
import numpy as np
from numba import njit

real = np.float64
one = real(1)
how = dict(fastmath={{"contract", "reassoc", "nsz", "arcp"}}, error_model="numpy", nogil=True)
part = njit(**how)
kept = njit(cache=True, **how)
'''
# Follows the source, and compiles each entry for the types of its arguments. The letters a, b and c
# stand for arrays of 1, 2 and 3 dimensions.
FOOTER = """
from numba import types

n, u = types.int64, types.float64
a, b, c = u[::1], u[:, ::1], u[:, :, ::1]
newton.compile((a, n, a, u, n))
derivatives.compile((a, n, b, a, b, c))
visit.compile((a, n, b, b, c, c, a))
count_slips.compile((a, n, a, a, n))
lyapunov.compile((a, n, a, a, n, a))
"""


@cache
def source(cell: str) -> str:
    """Return the source text of the cell's module of kernels (compiled numerical functions)."""
    facts = fused.traits(cell)
    lines = [HEADER.format(cell=cell), *(f"{name} = {value}" for name, value in facts.items())]
    # Some vectors hold several blocks of `hidden` numbers, one number per unit. The functions
    # gates_of, own_of and kept_of return unit j's number from each block of such a vector.
    for name in ("gates", "own", "kept"):
        numbers = "".join(f"x[{block} * hidden + j], " for block in range(facts[name.upper()]))
        lines.append(f"\n\n@part\ndef {name}_of(x, j, hidden):\n    return ({numbers})\n")
    lines += [fused.gates_of(cell), *(fused.marked(HERE / name) for name in TEXTS)]
    text = "\n".join(lines)
    for name in ENTRIES:
        text = text.replace(f"@part\ndef {name}(", f"@kept\ndef {name}(")
    return text


@cache
def kernels(cell: str) -> ModuleType:
    """Return the cell's module of kernels (compiled numerical functions)."""
    return fused.module_of(f"dynamics_{cell}", source(cell) + FOOTER)

"""Compile the kernels, once for each cell, on top of the fused engine's gate arithmetic."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from study.engines.fused.build import marked, module_of, source

ENTRIES = (
    "find_roots", "derivatives", "follow", "visit", "count_slips", "lyapunov", "settle", "shrink",
)  # fmt: skip


@cache
def kernels(cell: str) -> ModuleType:
    """The compiled kernels of a cell, float64."""
    engine = source(cell, "float64").replace("@jit\ndef tanh(", "@jit\ndef exact_tanh(")
    text = engine + marked(Path(__file__).parent / "kernels.py")
    for name in ENTRIES:
        text = text.replace(f"@jit\ndef {name}(", f"@jit_kept\ndef {name}(")
    return module_of(f"dynamics_{cell}", text)

"""Compile the loop, once for each cell and data type, and keep the machine code.

The source of a compiled module is put together from `arithmetic`, `gates` and `loop`, with the names
`tanh`, `gate_forward`, `gate_backward` and `real` bound to what the cell and the data type want, and is
written to a folder named by a hash of it. So Numba finds its cache by content: an edit of any part gives
another folder, and an old cache can never be taken for a new one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import cache
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numba

OPTIONS = (
    "UPDATES", "MAX_UPDATES", "EVAL_EVERY", "BATCHES_PER_UPDATE", "NEXT_BATCH", "ACCUMULATE", "START_KIND", "ACROSS",
    "CARRIED", "CUT", "RESET", "OPTIMIZER", "STOP_AFTER", "CONSECUTIVE", "DIVERGED",
)  # fmt: skip
NUMBERS = ("LR", "CLIP_NORM", "TRAIN_SECONDS", "EVALUATION_SECONDS")
ENTRY = "train_segment"  # called from Python; the rest is compiled into it

_HEADER = '''"""Compiled by study.engines.fused: {cell}, {dtype}."""
import math
import numpy as np
from numba import njit, types

real = np.{dtype}
jit = njit(fastmath={{"contract", "reassoc", "nsz", "arcp"}}, error_model="numpy", nogil=True)
jit_kept = njit(fastmath={{"contract", "reassoc", "nsz", "arcp"}}, error_model="numpy", nogil=True, cache=True)
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))
{constants}


@jit
def now(clock):
    clock_gettime({monotonic}, clock.ctypes)
    return clock[0] + 1e-9 * clock[1]


'''


def source(cell: str, dtype: str) -> str:
    """The whole text of a cell's compiled module."""
    constants = "\n".join(f"{name} = {i}" for names in (OPTIONS, NUMBERS) for i, name in enumerate(names))
    header = _HEADER.format(cell=cell, dtype=dtype, constants=constants, monotonic=time.CLOCK_MONOTONIC)
    arithmetic = _code("arithmetic").replace(f"def tanh_{dtype}", "def tanh")
    gates = _code("gates").replace(f"def {cell}_forward", "def gate_forward")
    gates = gates.replace(f"def {cell}_backward", "def gate_backward")
    text = header + arithmetic + gates + _code("loop")
    return text.replace(f"@jit\ndef {ENTRY}(", f"@jit_kept\ndef {ENTRY}(")


def _code(part: str) -> str:
    return marked(Path(__file__).parent / f"{part}.py")


def marked(path: Path) -> str:
    """The functions of a file of source text, each marked for the compiler."""
    text = path.read_text(encoding="utf-8")
    body = text[text.index('"""', 3) + 3 :]
    return body.replace("\ndef ", "\n@jit\ndef ")


def cache_folder() -> Path:
    """Where compiled modules are kept: NUMBA_CACHE_DIR, the user's cache, or a temporary folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    choices = [os.environ.get("NUMBA_CACHE_DIR"), Path(home), Path(tempfile.gettempdir())]
    for choice in filter(None, choices):
        folder = Path(choice) / f"study-fused-{os.getuid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    return Path(tempfile.mkdtemp(prefix="study-fused-"))


def is_compiled(cell: str, dtype: str) -> bool:
    """Whether this machine has the machine code already."""
    return _path(cell, dtype).with_suffix(".done").exists()


def mark_compiled(cell: str, dtype: str) -> None:
    """Note that the machine code is on the disk."""
    _path(cell, dtype).with_suffix(".done").touch()


def _path(cell: str, dtype: str) -> Path:
    return path_of(f"fused_{cell}_{dtype}", source(cell, dtype))


def path_of(name: str, text: str) -> Path:
    """Where a compiled module stands; the folder's name is a hash of its text and its compiler."""
    key = sha256(f"{text} {numba.__version__} {sys.version_info[:2]}".encode()).hexdigest()[:16]
    return cache_folder() / key / f"{name}.py"


@cache
def compiled(cell: str, dtype: str) -> ModuleType:
    """The compiled module of a cell and data type: its `train_segment`."""
    return module_of(f"fused_{cell}_{dtype}", source(cell, dtype))


def module_of(name: str, text: str) -> ModuleType:
    """Import source text as a module of its own, whose machine code Numba keeps beside it."""
    path = path_of(name, text)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    spec = spec_from_file_location(f"{name}_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module

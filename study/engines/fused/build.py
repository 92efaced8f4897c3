"""Compile the loop once per data type, and two layer functions per cell, and keep the results.

The loop (`loop`) is the same for every cell and calls the cell's two layer functions by address.
These are `forward_layer` and `backward_layer` in `layers`. They call `gate_forward` and
`gate_backward`, which stand for the cell's functions in `gates`. This module puts together the
source of each compiled module and writes it to a file, whose name contains a hash of the source and
of `lanes`. An edit of any part therefore gives another file, and Numba never loads what it compiled
before the edit.
"""

from __future__ import annotations

import ast
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba.core.ccallback import CFunc
from numba.experimental.function_type import typeof_function_type
from numba.extending import typeof_impl

from study.engines import fused
from study.engines.fused.lanes import COUNT
from study.model import CELLS

OPTIONS = (
    "UPDATES", "MAX_UPDATES", "EVAL_EVERY", "BATCHES_PER_UPDATE", "NEXT_BATCH", "ACCUMULATE",
    "START_KIND", "ACROSS", "CARRIED", "CUT", "RESET", "OPTIMIZER", "STOP_AFTER", "CONSECUTIVE",
    "DIVERGED",
)  # fmt: skip
NUMBERS = ("LR", "CLIP_NORM", "TRAIN_SECONDS", "EVALUATION_SECONDS")
SIZES = (
    "INPUTS", "HIDDEN", "PADDED", "GATES", "LAYERS", "STATES", "KEPT", "LEARNED", "STEPS", "BATCH",
)  # fmt: skip
# In these cells the first gate multiplies h before the candidate's matrix does.
TWO_PRODUCTS = ("gru_v1", "mgu")

_HEADER = '''"""Compiled by study.engines.fused: {name}, {dtype}; lanes {lanes}."""
import math
import numpy as np
from numba import cfunc, njit, types
from study.engines.fused.lanes import (
    across, add_all, add_outer, lanes, lanes_of, products, put, put_all, rectified, sigmoid, sum_of,
    tanh, where_positive, zero_of, zeros,
)

real = np.{dtype}
zero, one = real(0), real(1)
how = dict(fastmath={{"contract"}}, error_model="numpy", nogil=True, _nrt=False)
{constants}


'''
_LAYERS = """
part = njit(forceinline=True, **how)
n, whole, many = types.int64, types.int64[::1], types.{dtype}[::1]
of_forward = types.void(many, whole, many, n, many, many, many, n, many, many, n, n, n, n)
of_backward = types.void(many, whole, *[many] * 3, n, *[many] * 12, n, n, n, n, n)
forward_kept = cfunc(of_forward, cache=True, **how)
backward_kept = cfunc(of_backward, cache=True, **how)
"""
_LOOP = """
part = njit(**how)
kept = njit(cache=True, **how)
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))


@part
def now(clock):
    clock_gettime({monotonic}, clock.ctypes)
    return clock[0] + 1e-9 * clock[1]


"""
_GATES = """

@part
def gate_forward(a, r, h, c, own):
    return {cell}_forward(a, r, h, c, own)


@part
def gate_backward(kept, h, c, h_next, c_next, dh, dc, own):
    return {cell}_backward(kept, h, c, h_next, c_next, dh, dc, own)
"""


def layers_source(cell: str, dtype: str) -> str:
    """Return the source of a cell's two layer functions."""
    header = _header(cell, dtype, traits(cell)) + _LAYERS.format(dtype=dtype)
    text = header + gates_of(cell) + _code("layers")
    for way in ("forward", "backward"):
        text = text.replace(f"@part\ndef {way}_layer(", f"@{way}_kept\ndef {way}_layer(")
    return text


def loop_source(dtype: str) -> str:
    """Return the source of the loop, which is the same for every cell."""
    constants = {name: i for names in (OPTIONS, NUMBERS, SIZES) for i, name in enumerate(names)}
    header = _header("the loop", dtype, constants) + _LOOP.format(monotonic=time.CLOCK_MONOTONIC)
    text = header + _code("loop")
    return text.replace("@part\ndef train_segment(", "@kept\ndef train_segment(")


def _header(name: str, dtype: str, constants: dict[str, int]) -> str:
    constants = constants | {"LANES": COUNT[dtype]}
    lines = "\n".join(f"{key} = {value}" for key, value in constants.items())
    lanes = sha256((Path(__file__).parent / "lanes.py").read_bytes()).hexdigest()[:16]
    return _HEADER.format(name=name, dtype=dtype, lanes=lanes, constants=lines)


def gates_of(cell: str) -> str:
    """Return the source of a cell's gate functions.

    It ends with `gate_forward` and `gate_backward`, which call the cell's two functions.
    """
    sources, wanted = _gate_sources(), [f"{cell}_forward", f"{cell}_backward"]
    for name in wanted:  # this list grows by the functions that its functions call
        called = (other for other in sources if f"{other}(" in sources[name])
        wanted += [other for other in called if other not in wanted]
    text = "\n\n".join(f"@part\n{sources[name]}\n" for name in sources if name in wanted)
    return text + _GATES.format(cell=cell)


@cache
def _gate_sources() -> dict[str, str]:
    """Return the source of each function in `gates`, by name.

    A compiled module gets only the functions that its cell needs, since a module with all of them
    would take twice as long to load.
    """
    text = (Path(__file__).parent / "gates.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    return {function.name: ast.get_source_segment(text, function) or "" for function in functions}


@cache
def traits(cell: str) -> dict[str, int]:
    """Return the constants of a cell that `layers` needs, by name.

    Some of the constants are found by calling the cell's gate functions on plain numbers.
    """
    spec, functions = CELLS[cell], _plain_gates()
    own = (0.0,) * (spec.extra[1] if spec.extra else 0)
    parts = (0.0,) * len(spec.gates)
    h, c, kept = functions[f"{cell}_forward"](parts, parts, 0.0, 0.0, own)
    da, dr, *_ = functions[f"{cell}_backward"](kept, 0.0, 0.0, h, c, 1.0, 1.0, own)
    two = cell in TWO_PRODUCTS
    return {
        "GATES": len(parts),
        "DIRECT": len(parts) - two,  # number of gates whose matrix multiplies h itself
        "OWN": len(own),
        "KEPT": len(kept),
        "RECURRENT": int(spec.recurrent),
        "TWO_PRODUCTS": int(two),
        "SPLIT": int(spec.recurrent and da is not dr),  # whether the gradients of a and r differ
    }


@cache
def _plain_gates() -> dict[str, Callable]:
    """Return the functions in `gates`, by name, in a form that works on plain numbers."""
    names: dict[str, Any] = {
        "tanh": math.tanh,
        "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
        "rectified": lambda z: max(z, 0.0),
        "where_positive": lambda test, z: z if test > 0 else 0.0,
        "zero_of": lambda z: 0.0,
        "one": 1.0,
    }
    exec((Path(__file__).parent / "gates.py").read_text(encoding="utf-8"), names)
    return names


def _code(part: str) -> str:
    return marked(Path(__file__).parent / f"{part}.py")


def marked(path: Path) -> str:
    """Return the functions in a file of source text, each with the decorator `@part`."""
    text = path.read_text(encoding="utf-8")
    body = text[text.index('"""', 3) + 3 :]
    return body.replace("\ndef ", "\n@part\ndef ")


def cache_folder() -> Path:
    """Return the folder of compiled modules, which is created if it does not exist.

    Three folders can contain it: NUMBA_CACHE_DIR, the user's cache folder, and the folder for
    temporary files. The first of them that this user can write to is chosen.
    """
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
    """Whether the machine code of the loop and of the cell's functions is on disk."""
    return all(_mark_of(*part).exists() for part in _parts(cell, dtype))


def mark_compiled(cell: str, dtype: str) -> None:
    """Record that the machine code of the loop and of the cell's functions is on disk."""
    for part in _parts(cell, dtype):
        _mark_of(*part).touch()


def _mark_of(name: str, text: str) -> Path:
    return (cache_folder() / module_name(name, text)).with_suffix(".done")


@cache
def _parts(cell: str, dtype: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the names and sources of the two modules that a run needs.

    The first pair is (name, source) of the loop, and the second that of the cell's layer functions.
    """
    return (f"loop_{dtype}", loop_source(dtype)), (f"{cell}_{dtype}", layers_source(cell, dtype))


def module_name(name: str, text: str) -> str:
    """Return the name of a compiled module.

    It ends in a hash of the module's source and of the versions of Numba and Python.
    """
    key = f"{text} {numba.__version__} {sys.version_info[:2]}"
    return f"{name}_{sha256(key.encode()).hexdigest()[:16]}"


@typeof_impl.register(CFunc)
@cache
def _type_of(function: CFunc, context: Any) -> Any:
    """Return the Numba type of a compiled function that is passed to the loop.

    The result is cached because Numba would otherwise build the type again in every call.
    """
    return typeof_function_type(function, context)


@cache
def compiled(cell: str, dtype: str) -> Callable[..., int]:
    """Return `train_segment` for a cell and data type, and compile it first if necessary.

    Freshly compiled code gives results that differ in their last bits from those of the same code
    loaded from disk. So a separate process compiles the code, and every process that trains loads
    it. Raises `RuntimeError` if the code does not compile.
    """
    if not is_compiled(cell, dtype):
        code = "import sys; sys.path[:0] = sys.argv[3:]; from study.engines import fused; "
        code += "fused.compile_here(*sys.argv[1:3])"
        root = str(Path(__file__).parents[3])
        done = subprocess.run(
            [sys.executable, "-c", code, cell, dtype, root],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the loop for cell {cell!r} does not compile:\n{done.stderr}")
    return loaded(cell, dtype)


def loaded(cell: str, dtype: str) -> Callable[..., int]:
    """Return `train_segment` of the loop, already given the two layer functions of the cell.

    Numba loads their machine code from disk, or compiles it if it is not there.
    """
    loop, layers = (module_of(name, text) for name, text in _parts(cell, dtype))

    def train_segment(*arguments: Any) -> int:
        return loop.train_segment(layers.forward_layer, layers.backward_layer, *arguments)

    return train_segment


@cache
def module_of(name: str, text: str) -> ModuleType:
    """Write source text to a file and import the file as a module.

    Numba keeps the module's machine code next to the file.

    Numba looks up modules by name when it loads machine code. So the folder of compiled modules is
    added to this package's search path, and they are imported like any other module.
    """
    folder, name = cache_folder(), module_name(name, text)
    path = folder / f"{name}.py"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    if str(folder) not in fused.__path__:
        fused.__path__.append(str(folder))
    invalidate_caches()
    return import_module(f"{fused.__name__}.{name}")

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
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from filelock import FileLock
from llvmlite import binding
from numba.core.ccallback import CFunc
from numba.experimental.function_type import typeof_function_type
from numba.extending import typeof_impl

from study.engines import fused
from study.engines.fused.lanes import COUNT
from study.errors import EnvironmentFault, SettingError
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
GATES = Path(__file__).parent / "gates.py"
MACHINE = f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}"
ROOM = 2**24  # bytes that a folder must have room for; what a cell needs compiles to less
NOT_THIS_CELLS = (OSError, MemoryError, ImportError)  # errors that are not the cell's own
ENVIRONMENT = 3  # exit code of the process that compiles, if the environment is to blame

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
    text = GATES.read_text(encoding="utf-8")
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
    try:
        h, c, kept = functions[f"{cell}_forward"](parts, parts, 0.0, 0.0, own)
        da, dr, *_ = functions[f"{cell}_backward"](kept, 0.0, 0.0, h, c, 1.0, 1.0, own)
    except Exception as error:
        raise _does_not_compile(cell, traceback.format_exc()) from error
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
    exec(compile(GATES.read_text(encoding="utf-8"), GATES.name, "exec"), names)
    return names


def _code(part: str) -> str:
    return marked(Path(__file__).parent / f"{part}.py")


def marked(path: Path) -> str:
    """Return the functions in a file of source text, each with the decorator `@part`."""
    text = path.read_text(encoding="utf-8")
    body = text[text.index('"""', 3) + 3 :]
    return body.replace("\ndef ", "\n@part\ndef ")


def cache_folders() -> Iterator[Path]:
    """Yield the folders that may keep compiled modules, and create them if they do not exist.

    If NUMBA_CACHE_DIR is set, Numba puts machine code there, so this is the only choice. Otherwise
    they are in the user's cache folder and in the folder for temporary files. Folders that this
    user does not own or cannot write to are left out.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    only = os.environ.get("NUMBA_CACHE_DIR")
    for choice in [only] if only else [home, tempfile.gettempdir()]:
        folder = Path(choice) / f"study-fused-{os.getuid()}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
                yield folder


def roomy_folder() -> Path:
    """Return the first of the folders that has room for compiled modules.

    Raises `EnvironmentFault` if there is none.
    """
    for folder in cache_folders():
        with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM))
            file.flush()
            return folder
    message = "compiled code needs a folder with some room: see NUMBA_CACHE_DIR in docs/commands.md"
    raise EnvironmentFault(message)


def compiled_in(cell: str, dtype: str) -> Path | None:
    """Return the folder with intact machine code of the loop and of the cell's functions.

    None if there is no such folder, so that the code must be compiled.
    """
    names = [module_name(*part) for part in _parts(cell, dtype)]
    whole = (folder for folder in cache_folders() if all(_is_whole(folder, n) for n in names))
    return next(whole, None)


def mark_compiled(folder: Path, cell: str, dtype: str) -> None:
    """Record in `folder` the checksums of the machine code of the loop and of the cell's functions.

    Raises `OSError` if Numba did not write them.
    """
    for part in _parts(cell, dtype):
        name = module_name(*part)
        text = _checksums(folder, name)
        if ".nbc " not in text:
            raise OSError(f"the machine code of {name} was not written to {folder}")
        temporary = folder / f"{name}.{os.getpid()}.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, folder / f"{name}.done")


def _is_whole(folder: Path, name: str) -> bool:
    """Whether a compiled module's files are those of which `mark_compiled` has the checksums."""
    mark = folder / f"{name}.done"
    with suppress(OSError):
        return mark.is_file() and mark.read_text(encoding="utf-8") == _checksums(folder, name)
    return False


def _checksums(folder: Path, name: str) -> str:
    """Return a line per file of a compiled module, with its name and checksum.

    The line of the source also has its time, since Numba compiles again if that has changed.
    """
    lines = []
    for path in _files(folder, name):
        if path.suffix in (".py", ".nbi", ".nbc"):
            time_ns = path.stat().st_mtime_ns if path.suffix == ".py" else ""
            lines.append(f"{path.name} {sha256(path.read_bytes()).hexdigest()} {time_ns}\n")
    return "".join(lines)


def _files(folder: Path, name: str) -> list[Path]:
    """Return the files of a compiled module; with NUMBA_CACHE_DIR, Numba's are beside `folder`."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        code = folder.parent.glob(f"{folder.name}_*/{name}.*")
    else:
        code = folder.glob(f"__pycache__/{name}.*")
    return sorted([*folder.glob(f"{name}.*"), *code])


@cache
def _parts(cell: str, dtype: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the names and sources of the two modules that a run needs.

    The first pair is (name, source) of the loop, and the second that of the cell's layer functions.
    """
    return (f"loop_{dtype}", loop_source(dtype)), (f"{cell}_{dtype}", layers_source(cell, dtype))


def module_name(name: str, text: str) -> str:
    """Return the name of a compiled module.

    It ends in a hash of the module's source, the versions of Numba and Python, and the processor.
    """
    key = f"{text} {numba.__version__} {sys.version_info[:2]} {MACHINE}"
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
    it. Code on disk that is damaged is compiled again. Raises `SettingError` if the cell's code
    does not compile, and `EnvironmentFault` if nothing compiles here, for example on a full disk.
    """
    folder = compiled_in(cell, dtype)
    if folder is None:
        folder = roomy_folder()
        with FileLock(folder / ".lock"):
            if compiled_in(cell, dtype) != folder:  # another process may have compiled it meanwhile
                _compile(folder, cell, dtype)
    return loaded(folder, cell, dtype)


def _compile(folder: Path, cell: str, dtype: str) -> None:
    """Compile the loop and the cell's functions into `folder`, in a process of its own."""
    for name in (module_name(*part) for part in _parts(cell, dtype)):
        for path in () if _is_whole(folder, name) else _files(folder, name):
            path.unlink()
    code = "import sys; sys.path[:0] = sys.argv[4:]; from study.engines import fused; "
    code += "fused.compile_here(*sys.argv[1:4])"
    words = [sys.executable, "-c", code, str(folder), cell, dtype, str(Path(__file__).parents[3])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise EnvironmentFault(f"the fused engine cannot be compiled: {error}") from error
    last = done.stderr.strip().rpartition("\n")[2]
    if done.returncode < 0 or done.returncode == ENVIRONMENT:
        why = last if done.returncode > 0 else f"signal {-done.returncode} ended the compiler"
        raise EnvironmentFault(f"the fused engine cannot be compiled in {folder}: {why}")
    if done.returncode:
        raise _does_not_compile(cell, done.stderr)


def _does_not_compile(cell: str, report: str) -> SettingError:
    """Return an error that names the place in `gates` and the reason, given a traceback's text."""
    in_gates = re.findall(rf'File "{GATES.name}", line (\d+)', report)
    if in_gates:  # plain Python found it
        place, reasons = int(in_gates[-1]), [report.strip().rpartition("\n")[2]]
    else:  # Numba quotes the line of a copy of the function
        lines = GATES.read_text(encoding="utf-8").splitlines()
        first = next((i for i, s in enumerate(lines) if s.startswith(f"def {cell}_forward(")), 0)
        quoted = {line.strip() for line in report.splitlines() if line.startswith("    ")}
        found = (i for i in range(first, len(lines)) if lines[i].strip() in quoted - {""})
        place = next(found, first) + 1
        reasons = re.findall(r"nopython frontend\)\n(.+)", report) or re.findall(
            r".*Error.*", report
        )
    why = reasons[-1] if reasons else "the compiler ended without a reason"
    return SettingError("cell", f"cell {cell!r} does not compile: {GATES}:{place}: {why}")


def loaded(folder: Path, cell: str, dtype: str) -> Callable[..., int]:
    """Return `train_segment` of the loop, already given the two layer functions of the cell.

    Numba loads their machine code from `folder`, or compiles it if it is not there.
    """
    loop, layers = (module_of(name, text, folder) for name, text in _parts(cell, dtype))

    def train_segment(*arguments: Any) -> int:
        return loop.train_segment(layers.forward_layer, layers.backward_layer, *arguments)

    return train_segment


@cache
def module_of(name: str, text: str, folder: Path | None = None) -> ModuleType:
    """Write source text to a file and import the file as a module.

    Numba keeps the module's machine code next to the file, which is in `folder` or else in the
    first of the `cache_folders` that has the file or room for it. Files that a crash of the machine
    left empty are removed.

    Numba looks up modules by name when it loads machine code. So the folder of compiled modules is
    added to this package's search path, and they are imported like any other module.
    """
    name = module_name(name, text)
    if folder is None:
        existing = (place for place in cache_folders() if (place / f"{name}.py").exists())
        folder = next(existing, None) or roomy_folder()
    path = folder / f"{name}.py"
    for file in _files(folder, name):
        if not file.stat().st_size:
            file.unlink(missing_ok=True)
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    if str(folder) not in fused.__path__:
        fused.__path__.append(str(folder))
    invalidate_caches()
    return import_module(f"{fused.__name__}.{name}")

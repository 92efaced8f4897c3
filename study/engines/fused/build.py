"""Compile the loop and each cell's two layer functions, once per data type, and keep the results.

The loop (in `loop`) is the same for every cell, and calls the cell's two layer functions by
address. These are `forward_layer` and `backward_layer` in `layers`. They call `gate_forward` and
`gate_backward`, which call the cell's own functions in `gates`. For the loop and for each cell,
`build` assembles the source of a module and writes the source to a file. The file's name contains a
hash of this source and of the module `lanes`, from which the source imports. So if any part is
edited, a new file is written, and Numba never loads what it compiled before the edit.
"""

from __future__ import annotations

import ast
import gc
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from hashlib import sha256
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import FileLock, Timeout
from llvmlite import binding
from numba import __version__ as numba_version
from numba.core import config
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numba.experimental.function_type import typeof_function_type
from numba.extending import typeof_impl

from study.engines import fused
from study.engines.fused.lanes import COUNT
from study.errors import EnvironmentFault, SettingError, echo
from study.model import CELLS

OPTIONS = (
    "UPDATES", "MAX_UPDATES", "EVAL_EVERY", "BATCHES_PER_UPDATE", "NEXT_BATCH", "NEXT_UPDATE",
    "ACCUMULATE", "START_KIND", "ACROSS", "CARRIED", "OPTIMIZER", "STOP_AFTER", "CONSECUTIVE",
    "DIVERGED", "LIVE", "FRESH", "TRAINS", "STEPS_DONE", "EVALUATED",
)  # fmt: skip
NUMBERS = (
    "LR", "CLIP_NORM", "TRAIN_SECONDS", "EVALUATION_SECONDS", "LOSS", "LOSSES", "SETTINGS",
)  # fmt: skip
# The sizes of a layer, and where its parts begin in the arrays that `layers` and `loop` describe.
PLACES = (
    "STEPS", "BLOCKS", "SEQUENCES", "UNITS", "WIDTH", "STATES", "KEEP", "RESET", "CUT", "OFFSET",
    "DOWN", "LEARNED", "PAIR", "WX", "BX", "WH", "BH", "OWNS", "H0", "C0", "XS", "XSTEP", "XBLOCK",
    "HS", "CS", "KEPTS", "US", "ONES", "DA", "DR", "DH", "DC", "DOUT", "DX", "LABEL_STEP",
    "LABEL_BLOCK", "SHARE", "WRONG", "SOONEST", "COUNTED",
)  # fmt: skip
HERE = Path(__file__).parent
GATES, ROOT = HERE / "gates.py", HERE.parents[2]
MACHINE = f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}"
# Settings of Numba that, like the processor, change the machine code.
TARGET = ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE")
ROOM = 2**24  # bytes that a folder must have room for; what a cell needs compiles to less
DOES_NOT_COMPILE = 3  # exit code of the process that compiles, if the source is to blame

# How functions are compiled that other modules call, and functions that only one function calls.
# Functions with `cfunc` are called by address.
DECORATORS = {
    "forward_layer": "cfunc(of_layer, cache=True, **how)",
    "backward_layer": "cfunc(of_layer, cache=True, **how)",
    "train_segment": "njit(of_loop, cache=True, **how)",
    "update": "part_of_one",
    "train_until_due": "part_of_one",
}

# In these cells the first gate multiplies h before the candidate's matrix does.
TWO_PRODUCTS = ("gru_v1", "mgu")

_HEADER = '''"""Compiled by study.engines.fused: {name}, {dtype}; lanes {lanes}."""
import math
import numpy as np
from numba import cfunc, njit, types
from study.engines.fused.lanes import (
    COUNT, SLOTS, add_all, add_outer, beats, cosine, exp, flush_denormals, folded, halves, lanes,
    lanes_of, larger, products, products_back, put, put_all, rectified, sigmoid, sine, spread,
    swapped, tanh, where_equal, where_positive, widened, zero_of,
)

real = np.{dtype}
many, rows, places = types.{dtype}[::1], types.{dtype}[:, ::1], types.int64[::1]
of_layer = types.void(rows, many, many, places)
zero, one = real(0), real(1)
how = dict(fastmath={{"contract"}}, error_model="numpy", nogil=True, _nrt=False)
{constants}


'''
_LAYERS = """
part = njit(inline="always", **how)  # compiles sooner than functions of their own
"""
_LOOP = """
part = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **how)
part_of_one = njit(inline="always", **how)  # compiles sooner where only one function calls it
cube, exact = types.{dtype}[:, :, ::1], types.float64[::1]
of_loop = types.void(
    types.FunctionType(of_layer), types.FunctionType(of_layer),
    types.Tuple((cube, rows, rows, places, many)), types.Tuple((many, exact, many, exact)),
    types.int64[:, :, ::1], types.int64[:, ::1], types.float64[:, ::1],
    types.Tuple((rows, rows, rows, many, places)), types.UniTuple(cube, 3),
    types.Tuple((types.float64[:, :, ::1], rows, places)),
)
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
    own = traits(cell)
    constants = own | {"ROW": own["GATES"] * COUNT} | {name: i for i, name in enumerate(PLACES)}
    header = _header(cell, dtype, constants) + _LAYERS.format(dtype=dtype)
    return header + _decorated(gates_of(cell) + marked(HERE / "layers.py"))


def loop_source(dtype: str) -> str:
    """Return the source of the loop, which is the same for every cell."""
    constants = {name: i for names in (OPTIONS, NUMBERS, PLACES) for i, name in enumerate(names)}
    head = _LOOP.format(dtype=dtype, monotonic=time.CLOCK_MONOTONIC)
    return _header("the loop", dtype, constants) + head + _decorated(marked(HERE / "loop.py"))


def _decorated(text: str) -> str:
    """Return a source text in which the functions in DECORATORS have these decorators."""
    for name, decorator in DECORATORS.items():
        text = text.replace(f"@part\ndef {name}(", f"@{decorator}\ndef {name}(")
    return text


def _header(name: str, dtype: str, constants: dict[str, int]) -> str:
    lines = "\n".join(f"{key} = {value}" for key, value in constants.items())
    lanes = sha256((HERE / "lanes.py").read_bytes()).hexdigest()[:16]
    return _HEADER.format(name=name, dtype=dtype, lanes=lanes, constants=lines)


def gates_of(cell: str) -> str:
    """Return the source of a cell's gate functions.

    The source ends with the functions `gate_forward` and `gate_backward`, which call the cell's own
    functions `<cell>_forward` and `<cell>_backward`.
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
        "sine": math.sin,
        "cosine": math.cos,
        "zero_of": lambda z: 0.0,
        "one": 1.0,
    }
    exec(compile(GATES.read_text(encoding="utf-8"), GATES.name, "exec"), names)
    return names


def marked(path: Path) -> str:
    """Return the source text of the functions in a file, each with the decorator `@part`."""
    text = path.read_text(encoding="utf-8")
    body = text[text.index('"""', 3) + 3 :]
    return body.replace("\ndef ", "\n@part\ndef ")


def cache_folders() -> list[Path]:
    """Return the folders that may keep compiled modules, in the order in which they are tried.

    The first is in NUMBA_CACHE_DIR, if that is set, or else in the user's cache folder. The second
    is in the folder for temporary files.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    choices = (os.environ.get("NUMBA_CACHE_DIR") or home, os.environ.get("TMPDIR") or "/tmp")
    return [Path(choice) / f"study-fused-{os.getuid()}" for choice in choices]


def is_compiled(cell: str, dtype: str) -> bool:
    """Return whether the loop and the cell's functions are compiled and their files are intact."""
    return all(any(_is_whole(at, *part) for at in cache_folders()) for part in _parts(cell, dtype))


def _is_whole(folder: Path, name: str, text: str) -> bool:
    """Return whether the files of a compiled module are unchanged since it was compiled.

    This is false if `folder` belongs to another user or cannot be written to.
    """
    stem = module_name(folder, name, text)
    with suppress(OSError, ValueError):
        is_usable = folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK)
        mark = (folder / f"{stem}.done").read_text(encoding="utf-8")
        return is_usable and mark == _checksums(folder, stem)
    return False


def _checksums(folder: Path, stem: str) -> str:
    """Return a text with one line per file of a compiled module, with its name and checksum.

    Only the files with the module's source and its machine code are listed.
    """
    files = [path for path in _files(folder, stem) if path.suffix in (".py", ".nbi", ".nbc")]
    return "".join(f"{path.name} {sha256(path.read_bytes()).hexdigest()}\n" for path in files)


def _files(folder: Path, stem: str) -> list[Path]:
    """Return the files of a compiled module.

    The files that Numba writes are in NUMBA_CACHE_DIR or below `folder`.
    """
    found = [*folder.glob(f"{stem}.*"), *folder.glob(f"__pycache__/{stem}.*")]
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        found += Path(chosen).glob(f"{folder.name}_*/{stem}.*")
    return sorted(found)


@cache
def _parts(cell: str, dtype: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the names and sources of the two modules that a run needs.

    Each module is a pair (name, source). The first module has the cell's layer functions, and the
    second module has the loop.
    """
    return (f"{cell}_{dtype}", layers_source(cell, dtype)), (f"loop_{dtype}", loop_source(dtype))


def module_name(folder: Path, name: str, text: str) -> str:
    """Return the name of a compiled module.

    The name ends in a hash of the module's source, the versions of Numba and Python, the processor
    and settings for which Numba compiles, and the folder. So a module that failed to load from one
    folder is not mixed up with the module that is then loaded from another.
    """
    target = [MACHINE, *(getattr(config, setting) for setting in TARGET)]
    key = f"{text} {numba_version} {sys.version_info[:2]} {target} {folder}"
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
    """Return the loop's function `train_segment`, which already has the cell's layer functions.

    So the caller leaves out the first two arguments, which are these layer functions. Raises
    `SettingError` if the cell's code does not compile, and `EnvironmentFault` if nothing compiles
    here, for example on a full disk.
    """
    try:
        layers, loop = (module_of(*part) for part in _parts(cell, dtype))
    except NumbaError as error:
        raise _does_not_compile(cell, str(error)) from error
    return partial(loop.train_segment, layers.forward_layer, layers.backward_layer)


@cache
def module_of(name: str, text: str) -> ModuleType:
    """Return the compiled module with the source `text`, after compiling it if necessary.

    The results of freshly compiled code differ in their last bits from the results of the same code
    loaded from disk. So a separate process compiles the code, and every other process loads it.
    Code on disk that is damaged is compiled again. If anything else goes wrong with a folder, such
    as a full disk or someone who deletes it, the next folder is used. Raises `NumbaError` if the
    source does not compile.
    """
    if vars(config)["DISABLE_JIT"]:
        return _plain(name, text)
    faults: list[str] = []
    for folder in sorted(cache_folders(), key=lambda folder: not _is_whole(folder, name, text)):
        try:
            _compile(folder, [(name, text)], faults)
            return _loaded(folder, name, text)
        except NumbaError:
            raise
        except Exception as error:
            faults.append(f"{folder} ({error})")
            with suppress(OSError):
                (folder / f"{module_name(folder, name, text)}.done").unlink()
    why = f"nothing can be compiled: {'; '.join(faults)}"
    raise EnvironmentFault(f"{why}. Set NUMBA_CACHE_DIR to a folder that can be written to")


def _plain(name: str, text: str) -> ModuleType:
    """Return the module with the source `text` as plain Python, which a debugger can step through.

    It computes with the functions in `plain`, and its clock stands still.
    """
    text = text.replace("study.engines.fused.lanes", "study.engines.fused.plain")
    text = re.sub(r"@cfunc\(.*", "@part", text)
    text = re.sub("clock_gettime = .*", "def clock_gettime(which, clock): pass", text)
    path = cache_folders()[0] / f"{module_name(cache_folders()[0], f'plain_{name}', text)}.py"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text, encoding="utf-8")
    return _imported(path)


def compile_all(kinds: Iterable[tuple[str, str]]) -> None:
    """Compile what pairs of cell and data type need, all in one process, which starts only once.

    Processes that do this at the same time share the work. If something goes wrong, `compiled` will
    say so, or try another folder.
    """
    parts = list(dict.fromkeys(part for kind in kinds for part in _parts(*kind)[::-1]))
    if not vars(config)["DISABLE_JIT"]:
        with suppress(Exception):
            _compile(cache_folders()[0], parts, [])


def _compile(folder: Path, parts: Sequence[tuple[str, str]], faults: list[str]) -> None:
    """Compile modules, given by name and source, in a process of its own.

    Modules whose intact machine code is in `folder` are left out. `faults` has the reasons why
    other folders cannot be used. When `folder` is used for the first time, the first of these
    reasons is printed.
    """
    missing = [part for part in parts if not _is_whole(folder, *part)]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError("it belongs to another user")
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(ROOM))
    if faults and not any(folder.glob("*.done")):
        echo(f"compiled code goes to {folder} instead of {faults[0]}", file=sys.stderr)
    code = "import json, sys; sys.path[:0] = sys.argv[1:]; from study.engines.fused import build; "
    code += "build.compile_here(*json.load(sys.stdin))"
    words, text = [sys.executable, "-c", code, str(ROOT)], json.dumps([str(folder), missing])
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode == DOES_NOT_COMPILE:
        raise NumbaError(done.stderr)
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        raise OSError(why or f"the compiler ended with exit code {done.returncode}")


def compile_here(folder: str, parts: Sequence[tuple[str, str]]) -> None:
    """Compile modules, given by name and source, and record the checksums of their files.

    Call this function in a process of its own (see `module_of`). If a source does not compile, this
    process ends with the exit code DOES_NOT_COMPILE. Other faults, such as a full disk, raise an
    exception.
    """
    gc.disable()  # searching for garbage takes a tenth of the time and finds little
    try:
        for seconds in (0, -1):  # first what no other process compiles, then wait for the rest
            for name, text in parts:
                with suppress(Timeout), FileLock(Path(folder, f".{name}.lock"), timeout=seconds):
                    _compile_one(Path(folder), name, text)
    except NumbaError:
        traceback.print_exc()
        sys.exit(DOES_NOT_COMPILE)


def _compile_one(folder: Path, name: str, text: str) -> None:
    if _is_whole(folder, name, text):
        return
    stem = module_name(folder, name, text)
    for path in _files(folder, stem):
        path.unlink()
    source = folder / f"{stem}.py"
    source.write_text(text, encoding="utf-8")
    _imported(source)
    source.with_suffix(".tmp").write_text(_checksums(folder, stem), encoding="utf-8")
    source.with_suffix(".tmp").replace(source.with_suffix(".done"))


def _loaded(folder: Path, name: str, text: str) -> ModuleType:
    """Return a module, loaded together with its machine code.

    Raises `OSError` if Numba had to compile the module instead.
    """
    module = _imported(folder / f"{module_name(folder, name, text)}.py")
    functions = vars(module).values()
    compiled_here = any(f.stats.cache_misses for f in functions if isinstance(f, Dispatcher))
    if compiled_here or not all(f.cache_hits for f in functions if isinstance(f, CFunc)):
        raise OSError("its machine code vanished")
    return module


def _imported(path: Path) -> ModuleType:
    """Return the module imported from the source file at `path`.

    On import, Numba loads the machine code of the module or, if there is none, compiles and stores
    it. Numba looks up modules by name when it loads machine code. So the file's folder is added to
    this package's search path, and the file is imported like any other module. Python's bytecode is
    removed first, since it may be damaged.
    """
    for bytecode in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        bytecode.unlink(missing_ok=True)
    if str(path.parent) not in fused.__path__:
        fused.__path__.append(str(path.parent))
    invalidate_caches()
    return import_module(f"{fused.__name__}.{path.stem}")


def _does_not_compile(cell: str, report: str) -> SettingError:
    """Return an error that says where and why the source of a cell does not compile.

    `report` is the text of a traceback. The error names a line of the file `gates.py`.
    """
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

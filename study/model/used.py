"""Load the files that the option `--use` names, which add components of a user's own.

Such a file is plain Python that enters cells, tasks, initialisations, optimizers or figures in
their registries. Each process imports it once, as a module with the name of the file. Its folder is
added to the end of `sys.path`, so that it can import files beside it.
"""

from __future__ import annotations

import ast
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from hashlib import sha256
from importlib import import_module, invalidate_caches
from inspect import getsourcefile, getsourcelines
from pathlib import Path
from typing import Any

from joblib import parallel_config

from study.errors import BadInput, Problem
from study.model.packages import package_of
from study.model.rules import REGISTRIES, SHIPPED, component

_digests: dict[str, str] = {}  # by the path of each file that was loaded
_files: dict[tuple[str, str], str] = {}  # by setting and name: the path that entered the component


def used_files() -> dict[str, str]:
    """Return a hash of the content of each file that was loaded, by its absolute path."""
    return dict(_digests)


def use(files: Iterable[str]) -> None:
    """Import each of the files, unless this process has done so before.

    Raises `BadInput` if a file cannot be imported, or enters something that cannot be used.
    """
    for file in files:
        path = Path(file).absolute()
        if str(path) not in _digests:
            _load(path)


@contextmanager
def using(files: Iterable[str]) -> Iterator[None]:
    """Load the files as `use` does, here and in all processes that joblib starts in this context.

    Raises `BadInput` as `use` does.
    """
    use(files)
    with parallel_config("loky", initializer=use, initargs=(tuple(used_files()),)):
        yield


def _load(path: Path) -> None:
    where, before = _shown(path), {key: dict(entries) for key, entries in REGISTRIES.items()}
    if path.suffix != ".py" or not path.stem.isidentifier():
        rule = "must be a Python file whose name can be imported, such as my_cell.py"
        raise BadInput.at(f"--use {where}", rule)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput.at(f"--use {where}", f"cannot be read: {error.strerror}") from error
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    invalidate_caches()  # the file may have been written just now
    try:
        module = import_module(path.stem)
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise BadInput([_fault(path, error)]) from error
    loaded = Path(module.__file__ or "")
    if not loaded.is_file() or not loaded.samefile(path):
        other = f"another module is called {path.stem!r} ({loaded}); rename the file"
        raise BadInput.at(f"--use {where}", other)
    problems = []
    for key, entries in REGISTRIES.items():
        for name in [name for name in entries if entries[name] is not before[key].get(name)]:
            if why := _unfit(key, name, name in before[key]):
                place = f"{where}:{_line_of(content, name)}"
                problems.append(Problem(place, f"{component(key, name)} {why}"))
            _files[key, name] = str(path)
    if problems:
        raise BadInput(problems)
    _digests[str(path)] = sha256(content).hexdigest()[:16]


def _unfit(key: str, name: str, is_known: bool) -> str | None:
    """Return why an entry cannot be added to its registry, or None if it can."""
    entry, kind = REGISTRIES[key][name], type(next(iter(SHIPPED[key].values())))
    if is_known:
        return "exists already; choose another name"
    if not re.fullmatch(r"[\w.+-]+", str(name), re.ASCII):
        return "has a name with other characters than letters, digits, '_', '.', '+' and '-'"
    if not isinstance(entry, kind):
        return f"must be a {kind.__name__}, not a {type(entry).__name__}"
    return None


def _fault(path: Path, error: BaseException) -> Problem:
    """Return a problem that says where in the file at `path` an import failed, and why."""
    if isinstance(error, SyntaxError) and error.filename:
        return Problem(f"{_shown(Path(error.filename))}:{error.lineno}", error.msg)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    place = f"{_shown(path)}:{lines[-1]}" if lines else _shown(path)
    return Problem(place, f"{type(error).__name__}: {error}")


def _line_of(content: bytes, name: str) -> int:
    """Return the first line of a source text that mentions `name` as a text, or else 1."""
    nodes = (node for node in ast.walk(ast.parse(content)) if isinstance(node, ast.Constant))
    return min((node.lineno for node in nodes if node.value == name), default=1)


def _shown(path: Path) -> str:
    """Return a path for a message, relative to the current folder if the file lies in it."""
    is_below = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if is_below else path)


# --- where components are from ------------------------------------------------------------------


def place_of(key: str, name: str) -> str:
    """Return the file and line of a component's code, such as `leaky.py:5`.

    `key` is the setting that names the component. The code is the component's function or class.
    Without one, the result is the file that entered the component, or "" if there is none.
    """
    entry = REGISTRIES[key][name]
    code: Any = getattr(entry, fields(entry)[0].name)
    while isinstance(code, partial):
        code = code.func
    try:
        path, (_, line) = getsourcefile(code), getsourcelines(code)
    except (TypeError, OSError):  # the name of a class of torch, or typed into a session
        file = _files.get((key, name))
        return _shown(Path(file)) if file else ""
    return f"{_shown(Path(path or ''))}:{line}"


def origin_of(key: str, name: str) -> str:
    """Return where a component that is not shipped is from, such as `package my-cells 1.0`."""
    package = package_of(key, name)
    return f"package {package}" if package else place_of(key, name) or "this session"

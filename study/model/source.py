"""Compute a digest of a function's source, and of everything that it names in its own files.

A function's own files are its module and the modules that its user wrote, not those of libraries
(see `digest`). The source is first brought into a standard form, without layout, comments,
docstrings and annotations. This form is the same on every version of Python. So the digest changes
if the function computes something else, and seldom otherwise. This module needs only the standard
library.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import blake2b
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
LIBRARY_FOLDERS = {"site-packages", "dist-packages"}
STANDARD = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
OWN_SCOPE = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
UNSEEN = "has no source file, so a change to it could not be noticed"
PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)


class NoSource(Exception):
    """Raised if later changes of a function could not be noticed.

    The message says why. It is a clause without its subject, such as `has no source file`.
    """


def digest(values: dict[str, Any]) -> str:
    """Return a hash of `values`, which holds values by name.

    A value is plain (a number, text, bool or None), a collection of values, a class or a function.
    The hash of a function covers its source, its default arguments, the variables that it encloses,
    and everything that it names in its own files. Its own files are its module and all modules that
    are neither in the standard library, nor installed, nor part of this package. Anything that it
    names elsewhere is hashed by name. Raises `NoSource` for any other value, and for functions
    without a file.
    """
    sources = _Sources()
    return sources.digest(sources.value(values))


def digest_of_names(path: Path, names: list[str]) -> str:
    """Return a hash of the functions and variables called `names` in a source file.

    The hash also covers everything in the file that these name, directly or through other names.
    The file is read, not imported. Names that the file does not define are ignored.
    """
    sources, file = _Sources(), _File(path, "")
    for name in names:
        sources.follow(file, (name,))
    return sources.digest("")


def digest_of_file(path: Path) -> str:
    """Return a hash of a whole source file in the standard form (see `_Bare`)."""
    return _hash(map(ast.unparse, _File(path, "").statements))


def _hash(texts: Iterable[str]) -> str:
    return blake2b("\n".join(texts).encode(), digest_size=10).hexdigest()


# --- the standard form ---------------------------------------------------------------------------


class _Bare(ast.NodeTransformer):
    """Brings a syntax tree into the standard form.

    In this form, code that cannot change a result is removed, and `ast.unparse` gives the same text
    on every version of Python. Versions differ in how they parse f-strings, in the quotes they
    write and in the characters they escape. So f-strings become calls, and string constants are
    written in ASCII, as if they were names.
    """

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop statements that consist of a constant, such as docstrings."""
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        """Drop `pass`, since a body may have a docstring in its place."""

    def visit_FunctionDef(self, node: Any) -> ast.AST:
        """Drop a function's return type and type parameters."""
        node.returns, node.type_params = None, []
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: Any) -> ast.AST:
        """Drop a class's type parameters, and mark its annotated fields.

        A dataclass takes only annotated names as fields. The mark tells `visit_AnnAssign` to keep
        these names annotated.
        """
        node.type_params = []
        for field in node.body:
            field.is_field = isinstance(field, ast.AnnAssign)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Drop the annotation of an argument."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Drop the annotation of a variable, or replace the annotation of a field by None.

        `x: int = 1` becomes `x = 1`, and `x: int` without a value is dropped. In the body of a
        class, `x: int = 1` becomes `x: None = 1`, because a dataclass takes only annotated names as
        fields. `visit_ClassDef` marks these statements.
        """
        node.annotation = ast.Constant(None)
        if getattr(node, "is_field", False):
            return self.generic_visit(node)
        if node.value is None:
            return None
        target, value = self.visit(node.target), self.visit(node.value)
        return ast.copy_location(ast.Assign([target], value), node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Write a string constant in ASCII, as if it were a name."""
        return ast.Name(ascii(node.value), ast.Load()) if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Write an f-string as a call whose arguments are its parts."""
        parts: list[Any] = []
        for part in node.values:
            if not isinstance(part, ast.Constant):
                parts.append(self.visit(part))
            elif parts and isinstance(parts[-1], str):
                parts[-1] += str(part.value)
            elif part.value:
                parts.append(str(part.value))
        arguments = [self.visit(ast.Constant(p)) if isinstance(p, str) else p for p in parts]
        return ast.Call(ast.Constant(...), arguments, [])

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        """Write a replacement field of an f-string as a tuple of value, conversion and format."""
        spec = self.visit(node.format_spec or ast.JoinedStr([]))
        return ast.Tuple([self.visit(node.value), ast.Constant(node.conversion), spec], ast.Load())


def _chains(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield each name in `node` with the attributes that follow it, such as (a, b, c) for `a.b.c`.

    The parts are strings.
    """
    parts, inner = [], node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        if inner.id.isidentifier():  # texts are names too, see `_Bare`
            yield (inner.id, *reversed(parts))
        return
    for child in ast.iter_child_nodes(node):
        yield from _chains(child)


def _bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a top-level statement of a module sets or changes.

    A name may be yielded more than once. Names that the statement imports are left out.
    """
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield node.name
        return
    if isinstance(node, OWN_SCOPE):
        return
    is_stored = isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
    changed = node
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        changed = node.value.func
    if is_stored or (changed is not node and isinstance(changed, ast.Attribute)):  # a method call
        while isinstance(changed, ast.Attribute | ast.Subscript | ast.Starred):
            changed = changed.value
        if isinstance(changed, ast.Name):
            yield changed.id
    for child in ast.iter_child_nodes(node):
        yield from _bound_names(child)


class _File:
    """A source file, parsed into the standard form (see `_Bare`).

    `binding` holds the top-level statements that set or change each name, and `imports` holds the
    imports of each name. `package` is the name of the file's package, where relative imports start.
    """

    def __init__(self, path: Path, package: str):
        self.path, self._package = path, package
        try:
            self.content = path.read_bytes()
            self.statements = _Bare().visit(ast.parse(self.content)).body
        except (OSError, SyntaxError, ValueError) as error:
            raise NoSource(f"cannot be read from {path}: {error}") from error
        self.binding: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, list[tuple[str, str]]] = {}
        for statement in self.statements:
            for name in dict.fromkeys(_bound_names(statement)):
                self.binding.setdefault(name, []).append(statement)
            if not isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
                for name, module, attribute in self.imported(statement):
                    self.imports.setdefault(name, []).append((module, attribute))

    def imported(self, node: ast.AST) -> Iterator[tuple[str, str, str]]:
        """Yield three names for each import in `node`: the new name, the module and the old name.

        The new name is the name in this file, and the old name is the name in the module. The old
        name is "" if the module itself is imported. For `from module import *` both names are "*".
        """
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import):
                for alias in inner.names:
                    top = alias.name.partition(".")[0]
                    yield alias.asname or top, alias.name if alias.asname else top, ""
            elif isinstance(inner, ast.ImportFrom):
                above = self._package.split(".")
                above = above[: len(above) + 1 - inner.level] if inner.level else []
                module = ".".join([*above, *filter(None, [inner.module])])
                for alias in inner.names:
                    yield alias.asname or alias.name, module, alias.name

    def functions(self, code: CodeType) -> list[ast.AST]:
        """Return the syntax trees of the functions that have the name and first line of `code`.

        The list is empty if the file has changed and no longer compiles to `code`.
        """
        compiled = compile(self.content, str(self.path), "exec", dont_inherit=True)
        if code not in _codes(compiled):
            return []
        nodes = (node for statement in self.statements for node in ast.walk(statement))
        return [node for node in nodes if _begins(node) == (code.co_name, code.co_firstlineno)]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _begins(node: ast.AST) -> tuple[str, int] | None:
    """Return the name and the first line of a function, or None if `node` is not a function."""
    if isinstance(node, ast.Lambda):
        return "<lambda>", node.lineno
    if isinstance(node, FUNCTIONS):
        return node.name, min(part.lineno for part in (node, *node.decorator_list))
    return None


def _library(path: Path) -> str:
    """Return the name of the library that a file belongs to, or "" for a user's own file."""
    if path.is_relative_to(PACKAGE):
        return PACKAGE.name
    for folder, name in pairwise(path.parts):
        if folder in LIBRARY_FOLDERS:
            return name
    return "python" if any(map(path.is_relative_to, STANDARD)) else ""


def _home_of(path: Path) -> str:
    """Return what counts as a function's own beside a user's files: its library, or its file.

    Of this package, which is always in the same version, only the function's own file counts.
    """
    return str(path) if _library(path) == PACKAGE.name else _library(path)


def _file_of(module: str) -> Path | None:
    """Return the path of a module's source file, or None if there is no such file or module."""
    try:
        spec = None if module in sys.modules else find_spec(module)
    except (ImportError, ValueError):  # its package cannot be imported
        return None
    found = spec.origin if spec else getattr(sys.modules.get(module), "__file__", None)
    path = Path(found or "").resolve()
    return path if path.suffix == ".py" and path.is_file() else None


# --- what values consist of ----------------------------------------------------------------------


class _Sources:
    """Collects the source of functions, and of everything that they name in their own files.

    `digest` explains which files are a function's own.
    """

    def __init__(self):
        self._texts: set[str] = set()
        self._seen: set[object] = set()
        self._files: dict[Path, _File] = {}
        self._home = ""  # the file or the library of the first function; it counts as own

    def digest(self, text: str) -> str:
        """Return a hash of `text` and of everything that was collected so far."""
        return _hash([text, *sorted(self._texts)])

    def value(self, value: Any) -> str:
        """Return a value as text, and collect the source of everything that its functions name."""
        if type(value) in PLAIN:
            return ascii(value)
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self.value, value))}]"
        if isinstance(value, set | frozenset):
            return f"set({', '.join(sorted(map(self.value, value)))})"
        if isinstance(value, dict | MappingProxyType):
            pairs = sorted(f"{self.value(key)}: {self.value(of)}" for key, of in value.items())
            return f"dict({', '.join(pairs)})"
        if isinstance(value, partial):
            return f"partial{self.value([value.func, value.args, value.keywords])}"
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, ModuleType):
            return self._import(value.__name__, ())
        return self._by_name(value)

    def _by_name(self, value: Any) -> str:
        """Return the dotted name under which a module holds `value`, such as the name of a class.

        Raises `NoSource` if the module of `value` does not hold it under its own name.
        """
        module = str(getattr(value, "__module__", None) or "builtins")
        names = str(getattr(value, "__qualname__", "")).split(".")
        held: Any = sys.modules.get(module)
        for name in names:
            held = getattr(held, name, None)
        path = _file_of(module)
        if isinstance(value, type) and module == "__main__" and path is None:
            raise NoSource(f"{UNSEEN}; define it in a file")
        if isinstance(value, type) and path and not self._home and _library(path) != "torch":
            self._home = _home_of(path)
        if held is not value:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            message = f"depends on an object of type {kind}, whose changes could not be noticed"
            raise NoSource(f"{message}; use only numbers, texts, lists, dicts and functions")
        return self._import(module, tuple(names))

    def _function(self, function: FunctionType) -> str:
        """Return a text for a function, its default arguments and the variables that it encloses.

        The text has the function's source if its file is one of its own files (see `digest`), and
        otherwise its name. A function that was seen before is written as its name alone. Raises
        `NoSource` if the function has no source file, or if the file has changed.
        """
        code, name = function.__code__, f"{function.__module__}.{function.__qualname__}"
        if id(function) in self._seen:
            return name
        self._seen.add(id(function))
        path = Path(code.co_filename)
        if not path.is_file():
            raise NoSource(f"{UNSEEN}; define it in a file")
        path = path.resolve()
        self._home = self._home or _home_of(path)
        text = name
        if self._is_own(path):
            file = self._file(path, str(function.__globals__.get("__package__") or ""))
            nodes = file.functions(code)
            if not nodes:
                raise NoSource(f"differs from what {path} says now; start Python again")
            for node in nodes:
                self._names(file, node, but=code.co_freevars)
            text = "\n".join(map(ast.unparse, nodes))
        enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
        return text + self.value([function.__defaults__, function.__kwdefaults__, enclosed])

    # names

    def _is_own(self, path: Path) -> bool:
        return _library(path) in ("", self._home) or str(path) == self._home

    def _file(self, path: Path, package: str) -> _File:
        if path not in self._files:
            self._files[path] = _File(path, package)
        return self._files[path]

    def _names(self, file: _File, node: ast.AST, but: Iterable[str] = ()) -> None:
        """Collect the source of everything that is named in `node`, which is a part of `file`.

        `file` is one of the user's own files (see `digest`). Names in `but` are left out.
        """
        imported = {name: (module, attribute) for name, module, attribute in file.imported(node)}
        for chain in set(_chains(node)):
            if chain[0] in imported:
                module, attribute = imported[chain[0]]
                self._import(module, (attribute, *chain[1:]) if attribute else chain[1:])
            elif chain[0] not in but:
                self.follow(file, chain)

    def follow(self, file: _File, chain: tuple[str, ...]) -> None:
        """Collect the source of every statement in `file` that defines or changes `chain[0]`.

        This is a name, and the other entries of `chain` are the attributes that follow it in the
        code (see `_chains`). If `file` imports the name, the import is followed to the module that
        it names. Everything that the collected statements name is collected too. The caller must
        check that `file` is one of the user's own files (see `digest`).
        """
        if (file.path, chain) in self._seen:
            return
        self._seen.add((file.path, chain))
        name, *attributes = chain
        for module, attribute in file.imports.get(name, ()):
            of = self._import(module, (*filter(None, [attribute]), *attributes))
            self._texts.add(f"{name} is {of}")
        if (file.path, name) not in self._seen:
            self._seen.add((file.path, name))
            statements = file.binding.get(name, [])
            self._texts.add("\n".join(map(ast.unparse, statements)))
            for statement in statements:
                self._names(file, statement)
        if name not in file.binding and name not in file.imports:
            for module, _ in file.imports.get("*", ()):
                self._texts.add(f"* is {self._import(module, chain)}")

    def _import(self, module: str, chain: tuple[str, ...]) -> str:
        """Return the dotted name of an object in a module, after collecting the object's source.

        `chain` holds the object's name in the module and the attributes that follow the name. It is
        empty for the module itself. If the module is one of the user's own files (see `digest`),
        the object's source is collected, and the module's name is left out of the result, so that
        renaming the file does not change the digest. Otherwise nothing is collected.
        """
        path = _file_of(module)
        inner = f"{module}.{chain[0]}" if chain else ""
        if path and self._is_own(path):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            file = self._file(path, package)
            bound = {*file.binding, *file.imports}
            if chain and chain[0] not in bound and _file_of(inner):
                return self._import(inner, chain[1:])
            for name in bound if not chain else ():
                self.follow(file, (name,))
            if chain:
                self.follow(file, chain)
            return ".".join(chain)
        if path is None and inner and _file_of(inner):  # a package without __init__.py
            return self._import(inner, chain[1:])
        return ".".join((module, *chain))

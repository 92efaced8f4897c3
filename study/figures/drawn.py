"""What each stored figure was drawn from, so that one that is up to date need not be drawn to know it.

`FOLDER/figures/drawn.json` has for each figure its title and a digest over the code that draws figures, the versions
of the packages that it uses, the results in FOLDER, and the figure's own files. A change to any of them changes the
digest. Figures are the same bytes for the same inputs, so an equal digest says that drawing would change nothing.
"""

from __future__ import annotations

import ast
import json
import sys
from functools import cache
from hashlib import blake2b
from pathlib import Path

from study.grid import atomic_write, folder_in, package_versions, read_file

RECORD = "drawn.json"
PACKAGES = ("matplotlib", "numba", "numpy", "pandas", "pyarrow", "scipy", "seaborn", "torch")
READ = ("*.parquet", "parts.json", "dynamics/*.parquet")  # what figures read of a results folder


def inputs(results: Path) -> str:
    """A digest of all that the figures of a results folder are drawn from."""
    digest = blake2b(digest_size=16)
    digest.update(json.dumps([sys.version_info[:2], package_versions(PACKAGES)]).encode())
    data = sorted(path for pattern in READ for path in results.glob(pattern))
    for path in [*sources("study.figures"), *data]:
        digest.update(f"\0{path.name}\0".encode() + read_file(path))
    return digest.hexdigest()


def write(results: Path, titles: dict[str, str]) -> None:
    """Record that the stored figures of these titles, by name, have just been drawn."""
    folder, now = folder_in(results, "figures"), inputs(results)
    new = {
        name: {"title": title, "digest": _digest(folder, name, now)}
        for name, title in titles.items()
    }
    text = json.dumps(dict(sorted((_read(folder) | new).items())), indent=1, ensure_ascii=False)
    atomic_write(folder / RECORD, f"{text}\n".encode())


def current_title(results: Path, name: str, now: str) -> str | None:
    """The title of a stored figure that is what `inputs` says now; None where that cannot be told without drawing."""
    folder = results / "figures"
    recorded = _read(folder).get(name)
    return (
        recorded["title"] if recorded and recorded["digest"] == _digest(folder, name, now) else None
    )


def _read(folder: Path) -> dict[str, dict[str, str]]:
    """The record; what is not of its form is as if it were not there, so that its figures are drawn."""
    try:
        found = json.loads(read_file(folder / RECORD))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {
        name: entry
        for name, entry in entries
        if isinstance(entry, dict) and {"title", "digest"} <= set(entry)
    }


def _digest(folder: Path, name: str, inputs: str) -> str:
    digest = blake2b(inputs.encode(), digest_size=16)
    for path in sorted(folder.glob(f"{name}.*")):
        digest.update(f"\0{path.name}\0".encode() + read_file(path))
    return digest.hexdigest()


@cache
def sources(module: str) -> tuple[Path, ...]:
    """The files of the study that a module runs when it is imported, its own first, wherever the import stands."""
    found: dict[str, Path] = {}
    open_ones = [module]
    while open_ones:
        name = open_ones.pop()
        path = _file_of(name)
        if path is not None and name not in found:
            found[name] = path
            open_ones += [name.rpartition(".")[0], *_imported(path)]
    return tuple(path for _, path in sorted(found.items()))


def _file_of(module: str) -> Path | None:
    root = Path(__file__).resolve().parents[2]
    stem = root.joinpath(*module.split("."))
    found = [
        path
        for path in (stem / "__init__.py", stem.with_suffix(".py"))
        if module and path.is_file()
    ]
    return found[0] if found else None


def _imported(path: Path) -> list[str]:
    """The modules of the study, and names that may be such, that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.partition(".")[0] == "study"]

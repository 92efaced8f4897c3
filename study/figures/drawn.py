"""A record of what the stored figures were drawn from, so that the paper can trust them undrawn.

`RESULTS/figures/drawn.json` has a digest for each figure: of the results, of the code that figures
depend on, of the versions of its libraries, and of the figure's own files. The same inputs give the
same bytes, so where the digest still matches, drawing the figure again would change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from pathlib import Path

from study.dynamics import tables
from study.grid import atomic_write, folder_in, package_versions, read_file

RECORD = "drawn.json"
PACKAGE = Path(__file__).parents[1]
CODE = ("figures", "analysis", "dynamics", "stats", "model", "runs")  # packages
CODE += ("grid/report.py", "grid/store.py", "text.py")
LIBRARIES = ("matplotlib", "numba", "numpy", "pandas", "pyarrow", "scipy", "seaborn", "torch")
DATA = ("*.parquet", "dynamics/*.parquet")  # what figures read of a results folder


def inputs(results: Path) -> str:
    """A digest of everything that the figures of a results folder are drawn from."""
    data = [path for pattern in DATA for path in sorted(results.glob(pattern))]
    return _digest(json.dumps(package_versions(LIBRARIES)) + _code(PACKAGE), data)


@cache
def _code(package: Path) -> str:
    """The code that figures depend on, without comments and docstrings, which change no figure."""
    modules = [module for name in CODE for module in _modules(package / name)]
    return "\n".join(f"{m.relative_to(package)}\n{tables.bare(m.read_text())}" for m in modules)


def _modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def write(results: Path, names: Iterable[str]) -> None:
    """Record that the stored figures of these names have just been drawn."""
    folder, now = folder_in(results, "figures"), inputs(results)
    record = _read(folder) | {name: _of_figure(folder, name, now) for name in names}
    atomic_write(folder / RECORD, f"{json.dumps(record, indent=1, sort_keys=True)}\n".encode())


def is_current(results: Path, name: str, now: str) -> bool:
    """Whether a stored figure was drawn from `now`, the digest that `inputs` gives."""
    folder = results / "figures"
    return _read(folder).get(name) == _of_figure(folder, name, now)


def _read(folder: Path) -> dict[str, str]:
    path = folder / RECORD
    return json.loads(read_file(path)) if path.is_file() else {}


def _of_figure(folder: Path, name: str, now: str) -> str:
    return _digest(now, sorted(folder.glob(f"{name}.*")))


def _digest(start: str, paths: Iterable[Path]) -> str:
    digest = blake2b(start.encode(), digest_size=16)
    for path in paths:
        digest.update(f"\0{path.name}\0".encode() + read_file(path))
    return digest.hexdigest()

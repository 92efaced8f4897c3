"""Record from which inputs stored figures were drawn, so that the paper can use them unchanged.

`RESULTS/figures/drawn.json` holds one digest (hash) per figure. The digest covers the results, the
code that figures depend on, the versions of the libraries that this code uses, and the files of the
figure. Equal inputs give equal bytes. So if the digest of a figure still matches, drawing the
figure again would change nothing.
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
CODE += ("engines/fused/build.py", "engines/fused/gates.py", "grid/report.py", "grid/store.py")
CODE += ("text.py",)
LIBRARIES = ("matplotlib", "numba", "numpy", "pandas", "pyarrow", "scipy", "seaborn", "torch")
DATA = ("*.parquet", "dynamics/*.parquet")  # the files of a results folder that figures read


def inputs(results: Path) -> str:
    """Return a digest of the results, the code and the library versions that figures depend on.

    `results` is a results folder.
    """
    data = [path for pattern in DATA for path in sorted(results.glob(pattern))]
    return _digest(json.dumps(package_versions(LIBRARIES)) + _code(PACKAGE), data)


@cache
def _code(package: Path) -> str:
    """Return the code that figures depend on, without comments and docstrings."""
    modules = [module for name in CODE for module in _modules(package / name)]
    return "\n".join(f"{m.relative_to(package)}\n{tables.bare(m.read_text())}" for m in modules)


def _modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def write(results: Path, names: Iterable[str]) -> None:
    """Record in `drawn.json` that the named figures have just been drawn."""
    folder, now = folder_in(results, "figures"), inputs(results)
    record = _read(folder) | {name: _of_figure(folder, name, now) for name in names}
    atomic_write(folder / RECORD, f"{json.dumps(record, indent=1, sort_keys=True)}\n".encode())


def is_current(results: Path, name: str, now: str) -> bool:
    """Return whether the stored figure was drawn from the present inputs and is unchanged since.

    `results` is the results folder, `name` is the name of the figure, and `now` is the digest that
    `inputs` returns at present.
    """
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

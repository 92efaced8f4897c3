"""A record of what each stored figure was drawn from: the paper tells by it which are up to date.

`RESULTS/figures/drawn.json` has the title of each figure, and a digest of the results, of the
source of this package and of its libraries' versions at the time, and of the figure's own files.
Figures have the same bytes for the same inputs, so an equal digest says that drawing would change
nothing.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

from study.grid import atomic_write, folder_in, package_versions, read_file

RECORD = "drawn.json"
PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("matplotlib", "numba", "numpy", "pandas", "pyarrow", "scipy", "seaborn", "torch")
READ = ("*.parquet", "dynamics/*.parquet")  # what figures read of a results folder


def inputs(results: Path) -> str:
    """A digest of all that the figures of a results folder are drawn from."""
    data = [path for pattern in READ for path in sorted(results.glob(pattern))]
    return _digest(json.dumps(package_versions(LIBRARIES)), [*sorted(PACKAGE.rglob("*.py")), *data])


def write(results: Path, titles: dict[str, str]) -> None:
    """Record that the stored figures of these titles, by name, have just been drawn."""
    folder, now = folder_in(results, "figures"), inputs(results)
    new = {
        name: {"title": title, "digest": _of_figure(folder, name, now)}
        for name, title in titles.items()
    }
    text = json.dumps(dict(sorted((_read(folder) | new).items())), indent=1, ensure_ascii=False)
    atomic_write(folder / RECORD, f"{text}\n".encode())


def current_title(results: Path, name: str, now: str) -> str | None:
    """The title of a stored figure if it was drawn from `now`, which `inputs` gives; else None."""
    folder = results / "figures"
    recorded = _read(folder).get(name, {})
    is_current = recorded.get("digest") == _of_figure(folder, name, now)
    return recorded.get("title") if is_current else None


def _read(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / RECORD
    return json.loads(read_file(path)) if path.is_file() else {}


def _of_figure(folder: Path, name: str, now: str) -> str:
    return _digest(now, sorted(folder.glob(f"{name}.*")))


def _digest(start: str, paths: list[Path]) -> str:
    digest = blake2b(start.encode(), digest_size=16)
    for path in paths:
        digest.update(f"\0{path.name}\0".encode() + read_file(path))
    return digest.hexdigest()

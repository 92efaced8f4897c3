"""Reading and writing files that others may have touched: whole files, inside their folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from uuid import uuid4

from study.errors import BadInput, Problem


def read_file(path: str | Path, most_bytes: int | None = None) -> bytes:
    """The content of a file.

    Raises OSError for a pipe or a device, which may never end, and above `most_bytes`.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "is not a file", str(path))
    if most_bytes is not None and found.st_size > most_bytes:
        size = f"has {found.st_size:,} bytes; at most {most_bytes:,} are read"
        raise OSError(0, size, str(path))
    return Path(path).read_bytes()


def atomic_write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: temporary name, flush to disk, rename. It replaces a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid4().hex}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # so that the name survives a crash too
    finally:
        os.close(directory)


def folder_in(folder: Path, name: str) -> Path:
    """A folder inside a results folder, which need not exist yet.

    Raises `BadInput` for a link, which could lead elsewhere.
    """
    path = folder / name
    if path.is_symlink():
        message = "is a link; nothing is written outside the results folder, so remove it"
        raise BadInput([Problem(str(path), message)])
    return path

"""Read and write whole files, and keep what is written inside the results folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from uuid import uuid4

from study.errors import BadInput


def read_file(path: str | Path, most_bytes: int | None = None) -> bytes:
    """The content of a file.

    Raises OSError for a pipe or a device, which may never end, and for more than `most_bytes`.
    """
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(0, "is not a file", str(path))
    if most_bytes is not None and info.st_size > most_bytes:
        size = f"has {info.st_size:,} bytes; at most {most_bytes:,} are read"
        raise OSError(0, size, str(path))
    return Path(path).read_bytes()


def atomic_write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: to a temporary name, flushed to disk, then renamed.

    A link of that name is replaced, not followed.
    """
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
    """The path of a folder inside a results folder; it need not exist yet.

    Raises `BadInput` for a link, which could lead elsewhere.
    """
    path = folder / name
    if path.is_symlink():
        message = "is a link, which could lead outside the results folder; remove it"
        raise BadInput.at(str(path), message)
    return path

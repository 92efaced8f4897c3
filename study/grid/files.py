"""Files that another hand may have made: read only where they are files, written whole, and inside their folder.

A name may stand for a pipe, on which reading waits for ever, or for a device without an end: neither is read. It may be
a link to a place outside: nothing is written through it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from uuid import uuid4

from study.errors import BadInput, Problem


def read_file(path: str | Path, most_bytes: int | None = None) -> bytes:
    """The content of a file; OSError for what is none, or has more than `most_bytes`."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "is no file", str(path))
        if most_bytes is not None and found.st_size > most_bytes:
            raise OSError(
                0, f"has {found.st_size:,} bytes, and at most {most_bytes:,} are read", str(path)
            )
        return file.read()


def atomic_write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: temporary name, flush to the disk, rename. A link is replaced, not followed."""
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
    """The folder of that name in a results folder, which need not be there; `BadInput` for a link, which leads away."""
    path = folder / name
    if path.is_symlink():
        raise BadInput(
            [
                Problem(
                    str(path), "is a link: nothing is written outside the results folder; remove it"
                )
            ]
        )
    return path

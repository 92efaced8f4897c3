"""Read and write whole files, and refuse links that could lead out of a results folder."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from study.errors import BadInput

# what a file system (such as CIFS, NFS or one by FUSE) answers to what it cannot do
UNSUPPORTED = {
    errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM,
}  # fmt: skip


def read_file(path: str | Path, most_bytes: int | None = None) -> bytes:
    """Return the content of a file.

    Raises `OSError` if `path` is a pipe or a device, since reading it may never end. Also raises
    `OSError` if the file has more than `most_bytes` bytes.
    """
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(0, "not a regular file", str(path))
    if most_bytes is not None and info.st_size > most_bytes:
        size = f"the file has {info.st_size:,} bytes, but at most {most_bytes:,} are read"
        raise OSError(0, size, str(path))
    return Path(path).read_bytes()


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that even a crash cannot leave it half written.

    The content is written under a temporary name, flushed to the disk, and then renamed to `path`.
    If `path` is an existing file, the new file gets the same permissions. If `path` is a link, the
    new file replaces the link. The file that the link pointed to does not change.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid4().hex}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.is_file():
            with _if_supported():
                shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with _if_supported():
            os.fsync(directory)  # so that the new name survives a crash too
    finally:
        os.close(directory)


@contextmanager
def _if_supported() -> Iterator[None]:
    """Go on without what is done in this context if the file system does not support it."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def folder_in(folder: Path, name: str) -> Path:
    """Return the path of the folder called `name` in the results folder `folder`.

    The folder need not exist yet. Raises `BadInput` if the path is a link, since a link could lead
    out of the results folder.
    """
    path = folder / name
    if path.is_symlink():
        message = "is a link, which could lead outside the results folder; remove it"
        raise BadInput.at(str(path), message)
    return path

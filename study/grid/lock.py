"""One grid at a time on a results folder, and who it is.

The operating system's file lock decides, and lets go when its holder dies. A file beside it says who the
holder is, for whoever is refused; one that is left over tells that its grid was killed.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from study.errors import BadInput, Problem
from study.grid.files import atomic_write, read_file

LOCK, HOLDER = ".lock", ".holder"


@dataclass(frozen=True)
class Holder:
    """The process that writes to a folder."""

    process: int
    host: str
    since: str  # UTC

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since} UTC"

    @property
    def is_gone(self) -> bool:
        """Whether it ran on this machine and runs no more; False where that cannot be known."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:  # another user's process
            return False
        return False


class FolderLock:
    """The lock of one folder. `stale` is the holder before, where it was killed and did not let go."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.stale: Holder | None = None
        self._lock = FileLock(folder / LOCK)

    def acquire(self) -> None:
        """Take the lock; `BadInput` says who holds it, and OSError why the folder cannot be written."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise BadInput(
                [Problem(str(self.folder), _refusal(self.folder, read_holder(self.folder)))]
            ) from error
        self.stale = read_holder(self.folder)
        holder = Holder(os.getpid(), socket.gethostname(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}")
        atomic_write(self.folder / HOLDER, json.dumps(asdict(holder)).encode())

    def release(self) -> None:
        """Let go."""
        if self._lock.is_locked:
            with suppress(
                OSError
            ):  # a folder of that name is another's doing, and no reason to hold on
                (self.folder / HOLDER).unlink(missing_ok=True)
            self._lock.release()


def read_holder(folder: Path) -> Holder | None:
    """Who holds a folder, or held it and was killed; None where that is not known."""
    try:
        found = Holder(**json.loads(read_file(folder / HOLDER, 10_000)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    types = (type(found.process), type(found.host), type(found.since))
    return found if types == (int, str, str) and 0 < found.process < 2**31 else None


def _refusal(folder: Path, holder: Holder | None) -> str:
    who = f" ({holder})" if holder else ""
    if (
        holder and holder.is_gone
    ):  # a file system without locks, where the lock is a file that stays
        return f"is locked by a grid that runs no more{who}; delete {folder / LOCK} and repeat"
    return f"another grid is writing here{who}; wait for it, or choose another folder with --out"

"""Record where results come from.

Each invocation of `study grid` has a manifest: its settings, code, package versions and machine.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import token_hex
from typing import Any

# packages whose version can change a result
PACKAGES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "joblib", "numba", "pydantic")
PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
_CODE = ("study", "experiments", "pyproject.toml", "requirements.lock")


def new_invocation() -> str:
    """Return a name for an invocation of the grid: the time in UTC and eight random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(4)}"


def start_manifest(command: list[str], jobs: int, configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of an invocation that starts now; `end_manifest` completes it."""
    return {
        "command": command,
        "start": _now(),
        "end": None,
        "jobs": jobs,
        "threads_per_run": 1,
        "code": code_state() | {"source": source_digest()},
        "packages": package_versions(),
        "machine": machine(),
        "configuration": configuration,
    }


def end_manifest(manifest: dict[str, Any], how: str, statuses: dict[str, int]) -> dict[str, Any]:
    """Return the manifest completed with the end time, how the invocation ended, and its counts."""
    return manifest | {"end": _now(), "ended": how, "rows_by_status": statuses}


def code_state(*also: str) -> dict[str, Any]:
    """Return the commit of the running code, and whether it or a path in `also` changed since.

    Both are None if the code does not run from this package's own repository, for example if it is
    installed elsewhere.
    """
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != ROOT:
        return {"commit": None, "dirty": None}
    changes = _git("status", "--porcelain", "--", *_CODE, *also)
    dirty = None if changes is None else bool(changes)
    return {"commit": _git("rev-parse", "HEAD"), "dirty": dirty}


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def source_digest() -> str:
    """Return a hash of this package's source code, the same wherever the same code is installed."""
    digest = sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Return the versions of Python and the named packages; None for packages not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def machine() -> dict[str, Any]:
    """Return the processor, its cores and the system, without the machine's name or any path."""
    system = f"{platform.system()} {platform.machine()}"
    return {"cpu": _cpu(), "cores": os.cpu_count(), "system": system}


def _cpu() -> str:
    path = Path("/proc/cpuinfo")  # on Linux
    text = path.read_text() if path.exists() else ""
    cpu = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*\S)", text, re.MULTILINE))
    name = cpu.get("model name") or platform.processor() or "unknown"
    details = f" (family {cpu.get('cpu family', '?')}, model {cpu.get('model', '?')})"
    return name + details if cpu else name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

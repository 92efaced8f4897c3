"""Where results come from: code, versions, machine, times; written beside every set of results."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import token_hex
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "joblib", "numba", "pydantic")
PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
_CODE = ("study", "experiments", "pyproject.toml", "requirements.lock")


def new_invocation() -> str:
    """A name for one invocation of the grid: its start in UTC and four random digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(2)}"


def start_manifest(command: list[str], jobs: int, configuration: dict[str, Any]) -> dict[str, Any]:
    """All that is known at the start of an invocation; `end_manifest` adds the rest."""
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
    """The manifest of an invocation that ended: finished, interrupted or stopped."""
    return manifest | {"end": _now(), "ended": how, "rows_by_status": statuses}


def code_state(*also: str) -> dict[str, Any]:
    """The commit of the code that runs, and whether it, or a path of `also`, was changed since.

    Null outside this package's own repository: installed beside another one, it has no commit.
    """
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != ROOT:
        return {"commit": None, "dirty": None}
    changes = _git("status", "--porcelain", "--", *_CODE, *also)
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


@cache
def source_digest() -> str:
    """A hash of this package's source: the same wherever the same code is installed."""
    digest = sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Versions of the packages that can change a number; None for those not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def machine() -> dict[str, Any]:
    """The processor and system, without a name or a path of the machine."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    details = {key.strip(): value.strip() for key, value in fields.items()}
    name = details.get("model name", platform.processor() or "unknown")
    return f"{name} (family {details.get('cpu family', '?')}, model {details.get('model', '?')})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

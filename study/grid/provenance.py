"""Record where results come from.

Each invocation of the command `study grid` writes a manifest, which is a JSON file. A manifest
describes the command, the grid, the code, the versions of packages, and the machine.
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

from study.model import packages_used, used_files

# packages whose version can change a result
PACKAGES = ("torch", "numpy", "scipy", "pandas", "pyarrow", "joblib", "numba", "pydantic")
# variables that make torch or Numba compute in another way, and so can change a result
VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_MAX_CPU_ISA", "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS", "NPY_DISABLE_CPU_FEATURES", "NUMBA_CPU_FEATURES", "NUMBA_CPU_NAME",
    "NUMBA_DISABLE_JIT", "NUMBA_ENABLE_AVX", "NUMBA_LOOP_VECTORIZE", "NUMBA_OPT",
    "NUMBA_SLP_VECTORIZE", "NVIDIA_TF32_OVERRIDE", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE",
)  # fmt: skip
PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
_CODE = ("study", "experiments", "pyproject.toml", "requirements.lock")


def new_invocation() -> str:
    """Return a new name for an invocation of `study grid`.

    The name consists of the UTC time and eight random hex digits.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(4)}"


def start_manifest(command: list[str], jobs: int, configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of an invocation of `study grid` that starts now.

    A manifest says where results come from. `end_manifest` completes it. `command` is the command
    line without options, `jobs` is the number of worker processes, and `configuration` describes
    the grid and the options. The entry `used` has the name and a hash of each file that the option
    `--use` gave, and the entry `variables` the environment variables in `VARIABLES` that are set.
    """
    return {
        "command": command,
        "start": _now(),
        "end": None,
        "jobs": jobs,
        "threads_per_run": 1,
        "code": code_state() | {"source": source_digest()},
        "used": {Path(path).name: content for path, content in used_files().items()},
        "components_of_packages": packages_used(),
        "packages": package_versions(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "machine": machine(),
        "configuration": configuration,
    }


def end_manifest(manifest: dict[str, Any], how: str, statuses: dict[str, int]) -> dict[str, Any]:
    """Return a completed copy of the manifest of an invocation that ends now.

    A manifest describes one invocation of `study grid`. `how` says how the invocation ended, such
    as `finished`. `statuses` maps each status to the number of rows stored with this status.
    """
    return manifest | {"end": _now(), "ended": how, "rows_by_status": statuses}


def code_state(*also: str) -> dict[str, Any]:
    """Return the commit of the running code, and whether files have changed since that commit.

    The result has the commit under the key `commit`. The key `dirty` says whether the code, or a
    file under a path in `also`, has changed since the commit. Both values are None if git fails, or
    if the code does not run from this package's repository, for example because the package is
    installed. In these cases, the key `why` has the reason.
    """
    try:
        words = ("HEAD", f"HEAD:./{PACKAGE.name}", "--show-prefix")
        commit, _, *below = _git("rev-parse", *words).split("\n")
        changes = _git("status", "--porcelain", "--", *_CODE, *also)
    except OSError as error:
        return _unknown(f"git cannot be run: {error.strerror}")
    except subprocess.CalledProcessError as error:
        reason = re.sub(r"(?<=\s)'?/[^']*'?", "…", error.stderr.partition("\n")[0])  # without paths
        return _unknown(f"git: {reason}")
    if any(below):
        return _unknown("the package is inside the repository of another project")
    return {"commit": commit, "dirty": bool(changes)}


def _unknown(why: str) -> dict[str, Any]:
    return {"commit": None, "dirty": None, "why": why}


def _git(*arguments: str) -> str:
    """Run a git command in the repository that holds this package, and return its output.

    The command runs without environment variables such as GIT_DIR. Git sets these variables in
    hooks, and they would make the command use another repository.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    how: dict[str, Any] = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
    return subprocess.run(command, env=env | {"LC_ALL": "C"}, check=True, **how).stdout


@cache
def source_digest() -> str:
    """Return a hash of this package's source code.

    The hash does not depend on the folder in which the package is installed.
    """
    digest = sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Return a dict with the versions of Python and of the packages in `names`.

    The version of a package that is not installed is None.
    """
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def machine() -> dict[str, Any]:
    """Return the name of the processor, the number of its cores, and the operating system.

    The name of the machine is left out, since manifests may be published.
    """
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

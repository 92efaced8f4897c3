"""The measured rows on the disk, `updates.csv`, and where they come from, `machine.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from benchmarks.problem import Case
from study.errors import BadInput, Problem
from study.grid import provenance
from study.grid.files import atomic_write

KEY = ("peer", "cell", "hidden_size", "batch_size", "length")
TEXTS = ("peer", "cell", "status", "reason", "models_tried", "invocation")
COLUMNS = (
    *KEY, "status", "reason", "models", "min_seconds", "q25_seconds", "median_seconds", "q75_seconds", "repeats",
    "updates_per_repeat", "wall_seconds", "prepare_seconds", "models_tried", "load_average", "invocation",
)  # fmt: skip
PACKAGES = ("torch", "numba", "numpy", "jax", "jaxlib")
MEASURED = "measured"

Rows = dict[tuple, dict[str, Any]]  # by KEY


def read(folder: str | Path) -> pd.DataFrame:
    """The stored rows; `BadInput` where there are none. Seconds are of one update of one model."""
    path = Path(folder) / "updates.csv"
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, "string"), keep_default_na=True)
    except FileNotFoundError as error:
        raise BadInput(
            [Problem(str(folder), "holds no rows; `python -m benchmarks` measures them")]
        ) from error
    except (OSError, ValueError) as error:
        raise BadInput(
            [Problem(str(path), f"cannot be read: {error}; --fresh measures anew")]
        ) from error
    lacking = [name for name in COLUMNS if name not in frame.columns]
    if lacking:
        raise BadInput(
            [Problem(str(path), f"lacks the column {lacking[0]!r}; --fresh measures anew")]
        )
    return frame


def read_manifests(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The manifest of each invocation that measured rows, by its name."""
    path = Path(folder) / "machine.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            [Problem(str(path), f"cannot be read: {error}; --fresh measures anew")]
        ) from error


class Store:
    """The rows of one folder while this process measures; each is on the disk once added."""

    def __init__(
        self, folder: str | Path, command: list[str], settings: dict[str, Any], fresh: bool
    ):
        self.folder = Path(folder)
        self.invocation = provenance.new_invocation()
        self._manifest = _manifest(command, settings)
        self._lock = self._locked()
        self.rows: Rows = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        if not fresh and (self.folder / "updates.csv").exists():
            self._take_up()

    def _locked(self) -> FileLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock")
            lock.acquire(blocking=False)
        except Timeout as error:
            message = "another process is measuring into it; two at once would disturb each other"
            raise BadInput([Problem(str(self.folder), message)]) from error
        except OSError as error:
            raise BadInput(
                [Problem(str(self.folder), f"cannot be written: {error.strerror or error}")]
            ) from error
        return lock

    def _take_up(self) -> None:
        """Go on where an earlier invocation ended, on the same machine only."""
        self.manifests = read_manifests(self.folder)
        here = self._manifest["machine"]
        others = [one["machine"] for one in self.manifests.values() if one["machine"] != here]
        if others:
            message = f"has rows of another machine ({others[0]['cpu']}); --fresh, or another folder with --out"
            raise BadInput([Problem(str(self.folder), message)])
        for row in read(self.folder).to_dict("records"):
            self.rows[tuple(row[name] for name in KEY)] = {
                str(name): value for name, value in row.items()
            }

    def missing(self, peer: str, cases: Iterable[Case]) -> list[Case]:
        """Cases that are not measured yet; what was skipped or failed is tried again."""
        return [
            case
            for case in cases
            if self.rows.get((peer, *astuple(case)), {}).get("status") != MEASURED
        ]

    def add(self, peer: str, case: Case, found: dict[str, Any]) -> None:
        """Store one row."""
        self.rows[peer, *astuple(case)] = {
            "peer": peer,
            **asdict(case),
            **found,
            "invocation": self.invocation,
        }
        self.manifests[self.invocation] = self._manifest
        used = {row["invocation"] for row in self.rows.values()}
        manifests = {name: one for name, one in self.manifests.items() if name in used}
        self._write("machine.json", json.dumps(manifests, indent=1) + "\n")
        table = pd.DataFrame(list(self.rows.values()), columns=list(COLUMNS))
        whole = dict.fromkeys(("models", "repeats", "updates_per_repeat"), "Int64")
        self._write(
            "updates.csv",
            table.astype(whole).to_csv(index=False, float_format="%.4g", lineterminator="\n"),
        )

    def _write(self, name: str, text: str) -> None:
        try:
            atomic_write(self.folder / name, text.encode())
        except OSError as error:
            raise BadInput(
                [Problem(str(self.folder / name), f"cannot be written: {error.strerror}")]
            ) from error

    def close(self) -> None:
        """Let go of the folder."""
        self._lock.release()


def _manifest(command: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    """Code, versions and machine of this invocation."""
    found = provenance.start_manifest(command, 1, settings)
    found["code"] = provenance.code_state("benchmarks")
    found["packages"] = provenance.package_versions(PACKAGES)
    del found["end"]
    return found

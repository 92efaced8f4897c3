"""Store measurements as rows of `updates.csv`, and where they come from in `machine.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.problem import Case
from study.errors import BadInput, Problem
from study.grid import atomic_write, code_state, machine, new_invocation, package_versions

KEY = ("peer", "cell", "hidden_size", "batch_size", "length")
TEXTS = ("peer", "cell", "status", "reason", "models_tried", "invocation")
COLUMNS = (
    *KEY, "status", "reason", "models", "min_seconds", "q25_seconds", "median_seconds",
    "q75_seconds", "repeats", "updates_per_repeat", "wall_seconds", "prepare_seconds",
    "models_tried", "load_average", "invocation",
)  # fmt: skip
INTEGERS = dict.fromkeys(("models", "repeats", "updates_per_repeat"), "Int64")
PACKAGES = ("torch", "numba", "numpy", "jax", "jaxlib")
MEASURED = "measured"


def read(folder: Path) -> pd.DataFrame:
    """Return the stored rows, one per peer and case; times are in seconds per update and model.

    Raises `BadInput` if the folder holds no measurements.
    """
    try:
        return pd.read_csv(folder / "updates.csv", dtype=dict.fromkeys(TEXTS, "string"))
    except FileNotFoundError as error:
        message = "holds no measurements; run `python -m benchmarks` first"
        raise BadInput([Problem(str(folder), message)]) from error


def read_manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest of each invocation of the command, by the name of the invocation.

    A manifest says where measurements come from (see `manifest_of`).
    """
    return json.loads((folder / "machine.json").read_text(encoding="utf-8"))


def manifest_of(command: list[str]) -> dict[str, Any]:
    """Return where measurements come from: the command, time, code, versions and machine."""
    return {
        "command": command,
        "start": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": code_state("benchmarks"),
        "packages": package_versions(PACKAGES),
        "machine": machine(),
    }


class Store:
    """The rows of one folder, to which this process adds its measurements.

    Rows that the folder already holds are kept, unless `fresh` is true. Raises `BadInput` if they
    were measured on another machine. `command` and `settings` are recorded in `machine.json`.
    """

    def __init__(self, folder: Path, command: list[str], settings: dict[str, Any], fresh: bool):
        self.folder = folder
        self.invocation = new_invocation()
        self.manifest = manifest_of(command) | {"configuration": settings}
        self.rows: dict[tuple, dict[str, Any]] = {}  # by KEY
        self.manifests: dict[str, dict[str, Any]] = {}
        if not fresh and (folder / "updates.csv").exists():
            self._resume()

    def _resume(self) -> None:
        self.manifests = read_manifests(self.folder)
        for manifest in self.manifests.values():
            if manifest["machine"] != self.manifest["machine"]:
                cpu = manifest["machine"]["cpu"]
                message = f"was measured on another machine ({cpu}); use --fresh, or --out FOLDER"
                raise BadInput([Problem(str(self.folder), message)])
        for row in read(self.folder).to_dict("records"):
            self.rows[tuple(row[name] for name in KEY)] = {str(name): row[name] for name in row}

    def missing(self, peer: str, cases: Iterable[Case]) -> list[Case]:
        """Return the cases of a peer that have no stored measurement.

        Cases that were skipped or failed count as not measured.
        """
        rows = {case: self.rows.get((peer, *astuple(case)), {}) for case in cases}
        return [case for case, row in rows.items() if row.get("status") != MEASURED]

    def add(self, peer: str, case: Case, result: dict[str, Any]) -> None:
        """Store the result of one case as a row, and write `updates.csv` and `machine.json`.

        Nothing changes if the case has a row that is as fast.
        """
        stored = self.rows.get((peer, *astuple(case)), {})
        if result.get("min_seconds", math.inf) >= stored.get("min_seconds", math.nan):
            return
        row = {"peer": peer, **asdict(case), **result, "invocation": self.invocation}
        self.rows[peer, *astuple(case)] = row
        self.manifests[self.invocation] = self.manifest
        used = {row["invocation"] for row in self.rows.values()}
        manifests = {name: one for name, one in self.manifests.items() if name in used}
        origins = json.dumps(manifests, indent=1) + "\n"
        table = pd.DataFrame(list(self.rows.values()), columns=list(COLUMNS)).astype(INTEGERS)
        text = table.to_csv(index=False, float_format="%.4g", lineterminator="\n")
        atomic_write(self.folder / "machine.json", origins.encode())
        atomic_write(self.folder / "updates.csv", text.encode())

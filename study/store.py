"""Results on disk: Parquet parts, written by one process, each whole or not there.

A results folder holds

    rows-<checksum>.parquet   rows, a row a run; the name carries the SHA-256 of the content
    plan.parquet              which runs the grid has, and in which block
    manifests/                one JSON file per invocation: configuration, versions, machine, times

A part is written under a temporary name, flushed to the disk and renamed, so a crash leaves it whole
or absent. A part whose content does not match its name is damaged: it costs its own runs only. A run
that was trained again has two rows; the one finished last counts. `compact` makes one part of many.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from study.errors import BadInput, Problem, nearest
from study.runs import SCHEMA_VERSION, Run, weights_of

STATUSES = ("solved", "unsolved", "diverged", "failed", "skipped")

_FLOATS = pa.list_(pa.float64())
RESULTS = {
    "status": (pa.string(), "solved, unsolved, diverged, failed or skipped"),
    "reason": (pa.string(), "of failed: the traceback; of skipped: what is not there"),
    "converged_update": (pa.int64(), "updates done at the first of the solved evaluations in a row"),
    "converged_sequences": (pa.int64(), "sequences seen by then"),
    "lost_update": (pa.int64(), "updates done at the first evaluation after it that was not exact"),
    "diverged_update": (pa.int64(), "the update whose loss was not finite"),
    "updates": (pa.int64(), "updates done in all"),
    "sequences": (pa.int64(), "sequences seen in all"),
    "loss": (pa.float64(), "final evaluation at the test length: nats per label"),
    "accuracy": (pa.float64(), "share of right labels over t >= 1"),
    "exact": (pa.float64(), "share of sequences with every label right over t >= 1"),
    "first_error": (pa.int64(), "earliest wrong step over all sequences; none: no error"),
    "first_error_median": (pa.int64(), "lower median over sequences; none: more than half have no error"),
    "long_loss": (pa.float64(), "final evaluation at ten test lengths, as above"),
    "long_accuracy": (pa.float64(), ""),
    "long_exact": (pa.float64(), ""),
    "long_first_error": (pa.int64(), ""),
    "long_first_error_median": (pa.int64(), ""),
    "curve_update": (pa.list_(pa.int64()), "updates done at each evaluation, from 0"),
    "curve_training_loss": (_FLOATS, "mean training loss since the evaluation before"),
    "curve_loss": (_FLOATS, "loss on fresh sequences of the test length"),
    "curve_accuracy": (_FLOATS, "accuracy on them"),
    "curve_exact": (_FLOATS, "exact share on them"),
    "weights": (_FLOATS, "final weights, flat in the order of `weights_of`, where the grid keeps them"),
}
TIMINGS = {  # everything that may differ when a run is trained again
    "converged_seconds": (pa.float64(), "spent on updates by the time of convergence, evaluation excluded"),
    "train_seconds": (pa.float64(), "spent on updates in all"),
    "evaluation_seconds": (pa.float64(), "spent on the curve's evaluations"),
    "final_seconds": (pa.float64(), "spent on the two final evaluations"),
    "curve_train_seconds": (_FLOATS, "train_seconds by each evaluation"),
    "runs_at_once": (pa.int64(), "how many runs this grid trained on the machine at the same time"),
    "finished_at": (pa.timestamp("us", tz="UTC"), "when the row was made"),
    "invocation": (pa.string(), "the manifest of the command that made it"),
}
CURVES = tuple(name for name in (*RESULTS, *TIMINGS) if name.startswith("curve_"))


def _arrow_type(hint: Any) -> pa.DataType:
    """The column type of a setting, from its type hint in `Run` without its constraints."""
    hint = next((part for part in get_args(hint) if part is not type(None)), hint) if _is_optional(hint) else hint
    if get_origin(hint) is dict:
        return pa.string()  # as JSON
    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}[hint]


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


SETTINGS = {name: _arrow_type(hint) for name, hint in get_type_hints(Run).items() if name in Run.model_fields}
SCHEMA = pa.schema(
    [("run_id", pa.string())]
    + list(SETTINGS.items())
    + [(name, kind) for name, (kind, _) in (RESULTS | TIMINGS).items()],
    metadata={"study.schema": str(SCHEMA_VERSION)},
)


class StoreWarning(UserWarning):
    """Something about stored results that a reader should know."""


# --- writing ------------------------------------------------------------------------------------


def atomic_write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: temporary name, flush to the disk, rename."""
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


def _parquet(table: pa.Table) -> bytes:
    """A table as Parquet. Lists of numbers that hardly repeat are split by bytes, which saves a quarter."""
    split = [f.name for f in table.schema if f.type == _FLOATS]
    others = [f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in table.schema]
    encoding: dict[str, Any] = {
        "use_dictionary": [name for name in others if name.split(".")[0] not in split],
        "use_byte_stream_split": [f"{name}.list.element" for name in split],
    }
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", **encoding)
    return sink.getvalue()


class Store:
    """A results folder open for writing by this process alone."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.damaged: list[str] = []
        self._lock: FileLock | None = None

    def open(self) -> Store:
        """Lock the folder, set damaged parts aside; `BadInput` where that cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / ".lock")
            self._lock.acquire(blocking=False)
            self._clear_temporary()
        except Timeout as error:
            self._lock = None
            message = "another grid is writing here; wait for it, or choose another folder with --out"
            raise BadInput([Problem(str(self.folder), message)]) from error
        except OSError as error:
            raise BadInput([Problem(str(self.folder), f"cannot be written: {error.strerror or error}")]) from error
        self._set_damaged_aside()
        return self

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.release()

    def _clear_temporary(self) -> None:
        for leftover in [*self.folder.glob(".*.tmp"), *self.folder.glob("manifests/.*.tmp")]:
            leftover.unlink()
        shutil.rmtree(self.notes, ignore_errors=True)

    @property
    def notes(self) -> Path:
        """A folder for what workers note while they train; cleared when the store is opened."""
        return self.folder / ".notes"

    def _set_damaged_aside(self) -> None:
        for part in damaged_parts(self.folder):
            part.rename(part.with_suffix(".damaged"))
            self.damaged.append(part.name)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The stored rows, one a run."""
        return read_rows(self.folder, columns)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Store rows as one new part; they are on the disk when this returns."""
        rows = list(rows)
        if rows:
            self._write(pa.Table.from_pylist(rows, schema=SCHEMA))

    def _write(self, table: pa.Table) -> Path:
        content = _parquet(table)
        path = self.folder / f"rows-{sha256(content).hexdigest()[:16]}.parquet"
        atomic_write(path, content)
        return path

    def compact(self) -> None:
        """Make one part of many, a row a run, in the order of identities."""
        parts = _parts(self.folder)
        if len(parts) > 1:
            kept = self._write(self.read().sort_by("run_id"))
            for part in parts:
                if part != kept:
                    part.unlink()

    def write_plan(self, blocks: dict[str, list[str]], grid: str = "") -> None:
        """Note which runs the grid has, block by block, and which grid it is."""
        ids = [run_id for block in blocks.values() for run_id in block]
        names = [name for name, block in blocks.items() for _ in block]
        table = pa.table({"run_id": pa.array(ids, pa.string()), "block": pa.array(names, pa.string())})
        atomic_write(self.folder / "plan.parquet", _parquet(table.replace_schema_metadata({"study.grid": grid})))

    def write_manifest(self, name: str, manifest: dict[str, Any]) -> None:
        """Write or rewrite the manifest of one invocation."""
        atomic_write(self.folder / "manifests" / f"{name}.json", _manifest_text(manifest).encode())


def _manifest_text(manifest: dict[str, Any]) -> str:
    """JSON with a line for each entry, and one for each block of the configuration."""
    entries = [f"  {json.dumps(key)}: {json.dumps(value, default=str)}" for key, value in manifest.items()]
    return "{\n" + ",\n".join(entries).replace('{"name":', '\n    {"name":') + "\n}\n"


# --- reading ------------------------------------------------------------------------------------


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("rows-*.parquet"))


def damaged_parts(folder: Path) -> list[Path]:
    """The parts whose content is not what their name says."""
    found = []
    for part in _parts(folder):
        if sha256(part.read_bytes()).hexdigest()[:16] != part.stem.removeprefix("rows-"):
            found.append(part)
    return found


def read_rows(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Every undamaged row, the one finished last for each run; `BadInput` for another schema version."""
    names = list(SCHEMA.names if columns is None else columns)
    read = list(dict.fromkeys([*names, "run_id", "finished_at"]))
    damaged = set(damaged_parts(folder))
    tables = [_read_part(part, read) for part in _parts(folder) if part not in damaged]
    if not tables:
        return SCHEMA.empty_table().select(names)
    table = pa.concat_tables(tables)
    if len(tables) > 1:
        table = _last_of_each(table)
    return table.select(names)


def _read_part(part: Path, columns: list[str]) -> pa.Table:
    version = (pq.read_schema(part).metadata or {}).get(b"study.schema", b"?").decode()
    if version != str(SCHEMA_VERSION):
        message = f"has results of schema version {version}, this code reads {SCHEMA_VERSION}; use another folder"
        raise BadInput([Problem(str(part), message)])
    table = pq.read_table(part, columns=[c for c in columns if c in pq.read_schema(part).names])
    for name in columns:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), SCHEMA.field(name).type))
    return table.select(columns)


def _last_of_each(table: pa.Table) -> pa.Table:
    """One row for each run: the one finished last."""
    numbered = table.append_column("row", pa.array(np.arange(len(table))))
    order = numbered.select(["run_id", "finished_at", "row"]).sort_by([("finished_at", "ascending")])
    last = order.group_by("run_id", use_threads=False).aggregate([("row", "last")])
    return table.take(last["row_last"])


def load(path: str | Path, *, curves: bool = True, weights: bool = False, unplanned: bool = False) -> pd.DataFrame:
    """Stored results as a DataFrame, a row a run, with a column `blocks` (a tuple of names).

    `curves` and `weights` bring the list columns. `unplanned` brings runs that the grid no longer has.
    Warns (`StoreWarning`) of damaged parts and of planned runs that are not stored; raises
    `BadInput` where there are no results.
    """
    folder = _results_folder(path)
    for part in damaged_parts(folder):
        warnings.warn(f"{part} is damaged and left out; run its grid again to mend it", StoreWarning, stacklevel=2)
    left_out = set() if curves else set(CURVES)
    left_out |= set() if weights else {"weights"}
    table = read_rows(folder, [name for name in SCHEMA.names if name not in left_out])
    frame = table.to_pandas().sort_values("run_id", ignore_index=True)
    return _with_blocks(frame, folder, unplanned)


def _results_folder(path: str | Path) -> Path:
    """The folder, if there are results in it; else `BadInput`, with the nearest name beside it that has some."""
    folder = Path(path)
    if folder.is_file():
        raise BadInput([Problem(str(path), "is a file; results are a folder, such as results/main")])
    if not _has_results(folder):
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        names = [other.name for other in beside if other.is_dir() and _has_results(other)]
        message = f"holds no results{nearest(folder.name, names)}; `python -m study.grid FILE` makes them"
        raise BadInput([Problem(str(path), message)])
    return folder


def _has_results(folder: Path) -> bool:
    return bool(_parts(folder)) or (folder / "plan.parquet").exists()


@dataclass(frozen=True)
class Condition:
    """What a results folder holds of its plan, and what is not as it should be."""

    planned: int | None  # runs; None: the plan is missing or damaged
    stored: dict[str, int]  # runs of the plan (all, without one) by status
    missing: dict[str, int]  # planned runs that are not stored, by block; only blocks that miss some
    unplanned: int  # runs that are stored but not in the plan
    damaged: tuple[str, ...]  # parts

    def __str__(self) -> str:
        """In words: `9,000 of 9,600 planned runs are stored (3 failed); missing: headline 600; 1 damaged part`."""
        total = sum(self.stored.values())
        bad = ", ".join(f"{self.stored[name]:,} {name}" for name in ("failed", "skipped") if self.stored.get(name))
        found = f"{total:,} runs are stored, of no plan" if self.planned is None else ""
        found = found or f"{total:,} of {self.planned:,} planned runs are stored"
        found += f" ({bad})" if bad else ""
        found += "; missing: " * bool(self.missing) + ", ".join(f"{name} {n:,}" for name, n in self.missing.items())
        parts = len(self.damaged)
        return found + (f"; {parts} damaged part{'s' * (parts > 1)}, left out" if parts else "")


def condition(path: str | Path) -> Condition:
    """The state of a results folder; `BadInput` where there are no results, or those of another schema version."""
    folder = _results_folder(path)
    rows = read_rows(folder, ["run_id", "status"]).to_pandas()
    plan = read_plan(folder)
    planned = rows["run_id"].isin(plan["run_id"]) if plan is not None else pd.Series(True, index=rows.index)
    lacking = plan[~plan["run_id"].isin(rows["run_id"])] if plan is not None else None
    return Condition(
        planned=None if plan is None else int(plan["run_id"].nunique()),
        stored={str(name): int(n) for name, n in rows[planned]["status"].value_counts().items()},
        missing={} if lacking is None else {str(name): len(ids) for name, ids in lacking.groupby("block")},
        unplanned=int((~planned).sum()),
        damaged=tuple(part.name for part in damaged_parts(folder)),
    )


def _with_blocks(frame: pd.DataFrame, folder: Path, unplanned: bool) -> pd.DataFrame:
    plan = read_plan(folder)
    if plan is None:
        message = f"{folder}: plan.parquet is missing or damaged; run its grid again to know its blocks"
        warnings.warn(message, StoreWarning, stacklevel=3)
        frame["blocks"] = pd.Series([()] * len(frame), dtype=object)
        return frame
    blocks = plan.groupby("run_id")["block"].agg(tuple)
    frame["blocks"] = [blocks.get(run_id, ()) for run_id in frame["run_id"]]
    missing = len(blocks) - int(blocks.index.isin(frame["run_id"]).sum())
    if missing:
        message = f"{folder}: {missing:,} of {len(blocks):,} planned runs are not stored yet"
        warnings.warn(message, StoreWarning, stacklevel=3)
    if not unplanned:
        frame = frame[frame["blocks"].map(len) > 0].reset_index(drop=True)
    return frame


def read_plan(folder: str | Path) -> pd.DataFrame | None:
    """The runs that the grid has: `run_id` and `block`, a row for each block a run is in.

    None where the plan is missing or damaged; `attrs["grid"]` names the grid.
    """
    try:
        table = pq.read_table(Path(folder) / "plan.parquet")
    except (OSError, pa.ArrowException):
        return None
    frame = table.to_pandas()
    frame.attrs["grid"] = (table.schema.metadata or {}).get(b"study.grid", b"").decode()
    return frame


def run_of(row: Any) -> Run:
    """The `Run` of a row of the table (a mapping or a Series)."""
    settings = {}
    for name, kind in SETTINGS.items():
        value = row[name]
        if name == "optimizer_settings":
            value = json.loads(value)
        elif value is None or (isinstance(value, float) and np.isnan(value)):
            value = None
        elif kind == pa.int64():
            value = int(value)
        settings[name] = value.item() if isinstance(value, np.generic) else value
    return Run(**_without_resolved(settings))


def _without_resolved(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a grid would give them: what an optimizer's other keys imply is not given twice."""
    if settings["optimizer"] in ("sgd", "momentum", "nesterov"):
        kept = {k: v for k, v in settings["optimizer_settings"].items() if k not in ("momentum", "nesterov")}
        return settings | {"optimizer_settings": kept}
    return settings


def weights_in(row: Any) -> dict[str, np.ndarray] | None:
    """The final weights of a row by parameter name, float64, or None where they were not kept."""
    flat = np.asarray(row["weights"], dtype=float)
    if flat.ndim == 0:  # a null, as pandas gives it
        return None
    found, offset = {}, 0
    for name, array in weights_of(run_of(row)).items():
        found[name] = flat[offset : offset + array.size].reshape(array.shape)
        offset += array.size
    return found

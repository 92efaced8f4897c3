"""Keep results on disk, in results folders.

The class `Store` writes a results folder. The class `Results` and the function `load` read it. A
results folder contains

    rows-<number>-<checksum>.parquet   rows of runs
    plan.parquet                       the identities of the grid's runs, their blocks and figures
    manifests/                         JSON files, one per invocation of `study grid`

The checksum in a name is the start of the SHA-256 of the file's content. Each file in `manifests`
describes the configuration, the versions and the times of one invocation.

A file of rows is called a part. A part is written under a temporary name, flushed to the disk and
then renamed, so a crash leaves either the whole part or nothing. A damaged part is reported and
ignored. Its runs no longer count as stored, so the grid trains them again. Parts copied from
another machine are read like any other part.

Each new part gets a number that is one more than the largest number in the folder. Parts are
ordered by their number, and parts with equal numbers by their checksum. A part without a number,
which an older version wrote, has the number 0. Rows are in the order of their parts.

If a run has several rows, only one of them is used. It is called the row that counts. A row is
called conclusive if the run has finished training. The row that counts is the first of these that
exists:

    1. the first conclusive row with weights and a learning curve
    2. the first conclusive row with weights
    3. the first conclusive row with a learning curve
    4. the first conclusive row
    5. the last row with the status `failed`
    6. the last row with the status `skipped`

No clock is used for this choice.
"""

from __future__ import annotations

import json
import math
import re
import socket
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from study.errors import BadInput, echo, nearest, printable, shown, what_failed
from study.grid.files import UNSUPPORTED, atomic_write, folder_in, read_file
from study.grid.report import of_blocks
from study.grid.versions import compared, not_loaded
from study.model import ADD, is_own, own_names
from study.runs import (
    CONCLUSIVE,
    CURVES,
    RESULTS,
    SCHEMA,
    SETTINGS,
    Run,
    described,
    own_kinds,
    shapes_of,
    table_of,
)

if TYPE_CHECKING:
    from study.engines.torch_engine import Network

pc: Any = pyarrow.compute  # made at import, so type checkers do not know its functions
PLAN = pa.schema({"run_id": pa.string(), "block": pa.string()})
PART = re.compile(r"rows-(?:(\d{6,})-)?([0-9a-f]{16})\.parquet")
LEFTOVER = re.compile(r"\.(rows-.+\.parquet|plan\.parquet|\.holder|.+\.json)\.[0-9a-f]{32}\.tmp")
SOFT_LOCK = ".lock.soft"  # a file that is a lock because it exists
# a new results folder has these before any result
OWN_NAMES = (".lock", SOFT_LOCK, ".holder", "manifests")
RANK = dict.fromkeys(CONCLUSIVE, 0) | {"failed": 1, "skipped": 2}  # the lowest of a run counts
ALWAYS_READ = ("run_id", "status")
DECIDING = ("weights", "curve_update")  # of several rows of a run, one that has these counts
MOST_READS = 20  # times to read a folder while another process changes it
# Columns of numbers that rarely repeat: splitting their bytes makes the file a quarter smaller.
SPLIT = ("curve_training_loss", "curve_loss", "weights")
Wanted = Callable[[str], bool]  # whether to read the column of this name
Say = Callable[[str], None]  # shows a sentence to the user
Figures = dict[str, Sequence[str] | None]  # by block; None stands for the general figure
FIGURES: TypeAdapter[dict[str, list[str] | None]] = TypeAdapter(dict[str, list[str] | None])


class StoreWarning(UserWarning):
    """A warning about stored results, for example that a file of rows is damaged."""


class Missing(Exception):
    """Raised if the stored results lack runs or weights that are needed."""


# --- parts --------------------------------------------------------------------------------------


class _Damaged(Exception):
    """Raised if a file of rows cannot be used. The message says why."""


def part_files(folder: Path) -> list[Path]:
    """Return the paths of the files of rows in a folder, sorted by their numbers and checksums."""
    return sorted((p for p in folder.glob("rows-*") if PART.fullmatch(p.name)), key=_place_of)


def _place_of(part: Path) -> tuple[int, str]:
    """Return the number (0 if absent) and the checksum in the name of a file of rows."""
    number, checksum = PART.fullmatch(part.name).groups()  # type: ignore[union-attr]
    return int(number or 0), checksum


def _checksum(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def _parquet(table: pa.Table, level: int = 1) -> bytes:
    """Return a table in Parquet format, compressed by zstd at the given level."""
    sink = pa.BufferOutputStream()
    paths = {f.name: f.name + ".list.element" * pa.types.is_list(f.type) for f in table.schema}
    split = [paths.pop(name) for name in SPLIT if name in paths]
    encoding: dict[str, Any] = {"use_dictionary": [*paths.values()], "use_byte_stream_split": split}
    pq.write_table(table, sink, compression="zstd", compression_level=level, **encoding)
    return sink.getvalue().to_pybytes()


def _read_part(part: Path, is_wanted: Wanted) -> tuple[pa.Table, pa.Schema]:
    """Read one file of rows, and return a table and the schema of all columns in the file.

    The table has the columns in ALWAYS_READ, and each other column whose name `is_wanted` accepts.
    Raises `_Damaged` if the file cannot be used, and `BadInput` if another version of the code
    wrote it.
    """
    try:
        content = read_file(part)
        if _place_of(part)[1] != _checksum(content):
            raise _Damaged("its content does not match the checksum in its name")
        file = pq.ParquetFile(pa.BufferReader(content))
        schema = file.schema_arrow
        _refuse_other_version(part, schema)
        known = pa.schema([field for field in schema if field.name in SCHEMA.names])
        refuse_clashes(str(part), [known], promote="default")
        columns = [name for name in schema.names if name in ALWAYS_READ or is_wanted(name)]
        table = file.read(columns).select(columns)  # "task" would read "task.gap" too
        table.validate()
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _Damaged(f"it cannot be read: {printable(str(error))[:100]}") from error
    return table.replace_schema_metadata(), schema.remove_metadata()


def _refuse_other_version(part: Path, schema: pa.Schema) -> None:
    has, reads = ((s.metadata or {}).get(b"study.schema", b"?").decode() for s in (schema, SCHEMA))
    if has != reads:
        message = f"has results of schema version {has}, but this code reads version {reads}"
        raise BadInput.at(str(part), f"{message}; use another folder")


def refuse_clashes(where: str, schemas: Sequence[pa.Schema], promote: str = "permissive") -> None:
    """Raise `BadInput` if a column has incompatible types in `schemas` and `SCHEMA`.

    `where` is the place that the error names. `promote` says how Arrow compares types. By default,
    types are compatible if Arrow can convert them, such as integers and floating-point numbers.
    """
    own = [pa.schema([f for f in schema if is_own(f.name)]) for schema in schemas]
    try:
        pa.unify_schemas([SCHEMA, *schemas], promote_options=promote)
        pa.unify_schemas([pa.schema([]), *own])  # these have no type that the code gives them
    except pa.ArrowException as error:
        message = f"rows of different versions of the code do not fit together: {error}"
        raise BadInput.at(where, f"{message}; keep them in separate folders") from error


def refuse_other_kinds(folder: Path, kinds: Mapping[str, type]) -> None:
    """Raise `BadInput` if a stored setting of a task or cell of a user's own had another type.

    `kinds` maps the names of these settings, such as `task.gap`, to their types.
    """
    tables, _ = _read_parts(folder, kinds.__contains__)
    for name, kind in kinds.items():
        for table in tables:
            if name in table.column_names and table[name].type != pa.array([kind()]).type:
                had, has = table[name].type, pa.array([kind()]).type
                message = f"{name!r} is {had} in stored runs, but {has} now"
                advice = "rename the argument, or choose another folder with --out"
                raise BadInput.at(str(folder), f"{message}; {advice}")


def _read_parts(folder: Path, is_wanted: Wanted) -> tuple[list[pa.Table], dict[Path, str]]:
    """Return the tables of all intact files of rows, and say why each damaged file is unusable.

    The second result maps the path of each damaged file to the reason. The tables are in the order
    of `part_files`. If another process adds or removes files in the meantime, the folder is read
    again.
    """
    for _ in range(MOST_READS):
        parts, tables, schemas, damaged = part_files(folder), [], [], {}
        with suppress(FileNotFoundError):
            for part in parts:
                try:
                    table, schema = _read_part(part, is_wanted)
                except _Damaged as error:
                    damaged[part] = str(error)
                else:
                    tables.append(table)
                    schemas.append(schema)
            if part_files(folder) == parts:
                refuse_clashes(str(folder), schemas)
                return tables, damaged
    raise BadInput.at(str(folder), "keeps changing; try again when no grid is writing to it")


# --- which row counts ---------------------------------------------------------------------------


def _joined(tables: Sequence[pa.Table], is_wanted: Wanted, say: Say) -> pa.Table:
    """Join tables of rows into one table with one row per run, sorted by `run_id`.

    `tables` must be in the order in which they were stored. If a run has several rows, the joined
    table has the row that counts (see the top of this module). `say` gets a message if results of
    the same run differ. If a table lacks a column, the column is null for the rows of this table.
    """
    known = pa.schema([f for f in SCHEMA if f.name in ALWAYS_READ or is_wanted(f.name)])
    table = pa.concat_tables([known.empty_table(), *tables], promote_options="permissive")
    if not _is_in_order(table):
        table = table.take(pa.array(_order(table)))
        is_first = ~table["run_id"].to_pandas().duplicated()
        _say_differences(table, say)
        table = table.filter(pa.array(is_first))
    return table.replace_schema_metadata(SCHEMA.metadata)


def _is_in_order(table: pa.Table) -> bool:
    """Return whether a table has one row per run and is sorted by `run_id`."""
    ids = table["run_id"]
    return pc.all(pc.less(ids[:-1], ids[1:])).as_py() is not False


def _has_several_rows_of_a_run(tables: Sequence[pa.Table]) -> bool:
    if len(tables) == 1 and _is_in_order(tables[0]):
        return False
    ids = pa.chunked_array([ids for t in tables for ids in t["run_id"].chunks], pa.string())
    return pc.count_distinct(ids).as_py() < len(ids)


def _order(table: pa.Table) -> np.ndarray:
    """Return the indices that sort the rows of a table by `run_id`.

    If a run has several rows, the row that counts comes first (see the top of this module). If the
    table lacks a column in DECIDING, all rows count as rows without it.
    """
    place = np.arange(len(table))
    rank = table["status"].to_pandas().map(RANK).fillna(len(RANK)).to_numpy()
    lists = [name for name in DECIDING if name in table.column_names]
    keys = {
        "run_id": table["run_id"],
        "rank": rank,
        **{f"lacks_{name}": table[name].is_null().to_numpy() for name in lists},
        "place": np.where(rank == 0, place, -place),
    }
    by = [(name, "ascending") for name in keys]
    return pc.sort_indices(pa.table(keys), sort_keys=by).to_numpy()


def _say_differences(table: pa.Table, say: Say) -> None:
    """Tell the user how many runs finished training more than once, with different results.

    The function `say` gets the message. Results differ if any bit of them differs. Timings are not
    compared. Weights and curves are compared only between rows that have them.
    """
    rows = table.filter(pc.is_in(table["status"], pa.array(CONCLUSIVE)))
    rows = rows.filter(pa.array(rows["run_id"].to_pandas().duplicated(keep=False)))
    if not len(rows):
        return
    ids = rows["run_id"].to_pandas()
    frame = rows.select([name for name in RESULTS if name in rows.column_names]).to_pandas()
    bits = frame.map(lambda x: x.tobytes() if isinstance(x, np.ndarray) else repr(x))
    for name in bits.columns.intersection(["weights", *CURVES]):
        bits[name] = bits[name].where(frame[name].notna())  # not counted if missing
    differing = int(bits.groupby(ids).agg("nunique").gt(1).any(axis=1).sum())
    if differing:
        say(
            f"{differing:,} run{'s were' if differing > 1 else ' was'} trained more than once with "
            "results that differ in bits, as can happen on different machines or with different "
            "versions of the code; the first row is used, or the first with weights or curves"
        )


# --- writing ------------------------------------------------------------------------------------


class Store:
    """Writes to a results folder. Use it in a `with` block, which locks out other writers.

    `say` gets a message for each damaged file of rows. Raises `BadInput` if another process is
    writing to the folder, or if the folder holds other files and no results. Also raises `BadInput`
    if the disk is full or cannot be written to. Rows that are already stored are kept in any case.
    """

    def __init__(self, folder: str | Path, say: Say = lambda line: None):
        self.folder = Path(folder)
        self._say = say
        self._lock: BaseFileLock = FileLock(self.folder / ".lock", fallback_to_soft=False)
        self._holder = self.folder / ".holder"  # a file that names the process with the lock

    def __enter__(self) -> Store:
        try:
            refuse_other_content(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._acquire()
            for folder in (self.folder, folder_in(self.folder, "manifests")):
                for leftover in folder.glob(".*.tmp"):  # left by a process that died
                    if LEFTOVER.fullmatch(leftover.name):
                        leftover.unlink()
            self._read(lambda name: False)
        except BaseException as error:
            self.__exit__(type(error), error)
            raise
        return self

    def __exit__(self, kind: object = None, error: object = None, *_: object) -> None:
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release()
        if isinstance(error, OSError):
            message = (
                f"cannot be written: {what_failed(error)}; stored runs are kept, so repeat the "
            )
            message += "command once this is fixed"
            raise BadInput.at(str(self.folder), message) from error

    def _acquire(self) -> None:
        try:
            self._acquire_lock()
        except Timeout as error:
            raise self._taken() from error
        if self._holder.exists():
            if _is_alive(self._read_holder()):  # its lock file was deleted
                self._lock.release()
                raise self._taken()
            self._say(f"{self.folder}: the last writer{self._holder_text()} was killed; continuing")
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        holder = _identity_of(psutil.Process()) | {"since": since}
        atomic_write(self._holder, json.dumps(holder).encode())

    def _acquire_lock(self) -> None:
        """Take the lock, or create a file in its place if the file system offers no locks."""
        try:
            self._lock.acquire(blocking=False)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            self._lock = SoftFileLock(self.folder / SOFT_LOCK)
            self._lock.acquire(timeout=1)  # seconds, to take over from a process that was killed
            message = f"this file system has no locks, so the file {SOFT_LOCK} keeps others out"
            advice = "if another machine is stopped while it writes here, delete that file"
            self._say(f"{self.folder}: {message}; {advice}")

    def _taken(self) -> BadInput:
        message = f"another process is writing here{self._holder_text()}"
        advice = "wait until it has ended, or choose another folder with --out"
        return BadInput.at(str(self.folder), f"{message}; {advice}")

    def _read_holder(self) -> dict[str, Any]:
        """Return the content of `.holder`, which describes the last process that locked the folder.

        Returns {} if the file cannot be read.
        """
        try:
            holder = json.loads(read_file(self._holder, most_bytes=1_000))
        except (OSError, ValueError):
            return {}
        return holder if isinstance(holder, dict) else {}

    def _holder_text(self) -> str:
        holder = self._read_holder()
        text = "process {pid} on {host}, since {since}".format_map(defaultdict(str, holder))
        return f" ({printable(text)})" if holder else ""

    def _read(self, is_wanted: Wanted) -> list[pa.Table]:
        """Return the tables of all intact files of rows, and rename each damaged file.

        `say` gets a message for each damaged file. `is_wanted` takes the name of a column, and
        returns whether to read this column.
        """
        tables, damaged = _read_parts(self.folder, is_wanted)
        for part, why in damaged.items():
            self._say(f"{part} is damaged ({why}) and was renamed; the grid trains its runs again")
            part.rename(part.with_suffix(".damaged"))
        return tables

    def append(self, rows: Sequence[dict[str, Any]] | pa.Table) -> None:
        """Write the rows to a new file, and return when they are on the disk.

        If there are no rows, no file is written.
        """
        table = rows if isinstance(rows, pa.Table) else table_of(rows)
        if len(table):
            number = 1 + max((_place_of(part)[0] for part in part_files(self.folder)), default=0)
            self._write_part(table, number)

    def _write_part(self, table: pa.Table, number: int) -> Path:
        content = _parquet(described(table))
        part = self.folder / f"rows-{number:06d}-{_checksum(content)}.parquet"
        atomic_write(part, content)
        return part

    def compact(self) -> None:
        """Replace all files of rows by a single file with one row per run, sorted by `run_id`.

        `say` gets a message if a run has several rows with different results.
        """
        parts = part_files(self.folder)
        tables = self._read(lambda name: True)
        if len(tables) > 1 or not all(map(_is_in_order, tables)):
            table = _joined(
                tables, lambda name: True, lambda line: self._say(f"{self.folder}: {line}")
            )
            joined = self._write_part(table, min((_place_of(part)[0] for part in parts), default=0))
            # A crash may stop the deletion, and another process may read in the middle of it. In
            # this order, the same rows count at every moment: no remaining part was stored between
            # two deleted ones.
            before = [part for part in parts if _place_of(part) < _place_of(joined)]
            for part in (*reversed(before), *parts[len(before) :]):
                if part != joined:
                    part.unlink(missing_ok=True)

    def remove(self, run_ids: Sequence[str]) -> None:
        """Remove all rows of the given runs, and store the other rows in one file.

        `run_ids` holds the identities of the runs to remove.
        """
        self.compact()
        before, table = part_files(self.folder), read_rows(self.folder)
        is_removed = pc.is_in(table["run_id"], pa.array(run_ids, pa.string()))
        self.append(table.filter(pc.invert(is_removed)))
        for part in before:
            part.unlink()

    def write_plan(
        self, blocks: dict[str, list[str]], grid: str = "", figures: Figures | None = None
    ) -> None:
        """Write the plan of a grid, which is a list of its runs, to the file plan.parquet.

        `blocks` maps the name of each block to the identities of its runs. `grid` is the name of
        the grid. `figures` maps the name of each block to the names of the figures that show it, or
        to None for the general figure.
        """
        rows = [{"run_id": run_id, "block": name} for name in blocks for run_id in blocks[name]]
        table = pa.Table.from_pylist(rows, schema=PLAN)
        about = {"study.grid": grid, "study.figures": json.dumps(figures or {})}
        content = _parquet(table.replace_schema_metadata(about), level=9)
        atomic_write(self.folder / "plan.parquet", content)

    def write_manifest(self, name: str, manifest: dict[str, Any]) -> None:
        """Write the manifest, which describes one invocation of `study grid`, as a JSON file.

        `name` is the name of the invocation. An earlier manifest with the same name is replaced.
        """
        content = _manifest_text(manifest).encode()
        atomic_write(folder_in(self.folder, "manifests") / f"{name}.json", content)


def _identity_of(process: psutil.Process) -> dict[str, Any]:
    """Return a dict that identifies a process by its number, its host and its start.

    The start is the number of seconds from the start of the machine to the start of the process.
    """
    started = round(process.create_time() - psutil.boot_time(), 2)
    return {"pid": process.pid, "host": socket.gethostname(), "started": started}


def _is_alive(holder: dict[str, Any]) -> bool:
    """Return whether the process that `holder` describes still runs on this host.

    `holder` has the entries that `_identity_of` returns.
    """
    with suppress(psutil.Error, TypeError, ValueError, OverflowError):
        process = psutil.Process(holder.get("pid", -1))
        is_same = _identity_of(process).items() <= holder.items()
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    return False


def refuse_other_content(folder: Path) -> None:
    """Raise `BadInput` if a folder holds other files and no results.

    This keeps results from being mixed with other files. Files that a new results folder has before
    its first results are ignored.
    """
    if part_files(folder) or read_plan(folder) is not None or not folder.is_dir():
        return
    others = [
        path.name
        for path in folder.iterdir()
        if path.name not in OWN_NAMES and not LEFTOVER.fullmatch(path.name)
    ]
    if others:
        message = f"holds other things, such as {min(others)!r}, and no results"
        raise BadInput.at(str(folder), f"{message}; choose a new or empty folder with --out")


def _manifest_text(manifest: dict[str, Any]) -> str:
    """Return a manifest as JSON text.

    Each entry has a line of its own, and so has each block of the grid inside `configuration`.
    """
    entries = [f"  {json.dumps(k)}: {json.dumps(v, default=str)}" for k, v in manifest.items()]
    return "{\n" + ",\n".join(entries).replace('{"name":', '\n    {"name":') + "\n}\n"


# --- reading ------------------------------------------------------------------------------------


def read_rows(
    folder: str | Path, columns: Sequence[str] | None = None, say: Say = lambda line: None
) -> pa.Table:
    """Return a table of the stored rows, which has one row per run and is sorted by `run_id`.

    `columns` holds the names of the columns to read. If `columns` is None, all columns are read.
    `say` gets a message for each damaged file of rows. It also gets a message if a run has several
    rows that differ in the columns read. Raises `BadInput` if the rows have another schema version
    than this code, or if the types of a column in different files do not fit together.
    """
    table = _rows(Path(folder), lambda name: columns is None or name in columns, say)
    return table if columns is None else table.select(columns)


def _rows(folder: Path, is_wanted: Wanted, say: Say) -> pa.Table:
    tables, damaged = _read_parts(folder, is_wanted)
    unread = [name for name in DECIDING if not is_wanted(name)]
    if unread and _has_several_rows_of_a_run(tables):
        return _rows(folder, lambda n: n in DECIDING or is_wanted(n), say).drop_columns(unread)
    for part, why in damaged.items():
        say(f"{part} is damaged ({why}) and was skipped; run the grid again to retrain its runs")
    return _joined(tables, is_wanted, lambda line: say(f"{folder}: {line}"))


def read_plan(folder: str | Path) -> pd.DataFrame | None:
    """Return the plan in a results folder, or None if it is missing or damaged.

    The plan is the list of a grid's runs. The frame has the columns `run_id` and `block`. A run
    that is in several blocks has a row for each of them. The frame's `attrs["grid"]` is the name of
    the grid, and `attrs["figures"]` maps each block to the names of the figures that show it, or to
    None for the general figure.
    """
    try:
        table = pq.read_table(pa.BufferReader(read_file(Path(folder) / "plan.parquet")))
        about = table.schema.metadata or {}
        grid = about.get(b"study.grid", b"").decode()
        named = FIGURES.validate_json(about.get(b"study.figures", b"{}"))
        frame = table.replace_schema_metadata().cast(PLAN).to_pandas()
    except (OSError, pa.ArrowException, ValueError):
        return None
    blocks = frame["block"].unique().tolist()
    frame.attrs |= {"grid": grid, "figures": {block: named.get(block) for block in blocks}}
    return frame


def load(
    path: str | Path, *, curves: bool = True, weights: bool = False, unplanned: bool = False
) -> pd.DataFrame:
    """Load stored results as a DataFrame with one row per run.

    The column `blocks` holds the names of the run's blocks, as a tuple. `curves` says whether to
    include the learning curves. `weights` says whether to include the trained weights. `unplanned`
    says whether to include runs that are not in the grid.

    Gives a `StoreWarning` for each damaged file of rows, for runs with several rows that differ in
    the columns read, for planned runs that are not stored, and for components that are not loaded.
    Raises `BadInput` if the folder holds no results, or if a column has types that do not fit
    together.
    """
    folder = results_folder(path)

    def is_wanted(name: str) -> bool:
        return (curves or not name.startswith("curve_")) and (weights or name != "weights")

    def warn(message: str) -> None:
        warnings.warn(printable(message), StoreWarning, stacklevel=3)

    frame = _rows(folder, is_wanted, warn).replace_schema_metadata().to_pandas()
    plan = read_plan(folder)
    if plan is None:
        warn(f"{folder}: plan.parquet is missing or damaged; run the grid again to restore it")
        return frame.assign(blocks=pd.Series([()] * len(frame), dtype=object))
    blocks: dict[str, tuple[str, ...]] = {}
    for run_id, block in plan.to_numpy().tolist():
        blocks[run_id] = (*blocks.get(run_id, ()), block)
    names = [blocks.get(run_id, ()) for run_id in frame["run_id"].to_numpy()]
    frame["blocks"] = pd.Series(names, dtype=object)
    planned = frame["blocks"].astype(bool)
    if missing := len(blocks) - int(planned.sum()):
        warn(f"{folder}: {missing:,} of {len(blocks):,} planned runs are not stored yet")
    if not (unplanned or planned.all()):
        frame = frame[planned].reset_index(drop=True)
    if found := not_loaded(frame):
        for name, count in found.unknown.items():
            runs = f"{count:,} stored run{'s' * (count != 1)}"
            warn(f"{folder}: {name} of {runs} is not loaded; {ADD}")
    return frame


def load_saying(path: str | Path, **columns: bool) -> pd.DataFrame:
    """Load results as `load` does, but print its warnings as notes on stderr.

    `columns` are keyword arguments of `load`.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StoreWarning)
        frame = load(path, **columns)
    for warning in caught:
        echo(f"note: {warning.message}", file=sys.stderr)
    return frame


def results_folder(path: str | Path) -> Path:
    """Return `path` as a `Path` if it is a results folder, and raise `BadInput` otherwise.

    The error suggests a results folder with a similar name if there is one beside it.
    """
    folder = Path(path)
    if has_results(folder):
        return folder
    if folder.is_file():
        message = "is a file, but results are stored in a folder, such as results/main"
    else:
        others = folder.parent.iterdir() if folder.parent.is_dir() else ()
        similar = nearest(folder.name, [other.name for other in others if has_results(other)])
        message = f"holds no results{similar}; `study grid FILE` makes them"
    raise BadInput.at(str(path), message)


def has_results(folder: Path) -> bool:
    """Return whether a folder holds stored rows, or the plan (the list of a grid's runs)."""
    return bool(part_files(folder)) or (folder / "plan.parquet").exists()


class Results:
    """Gives access to a results folder, and reads its files only when they are first needed.

    A method raises `Missing` if it needs runs or weights that the folder lacks.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._beside: dict[str, Results] = {}

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The rows of the planned runs, which include the learning curves but not the weights."""
        return load(self.folder)

    @cached_property
    def planned(self) -> dict[str, set[str]]:
        """A dict from the name of each block to the identities of its planned runs."""
        groups = () if self._plan is None else self._plan.groupby("block")["run_id"]
        return {str(name): set(ids) for name, ids in groups}

    @property
    def figures(self) -> Figures:
        """A dict from the name of each block to the names of the figures that show it.

        The value is None for a block that is shown by the general figure.
        """
        return {} if self._plan is None else self._plan.attrs["figures"]

    @cached_property
    def _plan(self) -> pd.DataFrame | None:
        return read_plan(self.folder)

    @cached_property
    def _with_weights(self) -> pd.DataFrame:
        with warnings.catch_warnings(action="ignore", category=StoreWarning):  # `runs` warns
            rows = load(self.folder, curves=False, weights=True, unplanned=True)
        return rows.set_index("run_id", drop=False)

    def has_block(self, name: str) -> bool:
        """Return whether the grid has a block with this name."""
        return name in self.planned

    def block(self, *names: str) -> pd.DataFrame:
        """Return the stored rows of the runs in the named blocks.

        Raises `Missing` if the grid has none of the named blocks, or if none of their runs is
        stored.
        """
        listed = " or ".join(map(repr, names))
        if not any(map(self.has_block, names)):
            raise Missing(f"the grid has no block {listed}")
        rows = of_blocks(self.runs, *names)
        if rows.empty:
            raise Missing(f"no run of block {listed} is stored; run the grid to train it")
        return rows

    def naming(self, figure: str) -> tuple[str, ...]:
        """Return the names of the blocks that name a figure in the grid file."""
        return tuple(block for block, named in self.figures.items() if figure in (named or ()))

    def shown(self, figure: str) -> pd.DataFrame:
        """Return the stored rows of the runs in the blocks that name a figure in the grid file.

        Raises `Missing` if no block names the figure, or if none of the runs is stored.
        """
        if not self.naming(figure):
            advice = f"add `figures: [{figure}]` to a block of the grid file and run the grid"
            raise Missing(f"no block of the grid names the figure {figure!r}: {advice}")
        return self.block(*self.naming(figure))

    def weights(self, run_id: str) -> dict[str, np.ndarray]:
        """Return the final weights of a run as a dict from parameter names to float64 arrays."""
        kept = weights_in(self._row(run_id))
        if kept is None:
            message = f"the weights of run {run_id} were not kept"
            raise Missing(f"{message}; set `keep_weights: true` in its block and run the grid")
        return kept

    def network(self, run_id: str) -> Network:
        """Return the trained network of a run as a `torch.nn.Module`, on the CPU and in eval mode.

        Called with inputs (T, batch, input_size), it returns logits (T, batch, K) and the final
        state, as `torch.nn.LSTM` does with outputs (see `study.engines.torch_engine.Network`). It
        has the run's data type. Raises `BadInput` if the run's cell or another of its components is
        not registered, or has another version now.
        """
        from study.engines import torch_engine  # torch is slow to import

        weights = self.weights(run_id)
        return torch_engine.Network(run_of(self._row(run_id)), weights, device="cpu").eval()

    def _row(self, run_id: str) -> Any:
        """Return the stored row of a run, with its weights. Raises `Missing` if there is none."""
        rows = self._with_weights
        if run_id not in rows.index:
            message = f"{self.folder} has no run {shown(run_id)}"
            raise Missing(f"{message}; the column `run_id` of its rows lists those it has")
        return rows.loc[run_id]

    def beside(self, name: str) -> Results:
        """Return the results in the folder called `name` that lies beside this results folder.

        A second call with the same name returns the same object, so files are read only once.
        """
        return self._beside.setdefault(name, Results(self.folder.parent / name))

    def lacks(self, names: Sequence[str]) -> str:
        """Return a sentence that says how many runs of the named blocks lack results, and why.

        A planned run lacks results if it is not stored, has failed, or was skipped. Returns "" if
        all planned runs have results.
        """
        planned = set().union(*(self.planned.get(name, set()) for name in names))
        rows = self.runs[self.runs["run_id"].isin(planned)]
        counts: dict[Any, int] = rows["status"].value_counts().to_dict()
        parts = [
            (len(planned) - len(rows), "had yet to be trained"),
            (counts.get("failed", 0), "failed"),
        ]
        parts.append(
            (counts.get("skipped", 0), "had to be skipped because the device was not available")
        )
        texts = [f"{count:,} {state}" for count, state in parts if count]
        return f"Of {len(planned):,} planned runs, {' and '.join(texts)}." if texts else ""

    def condition(self) -> str:
        """Return a text such as `9,000 of 9,600 planned runs are stored (3 failed)`.

        Raises `BadInput` if the folder holds no results.
        """
        _, damaged = _read_parts(results_folder(self.folder), lambda name: False)
        table = read_rows(self.folder, ALWAYS_READ)
        status = dict(zip(table["run_id"].to_pylist(), table["status"].to_pylist(), strict=True))
        planned = set().union(*self.planned.values()) or status.keys()
        counts = Counter(status[run_id] for run_id in planned & status.keys())
        of = f" of {len(planned):,} planned runs" if self.planned else " runs without a plan"
        bad = [f"{counts[name]:,} {name}" for name in ("failed", "skipped") if counts[name]]
        lacking = {name: len(ids - status.keys()) for name, ids in self.planned.items()}
        missing = [f"{name} {count:,}" for name, count in lacking.items() if count]
        texts = [f"{counts.total():,}{of} are stored" + f" ({', '.join(bad)})" * bool(bad)]
        texts += [f"missing by block: {', '.join(missing)}"] * bool(missing)
        were = "files were" if len(damaged) > 1 else "file was"
        texts += [f"{len(damaged)} damaged {were} left out"] * bool(damaged)
        return "; ".join(texts)


def network(path: str | Path, run_id: str) -> Network:
    """Return the trained network of a stored run as a `torch.nn.Module`, in eval mode.

    `path` is a results folder. For several networks of one folder, call the method `network` of one
    `Results` instead, which reads the folder once and describes the network. Raises `BadInput` if
    `path` holds no results, and `Missing` if the run or its weights are not stored there.
    """
    return Results(path).network(run_id)


def run_of(row: Any) -> Run:
    """Return the `Run` that has the settings in a stored row.

    `row` is a mapping or a Series. Raises `BadInput` if the settings are invalid, or if the
    identity of the run is not the `run_id` in the row.
    """
    kinds = own_kinds()
    integer = {name: pa.int64() for name, kind in kinds.items() if kind is int}
    types = {name: integer.get(name) for name in own_names(row.keys())} | SETTINGS
    settings: dict[str, Any] = {name: _plain(row[name], kind) for name, kind in types.items()}
    settings = {name: x for name, x in settings.items() if x is not None or name in SETTINGS}
    of_optimizer = json.loads(settings["optimizer_settings"])
    # For these optimizers, `Run` derives both keys from `optimizer` and `momentum`.
    if settings["optimizer"] in ("sgd", "momentum", "nesterov"):
        of_optimizer = {k: v for k, v in of_optimizer.items() if k not in ("momentum", "nesterov")}
    settings["optimizer_settings"] = of_optimizer
    place = f"run {row.get('run_id', '')}"
    try:
        run = Run(**settings)
    except ValidationError as error:
        raise BadInput.at(place, f"cannot be trained: {error.errors()[0]['msg']}") from error
    if run.run_id != row.get("run_id", run.run_id):
        differing, _ = compared({**vars(run), "rules": _plain(row.get("rules"), pa.string())})
        if differing:
            made = f"was made by another version of {' and '.join(differing)}"
            raise BadInput.at(place, f"{made}; run the grid again")
        raise BadInput.at(place, f"has the settings of another run, {run.run_id}")
    return run


def _plain(value: Any, kind: pa.DataType) -> Any:
    """Return a setting from a row as a plain Python value.

    `kind` is the Arrow type of the setting's column. pandas turns null into NaN, and turns integers
    into floats if their column has nulls. This function undoes both changes.
    """
    if value is None or value != value:
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if kind == pa.int64() else value


def lacking_curves(rows: pd.DataFrame) -> str:
    """Return a sentence that says how many runs were stored without their learning curves, or "".

    `rows` are rows of runs, with their curves. Only runs that finished training count.
    """
    finished = rows[rows["status"].isin(CONCLUSIVE)]
    count = int(finished["curve_update"].isna().sum())
    message = f"the learning curves of {count:,} of {len(finished):,} runs were not kept"
    advice = "remove `keep_curves: false` from their block and run the grid"
    return f"{message}; {advice}" if count else ""


def weights_in(row: Any) -> dict[str, np.ndarray] | None:
    """Return the final weights in a run's row as a dict from parameter names to float64 arrays.

    `row` is a mapping or a Series. Returns None if the weights were not stored.
    """
    flat, weights = np.asarray(row["weights"], dtype=float), {}
    if flat.ndim == 0:  # null, which pandas turns into NaN
        return None
    for name, shape in shapes_of(run_of(row)).items():
        weights[name], flat = flat[: math.prod(shape)].reshape(shape), flat[math.prod(shape) :]
    return weights

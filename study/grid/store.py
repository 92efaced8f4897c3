"""Results on disk: Parquet parts, written by one process, each whole or not there.

A results folder holds

    rows-<checksum>.parquet   rows, a row a run; the name carries the SHA-256 of the content
    parts.json                the parts and their numbers of rows
    plan.parquet              which runs the grid has, and in which block
    manifests/                one JSON file per invocation: configuration, versions, machine, times

A part is written under a temporary name, flushed to the disk and renamed, so a crash leaves it whole
or absent. A part whose content does not match its name is damaged, and one that is listed and not there
is missing: either is reported and costs its own runs only. A run that was trained again has two rows; the
one finished last counts. `compact` makes one part of many.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from operator import le
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pydantic import ValidationError

from study.errors import BadInput, Problem, nearest, what_failed
from study.grid import parts
from study.grid.files import atomic_write, folder_in, read_file
from study.grid.joined import KEPT_LEVEL, Ahead, by_identity, one_row_a_run
from study.grid.lock import FolderLock
from study.grid.parts import Faults
from study.runs import CURVES, SCHEMA, SETTINGS, Run, batch_of, shapes_of

if (
    TYPE_CHECKING
):  # imported where it is used: a grid stores rows without it, and it takes a quarter of a second
    import pandas as pd

MOST_HELD, MOST_PARTS_HELD = (
    2**28,
    100,
)  # bytes and parts that are not read again when they become one part
pc: Any = pyarrow.compute  # makes its functions when it is imported


class StoreWarning(UserWarning):
    """Something about stored results that a reader should know."""


# --- writing ------------------------------------------------------------------------------------


class Store:
    """A results folder open for writing by this process alone. `say` is told of whatever was found damaged."""

    def __init__(self, folder: str | Path, say: Callable[[str], None] = lambda line: None):
        self.folder = Path(folder)
        self._say = say
        self._lock = FolderLock(self.folder)
        self._rows: dict[str, int] = {}  # by part: the index
        self._sound: set[str] = set()  # parts that were looked through
        self._held: dict[str, pa.Table] = {}  # the first that this process wrote, by part
        self._written = 0  # bytes of rows
        self._beside = ThreadPoolExecutor(1)
        self._ahead: Future[Ahead] | None = None

    def __enter__(self) -> Store:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> Store:
        """Lock the folder, set damaged parts aside; `BadInput` where that cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._clear_temporary()
            self._take_stock()
        except OSError as error:
            self.close()
            raise BadInput(
                [Problem(str(self.folder), f"cannot be written: {what_failed(error)}")]
            ) from error
        except BadInput:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Let go of the folder."""
        self._beside.shutdown()
        self._lock.release()

    def _clear_temporary(self) -> None:
        if self._lock.stale:
            self._say(
                f"{self.folder}: the grid before ({self._lock.stale}) was killed; going on from what it stored"
            )
        for leftover in [
            *self.folder.glob(".*.tmp"),
            *folder_in(self.folder, "manifests").glob(".*.tmp"),
        ]:
            leftover.unlink()
        shutil.rmtree(self.notes, ignore_errors=True)

    @property
    def notes(self) -> Path:
        """A folder for what workers note while they train; cleared when the store is opened."""
        return self.folder / ".notes"

    def _take_stock(self) -> None:
        """Find out which parts there are and which are not as they should be; list the sound ones."""
        self._rows, faults = parts.check(self.folder, SCHEMA)
        has_plan = plan_table(self.folder) is not None
        if faults.index and (self._rows or faults.damaged or has_plan):
            self._say(
                f"{self.folder / parts.INDEX} {faults.index}: made anew from the {len(self._rows)} parts there"
            )
        if self._rows and not has_plan:
            self._say(f"{self.folder / 'plan.parquet'} is missing or damaged: made anew")
        self._sound = set(self._rows)
        self._set_aside(faults)
        parts.write_index(self.folder, self._rows)

    def _set_aside(self, faults: Faults) -> None:
        """Report faults, and then take damaged parts out of the results."""
        for name, count in faults.missing.items():
            runs = f"{count:,} run{'s' * (count != 1)}"
            self._say(
                f"{self.folder / name} is missing, with {runs}; what no other part has is trained again"
            )
        for name, why in faults.damaged.items():
            self._say(
                f"{self.folder / name} was damaged ({why}) and set aside; its runs are trained again"
            )
            parts.set_aside(self.folder / name)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The stored rows, one a run."""
        return read_rows(self.folder, columns)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Store rows as one new part; they are on the disk when this returns."""
        self.append_table(pa.Table.from_batches([batch_of(list(rows))]))

    def append_table(self, table: pa.Table, *, is_sound: bool = False) -> None:
        """Store a table of rows, if it has any, as one new part, packed lightly, since it will soon be in another.

        `is_sound` says that the rows were looked through; else they are when parts become one.
        """
        if len(table):
            path = parts.write_part(self.folder, parts.parquet(table, level=None))
            self._rows[path.name] = len(table)
            self._sound |= {path.name} if is_sound else set()
            parts.write_index(self.folder, self._rows)
            self._written += table.nbytes
            if self._written <= MOST_HELD and len(self._held) < MOST_PARTS_HELD:
                self._held[path.name] = table

    def pack_ahead(self, order: Sequence[str]) -> None:
        """Begin, on another thread, with the part that `compact` will make: the rows of `order` up to one that lacks.

        `order` has the identities of all rows that there will be, sorted.
        """
        self._ahead = self._beside.submit(
            _begun, self.folder, set(self._sound), dict(self._held), order
        )

    def compact(
        self,
        meanwhile: Callable[[pa.Table], Any] = lambda rows: None,
        columns: Sequence[str] = SCHEMA.names,
    ) -> Any:
        """Make one part of many, a row a run, in the order of identities; a part found damaged is set aside.

        What `meanwhile` makes of some columns of all rows, on another processor than what makes the part; None where
        none is made.
        """
        stored = parts.part_files(self.folder)
        if len(stored) > 1:
            tables, faults = parts.read_parts(
                self.folder, SCHEMA.names, SCHEMA, self._sound, self._held
            )
            if len(tables) > 1:
                rows = by_identity(one_row_a_run(tables, SCHEMA.names))
                written = self._beside.submit(_write_kept, self.folder, rows, self._ahead)
                made = meanwhile(rows.select(columns).combine_chunks())
                self._set_aside(faults)
                self._replace(stored, written.result(), len(rows))
                return made
        self._rows, faults = parts.check(self.folder, SCHEMA)
        if faults:
            self._set_aside(faults)
            parts.write_index(self.folder, self._rows)
        return None

    def _replace(self, stored: list[Path], kept: Path, rows: int) -> None:
        """Let one part, which is on the disk, stand for those stored."""
        self._held.clear()
        self._rows, self._sound = {kept.name: rows}, {kept.name}
        parts.write_index(self.folder, self._rows)
        for part in stored:
            if part != kept:
                part.unlink(missing_ok=True)

    def write_plan(self, blocks: dict[str, list[str]], grid: str = "") -> None:
        """Note which runs the grid has, block by block, and which grid it is."""
        ids = [run_id for block in blocks.values() for run_id in block]
        names = [name for name, block in blocks.items() for _ in block]
        table = pa.table(
            {"run_id": pa.array(ids, pa.string()), "block": pa.array(names, pa.string())}
        )
        atomic_write(
            self.folder / "plan.parquet",
            parts.parquet(table.replace_schema_metadata({"study.grid": grid})),
        )

    def write_manifest(self, name: str, manifest: dict[str, Any]) -> None:
        """Write or rewrite the manifest of one invocation."""
        atomic_write(
            folder_in(self.folder, "manifests") / f"{name}.json", _manifest_text(manifest).encode()
        )


def _begun(
    folder: Path, sound: Collection[str], held: Mapping[str, pa.Table], order: Sequence[str]
) -> Ahead:
    tables, _ = parts.read_parts(folder, SCHEMA.names, SCHEMA, sound, held)
    return Ahead(by_identity(one_row_a_run(tables, SCHEMA.names)), order)


def _write_kept(folder: Path, rows: pa.Table, begun: Future[Ahead] | None) -> Path:
    """Write all rows as one part; `begun` with the first of them, if those are still the same."""
    if begun is not None and begun.exception() is None and (ahead := begun.result()).begins(rows):
        return parts.write_part(folder, ahead.with_rest(rows))
    return parts.write_part(folder, parts.parquet(rows, KEPT_LEVEL))


def _manifest_text(manifest: dict[str, Any]) -> str:
    """JSON with a line for each entry, and one for each block of the configuration."""
    entries = [
        f"  {json.dumps(key)}: {json.dumps(value, default=str)}" for key, value in manifest.items()
    ]
    return "{\n" + ",\n".join(entries).replace('{"name":', '\n    {"name":') + "\n}\n"


# --- reading ------------------------------------------------------------------------------------


def read_rows(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Every undamaged row, the one finished last for each run; `BadInput` for another schema version."""
    return _read(folder, columns)[0]


def _read(folder: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, Faults]:
    names = list(SCHEMA.names if columns is None else columns)
    tables, faults = parts.read_parts(
        folder, list(dict.fromkeys([*names, "run_id", "finished_at"])), SCHEMA
    )
    return one_row_a_run(tables, names), faults


def load(
    path: str | Path, *, curves: bool = True, weights: bool = False, unplanned: bool = False
) -> pd.DataFrame:
    """Stored results as a DataFrame, a row a run, with a column `blocks` (a tuple of names).

    `curves` and `weights` bring the list columns. `unplanned` brings runs that the grid no longer has.
    Warns (`StoreWarning`) of damaged and missing parts and of planned runs that are not stored; raises
    `BadInput` where there are no results.
    """
    folder = _results_folder(path)
    left_out = set() if curves else set(CURVES)
    left_out |= set() if weights else {"weights"}
    table, faults = _read(folder, [name for name in SCHEMA.names if name not in left_out])
    for name, how in [(n, "damaged and left out") for n in faults.damaged] + [
        (n, "missing") for n in faults.missing
    ]:
        warnings.warn(
            f"{folder / name} is {how}; run its grid again to mend it", StoreWarning, stacklevel=2
        )
    table = _in_order(table)
    return _with_blocks(table.to_pandas(), table["run_id"], folder, unplanned)


def load_saying(path: str | Path, **columns: bool) -> pd.DataFrame:
    """As `load`, for a command: what it warns of are notes on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StoreWarning)
        frame = load(path, **columns)
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)
    return frame


def _in_order(table: pa.Table) -> pa.Table:
    """By identity; one whole part, which is written so, is not sorted again."""
    return table if _ascends(table["run_id"].to_pylist()) else table.sort_by("run_id")


def _ascends(values: list[str]) -> bool:
    return all(map(le, values, islice(values, 1, None)))


def _results_folder(path: str | Path) -> Path:
    """The folder, if there are results in it; else `BadInput`, with the nearest name beside it that has some."""
    folder = Path(path)
    if folder.is_file():
        raise BadInput(
            [Problem(str(path), "is a file; results are a folder, such as results/main")]
        )
    if not _has_results(folder):
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        names = [other.name for other in beside if other.is_dir() and _has_results(other)]
        message = (
            f"holds no results{nearest(folder.name, names)}; `python -m study.grid FILE` makes them"
        )
        raise BadInput([Problem(str(path), message)])
    return folder


def _has_results(folder: Path) -> bool:
    return bool(parts.part_files(folder)) or (folder / "plan.parquet").exists()


@dataclass(frozen=True)
class Condition:
    """What a results folder holds of its plan, and what is not as it should be."""

    planned: int | None  # runs; None: the plan is missing or damaged
    stored: dict[str, int]  # runs of the plan (all, without one) by status
    missing: dict[
        str, int
    ]  # planned runs that are not stored, by block; only blocks that miss some
    unplanned: int  # runs that are stored but not in the plan
    faults: Faults  # of the parts

    def __str__(self) -> str:
        """In words: `9,000 of 9,600 planned runs are stored (3 failed); missing: headline 600; 1 damaged part`."""
        total = sum(self.stored.values())
        bad = ", ".join(
            f"{self.stored[name]:,} {name}"
            for name in ("failed", "skipped")
            if self.stored.get(name)
        )
        found = f"{total:,} runs are stored, of no plan" if self.planned is None else ""
        found = found or f"{total:,} of {self.planned:,} planned runs are stored"
        found += f" ({bad})" if bad else ""
        found += "; missing: " * bool(self.missing) + ", ".join(
            f"{name} {n:,}" for name, n in self.missing.items()
        )
        return "; ".join(filter(None, [found, str(self.faults)]))


def condition(path: str | Path) -> Condition:
    """The state of a results folder; `BadInput` where there are no results, or those of another schema version."""
    import pandas as pd

    folder = _results_folder(path)
    table, faults = _read(folder, ["run_id", "status"])
    rows = table.to_pandas()
    plan = read_plan(folder)
    planned = (
        rows["run_id"].isin(plan["run_id"])
        if plan is not None
        else pd.Series(True, index=rows.index)
    )
    lacking = plan[~plan["run_id"].isin(rows["run_id"])] if plan is not None else None
    return Condition(
        planned=None if plan is None else int(plan["run_id"].nunique()),
        stored={str(name): int(n) for name, n in rows[planned]["status"].value_counts().items()},
        missing={}
        if lacking is None
        else {str(name): len(ids) for name, ids in lacking.groupby("block")},
        unplanned=int((~planned).sum()),
        faults=faults,
    )


def _with_blocks(
    frame: pd.DataFrame, ids: pa.ChunkedArray, folder: Path, unplanned: bool
) -> pd.DataFrame:
    """Rows with their blocks; `ids` are those of the rows."""
    import pandas as pd

    plan = read_plan(folder)
    if plan is None:
        message = (
            f"{folder}: plan.parquet is missing or damaged; run its grid again to know its blocks"
        )
        warnings.warn(message, StoreWarning, stacklevel=3)
        frame["blocks"] = pd.Series([()] * len(frame), dtype=object)
        return frame
    places = (
        pc.index_in(ids, value_set=pa.array(plan["run_id"], pa.string())).fill_null(-1).to_numpy()
    )
    planned = places >= 0
    again = plan["run_id"].duplicated()  # of a run in several blocks
    frame["blocks"] = pd.Series(
        np.append(_blocks_of(plan, again), _objects([()]))[places], dtype=object
    )
    runs = len(plan) - int(again.sum())
    missing = runs - int(planned.sum())
    if missing:
        message = f"{folder}: {missing:,} of {runs:,} planned runs are not stored yet"
        warnings.warn(message, StoreWarning, stacklevel=3)
    if not unplanned and not planned.all():
        frame = frame[planned].reset_index(drop=True)
    return frame


def _blocks_of(plan: pd.DataFrame, again: pd.Series) -> np.ndarray:
    """The blocks of each row's run; those of one block share a tuple: a million would keep Python's collector busy."""
    numbers, names = plan["block"].factorize()
    blocks = _objects([(name,) for name in names])[numbers]
    if not again.any():
        return blocks
    is_in_several = plan["run_id"].isin(plan["run_id"][again]).to_numpy()
    several: dict[str, tuple[str, ...]] = {}
    ids = plan["run_id"][is_in_several].tolist()
    for run_id, (block,) in zip(ids, blocks[is_in_several], strict=True):
        several[run_id] = (*several.get(run_id, ()), block)
    blocks[is_in_several] = _objects([several[run_id] for run_id in ids])
    return blocks


def _objects(values: list) -> np.ndarray:
    """An array of tuples, which numpy would take for rows."""
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def plan_table(folder: str | Path) -> pa.Table | None:
    """The runs that the grid has: `run_id` and `block`, a row for each block a run is in.

    None where the plan is missing or damaged; its schema's metadata name the grid.
    """
    try:
        file = parts.open_parquet(read_file(Path(folder) / "plan.parquet"))
        table = file.read().cast(pa.schema([("run_id", pa.string()), ("block", pa.string())]))
    except (OSError, pa.ArrowException, ValueError):
        return None
    if table["run_id"].null_count or table["block"].null_count:
        return None
    grid = (file.schema_arrow.metadata or {}).get(b"study.grid", b"")
    return table.replace_schema_metadata({b"study.grid": grid})


def grid_of(plan: pa.Table) -> str:
    """The name of the grid whose plan this is; empty where it has none."""
    return str((plan.schema.metadata or {}).get(b"study.grid", b""), "utf-8", "replace")


def read_plan(folder: str | Path) -> pd.DataFrame | None:
    """`plan_table` as a DataFrame; its `attrs["grid"]` names the grid."""
    table = plan_table(folder)
    if table is None:
        return None
    frame = table.replace_schema_metadata().to_pandas()
    frame.attrs["grid"] = grid_of(table)
    return frame


def run_of(row: Any) -> Run:
    """The `Run` of a row of the table (a mapping or a Series); `BadInput` where the row's settings make none."""
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
    try:
        run = Run(**_without_resolved(settings))
    except ValidationError as error:
        raise BadInput(
            [
                Problem(
                    f"run {row.get('run_id', '')}", f"is none that can be trained: {_first(error)}"
                )
            ]
        ) from error
    if run.run_id != row.get("run_id", run.run_id):
        raise BadInput(
            [Problem(f"run {row['run_id']}", f"has the settings of another run, {run.run_id}")]
        )
    return run


def _first(error: ValidationError) -> str:
    """What is wrong, in a line, and where."""
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc']))} {found['msg']}".strip()


def _without_resolved(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a grid would give them: what an optimizer's other keys imply is not given twice."""
    if settings["optimizer"] in ("sgd", "momentum", "nesterov"):
        kept = {
            k: v
            for k, v in settings["optimizer_settings"].items()
            if k not in ("momentum", "nesterov")
        }
        return settings | {"optimizer_settings": kept}
    return settings


def weights_in(row: Any) -> dict[str, np.ndarray] | None:
    """The final weights of a row by parameter name, float64, or None where they were not kept."""
    flat = np.asarray(row["weights"], dtype=float)
    if flat.ndim == 0:  # a null, as pandas gives it
        return None
    found, offset = {}, 0
    for name, shape in shapes_of(run_of(row)).items():
        size = math.prod(shape)
        found[name] = flat[offset : offset + size].reshape(shape)
        offset += size
    return found

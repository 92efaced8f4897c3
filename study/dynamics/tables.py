"""The tables of the analysis: a folder `dynamics` in the results, a Parquet file for each analysis.

Networks are analysed in parcels, and a parcel's rows are stored as soon as they are there, so an interrupted
analysis goes on where it was. A part belongs to the networks' weights and to the code that made it: where either
changed, it is made again. What a parcel holds does not show in any number.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from study.dynamics.network import Network
from study.errors import BadInput, Problem
from study.grid import atomic_write, folder_in, read_file

FOLDER = "dynamics"
DAMAGED = (OSError, ValueError, pa.ArrowException)
ABOUT = ("run_id", "cell", "hidden_size", "noise", "length", "optimizer", "lr", "seed", "status")

# What a table holds, by the names of its columns; what stands in none of these are numbers.
TEXT = ("run_id", "cell", "optimizer", "status", "intervention", "part")
FLAGS = ("censored", "orbit_alternates", "trained", "alternates", "stable", "cycle_at_leaving")
LISTS = ("real", "imaginary", "curve_loss", "curve_eigenvalue")
_OF_RUN, _SLIPS = " ".join(ABOUT), "steps slips first_error errors rate low high smallest_margin"
COLUMNS = {
    "cycles": f"{_OF_RUN} u fixed_points stable_fixed_points two_cycles stable_alternating rho logit_margin "
    "flip_eigenvalue flip_unstable orbit_period orbit_alternates worst_residual",
    "spectra": f"{_OF_RUN} u period alternates stable rho smallest_real residual starts real imaginary",
    "exponents": f"{_OF_RUN} noisy quiet half_log_rho",
    "margins": f"{_OF_RUN} distance toward saddle nearest",
    "recovery": f"{_OF_RUN} noisy_steps quiet_steps noisy_never quiet_never rho",
    "interventions": f"{_OF_RUN} intervention part size trials flipped at_once kept accuracy",
    "probes": f"{_OF_RUN} trained phase shuffled hashed",
    "learning": f"{_OF_RUN} lag leaving leaving_0.95 leaving_0.9 leaving_0.8 leaving_0.5 crossing loss_at_crossing "
    "eigenvalue_at_leaving cycle_at_leaving updates first_eigenvalue last_eigenvalue curve_loss curve_eigenvalue",
    "slips": f"{_OF_RUN} {_SLIPS}",
    "hand_built": f"cell seed smallest_state slack inputs_with_cycle {_SLIPS}",
    "guessing": "cell hidden_size range n solved",
    "bound": "run_id cell hidden_size noise length seed prefix bound censored",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Analysis:
    """What is computed for one network: its rows, and the source files on which they depend."""

    rows: Callable[[Network], list[Row]]
    files: tuple[str, ...]
    wanted: Callable[[pd.Series], bool] = lambda row: True


@dataclass(frozen=True)
class Whole:
    """What is computed once for a results folder: from its table of runs if it reads that."""

    rows: Callable[[pd.DataFrame], list[Row]]
    files: tuple[str, ...]
    reads_rows: bool = False


def version(files: Sequence[str]) -> str:
    """A hash of the code of an analysis."""
    here = Path(__file__).parent
    names = ("step.py", "kernels.py", "build.py", "network.py", *files)
    return sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()[:16]


def digest(rows: pd.DataFrame, analysis: Analysis) -> str:
    """What a table rests on: runs, their weights, code."""
    total = sha256(version(analysis.files).encode())
    for run_id, weights in zip(rows["run_id"], rows["weights"], strict=True):
        total.update(run_id.encode() + np.asarray(weights, float).tobytes())
    return total.hexdigest()[:16]


def whole_digest(frame: pd.DataFrame, whole: Whole) -> str:
    """What a table made once rests on: the runs it reads, if any, and code."""
    total = sha256(version(whole.files).encode())
    if whole.reads_rows:
        errors = frame["long_first_error"].fillna(-1).astype(np.int64).to_numpy()
        total.update("".join(frame["run_id"]).encode() + errors.tobytes())
    return total.hexdigest()[:16]


def frame_of(rows: list[Row], about: pd.DataFrame) -> pd.DataFrame:
    """Rows with a `run_id`, and the run's own columns beside them; numbers at half length."""
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    return shortened(about[list(ABOUT)].merge(frame, on="run_id"))


def shortened(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose measured numbers take half the room."""
    for name in frame.columns.difference(list(ABOUT)):
        if frame[name].dtype == np.float64:
            frame[name] = frame[name].astype(np.float32)
        elif frame[name].dtype == np.int64:
            frame[name] = frame[name].astype(np.int32)
    return frame


class Tables:
    """The folder of tables of one results folder."""

    def __init__(self, results: str | Path):
        self.folder = folder_in(Path(results), FOLDER)
        self.parts = folder_in(self.folder, ".parts")

    def is_done(self, name: str, key: str) -> bool:
        """Whether a table of these networks by this code is stored."""
        return _key_of(self.folder / f"{name}.parquet") == key

    def has_part(self, name: str, key: str) -> bool:
        """Whether a parcel's rows are stored, and can be read."""
        return _key_of(self.parts / f"{name}-{key}.parquet") == key

    def write_part(self, name: str, key: str, frame: pd.DataFrame) -> None:
        """Store a parcel's rows."""
        atomic_write(self.parts / f"{name}-{key}.parquet", _parquet(frame, key))

    def write(self, name: str, key: str, frame: pd.DataFrame) -> None:
        """Store a table that was made in one piece."""
        atomic_write(self.folder / f"{name}.parquet", _parquet(shortened(frame), key))

    def join(self, name: str, keys: Sequence[str], key: str) -> None:
        """Make one table of all parcels, in the order of identities."""
        frames = [
            _read(self.parts / f"{name}-{part}.parquet").to_pandas(ignore_metadata=True)
            for part in keys
        ]
        frames = [frame for frame in frames if len(frame)]
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        if len(frame):
            frame = frame.sort_values("run_id", kind="stable", ignore_index=True)
        atomic_write(self.folder / f"{name}.parquet", _parquet(frame, key))

    def clear(self) -> None:
        """Let go of the parcels."""
        shutil.rmtree(self.parts, ignore_errors=True)


def _key_of(path: Path) -> str | None:
    """What a stored table says it rests on; None where there is none, or a damaged one, which is made again."""
    try:
        return (_read(path).schema.metadata or {}).get(b"study.digest", b"").decode()
    except FileNotFoundError:
        return None
    except DAMAGED:
        print(f"note: {path} is damaged and made again", file=sys.stderr)
        return None


def _read(path: Path) -> pa.Table:
    return pq.read_table(pa.BufferReader(read_file(path)), page_checksum_verification=True)


def _parquet(frame: pd.DataFrame, key: str) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = io.BytesIO()
    table = table.replace_schema_metadata({"study.digest": key})
    pq.write_table(table, sink, compression="zstd", compression_level=12, write_page_checksum=True)
    return sink.getvalue()


def read(results: str | Path, name: str) -> pd.DataFrame:
    """A table of the analysis, such as `slips`; `BadInput` where it has not been made, or is none."""
    path = Path(results) / FOLDER / f"{name}.parquet"
    if not path.exists():
        raise BadInput(
            [Problem(str(path), f"is not there; `python -m study.dynamics {results}` makes it")]
        )
    try:
        table = _read(path)
        _refuse_other_columns(table, name)
        return table.to_pandas(ignore_metadata=True)
    except DAMAGED as error:
        message = f"is damaged; `python -m study.dynamics {results} --only {name}` makes it again"
        raise BadInput([Problem(str(path), message)]) from error


def _refuse_other_columns(table: pa.Table, name: str) -> None:
    """Hold a table against the columns that its analysis makes; one without a row has none of them."""
    if table.num_rows == 0:
        return
    lacking = [column for column in COLUMNS[name].split() if column not in table.column_names]
    unlike = [field.name for field in table.schema if not _is_as_named(field)]
    empty = [
        column
        for column in (*ABOUT, *TEXT)
        if column in table.column_names and table[column].null_count
    ]
    if lacking or unlike or empty or len(set(table.column_names)) < table.num_columns:
        raise pa.ArrowInvalid(f"not the columns of {name}: {lacking + unlike + empty}")


def _is_as_named(field: pa.Field) -> bool:
    """Whether a column holds what its name says: text, flags, lists of numbers, or numbers."""
    if field.name in TEXT:
        return pa.types.is_large_string(field.type) or pa.types.is_string(field.type)
    if field.name in FLAGS:
        return pa.types.is_boolean(field.type)
    if field.name in LISTS:
        return pa.types.is_list(field.type) and _is_number(field.type.value_type)
    return _is_number(field.type) or pa.types.is_null(field.type)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)

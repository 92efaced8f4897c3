"""Store and read the tables of the analysis of networks.

The tables are Parquet files in the folder `dynamics` of the results folder. Each file has a digest,
which is a hash of the runs, the weights and the code from which the table was computed. If any of
these has changed, `study dynamics` computes the table again.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from study.errors import echo
from study.grid import Missing, atomic_write, folder_in, read_file

FOLDER = "dynamics"
DAMAGED = (OSError, ValueError, pa.ArrowException)
RUN_COLUMNS = (
    "run_id",
    "cell",
    "hidden_size",
    "noise",
    "length",
    "optimizer",
    "lr",
    "seed",
    "status",
)
SHORT = {pa.float64(): pa.float32(), pa.int64(): pa.int32()}

Row = dict[str, Any]


def bare(source: str) -> str:
    """Return Python source without comments, docstrings and imports, in a standard layout.

    Hashes of code leave these parts out, because a change to them changes no result.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body = node.body[ast.get_docstring(node, clean=False) is not None :]
            node.body = [n for n in body if not isinstance(n, ast.Import | ast.ImportFrom)]
    return ast.unparse(tree)


def digest(code: Iterable[str], runs: pd.DataFrame) -> str:
    """Return a hash of the source texts `code` and of all columns of `runs`.

    A column named `weights` must hold arrays. The values of other columns are hashed as text.
    """
    total = sha256("\n".join(map(bare, code)).encode())
    for name, column in runs.items():
        for value in column:
            data = np.asarray(value, float).tobytes() if name == "weights" else str(value).encode()
            total.update(data)
    return total.hexdigest()[:16]


def solved(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the networks that solved the task."""
    return rows[rows["status"] == "solved"]


def write(results: Path, name: str, rows: list[Row], key: str = "") -> Path:
    """Store rows as the table `name`, and return the path of the table's file.

    The digest `key` is stored in the same file. Numbers are stored in 32 bits, except in the
    columns RUN_COLUMNS.
    """
    table = pa.Table.from_pylist(rows)
    fields = [
        field if field.name in RUN_COLUMNS else field.with_type(SHORT.get(field.type, field.type))
        for field in table.schema
    ]
    table = table.cast(pa.schema(fields)).replace_schema_metadata({"study.digest": key})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=12, write_page_checksum=True)
    path = folder_in(results, FOLDER) / f"{name}.parquet"
    atomic_write(path, sink.getvalue())
    return path


def read(results: str | Path, name: str) -> pd.DataFrame:
    """Read a table of the analysis, such as `slips`, from a results folder.

    Raises `Missing` if the table's file is absent or damaged.
    """
    path = _path(results, name)
    try:
        return _read(path).to_pandas(ignore_metadata=True)
    except DAMAGED as error:
        state = "is damaged" if path.exists() else "does not exist"
        command = f"`study dynamics {results} --only {name}`"
        raise Missing(f"{path} {state}; run {command} to create it") from error


def read_rows(results: Path, name: str) -> list[Row]:
    """Read a table as a list of rows, or no rows if the table's file is absent or damaged.

    Unlike data frames, these rows keep integers where a column has missing values.
    """
    return [] if digest_of(results, name) is None else _read(_path(results, name)).to_pylist()


def exists(results: str | Path, name: str) -> bool:
    """Whether a results folder has a table of the analysis, such as `slips`."""
    return _path(results, name).exists()


def digest_of(results: Path, name: str) -> str | None:
    """Return the digest of a stored table, or None if the table is absent or damaged."""
    path = _path(results, name)
    try:
        table = _read(path)
    except DAMAGED:
        if path.exists():
            echo(f"note: {path} is damaged; recomputing it", file=sys.stderr)
        return None
    return (table.schema.metadata or {}).get(b"study.digest", b"").decode()


def _path(results: str | Path, name: str) -> Path:
    return Path(results) / FOLDER / f"{name}.parquet"


def _read(path: Path) -> pa.Table:
    return pq.read_table(pa.BufferReader(read_file(path)), page_checksum_verification=True)

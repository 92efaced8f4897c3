"""The parts of a results folder: each file whole or not there, and each known to an index.

A part is a Parquet file `rows-<checksum>.parquet` whose name carries the SHA-256 of its content, so damage
shows. `parts.json` lists the parts with their numbers of rows, so a part that was deleted shows too. A part
is written before it is listed, and taken off the list before it is deleted: a crash in between leaves a part
that is not listed, which counts like any other, and never a listed one that was not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from study.errors import BadInput, Problem, printable
from study.grid.files import atomic_write, read_file
from study.runs import ALWAYS, fault

INDEX = "parts.json"
NAME = r"rows-[0-9a-f]{16}\.parquet"
_MOST_LOOKS = 20  # at a folder that another process writes to
_BATCH = 50_000  # rows looked at together
# Some kilobytes of made-up Parquet can stand for more rows than any memory holds.
_MOST_BYTES, _MOST_TIMES = (
    2**28,
    1000,
)  # of numbers: in any file; as many times the file's own bytes


@dataclass(frozen=True)
class Faults:
    """What is wrong with the parts of a folder."""

    damaged: dict[str, str] = field(default_factory=dict)  # part -> what is wrong with it
    missing: dict[str, int] = field(
        default_factory=dict
    )  # part that is listed and not there -> rows it had
    index: str | None = None  # what is wrong with the list

    def __bool__(self) -> bool:
        return bool(self.damaged or self.missing or self.index)

    def __str__(self) -> str:
        """In words: `2 damaged parts, left out; 1 missing part`."""
        counts = ((len(self.damaged), "damaged", ", left out"), (len(self.missing), "missing", ""))
        return "; ".join(f"{n} {kind} part{'s' * (n > 1)}{then}" for n, kind, then in counts if n)


class _Damaged(Exception):
    """A part whose content cannot be used."""


# --- writing ------------------------------------------------------------------------------------


def parquet(table: pa.Table, level: int | None = 9) -> bytes:
    """A table as Parquet.

    `level` is zstd's; None is for a part that is soon in another: twice as quick to write and to read, twice as large.
    """
    packer = Packer(table, level)
    packer.add(table)
    return packer.content()


class Packer:
    """Makes Parquet of tables that are like the one given, which comes first, one after another."""

    def __init__(self, table: pa.Table, level: int | None):
        self._sink = (
            pa.BufferOutputStream()
        )  # Arrow's own, which waits for no other thread of Python's at a write
        self._writer = pq.ParquetWriter(self._sink, table.schema, **_encoding(table, level))

    def add(self, table: pa.Table) -> None:
        """Pack some more rows."""
        self._writer.write_table(table)

    def content(self) -> bytes:
        """All of it; nothing can be added any more."""
        self._writer.close()
        return self._sink.getvalue().to_pybytes()


def _encoding(table: pa.Table, level: int | None) -> dict[str, Any]:
    """How to pack such tables. Lists of numbers that hardly repeat are split by bytes, which saves a quarter."""
    if level is None:
        return {"compression": "lz4", "use_dictionary": False}
    split = [f.name for f in table.schema if _is_numbers(f.type) and _hardly_repeats(table[f.name])]
    others = [
        f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in table.schema
    ]
    return {
        "compression": "zstd",
        "compression_level": level,
        "use_dictionary": [name for name in others if name.split(".")[0] not in split],
        "use_byte_stream_split": [f"{name}.list.element" for name in split],
    }


def _is_numbers(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)


def _hardly_repeats(lists: pa.ChunkedArray) -> bool:
    """Judged by the first thousands, which tell as much as all of them."""
    few = lists.slice(0, 200)
    numbers = pa.chunked_array([chunk.flatten() for chunk in few.chunks], lists.type.value_type)
    return len(numbers) == 0 or len(numbers.unique()) > len(numbers) / 2


def write_part(folder: Path, content: bytes) -> Path:
    """Write one part, as `parquet` makes it; it is on the disk, and not listed yet, when this returns."""
    path = folder / f"rows-{_checksum(content)}.parquet"
    atomic_write(path, content)
    return path


def write_index(folder: Path, rows: dict[str, int]) -> None:
    """List these parts, and no others."""
    lines = ",\n".join(f"  {json.dumps(name)}: {count}" for name, count in sorted(rows.items()))
    atomic_write(folder / INDEX, f"{{\n{lines}\n}}\n".encode())


def set_aside(part: Path) -> None:
    """Take a damaged part out of the results; it stays beside them."""
    part.rename(part.with_suffix(".damaged"))


# --- reading ------------------------------------------------------------------------------------


def part_files(folder: Path) -> list[Path]:
    """The parts that are there."""
    return sorted(folder.glob("rows-*.parquet"))


def read_index(folder: Path) -> dict[str, int]:
    """The parts that should be there, with their numbers of rows; `ValueError` says why that is not known."""
    try:
        listed = json.loads(read_file(folder / INDEX))
    except FileNotFoundError as error:
        raise ValueError("is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError("is damaged") from error
    if not isinstance(listed, dict) or not all(
        re.fullmatch(NAME, name) and type(count) is int and 0 <= count < 2**31
        for name, count in listed.items()
    ):
        raise ValueError("is damaged")
    return listed


def check(folder: Path, schema: pa.Schema) -> tuple[dict[str, int], Faults]:
    """The sound parts with their numbers of rows, and the faults."""
    sound, damaged = {}, {}
    for part in part_files(folder):
        try:
            sound[part.name] = _looked_through(_opened(part, schema))
        except _Damaged as error:
            damaged[part.name] = str(error)
    try:
        listed = read_index(folder)
    except ValueError as error:
        return sound, Faults(damaged, index=str(error))
    return sound, Faults(damaged, _gone(listed, [*sound, *damaged]))


def read_parts(
    folder: Path,
    columns: Sequence[str],
    schema: pa.Schema,
    known: Collection[str] = (),
    held: Mapping[str, pa.Table] = MappingProxyType({}),
) -> tuple[list[pa.Table], Faults]:
    """Some columns of every sound part, and the faults; `BadInput` for parts of another schema version.

    Rows of `known` parts are not looked through, and those of `held` ones not even decoded, since here they are.
    Another process may be making one part of many meanwhile: then this looks again.
    """
    for _ in range(_MOST_LOOKS):
        listed = _listed(folder)
        parts, tables, damaged = part_files(folder), [], {}
        try:
            for part in parts:
                try:
                    look = part.name not in known
                    if part.name in held and _content(part):
                        tables.append(_chosen(held[part.name], columns, look))
                    else:
                        tables.append(_read_part(part, columns, schema, look))
                except _Damaged as error:
                    damaged[part.name] = str(error)
        except FileNotFoundError:
            continue
        missing = _gone(listed, [part.name for part in parts])
        if not missing or _listed(folder) == listed:
            return tables, Faults(damaged, missing)
    raise BadInput(
        [Problem(str(folder), "changes all the time; wait for the grid that writes here")]
    )


def _listed(folder: Path) -> dict[str, int]:
    """The index; empty where it is not known, such as in results of an older version."""
    try:
        return read_index(folder)
    except ValueError:
        return {}


def _gone(listed: dict[str, int], there: Sequence[str]) -> dict[str, int]:
    return {name: count for name, count in listed.items() if name not in there}


def _checksum(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def _content(part: Path) -> bytes:
    """What a part holds, as it was written."""
    try:
        content = read_file(part)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _Damaged(f"it cannot be read: {error.strerror}") from error
    if _checksum(content) != part.stem.removeprefix("rows-"):
        raise _Damaged("its content is not what its name says")
    return content


def _opened(part: Path, schema: pa.Schema) -> pq.ParquetFile:
    """A part with the right content, opened in memory."""
    content = _content(part)
    try:
        file = open_parquet(content)
        found = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _Damaged(
            f"it is no Parquet that can be read: {printable(str(error))[:100]}"
        ) from error
    _refuse_other_version(part, found, schema)
    unlike = [
        f.name for f in found if f.name in schema.names and f.type != schema.field(f.name).type
    ]
    unlike += [name for name in ALWAYS if name not in found.names]
    if unlike or len(set(found.names)) < len(found.names):
        raise _Damaged(
            f"its columns are not those of results: {printable(', '.join(unlike or found.names)[:80])}"
        )
    return file


def open_parquet(content: bytes) -> pq.ParquetFile:
    """Parquet in memory; ArrowException or ValueError for what is none, or stands for too much."""
    file = pq.ParquetFile(pa.BufferReader(content))
    groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
    numbers = sum(group.column(i).num_values for group in groups for i in range(group.num_columns))
    if 8 * max(numbers, file.metadata.num_rows) > max(_MOST_TIMES * len(content), _MOST_BYTES):
        raise ValueError(f"it stands for {numbers:,} values, which no results of its size have")
    return file


def _looked_through(file: pq.ParquetFile) -> int:
    """The rows of a part, every one of which is as it should be."""
    try:
        for batch in file.iter_batches(_BATCH):
            _refuse_faulty(pa.Table.from_batches([batch]))
    except (pa.ArrowException, OSError) as error:
        raise _Damaged("it cannot be decoded") from error
    return file.metadata.num_rows


def _chosen(rows: pa.Table, columns: Sequence[str], look: bool) -> pa.Table:
    if look:
        _refuse_faulty(rows)
    return rows.select(list(columns))


def _refuse_faulty(table: pa.Table) -> None:
    if found := fault(table):
        raise _Damaged(f"its rows are no results: {found}")


def _refuse_other_version(part: Path, found: pa.Schema, schema: pa.Schema) -> None:
    has, reads = (
        str((s.metadata or {}).get(b"study.schema", b"?"), "utf-8", "replace")
        for s in (found, schema)
    )
    if has != reads:
        message = (
            f"has results of schema version {has}, this code reads {reads}; use another folder"
        )
        raise BadInput([Problem(str(part), message)])


def _read_part(part: Path, columns: Sequence[str], schema: pa.Schema, look: bool) -> pa.Table:
    """Some columns of one part; those that it lacks, since it is older, are empty.

    What is no list is read along and looked at, so that a part is sound or not whichever columns are asked for.
    """
    file = _opened(part, schema)
    wanted = {f.name for f in schema if f.name in columns or not pa.types.is_list(f.type)}
    try:
        table = file.read(columns=[name for name in file.schema_arrow.names if name in wanted])
    except (pa.ArrowException, OSError) as error:
        raise _Damaged("it cannot be decoded") from error
    if look:
        _refuse_faulty(table)
    there = set(table.column_names)
    for name in columns:
        if name not in there:
            table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    return table.select(list(columns)).replace_schema_metadata(
        schema.metadata
    )  # not its own, which pandas would obey

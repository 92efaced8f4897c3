"""Many parts as one table, a row a run in the order of identities, and that table as one part."""

from __future__ import annotations

from collections.abc import Sequence
from operator import ne
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from study.grid.parts import Packer
from study.runs import SCHEMA

pc: Any = pyarrow.compute  # makes its functions when it is imported

LEAST_STRETCH = 20  # rows, on the average, for which to slice is quicker than to copy
KEPT_LEVEL = 1  # zstd's: 9 takes a quarter of a second longer for the main grid, and saves 3 %


def one_row_a_run(tables: list[pa.Table], names: list[str]) -> pa.Table:
    """Some columns of all tables, the row finished last for each run; tables need `run_id` and `finished_at` too."""
    if not tables:
        return SCHEMA.empty_table().select(names)
    table = pa.concat_tables(tables)
    if pc.count_distinct(table["run_id"]).as_py() < len(table):
        table = table.take(_last_of_each(table))
    return table.select(names)


def _last_of_each(table: pa.Table) -> pa.ChunkedArray:
    """The number of one row for each run, the one finished last."""
    numbered = table.select(["run_id", "finished_at"]).append_column(
        "row", pa.array(np.arange(len(table)))
    )
    order = numbered.sort_by([("finished_at", "ascending")])
    return order.group_by("run_id", use_threads=False).aggregate([("row", "last")])["row_last"]


def by_identity(rows: pa.Table) -> pa.Table:
    """Rows sorted; a grid's come in stretches that are, of which none is copied."""
    order = pc.sort_indices(rows["run_id"]).to_numpy()
    ends = [*(np.flatnonzero(np.diff(order) != 1) + 1).tolist(), len(order)]
    if len(ends) > len(order) / LEAST_STRETCH:
        return rows.take(order)
    stretches = zip([0, *ends], ends, strict=False)
    return pa.concat_tables([rows.slice(order[first], end - first) for first, end in stretches])


class Ahead:
    """The first rows of a part that cannot be whole yet, packed already."""

    def __init__(self, rows: pa.Table, order: Sequence[str]):
        """Of sorted rows those before the first that lacks; `order` has the identities of all that there will be."""
        differs = map(ne, rows["run_id"].to_pylist(), order)
        rows = rows.slice(
            0, next((place for place, other in enumerate(differs) if other), len(rows))
        )
        self._keys = _keys(rows)
        self._packer = Packer(rows, KEPT_LEVEL)
        self._packer.add(rows)

    def __len__(self) -> int:
        return len(self._keys)

    def begins(self, rows: pa.Table) -> bool:
        """Whether these are the first of some sorted rows, as they were: none made again since, or lost."""
        return len(self) > 0 and self._keys.equals(_keys(rows.slice(0, len(self))))

    def with_rest(self, rows: pa.Table) -> bytes:
        """All of `rows`, which begin with these, as one part's content; once."""
        self._packer.add(rows.slice(len(self)))
        return self._packer.content()


def _keys(rows: pa.Table) -> pa.Table:
    return rows.select(["run_id", "finished_at"]).combine_chunks()

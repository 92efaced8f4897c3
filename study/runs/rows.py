"""What a row of results must be, whoever wrote it: which entries are never empty, in which ranges, of which lengths.

A part whose content fits its name can still have been made up. What reads results may rely on what stands here, so
that it needs no second look. Columns are looked at as a whole, without a Python object for each entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import annotated_types
import numpy as np
import pyarrow as pa
import pyarrow.compute

from study.model import CELLS, TASKS, weight_shapes
from study.runs.schema import failed_batch
from study.runs.settings import CLASSES, Run

pc: Any = pyarrow.compute  # makes its functions when it is imported

STATUSES = ("solved", "unsolved", "diverged", "failed", "skipped")
TRAINED, EVALUATED = STATUSES[:3], STATUSES[:2]  # to their end; and with final scores
CURVES = ("update", "training_loss", "loss", "accuracy", "exact", "train_seconds")
SHARES = ("accuracy", "exact", "long_accuracy", "long_exact")
SECONDS = ("converged_seconds", "train_seconds", "evaluation_seconds", "final_seconds")
FIRST_ERRORS = ("first_error", "first_error_median", "long_first_error", "long_first_error_median")
COUNTS = (
    "converged_update",
    "converged_sequences",
    "lost_update",
    "diverged_update",
    "updates",
    "sequences",
)
MOST_SECONDS = 1e9
RANGES = {  # the least and the greatest value of results and timings; None: there is none
    **dict.fromkeys((*SHARES, "curve_accuracy", "curve_exact"), (0.0, 1.0)),
    **dict.fromkeys((*SECONDS, "curve_train_seconds"), (0.0, MOST_SECONDS)),
    **dict.fromkeys(("loss", "long_loss", "curve_loss", "curve_training_loss"), (0.0, None)),
    **dict.fromkeys(COUNTS, (0, None)),
    **dict.fromkeys(FIRST_ERRORS, (1, None)),
}

# Never empty: in every row, and in rows of some statuses.
ALWAYS = (
    *(
        name
        for name, info in Run.model_fields.items()
        if type(None) not in get_args(info.annotation)
    ),
    *("run_id", "status", "runs_at_once", "finished_at"),
)
NEEDED = {
    TRAINED: ("updates", "sequences", *SECONDS[1:], *(f"curve_{name}" for name in CURVES)),
    EVALUATED: ("loss", "long_loss", *SHARES),
    ("solved",): ("converged_update", "converged_sequences", "converged_seconds"),
    ("diverged",): ("diverged_update",),
    ("failed", "skipped"): ("reason",),
}
WORD = r"^[\w.+-]{1,100}$"
WORDS = (
    "task",
    "cell",
    "init",
    "noise_kind",
    "start",
    "data",
    "update_per",
    "state",
    "optimizer",
    "engine",
    "device",
    "dtype",
)
EMPTY = {
    "converged_update": ("unsolved", "failed", "skipped"),
    "diverged_update": (*EVALUATED, "failed", "skipped"),
}


def fault(table: pa.Table) -> str | None:
    """What is wrong with the first column of a table that is not as results are; the table may lack columns."""
    return next(_faults(table), None)


def as_failed(table: pa.Table) -> pa.Table:
    """The rows; each that is no result, such as one with an accuracy of 2, is a failed run's, with what is wrong."""
    why = fault(table)
    if why is None or not len(table):
        return table
    if len(table) == 1:
        reason = f"the engine's results are none: {why}"
        return pa.Table.from_batches([failed_batch(table.to_pylist()[0], reason)], table.schema)
    half = len(table) // 2
    return pa.concat_tables([as_failed(table.slice(0, half)), as_failed(table.slice(half))])


def _faults(table: pa.Table) -> Iterator[str]:
    there = set(table.column_names)
    yield from (
        f"{name} is empty in a row" for name in ALWAYS if name in there and table[name].null_count
    )
    yield from (
        f"{name} is out of its range"
        for name in table.column_names
        if not _is_in_range(name, table[name])
    )
    if "status" in there:
        yield from _by_status(table)
    if "optimizer_settings" in there and not all(
        map(_is_mapping, pc.unique(table["optimizer_settings"]).to_pylist())
    ):
        yield "optimizer_settings are no mapping"
    for less, more in (("converged_update", "updates"), ("updates", "max_updates")):
        if {less, more} <= there and _any(pc.greater(table[less], table[more])):
            yield f"{less} is above {more}"
    if {"status", "updates", "max_updates"} <= there and _any(
        pc.and_(
            pc.equal(table["status"], "unsolved"), pc.less(table["updates"], table["max_updates"])
        )
    ):
        yield "updates are below max_updates in a row that is unsolved"
    yield from _curves(table)
    if "weights" in there and not _weights_fit(table):
        yield "weights are not as many as the network has"


def _is_in_range(name: str, column: pa.ChunkedArray) -> bool:
    if name in WORDS:  # they go into grid files, on axes and to terminals
        return _all(pc.match_substring_regex(pc.unique(column), WORD))
    if name in Run.model_fields:
        return _fits_setting(name, column)
    if name == "status":
        return set(pc.unique(column).to_pylist()) <= {*STATUSES, None}
    if name in RANGES:
        low, high = RANGES[name]
        values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        if high is not None and not _all(
            pc.less_equal(values, high)
        ):  # NaN is no share, and no time
            return False
        return not _any(pc.less(values, low))
    return True


def _fits_setting(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a setting's values are within the bounds that `Run` gives it."""
    if pa.types.is_floating(column.type) and not _all(pc.is_finite(column)):
        return False
    low, high, strict_low = _bounds(name)
    below = pc.less_equal if strict_low else pc.less
    too_low = low is not None and _any(below(column, low))
    return not too_low and not (high is not None and _any(pc.greater(column, high)))


@cache
def _bounds(name: str) -> tuple[Any, Any, bool]:
    """The least and the greatest value of a setting, None where there is none; whether the least is excluded."""
    info = Run.model_fields[name]
    marks = [
        *info.metadata,
        *(mark for part in (info.annotation, *get_args(info.annotation)) for mark in _marks(part)),
    ]
    found = {type(mark): mark for mark in marks}
    ge, gt, le = (
        found.get(kind) for kind in (annotated_types.Ge, annotated_types.Gt, annotated_types.Le)
    )
    return (gt.gt if gt else ge.ge if ge else None), (le.le if le else None), gt is not None


def _marks(hint: Any) -> list[Any]:
    """The constraints of a type hint."""
    found = []
    for mark in getattr(hint, "__metadata__", ()):
        found += getattr(mark, "metadata", None) or [mark]
    return found


def _by_status(table: pa.Table) -> Iterator[str]:
    for statuses, names in NEEDED.items():
        chosen = pc.is_in(table["status"], pa.array(statuses))
        for name in names:
            if name in table.column_names and _any(pc.and_(chosen, table[name].is_null())):
                yield f"{name} is empty in a row that is {' or '.join(statuses)}"
    for name, statuses in EMPTY.items():
        if name in table.column_names:
            chosen = pc.is_in(table["status"], pa.array(statuses))
            if _any(pc.and_(chosen, table[name].is_valid())):
                yield f"{name} is given in a row that is {' or '.join(statuses)}"


def _curves(table: pa.Table) -> Iterator[str]:
    """Curves of one run have an entry for each evaluation, none of them empty."""
    names = [f"curve_{name}" for name in CURVES if f"curve_{name}" in table.column_names]
    lengths = [pc.list_value_length(table[name]) for name in names]
    for name, length in zip(names, lengths, strict=True):
        if not length.equals(lengths[0]):
            yield f"{name} is not as long as {names[0]}"
        if pc.list_flatten(table[name]).null_count or _any(pc.equal(length, 0)):
            yield f"{name} has an empty entry"
    if "curve_update" in names and not _rises(table["curve_update"]):
        yield "curve_update does not rise"
    if {"curve_update", "updates", "status"} <= set(table.column_names):
        evaluated = table.filter(pc.is_in(table["status"], pa.array(EVALUATED)))
        ends = np.cumsum(pc.list_value_length(evaluated["curve_update"]).to_numpy()) - 1
        if (
            pc.list_flatten(evaluated["curve_update"]).to_numpy()[ends]
            != evaluated["updates"].to_numpy()
        ).any():
            yield "curve_update does not end at updates"


def _rises(lists: pa.ChunkedArray) -> bool:
    """Whether the numbers of each list are above 0, or 0, and each above the one before."""
    numbers = pc.list_flatten(lists).to_numpy()
    rows = pc.list_parent_indices(lists).to_numpy()
    steps = np.diff(numbers)[np.diff(rows) == 0]
    return bool((steps > 0).all() and (numbers >= 0).all())


def _weights_fit(table: pa.Table) -> bool:
    """Whether a run has as many weights as its network; unknown tasks and cells are not judged."""
    names = ("task", "cell", "hidden_size", "layers", "start")
    if not set(names) <= set(table.column_names) or table["weights"].null_count == len(table):
        return True
    kept = table.filter(table["weights"].is_valid())
    if pc.list_flatten(kept["weights"]).null_count:
        return False
    counted = kept.select(names).append_column("count", pc.list_value_length(kept["weights"]))
    kinds = counted.group_by([*names, "count"]).aggregate([]).to_pylist()
    return all(kind.pop("count") == weight_count(**kind) for kind in kinds if _is_known(kind))


def _is_known(kind: dict[str, Any]) -> bool:
    return kind["task"] in TASKS and kind["cell"] in CELLS


def weight_count(task: str, cell: str, hidden_size: int, layers: int, start: str) -> int:
    """How many weights a network has, a learned start state included."""
    shapes = weight_shapes(CELLS[cell], TASKS[task].input_size, hidden_size, layers, CLASSES)
    count = sum(int(np.prod(shape, dtype=object)) for shape in shapes.values())
    return count + (len(CELLS[cell].states) * layers * hidden_size if start == "learned" else 0)


def _is_mapping(text: str | None) -> bool:
    try:
        return isinstance(json.loads(text or ""), dict)
    except (ValueError, RecursionError):
        return False


def _any(flags: Any) -> bool:
    return bool(pc.any(flags).as_py())


def _all(flags: Any) -> bool:
    return pc.all(flags).as_py() is not False

"""The columns of the results: settings, what a training gave, and timings; and rows as Arrow holds them.

It imports no more than Arrow, since the processes that train send rows so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.ipc

from study.runs.settings import SCHEMA_VERSION, Run


def _list_of(kind: pa.DataType) -> pa.DataType:
    """A list as Parquet gives it back: the name of its entries is part of a file's bytes."""
    return pa.list_(pa.field("element", kind))


_FLOATS = _list_of(pa.float64())
RESULTS = {
    "status": (pa.string(), "solved, unsolved, diverged, failed or skipped"),
    "reason": (pa.string(), "of failed: the traceback; of skipped: what is not there"),
    "converged_update": (
        pa.int64(),
        "updates done at the first of the solved evaluations in a row",
    ),
    "converged_sequences": (pa.int64(), "sequences seen by then"),
    "lost_update": (pa.int64(), "updates done at the first evaluation after it that was not exact"),
    "diverged_update": (pa.int64(), "the update whose loss was not finite"),
    "updates": (pa.int64(), "updates done in all"),
    "sequences": (pa.int64(), "sequences seen in all"),
    "loss": (pa.float64(), "final evaluation at the test length: nats per label"),
    "accuracy": (pa.float64(), "share of right labels over t >= 1"),
    "exact": (pa.float64(), "share of sequences with every label right over t >= 1"),
    "first_error": (pa.int64(), "earliest wrong step over all sequences; none: no error"),
    "first_error_median": (
        pa.int64(),
        "lower median over sequences; none: more than half have no error",
    ),
    "long_loss": (pa.float64(), "final evaluation at ten test lengths, as above"),
    "long_accuracy": (pa.float64(), ""),
    "long_exact": (pa.float64(), ""),
    "long_first_error": (pa.int64(), ""),
    "long_first_error_median": (pa.int64(), ""),
    "curve_update": (_list_of(pa.int64()), "updates done at each evaluation, from 0"),
    "curve_training_loss": (_FLOATS, "mean training loss since the evaluation before"),
    "curve_loss": (_FLOATS, "loss on fresh sequences of the test length"),
    "curve_accuracy": (_FLOATS, "accuracy on them"),
    "curve_exact": (_FLOATS, "exact share on them"),
    "weights": (
        _FLOATS,
        "final weights, flat in the order of `weights_of`, where the grid keeps them",
    ),
}
TIMINGS = {  # everything that may differ when a run is trained again
    "converged_seconds": (
        pa.float64(),
        "spent on updates by the time of convergence, evaluation excluded",
    ),
    "train_seconds": (pa.float64(), "spent on updates in all, drawing their data included"),
    "evaluation_seconds": (
        pa.float64(),
        "spent on the curve's evaluations, drawing their data included",
    ),
    "final_seconds": (pa.float64(), "spent on the two final evaluations"),
    "curve_train_seconds": (_list_of(pa.float32()), "train_seconds by each evaluation"),
    "runs_at_once": (pa.int64(), "how many runs this grid trained on the machine at the same time"),
    "finished_at": (pa.timestamp("us", tz="UTC"), "when the row was made"),
    "invocation": (pa.string(), "the manifest of the command that made it"),
}
CURVES = tuple(name for name in (*RESULTS, *TIMINGS) if name.startswith("curve_"))


def _arrow_type(hint: Any) -> pa.DataType:
    """The column type of a setting, from its type hint in `Run` without its constraints."""
    hint = (
        next((part for part in get_args(hint) if part is not type(None)), hint)
        if _is_optional(hint)
        else hint
    )
    if get_origin(hint) is dict:
        return pa.string()  # as JSON
    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}[hint]


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


SETTINGS = {
    name: _arrow_type(hint)
    for name, hint in get_type_hints(Run).items()
    if name in Run.model_fields
}
SCHEMA = pa.schema(
    [("run_id", pa.string())]
    + list(SETTINGS.items())
    + [(name, kind) for name, (kind, _) in (RESULTS | TIMINGS).items()],
    metadata={"study.schema": str(SCHEMA_VERSION)},
)


def batch_of(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Rows, which may lack entries, with every column; Arrow's errors for an entry that is none of its column."""
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def table_of(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Batches as one table, copied together: each costs what reads it as much as some hundreds of rows."""
    return pa.Table.from_batches(batches, SCHEMA).combine_chunks()


def failed_batch(row: dict[str, Any], reason: str) -> pa.RecordBatch:
    """The row of the same run as a failed one's: without results, which cannot be kept."""
    kept = {
        name: row[name]
        for name in ("run_id", *SETTINGS, "runs_at_once", "finished_at", "invocation")
    }
    return batch_of([kept | {"status": "failed", "reason": reason}])


def received(message: pa.Buffer) -> pa.RecordBatch:
    """Rows as they were sent."""
    return pa.ipc.read_record_batch(message, SCHEMA)

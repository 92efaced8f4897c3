"""Define the columns of the results table: their types, meanings and allowed values.

The table has one row per run, even for a run that failed. The status of a run decides which other
columns of its row are filled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute

from study.runs.settings import SCHEMA_VERSION, Run

pc: Any = pyarrow.compute  # made at import, so type checkers do not know its functions
Row = dict[str, Any]
# Arrow raises one of these for a value that does not fit the type of its column.
MISFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)

CONCLUSIVE = ("solved", "unsolved", "diverged")  # statuses of runs that finished training
EVALUATED = ("solved", "unsolved")  # statuses of runs whose trained network was evaluated
INCONCLUSIVE = ("failed", "skipped")


class Column(NamedTuple):
    """A column of the results: its type, its meaning, and the numbers that it may hold.

    `low` and `high` are the smallest and the largest allowed number. If `high` is None, numbers may
    be arbitrarily large, and NaN is allowed. If `low` is None, all numbers are allowed.
    """

    type: pa.DataType
    description: str
    low: float | None = None
    high: float | None = None


def _list_of(kind: pa.DataType) -> pa.DataType:
    """Return the Arrow type of a list whose elements have the Arrow type `kind`.

    The field of the elements is called `element`, as in Parquet.
    """
    return pa.list_(pa.field("element", kind))


TEXT, INTEGER, NUMBER = pa.string(), pa.int64(), pa.float64()
INTEGERS, NUMBERS = _list_of(INTEGER), _list_of(NUMBER)
INFINITE = float("inf")
RESULTS = {
    "status": Column(TEXT, "solved, unsolved, diverged, failed or skipped"),
    "reason": Column(TEXT, "why the run failed (with traceback), or why it was skipped"),
    "converged_update": Column(
        INTEGER,
        "updates done at the first of solved_evaluations evaluations in a row without an error",
        0,
    ),
    "converged_sequences": Column(INTEGER, "training sequences seen up to converged_update", 0),
    "lost_update": Column(
        INTEGER, "updates done at the first evaluation with an error after converged_update", 0
    ),
    "diverged_update": Column(INTEGER, "number of the update whose loss was not finite", 0),
    "updates": Column(INTEGER, "updates done in the whole training", 0),
    "sequences": Column(INTEGER, "training sequences seen in the whole training", 0),
    "loss": Column(
        NUMBER, "loss in the final evaluation on sequences of the test length, in nats per label", 0
    ),
    "accuracy": Column(
        NUMBER, "share of labels from step 1 on that are right in the final evaluation", 0, 1
    ),
    "exact": Column(
        NUMBER,
        "share of sequences in the final evaluation with every label right from step 1 on",
        0,
        1,
    ),
    "first_error": Column(
        INTEGER,
        "earliest step from 1 on with a wrong label in any sequence of the final evaluation; "
        "null if there is none",
        1,
    ),
    "first_error_median": Column(
        INTEGER,
        "lower median of the step at which a sequence has its first wrong label from step 1 on; "
        "null if most sequences have none",
        1,
    ),
    "long_loss": Column(
        NUMBER, "loss on sequences of ten times the test length, in nats per label", 0
    ),
    "long_accuracy": Column(
        NUMBER, "value of accuracy on sequences of ten times the test length", 0, 1
    ),
    "long_exact": Column(NUMBER, "value of exact on sequences of ten times the test length", 0, 1),
    "long_first_error": Column(
        INTEGER, "value of first_error on sequences of ten times the test length", 1
    ),
    "long_first_error_median": Column(
        INTEGER, "value of first_error_median on sequences of ten times the test length", 1
    ),
    "curve_update": Column(INTEGERS, "updates done at each evaluation, starting at 0", 0),
    "curve_training_loss": Column(NUMBERS, "mean training loss since the previous evaluation", 0),
    "curve_loss": Column(
        NUMBERS, "loss at each evaluation, on fresh sequences of the test length", 0
    ),
    "curve_accuracy": Column(
        NUMBERS, "share of labels from step 1 on that are right at each evaluation", 0, 1
    ),
    "curve_exact": Column(
        NUMBERS, "share of sequences at each evaluation with every label right from step 1 on", 0, 1
    ),
    "weights": Column(
        NUMBERS, "final weights as one flat list, in the order of `weights_of`; null if not kept"
    ),
}
TIMINGS = {  # all columns that may differ when a run is trained again
    "converged_seconds": Column(NUMBER, "value of train_seconds at converged_update", 0, INFINITE),
    "train_seconds": Column(
        NUMBER, "seconds spent on updates and on making their data", 0, INFINITE
    ),
    "evaluation_seconds": Column(
        NUMBER, "seconds spent on the evaluations during training", 0, INFINITE
    ),
    "final_seconds": Column(NUMBER, "seconds spent on both final evaluations", 0, INFINITE),
    "runs_at_once": Column(
        INTEGER,
        "number of runs trained on the machine at the same time, in all processes and lanes",
        0,
    ),
    "finished_at": Column(pa.timestamp("us", tz="UTC"), "time at which the row was made"),
    "invocation": Column(TEXT, "name of the file (manifest) about the command that made the row"),
}
COLUMNS = RESULTS | TIMINGS
CURVES = tuple(name for name in COLUMNS if name.startswith("curve_"))
SECONDS = tuple(name for name in TIMINGS if name.endswith("_seconds"))
NEEDED = {  # by status: the columns that must be filled
    CONCLUSIVE: ("updates", "sequences", *SECONDS[1:], *CURVES),
    EVALUATED: (*("loss", "accuracy", "exact"), *("long_loss", "long_accuracy", "long_exact")),
    ("solved",): ("converged_update", "converged_sequences", "converged_seconds"),
    ("diverged",): ("diverged_update",),
    INCONCLUSIVE: ("reason",),
}


def _arrow_type(hint: Any) -> pa.DataType:
    """Return the Arrow type of a setting's column. `hint` is the setting's type in `Run`."""
    kind = next((part for part in get_args(hint) if part is not type(None)), hint)
    if dict in (hint, get_origin(hint)):
        return pa.string()  # as JSON
    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}[kind]


_HINTS = get_type_hints(Run)
SETTINGS = {name: _arrow_type(_HINTS[name]) for name in Run.model_fields}
SCHEMA = pa.schema(
    {
        "run_id": TEXT,
        **SETTINGS,
        "rules": TEXT,  # `Run.rules` as JSON; null if there are none
        **{name: column.type for name, column in COLUMNS.items()},
    },
    metadata={"study.schema": str(SCHEMA_VERSION)},
)


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return a table of rows, each given as a dict of values by column name.

    The table has all columns of `SCHEMA`, followed by any other columns of the rows. A value that
    is missing from a row is null. Raises one of the errors in `MISFIT` if a value does not fit the
    type of its column.
    """
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    known = set(SCHEMA.names)
    for name in dict.fromkeys(name for row in rows for name in row if name not in known):
        table = table.append_column(name, pa.array([row.get(name) for row in rows]))
    return table


def judged(rows: Sequence[Row]) -> list[Row]:
    """Check the results in `rows`, and return the rows in the same order.

    A row with invalid results is replaced by the row of a failed run. No error is raised, since an
    engine may return anything, and one bad run must not stop the others.
    """
    try:
        table = table_of(rows)
    except MISFIT:
        rows = [_or_failed(row, _misfit(row)) for row in rows]
        table = table_of(rows)
    first_faults = dict(reversed(list(_faults(table))))
    return [_or_failed(row, first_faults.get(place)) for place, row in enumerate(rows)]


def _or_failed(row: Row, why: str | None) -> Row:
    """Return the row unchanged if `why` is None, and otherwise the row of a failed run.

    `why` says what is invalid in the results. The row of a failed run keeps the run's identity and
    settings, but none of its results and durations.
    """
    if why is None:
        return row
    kept = {name: row[name] for name in row if name not in RESULTS and not name.endswith("seconds")}
    reason = f"the engine returned invalid results: {why}"
    return kept | {"status": "failed", "reason": reason}


def _misfit(row: Row) -> str | None:
    """Return a message about the first value in a row that does not fit the type of its column.

    Returns None if all values fit.
    """
    for name, column in COLUMNS.items():
        try:
            pa.array([row.get(name)], column.type)
        except MISFIT:
            return f"{name} is {str(row[name])[:50]!r}, which is not of type {column.type}"
    return None


def _faults(table: pa.Table) -> Iterator[tuple[int, str]]:
    """Yield the row index and a message for each fault in a table of rows."""
    for statuses, names in NEEDED.items():
        chosen = pc.is_in(table["status"], pa.array(statuses))
        for name in names:
            for place in _places(pc.and_(chosen, table[name].is_null())):
                yield place, f"{name} is missing from a run that is {table['status'][place]}"
    for name, column in COLUMNS.items():
        if column.low is not None:
            yield from _out_of_range(name, table[name], column)
    lengths = {name: pc.list_value_length(table[name]) for name in CURVES}
    for name, length in lengths.items():
        for place in _places(pc.not_equal(length, lengths["curve_update"])):
            yield place, f"{name} is not as long as curve_update"


def _out_of_range(name: str, values: pa.ChunkedArray, column: Column) -> Iterator[tuple[int, str]]:
    if pa.types.is_list(values.type):
        rows, values = pc.list_parent_indices(values).to_numpy(), pc.list_flatten(values)
    else:
        rows, values = np.flatnonzero(values.is_valid()), values.drop_null()
    numbers, low, high = values.to_numpy(), column.low, column.high
    # NaN is neither a share nor a time, but the loss of a diverged run may be NaN.
    wrong = numbers < low if high is None else ~((numbers >= low) & (numbers <= high))
    is_bounded = high not in (None, INFINITE)
    bounds = f"must lie between {low} and {high}" if is_bounded else f"must be at least {low}"
    for place in np.flatnonzero(wrong):
        yield int(rows[place]), f"{name} is {numbers[place]}, which {bounds}"


def _places(flags: pa.ChunkedArray) -> list[int]:
    return np.flatnonzero(flags.fill_null(False)).tolist()

"""Define the columns of the results table: their types, units, meanings and allowed values.

The table has one row per run, even for a run that failed. The status of a run decides which other
columns of its row are filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute

from study.model import TASK_SETTINGS, own_names
from study.runs.settings import SCHEMA_VERSION, Run

pc: Any = pyarrow.compute  # made at import, so type checkers do not know its functions
Row = dict[str, Any]
# Arrow raises one of these for a value that does not fit the type of its column.
MISFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)

CONCLUSIVE = ("solved", "unsolved", "diverged")  # statuses of runs that finished training
EVALUATED = ("solved", "unsolved")  # statuses of runs whose trained network was evaluated
INCONCLUSIVE = ("failed", "skipped")


class Column(NamedTuple):
    """A column: its type, meaning and unit, when it is missing, and the numbers that it may hold.

    `missing` says when the column is null in a row, in words such as "if the run diverged". `low`
    and `high` are the smallest and the largest allowed number. If `high` is None, numbers may be
    arbitrarily large, and NaN is allowed. If `low` is None, all numbers are allowed.
    """

    type: pa.DataType
    meaning: str
    unit: str = ""
    missing: str = "never"
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
UNTRAINED = "if the run failed or was skipped"
UNEVALUATED = "if the run diverged, failed or was skipped"
UNSOLVED = "if the run never solved the task"
NO_CURVES = "if curves were not kept, or the run failed or was skipped"
NO_ERROR = "if there is none, or the run diverged, failed or was skipped"
MOSTLY_RIGHT = "if most sequences have none, or the run diverged, failed or was skipped"
LONG = "on sequences of ten times the test length"
RESULTS = {
    "status": Column(TEXT, "solved, unsolved, diverged, failed or skipped"),
    "reason": Column(
        TEXT,
        "why the run failed (with traceback), or why it was skipped",
        missing="unless the run failed or was skipped",
    ),
    "converged_update": Column(
        INTEGER,
        "updates done at the first of solved_evaluations evaluations in a row without an error",
        "updates",
        UNSOLVED,
        0,
    ),
    "converged_sequences": Column(
        INTEGER, "training sequences seen up to converged_update", "sequences", UNSOLVED, 0
    ),
    "lost_update": Column(
        INTEGER,
        "updates done at the first evaluation with an error after converged_update",
        "updates",
        "if there was no such evaluation",
        0,
    ),
    "diverged_update": Column(
        INTEGER,
        "number of the update whose loss was not finite",
        "updates",
        "unless the run diverged",
        0,
    ),
    "updates": Column(INTEGER, "updates done in the whole training", "updates", UNTRAINED, 0),
    "sequences": Column(
        INTEGER, "training sequences seen in the whole training", "sequences", UNTRAINED, 0
    ),
    "loss": Column(
        NUMBER,
        "loss in the final evaluation, on sequences of the test length",
        "nats per label",
        UNEVALUATED,
        0,
    ),
    "accuracy": Column(
        NUMBER,
        "share of labels from step 1 on that are right in the final evaluation",
        missing=UNEVALUATED,
        low=0,
        high=1,
    ),
    "exact": Column(
        NUMBER,
        "share of sequences in the final evaluation with every label right from step 1 on",
        missing=UNEVALUATED,
        low=0,
        high=1,
    ),
    "first_error": Column(
        INTEGER,
        "earliest step from 1 on with a wrong label in any sequence of the final evaluation",
        "steps",
        NO_ERROR,
        1,
    ),
    "first_error_median": Column(
        INTEGER,
        "lower median of the step at which a sequence has its first wrong label from step 1 on",
        "steps",
        MOSTLY_RIGHT,
        1,
    ),
    "long_loss": Column(
        NUMBER, f"as `loss`, {LONG}; NaN if a state overflows", "nats per label", UNEVALUATED, 0
    ),
    "long_accuracy": Column(NUMBER, f"as `accuracy`, {LONG}", "", UNEVALUATED, 0, 1),
    "long_exact": Column(NUMBER, f"as `exact`, {LONG}", "", UNEVALUATED, 0, 1),
    "long_first_error": Column(INTEGER, f"as `first_error`, {LONG}", "steps", NO_ERROR, 1),
    "long_first_error_median": Column(
        INTEGER, f"as `first_error_median`, {LONG}", "steps", MOSTLY_RIGHT, 1
    ),
    "curve_update": Column(
        INTEGERS, "updates done at each evaluation, starting at 0", "updates", NO_CURVES, 0
    ),
    "curve_training_loss": Column(
        NUMBERS,
        "mean training loss since the previous evaluation; NaN at the first",
        "nats per label",
        NO_CURVES,
        0,
    ),
    "curve_loss": Column(
        NUMBERS,
        "loss at each evaluation, on fresh sequences of the test length",
        "nats per label",
        NO_CURVES,
        0,
    ),
    "curve_accuracy": Column(
        NUMBERS,
        "share of labels from step 1 on that are right at each evaluation",
        missing=NO_CURVES,
        low=0,
        high=1,
    ),
    "curve_exact": Column(
        NUMBERS,
        "share of sequences at each evaluation with every label right from step 1 on",
        missing=NO_CURVES,
        low=0,
        high=1,
    ),
    "weights": Column(
        NUMBERS,
        "final weights as one flat list, in the order of `weights_of`",
        missing="if weights were not kept, or the run failed or was skipped",
    ),
}
TIMINGS = {  # all columns that may differ when a run is trained again
    "converged_seconds": Column(
        NUMBER, "value of train_seconds at converged_update", "seconds", UNSOLVED, 0, INFINITE
    ),
    "train_seconds": Column(
        NUMBER, "time spent on updates and on making their data", "seconds", UNTRAINED, 0, INFINITE
    ),
    "evaluation_seconds": Column(
        NUMBER, "time spent on the evaluations during training", "seconds", UNTRAINED, 0, INFINITE
    ),
    "final_seconds": Column(
        NUMBER, "time spent on both final evaluations", "seconds", UNTRAINED, 0, INFINITE
    ),
    "runs_at_once": Column(
        INTEGER,
        "number of runs trained on the machine at the same time, in all processes and lanes",
        "runs",
        low=0,
    ),
    "finished_at": Column(pa.timestamp("us", tz="UTC"), "time at which the row was made", "UTC"),
    "invocation": Column(TEXT, "name of the file (manifest) about the command that made the row"),
}
MEASURED = RESULTS | TIMINGS
CURVES = tuple(name for name in MEASURED if name.startswith("curve_"))
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
SETTINGS = {name: _arrow_type(_HINTS[name]) for name in Run.model_fields if name != "own"}
UNITS = {  # of settings
    "length": "steps", "test_length": "steps", "reset_rate": "per step", "batch_size": "sequences",
    "epoch_sequences": "sequences", "hidden_size": "units", "layers": "layers",
    "cut_every": "steps", "max_updates": "updates", "eval_every": "updates",
    "eval_sequences": "sequences", "solved_evaluations": "evaluations",
    "final_sequences": "sequences", "long_sequences": "sequences",
}  # fmt: skip
MISSING = {  # by setting: when it is null, unless it never is
    **dict.fromkeys(TASK_SETTINGS, "if the task does not take it"),
    "epoch_sequences": "if data are not fixed and updates are per batch",
    "init_value": "if the initialisation takes no number",
    "momentum": "if the optimizer is neither momentum nor nesterov",
    "clip_norm": "if gradients are not clipped",
    "cut_every": "if the gradient is not cut",
    "cut_offset": "if the gradient is not cut, or the offset is fixed",
    "noise_seed": "if the data are the first draw",
}
COLUMNS = {
    "run_id": Column(TEXT, "the run's identity: a hash of all its settings and rules"),
    **{
        name: Column(
            kind,
            Run.model_fields[name].description or "",
            UNITS.get(name, ""),
            MISSING.get(name, "never"),
        )
        for name, kind in SETTINGS.items()
    },
    "rules": Column(
        TEXT,
        "versions or digests of the components that are not shipped in version 1, as JSON",
        missing="if there are no such components",
    ),
    **MEASURED,
}
SCHEMA = pa.schema(
    {name: column.type for name, column in COLUMNS.items()},
    metadata={"study.schema": str(SCHEMA_VERSION)},
)


def settings_in(columns: Iterable[Any]) -> list[str]:
    """Return the names of all settings, with the own settings (see `Run.own`) among `columns`."""
    return [*SETTINGS, *own_names(columns)]


def described(table: pa.Table) -> pa.Table:
    """Return a table of rows whose fields say what its columns mean.

    In the metadata of the field of each known column, `unit`, `meaning` and `missing` are the texts
    in `COLUMNS`. The values stay the same.
    """
    schema = table.schema
    for place, field in enumerate(table.schema):
        if column := COLUMNS.get(field.name):
            texts = {"unit": column.unit, "meaning": column.meaning, "missing": column.missing}
            schema = schema.set(place, field.with_metadata(texts))
    return pa.Table.from_arrays(table.columns, schema=schema)


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
    for name, column in MEASURED.items():
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
    for name, column in MEASURED.items():
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

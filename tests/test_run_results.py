"""Columns and rows of results: a missing value is null, and an invalid result fails its run."""

import math

import pyarrow as pa
import pytest
from drawn import BLOCKS, rows

from study.runs.results import CONCLUSIVE, INCONCLUSIVE, NEEDED, SCHEMA, judged, table_of


def test_the_rows_of_every_figure_are_valid():
    for block, made in BLOCKS.items():
        assert all(kept is row for kept, row in zip(judged(made), made, strict=True)), block


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accuracy": 2.0}, "accuracy is 2.0, which must lie between 0 and 1"),
        ({"long_exact": math.nan}, "long_exact is nan, which must lie between 0 and 1"),
        ({"loss": -0.5}, "loss is -0.5, which must be at least 0"),
        ({"first_error": 0}, "first_error is 0, which must be at least 1"),
        ({"train_seconds": -1.0}, "train_seconds is -1.0, which must be at least 0"),
        ({"evaluation_seconds": math.nan}, "evaluation_seconds is nan, which must be at least 0"),
        (
            {"curve_accuracy": [0.0, math.nan, 1.0, 1.0]},
            "curve_accuracy is nan, which must lie between 0 and 1",
        ),
        ({"curve_exact": [0.0, 3.0, 1.0, 1.0]}, "curve_exact is 3.0, which must lie between"),
        ({"curve_loss": [0.5]}, "curve_loss is not as long as curve_update"),
        ({"accuracy": None}, "accuracy is missing from a run that is solved"),
        ({"converged_update": None}, "converged_update is missing from a run that is solved"),
        ({"loss": "low"}, "loss is 'low', which is not of type double"),
        ({"updates": 2**70}, "which is not of type int64"),
        ({"curve_loss": 1.0}, "curve_loss is '1.0', which is not of type list<element: double>"),
        ({"weights": [[1.0]]}, "weights is '[[1.0]]', which is not of type"),
    ],
)
def test_an_invalid_result_fails_its_run_and_no_other(changes, says):
    good, other = rows([20, 40])
    before, failed, after = judged([good, other | changes, good])
    assert before is after is good
    assert failed["status"] == "failed"
    assert failed["reason"].startswith("the engine returned invalid results: ")
    assert says in failed["reason"]
    assert failed["run_id"] == other["run_id"]
    assert failed["lr"] == other["lr"]
    assert table_of([failed])["accuracy"].to_pylist() == [None]
    assert judged([failed]) == [failed]


def test_the_loss_of_a_diverged_run_may_be_nan():
    (row,) = rows([], diverged=1)
    row["curve_loss"] = [math.nan]
    assert judged([row]) == [row]


def test_a_table_has_every_column_and_those_it_does_not_know():
    table = table_of([{"run_id": "a", "new": 3}, {"run_id": "b", "accuracy": 0.5}])
    assert table.column_names == [*SCHEMA.names, "new"]
    assert table.schema.metadata == SCHEMA.metadata
    found = table.select(["run_id", "accuracy", "new"]).to_pydict()
    assert found == {"run_id": ["a", "b"], "accuracy": [None, 0.5], "new": [3, None]}
    assert table_of([]).schema.equals(SCHEMA)


def test_a_value_of_another_type_is_refused():
    with pytest.raises(pa.ArrowInvalid):
        table_of([{"run_id": "a", "accuracy": "high"}])


def test_every_status_needs_columns_that_exist():
    assert {status for statuses in NEEDED for status in statuses} == {*CONCLUSIVE, *INCONCLUSIVE}
    assert {name for names in NEEDED.values() for name in names} <= set(SCHEMA.names)

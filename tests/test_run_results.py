"""Columns and rows of results: a missing value is null, and an invalid result fails its run."""

import math
from pathlib import Path
from typing import get_args, get_type_hints

import pyarrow as pa
import pytest
from drawn import BLOCKS, rows

import study
from study.runs import Run
from study.runs.results import (
    COLUMNS,
    CONCLUSIVE,
    INCONCLUSIVE,
    MISSING,
    NEEDED,
    SCHEMA,
    UNITS,
    described,
    judged,
    table_of,
)

RESULTS_FOLDER = Path(__file__).parent.parent / "results"


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


# --- the dictionary of columns ------------------------------------------------------------------


def test_every_column_has_a_meaning_in_its_field_and_the_values_stay_the_same():
    table = table_of([{"run_id": "a", "loss": 0.5, "new": 3}])
    told = described(table)
    assert told.equals(table)
    assert told.schema.metadata == SCHEMA.metadata
    assert told.schema.field("new").metadata is None
    for name, column in COLUMNS.items():
        about = told.schema.field(name).metadata
        found = [about[key].decode() for key in (b"meaning", b"unit", b"missing")]
        assert found == [column.meaning, column.unit, column.missing]
        assert column.meaning, name


def test_a_setting_may_be_missing_if_its_type_says_so():
    """A run fills in the test length, which may be left out."""
    hints = get_type_hints(Run)
    optional = {name for name in Run.model_fields if type(None) in get_args(hints[name])}
    assert optional == {*MISSING, "test_length", "own"}
    assert set(UNITS) <= set(Run.model_fields)


@pytest.mark.parametrize("folder", ["devices", "dynamics", "forum_factorial", "page"])
def test_stored_rows_lack_only_what_the_dictionary_says(folder):
    frame = study.load(RESULTS_FOLDER / folder, weights=True)
    always = {name for name, column in COLUMNS.items() if column.missing == "never"}
    assert not frame[[*always]].isna().any(axis=None)
    has, status = frame.notna(), frame["status"]
    assert (has["updates"] == status.isin(CONCLUSIVE)).all()
    assert (has["accuracy"] == status.isin(["solved", "unsolved"])).all()
    assert (has["diverged_update"] == (status == "diverged")).all()
    assert (has["reason"] == status.isin(INCONCLUSIVE)).all()
    assert has["converged_update"][status == "solved"].all()
    assert not has["converged_update"][status == "unsolved"].any()
    assert (has["momentum"] == frame["optimizer"].isin(["momentum", "nesterov"])).all()
    epochs = (frame["data"] == "fixed") | (frame["update_per"] == "epoch")
    assert (has["epoch_sequences"] == epochs).all()
    assert not (has["cut_offset"] & ~has["cut_every"]).any()

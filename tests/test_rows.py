"""Rows that someone made up: what no run has is named."""

import math
import re

import pyarrow as pa
import pytest
from drawn import BLOCKS, rows

from study.model.cells import CELLS
from study.model.engines import ENGINES
from study.model.initialisations import INITIALISATIONS
from study.model.optimizers import OPTIMIZERS
from study.model.tasks import TASKS
from study.runs.rows import WORD, as_failed, fault
from study.runs.schema import SCHEMA


def table(**changes) -> pa.Table:
    """A solved run and an unsolved one, with some of their entries changed."""
    return pa.Table.from_pylist([row | changes for row in rows([20, None])], schema=SCHEMA)


def test_the_rows_of_every_figure_are_sound():
    for block, made in BLOCKS.items():
        assert fault(pa.Table.from_pylist(made, schema=SCHEMA)) is None, block


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"cell": "lstm, adam]\n  - [gru"},
            "cell is out of its range",
        ),  # would go into a grid file
        ({"optimizer": "$x^{"}, "optimizer is out of its range"),  # would be set as mathematics
        ({"device": "\x1b[31m"}, "device is out of its range"),
        ({"engine": ""}, "engine is out of its range"),
        ({"task": "x" * 101}, "task is out of its range"),
        ({"max_updates": 50}, "updates is above max_updates"),
        ({"max_updates": 400}, "updates are below max_updates in a row that is unsolved"),
        ({"curve_update": [0, 10, 20, 30]}, "is not as long as"),
        ({"curve_update": [0, 20, 40, 90]}, "is not as long as"),
        ({"accuracy": 1.5}, "accuracy is out of its range"),
        ({"long_exact": math.nan}, "long_exact is out of its range"),
        ({"evaluation_seconds": math.nan}, "evaluation_seconds is out of its range"),
        ({"curve_accuracy": [0.0, math.nan, 1.0, 1.0]}, "curve_accuracy is out of its range"),
        ({"status": "fine"}, "status is out of its range"),
        ({"loss": -0.5}, "loss is out of its range"),
        ({"first_error": 0}, "first_error is out of its range"),
        ({"train_seconds": 1e308}, "train_seconds is out of its range"),
        ({"curve_exact": [0.0, 3.0, 3.0, 3.0]}, "curve_exact is out of its range"),
        ({"curve_accuracy": [0.0, -0.1, 1.0, 1.0]}, "curve_accuracy is out of its range"),
        ({"curve_train_seconds": [0.0, -1.0, 1.0, 1.0]}, "curve_train_seconds is out of its range"),
        ({"optimizer_settings": "[1]"}, "optimizer_settings are no mapping"),
    ],
)
def test_what_no_run_has_is_named(changes, says):
    assert says in (fault(table(**changes)) or "")


def test_rows_that_are_no_results_are_failed_ones_and_others_stay():
    made = [
        made | changes for made, changes in zip(rows([20, None, 20, 20]), NONSENSE, strict=True)
    ]
    before = pa.Table.from_pylist(made, schema=SCHEMA)
    after = as_failed(before)
    assert after["status"].to_pylist() == ["solved", "failed", "solved", "failed"]
    assert after["reason"].to_pylist()[1::2] == [
        "the engine's results are none: accuracy is out of its range",
        "the engine's results are none: train_seconds is out of its range",
    ]
    assert after["run_id"].equals(before["run_id"])
    assert after["cell"].equals(before["cell"])
    assert after["accuracy"].to_pylist()[1::2] == [None, None]
    assert repr(after.take([0, 2]).to_pylist()) == repr(before.take([0, 2]).to_pylist())
    assert fault(after) is None
    assert as_failed(after) is after


NONSENSE = [{}, {"accuracy": 1.5}, {}, {"train_seconds": -1.0}]


@pytest.mark.parametrize(
    "registry",
    [CELLS, TASKS, INITIALISATIONS, OPTIMIZERS, ENGINES],
    ids=lambda names: next(iter(names)),
)
def test_what_can_be_chosen_has_a_word_for_a_name(registry):
    """Rows of a cell, or whatever you add, are set aside otherwise."""
    assert not [name for name in registry if not re.fullmatch(WORD, name)]


def test_a_curve_ends_where_its_run_does():
    (row,) = rows([20])
    moved = row | {"curve_update": [0, 20, 40, 50]}
    assert fault(pa.Table.from_pylist([row], schema=SCHEMA)) is None
    assert (
        fault(pa.Table.from_pylist([moved], schema=SCHEMA))
        == "curve_update does not end at updates"
    )

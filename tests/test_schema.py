"""The JSON schema of grid files agrees with what `study grid` accepts."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from test_gridfile import FILE

from study.__main__ import main
from study.grid.file import RANGES, SETTING_NAMES, value_problem
from study.grid.schema import RANGE, grid_schema
from study.grid.yaml import parse_yaml, read_yaml
from study.model import CELLS, ENGINES, INITIALISATIONS, NOISE_KINDS, TASKS

ROOT = Path(__file__).parent.parent
SCHEMA = grid_schema()
VALIDATOR = Draft7Validator(SCHEMA)
VALUES = [None, True, False, -1, 0, 1, 7, 2**40, -0.5, 0.5, 1.5, "", "10", "2", *CELLS, *TASKS]
VALUES += [*INITIALISATIONS, *ENGINES, *NOISE_KINDS, "auto", "sgd", "NAdam", "LBFGS", "epoch", {}]


def test_the_command_prints_a_valid_schema(capsys):
    assert main(["schema"]) == 0
    Draft7Validator.check_schema(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_committed_grid_fits_the_schema(path):
    VALIDATOR.validate(read_yaml(path)[0])


@pytest.mark.parametrize("name", SETTING_NAMES)
def test_the_schema_allows_the_values_that_a_grid_file_may_have(name):
    setting = Draft7Validator(SCHEMA["definitions"][name])
    assert SCHEMA["definitions"][name]["description"]
    for value in VALUES:
        assert setting.is_valid(value) == (value_problem(name, value) is None), value


WRONG = [
    ("name", "../elsewhere"),
    ("extra", 1),
    ("defaults", {"cell": "lsm"}),
    ("defaults", {"sel": "lstm"}),
    ("blocks", {}),
    ("blocks", {"grid": {}}),
    ("blocks", {"a": {"keep_weights": "yes"}}),
    ("blocks", {"a": {"figures": "convergence"}}),
    ("blocks", {"a": {"figures": ["../elsewhere"]}}),
    ("blocks", {"a": {"fixed": {"hidden_size": 0}}}),
    ("blocks", {"a": {"fixed": {"hidden_size": [4, 8]}}}),
    ("blocks", {"a": {"vary": {"hidden_size": 4}}}),
    ("blocks", {"a": {"vary": {"cell": []}}}),
    ("blocks", {"a": {"vary": {"cell": ["lstm", "lsm"]}}}),
    ("blocks", {"a": {"vary": {"cell": {"range": [0, 3]}}}}),
    ("blocks", {"a": {"vary": {"seed": {"rang": [0, 3]}}}}),
    ("blocks", {"a": {"vary": {"lr": {"log_range": [0.1, 1.0]}}}}),
    ("blocks", {"a": {"vary": {"cell, rate": [["lstm", 0.1]]}}}),
    ("blocks", {"a": {"vary": {"cell, lr": ["lstm"]}}}),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_key_or_value_does_not_fit(key, value):
    tree, _ = parse_yaml(FILE, "example")
    VALIDATOR.validate(tree)
    wrong = deepcopy(tree) | {key: value}
    assert not VALIDATOR.is_valid(wrong)


def test_the_schema_knows_every_kind_of_range():
    assert tuple(RANGE["properties"]) == RANGES

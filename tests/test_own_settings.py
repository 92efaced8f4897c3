"""Settings of a user's own: keyword arguments of a task's function or of a cell's rule."""

import sys
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
import torch

import study
from study.__main__ import main
from study.errors import BadInput
from study.grid.file import expand, read_grid
from study.grid.own import refuse_faulty
from study.grid.schema import grid_schema
from study.grid.store import Results, Store, read_rows, run_of
from study.model import use
from study.runs import Run, Sequences
from tests.forgetting import forget

OWN = '''
from study.model import CELLS, TASKS, Cell, Task


def leaky(x, state, w, *, leak=0.5, sharp: float = 1):
    """A tanh network whose state moves only part of the way."""
    (h,) = state
    after = (x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).tanh()
    return (h + leak * (sharp * after - h),)


def repeat(uniforms, *, gap=1, twist=False, noise: float = 0.0, scale=None):
    """The bit `gap` steps before this one."""
    bits = uniforms < 0.5
    labels = bits[:, :, 0].astype(int) * 0
    labels[:, gap:] = bits[:, :-gap, 0] ^ twist
    return bits + noise * uniforms, labels


CELLS["leaky"] = Cell(leaky, gates=("candidate",))
TASKS["repeat"] = Task(repeat)
'''
GRID = """
name: own
defaults: {length: 6, hidden_size: 4, max_updates: 30, eval_every: 10, engine: torch,
           final_sequences: 9, long_sequences: 4, cell.leak: 0.9}
blocks:
  own:
    keep_weights: true
    vary:
      cell: [leaky, rnn_tanh]
      task, task.gap: [[repeat, 1], [repeat, 2], [repeat, 3]]
      seed: {range: [0, 2]}
  shipped:
    vary:
      cell: [gru]
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The file is loaded; each test may load others."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, encoding="utf-8")
    Path("own.yaml").write_text(GRID, encoding="utf-8")
    use(["own.py"])
    yield
    forget(tmp_path)


def test_a_setting_has_the_type_and_default_of_the_signature():
    run = Run(task="repeat", cell="leaky")
    assert run.own == {"cell.leak": 0.5, "cell.sharp": 1.0, "task.gap": 1, "task.twist": False}
    assert [type(value) for value in run.own.values()] == [float, float, int, bool]
    given = Run(task="repeat", cell="leaky", **{"cell.leak": 1, "task.gap": 3})
    assert given.own == run.own | {"cell.leak": 1.0, "task.gap": 3}
    assert given == Run(task="repeat", cell="leaky", own={"cell.leak": 1.0, "task.gap": 3})
    assert Run().own is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"task": "repeat", "task.gap": 2.0}, "task.gap = 2.0 must be an integer"),
        ({"task": "repeat", "task.gap": True}, "task.gap = True must be an integer"),
        ({"task": "repeat", "task.gap": 2**63}, "must be an integer"),
        ({"task": "repeat", "task.twist": 1}, "task.twist = 1 must be true or false"),
        ({"cell": "leaky", "cell.leak": "a"}, "cell.leak = 'a' must be a number"),
        ({"cell": "leaky", "cell.leak": float("nan")}, "cell.leak = nan must be a number"),
        ({"task": "parity", "task.gap": 2}, "'task.gap' does not apply to task 'parity', which"),
        ({"task": "repeat", "task.gpa": 2}, "takes task.gap, task.twist; leave it out"),
        ({"task": "repeat", "task.noise": 1.0}, "'task.noise' does not apply to task 'repeat'"),
        ({"task": "repeat", "task.gap": 0}, "its function raises"),
    ],
)
def test_a_wrong_value_or_name_is_refused(settings, why):
    with pytest.raises(ValueError, match=why.replace("(", r"\(")):
        Run(length=6, **settings)


def test_the_setting_counts_in_the_identity_and_reaches_the_functions():
    runs = [Run(task="repeat", cell="leaky", **{"task.gap": gap}) for gap in (1, 2, 1)]
    assert [run.run_id == runs[0].run_id for run in runs] == [True, False, True]
    for run in runs[:2]:
        inputs, labels = Sequences(run, "test", 8).draw(5)
        gap = run.own["task.gap"]
        np.testing.assert_array_equal(labels[:, gap:], inputs[:, :-gap, 0])
    one, zero = (torch.full((1, 4), value) for value in (1.0, 0.0))
    shapes = {"weight_ih": (4, 4), "weight_hh": (4, 4), "bias_ih": (4,), "bias_hh": (4,)}
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    leaving = Run(cell="leaky", **{"cell.leak": 0.25})
    assert torch.equal(leaving.cell_rule(zero, (one,), weights)[0], 0.75 * one)


def test_a_grid_varies_it_and_stores_it_in_a_column_of_its_type(capsys):
    words = ["grid", "own.yaml", "--use", "own.py", "--jobs", "1"]
    assert main(words) == 0
    table = read_rows("results/own")
    types = {name: str(table.schema.field(name).type) for name in table.schema.names if "." in name}
    assert types == {
        "cell.leak": "double", "cell.sharp": "double", "task.gap": "int64", "task.twist": "bool",
    }  # fmt: skip
    frame = study.load("results/own", weights=True)
    of_cell = frame.groupby("cell")["cell.leak"].unique().map(list).to_dict()
    assert of_cell["leaky"] == [0.9]
    assert np.isnan(of_cell["gru"]).all()
    for _, row in frame.iterrows():
        assert run_of(row).run_id == row["run_id"]
    assert read_rows("results/own", ["task"]).column_names == ["task"]
    capsys.readouterr()
    assert main([*words, "--set", "name=own"]) == 0
    assert "so nothing was trained" in capsys.readouterr().out
    by = ["--block", "own", "--by", "cell,task.gap", "--where", "task.gap=1,2"]
    assert main(["summary", "results/own", *by, "--format", "csv"]) == 0
    out = capsys.readouterr().out
    assert [line.split(",")[:3] for line in out.splitlines()] == [
        ["cell", "task.gap", "n"], ["leaky", "1.0", "2"], ["leaky", "2.0", "2"],
        ["rnn_tanh", "1.0", "2"], ["rnn_tanh", "2.0", "2"],
    ]  # fmt: skip
    assert main(["summary", "results/own", "--block", "own", "--by", "cell"]) == 0
    assert "task.gap" in capsys.readouterr().out, "it is named where runs are pooled over it"
    between = ["--between", "cell=leaky,rnn_tanh", "--within", "task.gap"]
    assert main(["contrast", "results/own", "--block", "own", *between, "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("task.gap,a,b,outcome,n,")
    assert main(["figures", "results/own", "--only", "block_own", "--format", "svg"]) == 0
    assert "\ncell,task.gap," in Path("results/own/figures/block_own.csv").read_text()
    assert main(["compare", "results/own", "results/own", "--strict"]) == 0
    run_id = frame.loc[(frame["cell"] == "leaky") & (frame["task.gap"] == 2), "run_id"].iloc[0]
    assert Results("results/own").network(run_id).run.own["task.gap"] == 2


def test_a_grid_file_is_checked_and_completed(tmp_path):
    """A default is ignored where it does not apply, and ranges of integers have integers."""
    text = GRID.replace("task, task.gap: [[repeat, 1], [repeat, 2], [repeat, 3]]", "VARIED")
    Path("own.yaml").write_text(
        text.replace("VARIED", "task: [repeat]\n      task.gap: {linear_range: [1, 4, 3]}")
    )
    runs = [run for run, _ in expand(read_grid("own.yaml")).sources.values()]
    assert sorted({run.own["task.gap"] for run in runs if run.own}) == [1, 2, 4]
    jsonschema.validate({"name": "a", "blocks": {"b": {"fixed": {"task.gap": 2}}}}, grid_schema())
    for line, why in (
        (
            "task: [repeat]\n      task.gpa: [1]",
            r"11:7: unknown key 'task.gpa' \(did you mean 'task.gap",
        ),
        ("task: [repeat]\n      task.gap: [1, a]", r"11:21: task.gap = 'a' must be an integer"),
        (
            "task: [parity]\n      task.gap: [1]",
            r"11:7: 'task.gap' does not apply to task 'parity'",
        ),
    ):
        Path("own.yaml").write_text(text.replace("VARIED", line))
        with pytest.raises(BadInput, match=why):
            expand(read_grid("own.yaml"))
    overrides = ["own.task=repeat", "own.cell=leaky", "own.task.gap=[1, 2, 3]"]
    assert read_grid("own.yaml", overrides).size == 3 * 2 + 1


def test_a_cell_is_tried_with_its_settings():
    refuse_faulty([Run(cell="leaky")])
    with pytest.raises(BadInput, match=r"own.py:5: cell 'leaky': its state h is not finite"):
        refuse_faulty([Run(cell="leaky", **{"cell.sharp": 1e308, "cell.leak": 1e308})])


def test_one_name_never_means_two_types(capsys):
    Path("other.py").write_text(OWN.replace("gap=1", "gap=1.0").replace('["', '["x_'))
    words = ["grid", "own.yaml", "--jobs", "1", "--only", "shipped"]
    assert main([*words, "--dry-run", "--use", "own.py", "--use", "other.py"]) == 2
    said = capsys.readouterr().err
    assert "'task.gap' is an integer in task 'repeat', but a number in task 'x_repeat'" in said


def test_a_stored_setting_keeps_its_type(capsys):
    table = pa.table({"run_id": ["a"], "status": ["failed"], "task.gap": [1.5]})
    with Store("results/own") as store:
        store.append(table.replace_schema_metadata({"study.schema": "2"}))
    assert main(["grid", "own.yaml", "--use", "own.py"]) == 2
    said = capsys.readouterr().err
    assert "'task.gap' is double in stored runs, but int64 now; rename the argument" in said

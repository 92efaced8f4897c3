"""Stored runs that another version made: counted, kept apart, and removed on request."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from drawn import whole

from study.__main__ import main
from study.errors import BadInput, EnvironmentFault
from study.grid.store import Store, load, part_files, read_rows, run_of
from study.grid.train import Job, PackTraining, row_of, train_job
from study.grid.versions import COLUMNS, versions_of
from study.model.cells import CELLS, Cell
from study.model.optimizers import OPTIMIZERS, Optimizer
from study.model.tasks import TASKS, Task
from study.runs.settings import Run

LEAKY, OTHER = (Cell(CELLS[name].rule, gates=("candidate",)) for name in ("rnn_tanh", "rnn_relu"))


@pytest.fixture
def leaky(monkeypatch) -> None:
    """The cell `leaky`, of the user's own."""
    monkeypatch.setitem(CELLS, "leaky", LEAKY)


def row(seed: int, **settings) -> dict:
    return whole(row_of(Run(seed=seed, **settings), {"status": "unsolved"}, 1, "test"), number=0.5)


def edit(monkeypatch) -> None:
    """Replace the rule of the cell `leaky`."""
    monkeypatch.setitem(CELLS, "leaky", OTHER)


def makers(*rows: dict) -> pa.Table:
    filled = [dict.fromkeys(COLUMNS) | row for row in rows]
    return pa.Table.from_pylist(filled, pa.schema(dict.fromkeys(COLUMNS, pa.string())))


def test_rows_have_the_rules_that_are_part_of_their_identity(leaky):
    assert row(0, engine="torch")["rules"] is None
    assert json.loads(row(0)["rules"]) == Run().rules == {"engine": 2}
    assert json.loads(row(0, cell="leaky")["rules"]) == Run(cell="leaky").rules


def test_versions_are_compared_component_by_component(leaky, monkeypatch):
    old, shipped = row(0, cell="leaky"), row(0, engine="torch")
    edit(monkeypatch)
    new = row(0, cell="leaky")
    gone = shipped | {"cell": "gone", "rules": '{"cell": "ab"}'}
    torch_class = shipped | {"optimizer": "NAdam"}
    own_optimizer = shipped | {"optimizer": "NAdam", "rules": '{"optimizer": "ab"}'}
    newer = shipped | {"rules": '{"task": 2, "cell": 2}'}
    before_rules = new | {"rules": None}  # a row from before there were rules
    rows = [old, new, gone, shipped, torch_class, own_optimizer, newer, before_rules, old]
    found = versions_of(makers(*({name: row[name] for name in COLUMNS} for row in rows)))
    assert found.is_other.tolist() == [True, *[False] * 5, True, True, True]
    assert found.others == {"cell 'leaky'": 3, "task 'alternating'": 1, "cell 'lstm'": 1}
    assert found.unknown == {"cell 'gone'": 1, "optimizer 'NAdam'": 1}


def test_without_rows_there_are_no_versions():
    found = versions_of(makers())
    assert found.is_other.tolist() == []
    assert found.others == found.unknown == Counter()


def test_a_component_that_lost_its_source_is_unknown(leaky, monkeypatch):
    old, names = row(0, cell="leaky"), {}
    exec("def rule(x, state, w):\n    return state", names)
    monkeypatch.setitem(CELLS, "leaky", Cell(names["rule"], gates=("candidate",)))
    found = versions_of(makers({name: old[name] for name in COLUMNS}))
    assert not found.others
    assert found.unknown == {"cell 'leaky'": 1}


def test_a_row_of_another_version_is_not_taken_for_a_run_of_this_one(leaky, monkeypatch):
    old = row(0, cell="leaky")
    assert run_of(old) == Run(cell="leaky")
    edit(monkeypatch)
    message = "was made by another version of cell 'leaky'; run the grid again"
    with pytest.raises(BadInput, match=message):
        run_of(old)


# --- study prune --------------------------------------------------------------------------------


@pytest.fixture
def folder(leaky, monkeypatch, tmp_path):
    """A folder with 2 runs of the old rule, 1 of the new one, 1 of a lost cell, and 1 shipped."""
    rows = [row(0), row(0, cell="leaky"), row(1, cell="leaky") | {"extra": 7}]
    monkeypatch.setitem(CELLS, "gone", LEAKY)
    rows.append(row(0, cell="gone"))
    monkeypatch.delitem(CELLS, "gone")
    edit(monkeypatch)
    rows.append(row(0, cell="leaky"))
    with Store(tmp_path / "results") as store:
        for part in (rows[:2], rows[2:]):
            store.append(part)
        store.write_plan({"a": [rows[0]["run_id"], rows[4]["run_id"]]}, "grid")
    return store.folder, [row["run_id"] for row in rows]


def test_prune_removes_what_another_version_made_and_nothing_else(folder, capsys):
    path, ids = folder
    planned = load(path)
    assert main(["prune", str(path), "--other-versions"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "runs removed: 2 made by another version of cell 'leaky'",
        "runs kept: 1 of cell 'gone', which is not loaded; --use FILE.py loads your own",
        f"{path}: 2 runs removed, 3 left",
    ]
    assert set(read_rows(path, ["run_id"])["run_id"].to_pylist()) == {ids[0], *ids[3:]}
    assert "extra" in read_rows(path).column_names
    assert len(part_files(path)) == 1
    assert load(path).equals(planned)
    assert main(["prune", str(path), "--other-versions"]) == 0
    assert f"{path}: 0 runs removed, 3 left" in capsys.readouterr().out


def test_prune_may_remove_every_row(folder, monkeypatch):
    path, _ = folder
    for name in ("gone", "leaky", "lstm"):
        monkeypatch.setitem(CELLS, name, Cell(CELLS["gru"].rule, CELLS["gru"].gates))
    assert main(["prune", str(path), "--other-versions"]) == 0
    assert len(read_rows(path)) == 0


def test_prune_removes_runs_that_the_grid_no_longer_has(folder, capsys):
    path, ids = folder
    assert main(["prune", str(path), "--unplanned"]) == 0
    said = capsys.readouterr().out
    assert "runs removed: 3 that the grid no longer has" in said
    assert "3 runs removed, 2 left" in said
    assert set(load(path, unplanned=True)["run_id"]) == {ids[0], ids[4]}


def test_prune_says_what_it_needs(folder, tmp_path, capsys):
    path, _ = folder
    assert main(["prune", str(path)]) == 2
    assert (
        "prune: use --other-versions or --unplanned to say what to remove"
        in capsys.readouterr().err
    )
    assert len(read_rows(path)) == 5
    assert main(["prune", str(tmp_path / "none"), "--other-versions"]) == 2
    with Store(path):
        assert main(["prune", str(path), "--other-versions"]) == 2
    assert "another process is writing here" in capsys.readouterr().err


# --- several machines ---------------------------------------------------------------------------


def test_shares_of_several_versions_are_not_merged(leaky, monkeypatch, tmp_path, capsys):
    for name in ("a", "b"):
        rows = [row(0), row(0, cell="leaky")]
        with Store(tmp_path / name) as store:
            store.append(rows)
            store.write_plan({"x": [row["run_id"] for row in rows]}, "grid")
        edit(monkeypatch)
    folders = [str(tmp_path / name) for name in ("a", "b")]
    assert main(["merge", *folders, "--out", str(tmp_path / "c")]) == 2
    message = "the folders have runs made by several versions of cell 'leaky'"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    assert main(["merge", folders[0], "--out", str(tmp_path / "c")]) == 0
    assert main(["merge", folders[1], "--out", str(tmp_path / "c")]) == 2
    with Store(folders[0]) as store:  # old runs that are no longer planned do no harm
        store.write_plan({"x": [Run().run_id]}, "grid")
    assert main(["merge", *folders, "--out", str(tmp_path / "d")]) == 0


def test_a_worker_with_another_version_trains_nothing(leaky, monkeypatch):
    run = Run(cell="leaky", max_updates=60)
    pack = (Job(run, run_id=run.run_id),)
    training = PackTraining("test", 1, train_job)
    edit(monkeypatch)
    with pytest.raises(EnvironmentFault, match=r"cell 'leaky', .* another version of it than was"):
        training(pack)
    monkeypatch.delitem(CELLS, "leaky")
    with pytest.raises(EnvironmentFault, match=r"a worker lacks cell 'leaky', "):
        training(pack)


# --- every kind ---------------------------------------------------------------------------------


def test_an_optimizer_and_a_task_are_compared_too(monkeypatch):
    settings = dict(OPTIMIZERS["adam"].settings)
    monkeypatch.setitem(OPTIMIZERS, "mine", Optimizer("Adam", settings))
    monkeypatch.setitem(TASKS, "mine", Task(TASKS["parity"].make))
    old = row(0, optimizer="mine", task="mine")
    monkeypatch.setitem(OPTIMIZERS, "mine", Optimizer("AdamW", settings))
    monkeypatch.setitem(TASKS, "mine", Task(TASKS["alternating"].make))
    found = versions_of(makers(*[{name: old[name] for name in COLUMNS}] * 2))
    assert found.others == {"task 'mine'": 2, "optimizer 'mine'": 2}
    assert np.all(found.is_other)

"""The audit passes runs that an engine trained, and finds a run with the numbers of another."""

import numpy as np
import pandas as pd
import pytest

from study.__main__ import main
from study.analysis.audit import deviations
from study.grid.store import Store
from study.grid.train import train_run
from study.runs.settings import Run

QUICK = {"lr": 0.03, "length": 8, "hidden_size": 4, "max_updates": 60, "eval_every": 5}
RUNS = [
    Run(cell=cell, engine=engine, seed=seed, **QUICK)
    for cell, engine, seed in [("rnn_relu", "fused", 0), ("lstm", "fused", 1), ("gru", "torch", 2)]
]


@pytest.fixture
def results(tmp_path):
    def make(change=lambda row: row):
        with Store(tmp_path / "results") as store:
            store.append([change(train_run(run)) for run in RUNS])
            store.write_plan({"a": [run.run_id for run in RUNS]})
        return store.folder

    return make


def test_honest_runs_pass(results, capsys):
    folder = results()
    assert main(["audit", str(folder), "--sample", "10"]) == 0
    assert "3 of 3 runs pass" in capsys.readouterr().out
    assert pd.read_csv(folder / "audit.csv")["passes"].all()


def test_a_run_with_the_curves_of_another_seed_is_found(results, capsys):
    def swapped(row):
        if row["cell"] != "lstm":
            return row
        other = train_run(RUNS[1].with_seed(99))
        return row | {name: other[name] for name in row if name.startswith("curve_")}

    assert main(["audit", str(results(swapped)), "--sample", "10"]) == 1
    assert "2 of 3 runs pass" in capsys.readouterr().out


def test_allowance_by_hand():
    deviation, allowed = deviations(
        np.array([1.0, 2.0, 3.5, 9.0]),
        [np.array([1.0, 2.1, 3.0])],
        np.array([1.0, 2.0, 3.0]),
        floor=0.5,
    )
    assert deviation.tolist() == [0, 0, 0.5]
    np.testing.assert_allclose(allowed, [3.0, 3.0, 3.0])


def test_the_widest_trajectory_sets_the_allowance_and_a_short_one_counts_while_it_lasts():
    exact = np.zeros(3)
    _, allowed = deviations(exact, [np.array([0, 0, 0.1]), np.array([0, 0.2])], exact, floor=0.5)
    np.testing.assert_allclose(allowed, [6.0, 6.0, 6.0])


def test_bad_input(tmp_path, results, capsys):
    assert main(["audit", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err
    with Store(tmp_path / "empty") as store:
        store.write_plan({"a": []})
    assert main(["audit", str(tmp_path / "empty")]) == 2
    assert "has no run to audit" in capsys.readouterr().err

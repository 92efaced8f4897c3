"""The audit passes runs that an engine trained, and finds each number that was made up."""

import numpy as np
import pandas as pd
import pytest
from grids import train_run

from study.__main__ import main
from study.analysis.audit import against_torch, against_weights, audit_row, deviations, rounding
from study.grid.store import Store, run_of
from study.grid.train import Job, train_job
from study.runs import CURVES, judged
from study.runs.settings import Run

QUICK = {"length": 8, "hidden_size": 4, "max_updates": 60, "eval_every": 5, "final_sequences": 50}
RUNS = [
    Run(cell=cell, engine=engine, seed=seed, lr=lr, **QUICK)
    for cell, engine, seed, lr in [
        ("rnn_relu", "fused", 0, 0.03),
        ("lstm", "fused", 1, 0.1),
        ("gru", "torch", 2, 0.003),
    ]
]


@pytest.fixture(scope="module")
def rows():
    """Two solved runs and an unsolved GRU; the weights of the LSTM are kept."""
    found = judged([train_job(Job(run, keep_weights=run.cell == "lstm")) for run in RUNS])
    assert [row["status"] for row in found] == ["solved", "solved", "unsolved"]
    return {row["cell"]: row for row in found}


@pytest.fixture
def results(tmp_path, rows):
    def make(cell="lstm", change=lambda row: {}):
        stored = rows | {cell: rows[cell] | change(rows[cell])}
        with Store(tmp_path / "results") as store:
            store.append(list(stored.values()))
            store.write_plan({"a": [row["run_id"] for row in stored.values()]})
        return str(store.folder)

    return make


def test_honest_runs_pass(results, capsys):
    folder = results()
    assert main(["audit", folder, "--sample", "10"]) == 0
    assert capsys.readouterr().out == "3 passed, 0 deviating, 0 uninformative\n"
    table = pd.read_csv(f"{folder}/audit.csv")
    assert table["passes"].all()
    assert (table["judged"] == table["evaluations"]).all()


def test_runs_without_curves_are_left_out_and_counted(results, capsys):
    folder = results("lstm", lambda _: dict.fromkeys(CURVES))
    assert main(["audit", folder, "--sample", "10"]) == 0
    count, verdict = capsys.readouterr().out.splitlines()
    assert count == "number of runs not audited, because their learning curves were not kept: 1"
    assert verdict == "2 passed, 0 deviating, 0 uninformative"


def solved_at_once(row):
    """A whole run that solved the task at update 0 and agrees with itself."""
    names = [name for name in row if name.startswith("curve_")]
    return (
        {name: np.asarray(row[name])[:3] for name in names}
        | {"curve_exact": [1.0] * 3, "curve_accuracy": [1.0] * 3, "status": "solved"}
        | {"converged_update": 0, "converged_sequences": 0, "converged_seconds": 0.0}
        | {"updates": 10, "sequences": 80}
    )


def of_another_seed(row):
    other = train_run(run_of(row).with_seed(99))
    return {name: other[name] for name in row if name.startswith("curve_")}


@pytest.mark.parametrize(
    ("cell", "change", "message"),
    [
        ("lstm", lambda _: {"status": "unsolved"}, "its status is unsolved, but its curve gives"),
        ("lstm", lambda _: {"converged_update": 0}, "its converged_update is 0, but its curve"),
        ("lstm", lambda _: {"updates": 0, "sequences": 0}, "its updates is 0, but its curve gives"),
        ("lstm", lambda _: {"lost_update": 10}, "its lost_update is 10, but its curve gives"),
        ("gru", lambda _: {"curve_exact": [1.0] * 13}, "cannot end after 13 evaluations"),
        ("lstm", lambda _: {"accuracy": 0.9}, "its `accuracy` and `exact` contradict each other"),
        ("lstm", lambda row: {"weights": row["weights"][1:]}, "weights, but its network has"),
        ("lstm", lambda row: {"weights": 0 * row["weights"]}, "one of the weights differs from"),
        ("lstm", lambda row: {"weights": 0 * row["weights"]}, "stored weights, accuracy differs"),
        ("gru", lambda row: {"accuracy": row["accuracy"] - 0.3}, "; accuracy differs from torch's"),
        ("gru", lambda row: {"loss": row["loss"] + 0.001}, " loss differs from torch's by 0.001"),
        (
            "lstm",
            lambda row: {"curve_loss": 2 * row["curve_loss"]},
            "after 0 updates, loss differs",
        ),
        ("gru", solved_at_once, "after 0 updates, accuracy differs from torch's"),
    ],
)
def test_a_forged_number_is_found(results, rows, capsys, cell, change, message):
    assert main(["audit", results(cell, change), "--sample", "10"]) == 1
    line, counts = capsys.readouterr().out.splitlines()
    assert line.startswith(f"run {rows[cell]['run_id']} ({cell}, adam) deviates: ")
    assert message.removeprefix("; ") in line
    assert counts == "2 passed, 1 deviating, 0 uninformative"


def test_a_run_that_contradicts_itself_is_found_outside_the_sample(results, capsys):
    folder = results("lstm", lambda _: {"status": "unsolved"})
    drawn = [main(["audit", folder, "--sample", "1", "--seed", str(seed)]) for seed in range(3)]
    assert drawn == [1, 1, 1]
    assert capsys.readouterr().out.count("its status is unsolved") == 3


def test_the_curves_of_another_seed_are_found(rows):
    assert audit_row(rows["lstm"] | of_another_seed(rows["lstm"]))["deviates"]


# --- what rounding leaves undetermined ------------------------------------------------------------


def trained(losses, run=RUNS[0], exact=0.0, **changes):
    """The results of a training with these losses at its evaluations."""
    n = len(losses)
    shares = {"curve_accuracy": np.full(n, 0.5), "curve_exact": np.full(n, exact)}
    final = {"loss": losses[-1], "accuracy": 0.5, "exact": exact}
    return (
        {"curve_update": np.arange(n) * 5, "curve_loss": np.array(losses), "weights": np.nan}
        | {"status": "unsolved", "updates": 60, "converged_update": None, "lost_update": None}
        | {"diverged_update": None, **shares, **final}
        | {f"long_{name}": value for name, value in final.items()}
        | changes
    )


def test_a_run_is_judged_up_to_where_torchs_own_rounding_passes_the_limit():
    by_torch = [trained([0.7, 0.6, 0.5, 0.4]), trained([0.7, 0.6001, 0.6, 0.4])]
    judged, is_enough, _, faults = against_torch(RUNS[0], trained([0.7, 0.6, 9, 9]), by_torch)
    assert (judged, is_enough, faults) == (2, False, [])
    judged, _, used, (fault,) = against_torch(RUNS[0], trained([0.7, 0.61, 9, 9]), by_torch)
    assert fault == "after 5 updates, loss differs from torch's by 0.01, but only 0.003 is allowed"
    assert used == pytest.approx(0.01 / 0.003)


def test_no_run_may_deviate_by_more_than_a_multiple_of_the_limit():
    """Torch's trainings end .4 apart, by which ALLOWANCE alone would allow 12."""
    by_torch = [trained([0.7, 0.6, 0.5, 0.4]), trained([0.7, 0.6, 0.5009, 0.8])]
    for loss, found in ((0.52, 0), (0.54, 1)):
        judged, is_enough, _, faults = against_torch(
            RUNS[0], trained([0.7, 0.6, loss, 9]), by_torch
        )
        assert (judged, is_enough, len(faults)) == (3, True, found)


def test_the_end_counts_only_if_rounding_leaves_it_determined():
    other = {"status": "solved", "converged_update": 10, "updates": 20}
    stored, exact = trained([0.7, 0.6, 0.5, 0.4]), trained([0.7, 0.6, 0.5, 0.4], **other)
    for last, found in ((0.4, 3), (0.9, 0)):
        by_torch = [exact, trained([0.7, 0.6, 0.5, last], **other)]
        assert len(against_torch(RUNS[0], stored, by_torch)[3]) == found


def test_kept_weights_are_informative_where_training_is_not(rows):
    row = rows["lstm"] | {"loss": rows["lstm"]["loss"] * 1.1}
    (fault,) = against_weights(RUNS[1], row)
    assert fault.startswith("with the stored weights, loss differs from torch's by ")
    assert against_weights(RUNS[1], rows["lstm"]) == []


def test_allowance_by_hand():
    deviation, allowed = deviations(
        np.array([1.0, 2.0, 3.5]), [np.array([1.0, 2.1, 3.0])], np.array([1.0, 2.0, 3.0]), floor=0.5
    )
    assert deviation.tolist() == [0, 0, 0.5]
    np.testing.assert_allclose(allowed, [3.0, 3.0, 3.0])


def test_the_widest_trajectory_counts_and_a_short_one_counts_while_it_lasts():
    widest = rounding(np.zeros(3), [np.array([0, 0, 0.1]), np.array([0, 0.2])])
    np.testing.assert_allclose(widest, [0, 0.2, 0.2])


def test_the_floor_of_large_losses_is_relative():
    """A loss of 256 has a rounding error of 3e-5 in float32."""
    exact = np.array([0.5, 256.0, np.inf])
    _, allowed = deviations(exact, [], exact, floor=1e-5)
    assert allowed.tolist() == pytest.approx([1e-5, 256e-5, 1e-5])


def test_losses_that_are_not_finite_agree_only_with_each_other():
    deviation, _ = deviations(np.array([np.nan, np.nan, 1]), [], np.array([np.inf, 1, np.nan]), 1.0)
    assert deviation.tolist() == [0, np.inf, np.inf]


def test_too_many_uninformative_runs_are_no_success(tmp_path, capsys):
    """At rate 5, rounding errors of one part in ten million grow to whole nats in 25 updates."""
    chaotic = {"cell": "rnn_tanh", "hidden_size": 8, "optimizer": "sgd", "lr": 5.0}
    times = {"max_updates": 100, "eval_every": 25, "stop_when_solved": False}
    runs = [Run(seed=seed, **(QUICK | chaotic | times)) for seed in (0, 2)]
    with Store(tmp_path / "results") as store:
        store.append([train_run(run) for run in runs])
        store.write_plan({"a": [run.run_id for run in runs]})
    assert main(["audit", str(store.folder)]) == 1
    assert "0 deviating, 2 uninformative" in capsys.readouterr().out


def test_bad_input(tmp_path, capsys):
    assert main(["audit", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err
    with Store(tmp_path / "empty") as store:
        store.write_plan({"a": []})
    assert main(["audit", str(tmp_path / "empty")]) == 2
    assert "has no run to audit" in capsys.readouterr().err

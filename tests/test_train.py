"""From an outcome to a row: statuses, convergence, and runs that fail."""

import numpy as np
import pytest
from grids import train_run

from study.engines import Curve, Outcome, fused, torch_engine
from study.engines.fused import data as data_of_fused
from study.grid import limits
from study.grid.limits import Limits, RanTooLong
from study.grid.train import Job, PackTraining, judged, results_of, row_of, train_job
from study.model.measures import Score
from study.runs.results import CURVES, RESULTS, SCHEMA, SETTINGS, TIMINGS
from study.runs.settings import Run, Sequences, weights_of

RUN = Run(eval_every=10, solved_evaluations=2, batch_size=4)


def outcome(exact, diverged=None) -> Outcome:
    update = np.arange(len(exact)) * 10
    curve = Curve(
        update, update * 0.1, update * 0.1, np.array(exact), np.array(exact, float), update * 0.01
    )
    seen = Score(0.1, 1.0, 1.0, None, None)
    final = (None, None) if diverged else (seen, seen)
    return Outcome(curve, int(update[-1]), diverged, *final, weights_of(RUN), 1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("exact", "diverged", "status", "converged", "lost"),
    [
        ([0, 0, 1, 1], None, "solved", 20, None),
        ([0, 1, 0, 1], None, "unsolved", None, None),
        ([0, 1, 1, 0, 1], None, "solved", 10, 30),
        ([0, 0], 17, "diverged", None, None),
        ([0, 1, 1], 27, "diverged", 10, None),
    ],
)
def test_status_and_convergence(exact, diverged, status, converged, lost):
    row = results_of(RUN, outcome(exact, diverged), keep_weights=False)
    assert (row["status"], row.get("converged_update"), row["lost_update"]) == (
        status,
        converged,
        lost,
    )
    if converged is not None:
        assert row["converged_sequences"] == 4 * converged
        assert row["converged_seconds"] == pytest.approx(converged * 0.01)
    assert ("accuracy" in row) == (diverged is None)


def test_sequences_are_counted_by_the_update():
    run = Run(data="fixed", batch_size=1, epoch_sequences=2, update_per="epoch")
    assert (
        results_of(run, outcome([0, 0, 1, 1, 1]), keep_weights=False)["converged_sequences"]
        == 2 * 20
    )


def test_weights_are_kept_on_request():
    kept = results_of(RUN, outcome([0, 1, 1]), keep_weights=True)["weights"]
    assert (
        kept.tolist()
        == np.concatenate([array.ravel() for array in weights_of(RUN).values()]).tolist()
    )
    assert results_of(RUN, outcome([0, 1, 1]), keep_weights=False)["weights"] is None


def test_a_row_has_no_column_that_the_store_lacks(quick):
    row = train_job(Job(quick(), keep_weights=True), runs_at_once=2, invocation="abc")
    assert set(row) <= set(SCHEMA.names)
    assert set(row) >= set(SETTINGS) | {"run_id", "status", "accuracy", "weights"}
    assert (row["runs_at_once"], row["invocation"]) == (2, "abc")


def test_rows_whose_results_fit_no_column_are_of_failed_runs_and_the_others_are_kept(quick):
    row = train_job(Job(quick(), keep_weights=True))
    misfits = [
        {"loss": "low"},
        {"updates": 2**70},
        {"curve_loss": 1.0},
        {"weights": [[1.0]]},
        {"status": ("solved",)},
        {"accuracy": 2.0},
    ]
    found = judged([row, *(row | misfit for misfit in misfits), row])
    assert found[0] is found[-1] is row
    for failed in found[1:-1]:
        assert (failed["status"], failed["run_id"]) == ("failed", row["run_id"])
        assert failed.get("accuracy") is None
        assert failed["reason"].startswith(("Traceback", "the engine"))
    assert "accuracy" in found[-2]["reason"]


def test_curves_are_left_out_on_request_and_nothing_else(quick):
    """The curve is checked before it goes, and its last entries and status stay."""

    def forges(job, *how, **about):
        row = train_job(job, *how, **about)
        return row | {"curve_exact": [2.0]} if job.run.seed == 1 else row

    def trained(keep_curves: bool) -> list[dict]:
        pack = tuple(Job(quick(seed=seed), keep_curves=keep_curves) for seed in (0, 1))
        table = PackTraining("test", 1, forges)(pack)
        assert table.schema.names == SCHEMA.names
        return table.drop_columns(list(TIMINGS)).to_pylist()

    whole, lean = trained(True), trained(False)
    assert len(whole[0]["curve_exact"]) > 1
    assert lean == [row | dict.fromkeys(CURVES) for row in whole]
    assert [row["status"] for row in lean] == [whole[0]["status"], "failed"]


def test_timings_are_apart_from_results():
    assert not set(RESULTS) & set(TIMINGS)
    assert all("seconds" not in name for name in RESULTS)


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_run_that_raises_is_a_failed_row_with_its_traceback(quick, monkeypatch, error):
    def broken(run, check):
        raise error("no such luck")

    monkeypatch.setattr(torch_engine, "train", broken)
    row = train_run(quick(seed=3))
    assert (row["status"], row["seed"]) == ("failed", 3)
    assert "Traceback" in row["reason"]
    assert f"{error.__name__}: no such luck" in row["reason"]


def test_an_engine_that_returns_no_outcome_is_a_failed_row_with_the_traceback(quick, monkeypatch):
    monkeypatch.setattr(torch_engine, "train", lambda run, check: 42)
    row = train_run(quick(seed=3))
    assert (row["status"], row["seed"]) == ("failed", 3)
    assert "AttributeError: 'int' object has no attribute" in row["reason"]


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_a_run_that_takes_too_long_is_a_failed_row(quick, engine):
    run = quick(engine=engine, max_updates=10**8, stop_when_solved=False)
    row = train_job(Job(run), Limits(run_seconds=0.2))
    assert row["status"] == "failed"
    last = row["reason"].strip().splitlines()[-1]
    assert last.endswith("RanTooLong: used more than 0.2 s of processor time (--run-seconds)")


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_loading_and_preparing_do_not_count_as_time_of_the_run(quick, monkeypatch, engine):
    """By a clock that moves only while the run's weights are drawn, by 1000 s."""
    clock, module = [0.0], {"torch": torch_engine, "fused": fused}[engine]

    def slow(run):
        clock[0] += 1000
        return weights_of(run)

    monkeypatch.setattr(module, "weights_of", slow)
    monkeypatch.setattr(limits, "process_time", lambda: clock[0])
    assert train_job(Job(quick(engine=engine)), Limits(run_seconds=1))["status"] != "failed"
    assert clock[0] == 1000


@pytest.mark.parametrize("engine", [fused, torch_engine])
def test_the_clock_of_a_run_begins_before_its_first_update(quick, engine):
    """Even a run that is one stretch of training to its engine is stopped."""

    def checked():
        calls.append(1)
        if len(calls) == 2:
            raise RanTooLong

    calls = []
    with pytest.raises(RanTooLong):
        engine.train(quick(max_updates=1, eval_every=1, solved_evaluations=1), check=checked)


def test_ctrl_c_is_no_failure_of_the_run(quick, monkeypatch):
    def interrupted(run, check):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch_engine, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_run(quick())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_are_kept_in_the_precision_of_the_run(dtype):
    curve = outcome([0, 0]).curve
    row = results_of(RUN.model_copy(update={"dtype": dtype}), outcome([0, 0]), keep_weights=False)
    assert row["curve_loss"].tolist() == curve.loss.astype(dtype).tolist()


def test_a_diverged_run_has_a_row(quick):
    row = train_run(quick(cell="rnn_relu", optimizer="sgd", lr=1e30, max_updates=100))
    assert row["status"] == "diverged"
    assert row["diverged_update"] == row["updates"]
    assert len(row["curve_loss"])


def test_row_of_writes_settings_as_columns():
    row = row_of(RUN, {"status": "skipped", "reason": "why"}, 3, "abc")
    assert row["optimizer_settings"].startswith('{"amsgrad": false')
    assert (row["runs_at_once"], row["invocation"], row["run_id"]) == (3, "abc", RUN.run_id)


# --- known answers of the science ---------------------------------------------------------------


def test_without_its_state_a_network_cannot_do_it():
    """Reset at every step, it sees x_t alone: over t >= 1 that is a coin's accuracy."""
    run = Run(cell="gru", state="reset", lr=0.05, max_updates=300, length=20, final_sequences=200)
    row = train_run(run)
    assert row["status"] == "unsolved"
    assert row["accuracy"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_with_its_state_it_can(cell):
    row = train_run(Run(cell=cell, lr=0.03, length=10, max_updates=500, final_sequences=200))
    assert row["status"] == "solved"
    assert row["exact"] > 0.9


@pytest.mark.parametrize("data", ["fresh", "fixed"])
@pytest.mark.parametrize("engine", [fused, torch_engine])
def test_drawing_data_counts_as_the_training_or_evaluation_that_it_is_for(
    quick, monkeypatch, engine, data
):
    """By a clock that only drawing moves, by a second: every engine's seconds mean the same."""
    drawn = dict.fromkeys(("training", "evaluation", "final", "final, long"), 0)

    class Slow(Sequences):
        def __init__(self, run, purpose, length):
            super().__init__(run, purpose, length)
            self.purpose = purpose

        def draw(self, n):
            drawn[self.purpose] += n > 0
            return super().draw(n)

    monkeypatch.setattr(data_of_fused if engine is fused else engine, "Sequences", Slow)
    monkeypatch.setattr(data_of_fused, "_kept", {})
    monkeypatch.setattr(engine, "perf_counter", lambda: float(sum(drawn.values())))
    outcome = engine.train(quick(data=data, stop_when_solved=False))
    loop = 0.5  # the compiled loop has a clock of its own
    assert drawn["training"] >= 1
    assert outcome.train_seconds == pytest.approx(drawn["training"], abs=loop)
    assert outcome.evaluation_seconds == pytest.approx(drawn["evaluation"], abs=loop)
    assert outcome.final_seconds == pytest.approx(drawn["final"] + drawn["final, long"], abs=loop)
    assert (np.diff(outcome.curve.train_seconds) > -loop / 100).all()
    assert outcome.curve.train_seconds[-1] == pytest.approx(outcome.train_seconds)

"""All peers do the same update, and the floor, the tables and the commands are right."""

import random
import sys
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import __main__ as benchmarks
from benchmarks import chaos, grid, scale, store, table, timing, worker
from benchmarks.figure import draw_updates
from benchmarks.gates import GATES
from benchmarks.peers import PEERS, cases_of, floor, fused, jax_scan, stacked, torch_nn
from benchmarks.problem import Case
from study import load
from study.command import run
from study.errors import BadInput
from study.grid.file import expand, read_grid
from study.grid.store import read_rows
from study.model import CELLS
from study.runs import weights_of

STORED = Path(__file__).parent.parent / "results" / "benchmarks"
UPDATES = 11  # more than there are batches, so that they come round again
ATOL = 2e-6


def small(cell="lstm"):
    return Case(cell, hidden_size=5, batch_size=3, length=7)


# --- the same update ----------------------------------------------------------------------------


def assert_same_update(ours, case, model=0):
    """Some updates move the peer's weights to where torch's are, and away from where they were."""
    reference = torch_nn.Model(case, seed=model)
    before = weights_of(reference.trainer.run)
    for updates in (ours, reference):
        updates(UPDATES - 1)
        updates(1)
    expected, found = reference.weights(), ours.weights(model) if model else ours.weights()
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=ATOL, err_msg=name)
    assert max(np.abs(array - before[name]).max() for name, array in expected.items()) > 100 * ATOL


@pytest.mark.parametrize("cell", GATES)
def test_fused_does_torchs_update(cell):
    assert_same_update(fused.Loop(small(cell)), small(cell))
    case = Case(cell, hidden_size=5, batch_size=2, length=7)
    assert_same_update(fused.Loop(case, 4), case, 2)


@pytest.mark.parametrize("model", [0, 2])
@pytest.mark.parametrize("cell", GATES)
def test_the_stack_does_torchs_update_for_each_model(cell, model):
    assert_same_update(stacked.Stacked(small(cell), 3), small(cell), model)


@pytest.mark.skipif(jax_scan.jax is None, reason="jax is not installed")
@pytest.mark.parametrize("unroll", jax_scan.UNROLLS)
@pytest.mark.parametrize("cell", GATES)
def test_jax_does_torchs_update_for_each_model(cell, unroll):
    assert_same_update(jax_scan.Scan(small(cell), 3, unroll), small(cell), 2)


# --- the floor ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", GATES)
def test_functions_are_those_that_the_gates_call(cell):
    calls = []

    def recorded(a):
        calls.append(a)
        return a

    ops = SimpleNamespace(sigmoid=recorded, tanh=recorded, relu=abs, split=np.split)
    n = CELLS[cell].shapes(1, 1)["weight_hh"][0]
    GATES[cell](ops, np.ones(n), np.ones(n), (np.ones(1),) * len(CELLS[cell].states))
    assert floor.FUNCTIONS[cell] == len(calls)


@pytest.mark.parametrize("cell", GATES)
def test_operations_agree_with_those_that_torch_counts(cell):
    case = small(cell)
    with FlopCounterMode(display=False) as counter:
        stacked.Stacked(case, 1)(1)
    gates = {"lstm": 4, "gru": 3}.get(cell, 1)
    # The floor leaves out the products of the zero state, forward and for the weights.
    zero_state = 2 * 2 * case.batch_size * gates * case.hidden_size**2
    assert counter.get_total_flops() == floor.operations(case) + zero_state


# --- timing -------------------------------------------------------------------------------------


def test_repeats_are_summarised():
    found = timing.summary(np.array([4.0, 1.0, 3.0, 2.0, 5.0]))
    assert list(found.values()) == [1, 2, 3, 4, 5]  # minimum, quartiles, number


def test_a_repeat_is_of_so_many_updates_that_it_can_be_timed(monkeypatch):
    monkeypatch.setattr(timing, "_seconds_of", lambda updates, n: (1e-4 * n, 2e-4 * n))
    found = timing.timed(lambda n: None, 0.05, models=2)
    assert found["updates_per_repeat"] == 64
    assert (found["min_seconds"], found["wall_seconds"]) == pytest.approx((5e-5, 1e-4))


def test_the_best_number_of_models_is_reported(monkeypatch):
    seconds = {1: 4.0, 16: 1.0, 64: 1.05, 256: 2.0, 512: 0.5}

    def timed(make, _, models):
        return {"models": models, "min_seconds": seconds[models]}

    monkeypatch.setattr(timing, "timed", timed)
    found = timing.best_of_models(lambda models: lambda n: None, tuple(seconds), 0.1)
    assert (found["models"], found["min_seconds"]) == (16, 1.0)
    assert found["models_tried"] == "1:4 16:1 64:1.05 256:2"  # 256 was slower, so 512 is not tried


# --- rows ---------------------------------------------------------------------------------------


def row(peer, case, seconds, models=1):
    times = {"min_seconds": seconds, "q25_seconds": 1.01 * seconds, "q75_seconds": 1.05 * seconds}
    return {"peer": peer, **vars(case), "status": "measured", "models": models} | times


def measured(seconds=1e-5):
    return {"status": "measured", "models": 1, **timing.summary(np.array([seconds, 2 * seconds]))}


def opened(folder, fresh=False):
    return store.Store(folder, ["test"], {}, fresh)


def test_rows_are_kept_and_only_what_is_missing_is_measured(tmp_path):
    cases = [small(cell) for cell in ("lstm", "gru", "rnn_tanh")]
    first = opened(tmp_path)
    first.add("fused", cases[0], measured())
    first.add("fused", cases[1], {"status": "skipped", "reason": "not available"})
    again = opened(tmp_path)
    assert again.missing("fused", cases) == cases[1:]
    assert again.missing("torch", cases) == cases
    again.add("fused", cases[1], measured())
    again.add("fused", cases[1], measured(2e-5))
    again.add("fused", cases[1], {"status": "failed", "reason": "crashed in another round"})
    frame = store.read(tmp_path)
    assert list(frame["status"]) == ["measured"] * 2
    assert list(frame["min_seconds"]) == [1e-5] * 2  # the fastest round counts
    assert set(frame["invocation"]) == {first.invocation, again.invocation}
    assert set(store.read_manifests(tmp_path)) == set(frame["invocation"])
    assert opened(tmp_path, fresh=True).missing("fused", cases) == cases


def test_rows_of_another_machine_are_refused(tmp_path, monkeypatch):
    opened(tmp_path).add("fused", small(), measured())
    monkeypatch.setattr(store, "machine", lambda: {"cpu": "another"})
    with pytest.raises(BadInput, match="another machine"):
        opened(tmp_path)


def test_a_case_that_ends_its_process_is_failed_and_the_others_are_measured(monkeypatch):
    dies = "import os; print('{}', flush=True); os._exit(7)"
    monkeypatch.setattr(worker, "COMMAND", [sys.executable, "-c", dies])
    failed = {"status": "failed", "reason": "its process ended with exit code 7"}
    cases = [small(cell) for cell in ("lstm", "gru", "rnn_tanh")]
    assert list(worker.measured("fused", cases, 0.1)) == [{}, failed, {}]


# --- tables -------------------------------------------------------------------------------------

BAR = Case("lstm", 6, 8, 20)


def test_a_ratio_says_whether_its_bar_is_reached():
    times = {"fused": 1e-5, "torch": 31e-5, "jax": 9.9e-5, "floor": 1e-6}
    frame = pd.DataFrame([row(peer, BAR, seconds) for peer, seconds in times.items()])
    found = table.peer_ratios(frame).set_index(table.CASE)
    ours = found.loc[astuple(BAR), ["fused", "torch", "jax", "floor"]].tolist()
    assert ours == ["10 [10.1, 10.5]", *map(pytest.approx, (31, 9.9, 10))]
    other = found.loc[astuple(Case("gru", 6, 8, 20)), ["fused", "torch"]]
    assert other.tolist() == ["not measured", pytest.approx(np.nan, nan_ok=True)]
    goals = table.bars(frame).set_index("where")
    assert goals.loc["`lstm`, H = 6", ["ratio", "reached"]].tolist() == [pytest.approx(9.9), False]
    assert not goals["reached"].any()  # what was not measured is not reached
    every = [row(peer, case, 1e-5) for *_, of, _ in table.BARS for case in of for peer in PEERS]
    assert table.bars(pd.DataFrame(every).drop_duplicates())["reached"].tolist() == [
        False, False, False, True,
    ]  # fmt: skip


def test_the_cost_of_a_lone_run_is_reported_by_batch_size():
    cases = [Case("lstm", size, batch, 50) for size in (6, 32) for batch in (1, 2)]
    rows = [row("alone", case, case.hidden_size * case.batch_size) for case in cases]
    rows += [row("fused", case, 2.0) for case in cases]
    found = table.lone_costs(pd.DataFrame(rows))
    assert found.to_dict("index") == {1: {"min": 3, "max": 16}, 2: {"min": 6, "max": 32}}


@pytest.mark.parametrize(
    ("case", "fused_seconds", "verdict"),
    [
        (BAR, 2.0, ("fused", True, False)),
        (BAR, 1.05, ("fused", False, False)),  # within the noise
        (Case("lstm", 128, 32, 50), 2.0, ("torch", False, False)),
        (Case("lstm", 128, 32, 50), 0.5, ("torch", False, True)),
        (Case("mgu", 128, 32, 50), 0.5, ("fused", False, False)),
    ],
)
def test_the_choice_of_auto_is_judged(case, fused_seconds, verdict):
    frame = pd.DataFrame([row("fused", case, fused_seconds), row("torch", case, 1.0)])
    found = table.auto_choices(frame)[["engine", "slower", "missed"]]
    assert tuple(found.iloc[0]) == verdict


# --- the commands -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "fusd"], "unknown peer 'fusd' (did you mean 'fused'?)"),
        (["--cell", "lstn"], "unknown cell 'lstn' (did you mean 'lstm'?)"),
        (["--seconds", "0"], "Must be > 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(arguments, message, tmp_path, capsys):
    assert run(benchmarks.app, [*arguments, "--out", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_command_measures_in_a_process_and_draws(tmp_path, capsys):
    peers = ["--only", "fused", "--only", "torch"]
    asked = [*peers, "--cell", "lstm", "--quick", "--seconds", "0.001", "--out"]
    assert run(benchmarks.app, [*asked, str(tmp_path)]) == 0
    frame = store.read(tmp_path)
    found = sorted(zip(frame["peer"], frame["hidden_size"], strict=True))
    assert found == [(peer, size) for peer in ("fused", "torch") for size in (6, 6, 32, 32)]
    assert (frame["min_seconds"] > 0).all()
    assert (tmp_path / "figures" / "updates.pdf").exists()
    before = (tmp_path / "updates.csv").read_bytes()
    assert run(benchmarks.app, [*asked, str(tmp_path)]) == 0
    assert "everything has been measured already" in capsys.readouterr().err
    assert (tmp_path / "updates.csv").read_bytes() == before


@pytest.mark.filterwarnings("ignore:.*plan")
def test_copied_rows_can_be_loaded(tmp_path):
    scale.write_rows(tmp_path / "rows", 50_000)
    frame = load(tmp_path / "rows", curves=False, unplanned=True)
    assert frame["run_id"].nunique() == len(frame) == 50_000


# --- the stored table ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored():
    return store.read(STORED)


def test_every_stored_row_has_a_case_of_its_peer_and_a_manifest(stored):
    known = {(peer, *astuple(case)) for peer in PEERS for case in cases_of(peer)}
    keys = list(stored[list(store.KEY)].itertuples(index=False, name=None))
    assert len(set(keys)) == len(keys)
    assert set(keys) <= known
    manifests = store.read_manifests(STORED)
    assert set(stored["invocation"]) == set(manifests)
    caption = draw_updates(stored, manifests).caption
    assert (STORED / "figures" / "updates.txt").read_text().strip() == caption


def test_no_peer_beats_the_floor_and_auto_is_never_clearly_slower_than_torch(stored):
    times = table.by_peer(stored).dropna(subset="floor")
    assert (times.drop(columns="floor").min(axis=1) > times["floor"]).all()
    choices = table.auto_choices(stored)
    assert not choices["slower"].any()


@pytest.mark.parametrize("seed", range(6))
def test_chaos_damages_a_part_and_knows_its_runs(tmp_path, seed):
    scale.write_rows(tmp_path, 3)
    runs = set(read_rows(tmp_path, ["run_id"])["run_id"].to_pylist())
    assert chaos.damage(tmp_path, random.Random(seed)) == runs
    assert len(read_rows(tmp_path)) == 0
    assert chaos.damage(tmp_path / "none", random.Random(seed)) == set()


# --- the whole grid -----------------------------------------------------------------------------


def test_the_total_of_a_sample_and_its_interval():
    """Two strata, by hand; one is sampled whole, so that it adds nothing to the interval."""
    found = grid.total_of([(10, [1.0, 3.0]), (2, [5.0, 7.0])])
    half = 1.96 * (10**2 * (1 - 2 / 10) * 2.0 / 2) ** 0.5
    assert found["torch_seconds"] == pytest.approx(32)
    assert found["torch_low"] == pytest.approx(32 - half)
    assert found["torch_high"] == pytest.approx(32 + half)


def test_every_run_of_the_fused_engine_is_in_one_stratum():
    expansion = expand(read_grid(grid.GRID))
    strata = grid.strata_of(expansion)
    fused = {i for i, (run, _) in expansion.sources.items() if run.engine == "fused"}
    members = [run_id for run_ids in strata.values() for run_id in run_ids]
    assert sorted(members) == sorted(fused)
    (_, cell), run_ids = next(iter(strata.items()))
    drawn = grid.sample(expansion, run_ids, 3)
    assert {run.run_id for run in drawn} < set(run_ids)
    assert {run.cell for run in drawn} == {cell}

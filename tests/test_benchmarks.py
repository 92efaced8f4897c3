"""The peers do the same update; the table, the floor and the command are what they say. No time is asserted."""

import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import __main__ as command
from benchmarks import scale, store, table, timing
from benchmarks.figure import draw_updates
from benchmarks.gates import GATES
from benchmarks.peers import PEERS, cases_of, floor, fused, jax_scan, stacked, torch_nn
from benchmarks.problem import Case
from benchmarks.worker import Worker
from study.errors import BadInput
from study.runs.settings import weights_of

ROOT = Path(__file__).parent.parent
STORED = ROOT / "results" / "benchmarks"
UPDATES = 11  # more than there are batches, so that they come round again
ATOL = 2e-6


def small(cell="lstm"):
    return Case(cell, hidden_size=5, batch_size=3, length=7)


# --- the same update ----------------------------------------------------------------------------


def assert_same_update(ours, case, model=0):
    """The peer's weights are torch's after some updates, and these have moved them."""
    reference = torch_nn.Model(case, seed=model)
    before = weights_of(reference.trainer.run)
    for updates in (ours, reference):
        updates(UPDATES - 1)
        updates(1)
    expected = reference.weights()
    assert set(ours.weights(model)) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(
            ours.weights(model)[name], array, rtol=0, atol=ATOL, err_msg=name
        )
    assert max(np.abs(array - before[name]).max() for name, array in expected.items()) > 100 * ATOL


@pytest.mark.parametrize("cell", GATES)
def test_fused_does_torchs_update(cell):
    assert_same_update(fused.Loop(small(cell)), small(cell))


@pytest.mark.parametrize("model", [0, 2])
@pytest.mark.parametrize("cell", GATES)
def test_the_stack_does_torchs_update_for_each_model(cell, model):
    assert_same_update(stacked.Stacked(small(cell), 3), small(cell), model)


@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_the_compiled_stack_does_torchs_update():
    if stacked.unavailable(compiled=True):
        pytest.skip("no C++ compiler")
    assert_same_update(stacked.Stacked(small("rnn_tanh"), 2, compiled=True), small("rnn_tanh"), 1)


@pytest.mark.skipif(jax_scan.jax is None, reason="jax is not installed")
@pytest.mark.parametrize("cell", GATES)
def test_jax_does_torchs_update_for_each_model(cell):
    assert_same_update(jax_scan.Scan(small(cell), 3), small(cell), 2)


# --- the floor ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("lstm", 5),
        ("gru", 3),
        ("rnn_tanh", 1),
        ("rnn_relu", 0),
        ("lstm_cifg", 4),
        ("mingru", 1),
        ("diagonal_signed", 0),
    ],
)
def test_functions_of_a_unit_are_counted_in_its_rule(cell, values):
    assert floor.functions_per_unit(cell) == values
    case = Case(cell, hidden_size=3, batch_size=2, length=10)
    assert floor.function_calls(case) == 10 * 2 * (3 * values + 2)


@pytest.mark.parametrize("cell", GATES)
def test_operations_are_those_that_torch_counts(cell):
    case = small(cell)
    with FlopCounterMode(display=False) as counter:
        stacked.Stacked(case, 1)(1)
    gates = {"lstm": 4, "gru": 3}.get(cell, 1)
    with_the_zero_state = (
        2 * 2 * case.batch_size * gates * case.hidden_size**2
    )  # forward, and to the weights
    assert counter.get_total_flops() == floor.operations(case) + with_the_zero_state


def test_cells_without_recurrent_matrix_have_no_product_with_it():
    case = Case("mingru", hidden_size=3, batch_size=2, length=10)
    assert floor.operations(case) == 2 * 2 * 10 * (2 * 6 + 3 * 2 * 3)


# --- timing -------------------------------------------------------------------------------------


def test_repeats_are_summarised():
    found = timing.summary(np.array([4.0, 1.0, 3.0, 2.0, 5.0]))
    assert found == {
        "min_seconds": 1,
        "q25_seconds": 2,
        "median_seconds": 3,
        "q75_seconds": 4,
        "repeats": 5,
    }


def test_all_updates_of_a_repeat_and_all_models_share_its_time():
    calls = []
    found = timing.timed(calls.append, seconds=0.0, models=1000)
    n = found["updates_per_repeat"]
    assert calls[:3] == [1, 2, 1]
    assert calls[3:] == [n] * timing.LEAST_REPEATS
    assert found["min_seconds"] < timing.REPEAT_SECONDS / n / 100


def test_the_best_number_of_models_is_reported(monkeypatch):
    seconds = {1: 4.0, 16: 1.0, 64: 1.05, 256: 2.0, 512: 0.5}
    monkeypatch.setattr(
        timing, "timed", lambda make, _, models: {"models": models, "min_seconds": seconds[models]}
    )
    found = timing.best_of_models(lambda models: lambda n: None, (1, 16, 64, 256, 512), 0.1)
    assert (found["models"], found["min_seconds"]) == (16, 1.0)
    assert (
        found["models_tried"] == "1:4 16:1 64:1.05 256:2"
    )  # and not the next: more models had become slower


# --- rows ---------------------------------------------------------------------------------------


def row(peer, case, seconds, **more):
    return {"peer": peer, **vars(case), "status": "measured", "models": 1, "repeats": 5} | {
        f"{name}_seconds": seconds * spread for name, spread in (("min", 1), ("q25", 1.01), ("q75", 1.05))
    } | more  # fmt: skip


def found(seconds=1e-5):
    return {"status": "measured", "models": 1, **timing.summary(np.array([seconds, 2 * seconds]))}


def opened(folder, fresh=False):
    return store.Store(folder, ["test"], {}, fresh)


def test_rows_are_kept_and_only_what_is_missing_is_measured(tmp_path):
    first = opened(tmp_path)
    cases = [small(cell) for cell in ("lstm", "gru", "rnn_tanh")]
    first.add("fused", cases[0], found())
    first.add("fused", cases[1], {"status": "skipped", "reason": "not there"})
    first.close()
    again = opened(tmp_path)
    assert again.missing("fused", cases) == cases[1:]
    assert again.missing("torch", cases) == cases
    again.add("fused", cases[1], found())
    again.close()
    frame = store.read(tmp_path)
    assert list(frame.columns) == list(store.COLUMNS)
    assert list(frame["status"]) == ["measured"] * 2
    assert (
        set(store.read_manifests(tmp_path))
        == set(frame["invocation"])
        == {first.invocation, again.invocation}
    )
    anew = opened(tmp_path, fresh=True)
    assert anew.missing("fused", cases) == cases
    anew.close()


def test_two_at_once_are_refused(tmp_path):
    first = opened(tmp_path)
    with pytest.raises(BadInput, match="disturb"):
        opened(tmp_path)
    first.close()


def test_rows_of_another_machine_are_refused(tmp_path, monkeypatch):
    first = opened(tmp_path)
    first.add("fused", small(), found())
    first.close()
    monkeypatch.setattr(store.provenance, "machine", lambda: {"cpu": "another"})
    with pytest.raises(BadInput, match="another machine"):
        opened(tmp_path)


def test_a_peer_whose_process_dies_costs_a_row():
    worker = Worker("fused", 0.1)
    worker.command = [sys.executable, "-c", "import os; os._exit(7)"]
    for _ in range(2):
        assert worker.measure(small()) == {
            "status": "failed",
            "reason": "its process ended with exit code 7",
        }


def test_a_peer_that_is_not_there_says_so(monkeypatch):
    monkeypatch.setattr(jax_scan, "jax", None)
    monkeypatch.setattr(stacked.shutil, "which", lambda name: None)
    assert "bench" in PEERS["jax"].unavailable()
    assert "compiler" in PEERS["compiled"].unavailable()
    assert PEERS["stacked"].unavailable() is None


# --- what the rows say --------------------------------------------------------------------------

BAR = Case("lstm", 6, 2, 50)


def test_a_ratio_says_whether_its_bar_is_reached():
    rows = [
        row("fused", BAR, 1e-5),
        row("torch", BAR, 31e-5),
        row("jax", BAR, 1.9e-5, models=64),
        row("floor", BAR, 1e-6),
    ]
    found = table.ratios(pd.DataFrame(rows)).set_index(["peer", "cell", "hidden_size"])
    assert found.loc[("torch", "lstm", 6), ["ratio", "reached"]].tolist() == [
        pytest.approx(31),
        True,
    ]
    assert found.loc[("jax", "lstm", 6), ["ratio", "models", "reached"]].tolist() == [
        pytest.approx(1.9),
        64,
        False,
    ]
    assert found.loc[("jax", "lstm", 6), "over_floor"] == pytest.approx(10)
    assert found.loc[("torch", "gru", 6), ["peer_time", "reached"]].tolist() == [
        "not measured",
        False,
    ]


@pytest.mark.parametrize(
    ("case", "fused_seconds", "verdict"),
    [
        (Case("lstm", 6, 2, 50), 2.0, ("fused", True, False)),
        (Case("lstm", 6, 2, 50), 1.05, ("fused", False, False)),  # within the noise
        (Case("lstm", 128, 32, 50), 2.0, ("torch", False, False)),
        (Case("lstm", 128, 32, 50), 0.5, ("torch", False, True)),
        (Case("mgu", 128, 32, 50), 0.5, ("fused", False, False)),
    ],
)
def test_the_choice_of_auto_is_judged(case, fused_seconds, verdict):
    frame = pd.DataFrame([row("fused", case, fused_seconds), row("torch", case, 1.0)])
    (found,) = table.auto_choices(frame)[["engine", "slower", "missed"]].itertuples(
        index=False, name=None
    )
    assert found == verdict


def test_shapes_are_named():
    cases = [Case("lstm", 128, 8, 50), Case("lstm", 128, 8, 200), Case("gru", 64, 32, 50)]
    named = table.shapes_of(pd.DataFrame(map(vars, cases)))
    assert named == "`lstm` 128×8 (T 50, 200); `gru` 64×32 (T 50)"
    assert table.shapes_of(pd.DataFrame()) == "nowhere"


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "fusd"], "unknown peer 'fusd' (did you mean 'fused'?)"),
        (["--cell", "lstn"], "unknown cell 'lstn' (did you mean 'lstm'?)"),
        (["--seconds", "0"], "must lie above 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(arguments, message, tmp_path, capsys):
    assert command.main([*arguments, "--out", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_unwritable_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert command.main(["--out", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["updates.csv", "machine.json"])
def test_a_damaged_file_is_refused(name, tmp_path, capsys):
    first = opened(tmp_path)
    first.add("fused", small(), found())
    first.close()
    (tmp_path / name).write_text("?")
    assert command.main(["--out", str(tmp_path)]) == 2
    assert "--fresh" in capsys.readouterr().err


def test_help_has_an_example():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "examples:\n  python -m benchmarks" in done.stdout


def test_the_command_measures_in_a_process_and_draws(tmp_path, capsys):
    asked = [
        "--only",
        "fused",
        "--only",
        "torch",
        "--cell",
        "lstm",
        "--quick",
        "--seconds",
        "0.001",
    ]
    assert command.main([*asked, "--out", str(tmp_path)]) == 0
    frame = store.read(tmp_path)
    assert sorted(zip(frame["peer"], frame["hidden_size"], strict=True)) == [
        ("fused", 6), ("fused", 32), ("torch", 6), ("torch", 32),
    ]  # fmt: skip
    assert (frame["min_seconds"] > 0).all()
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {
        ".pdf",
        ".svg",
        ".png",
        ".csv",
        ".txt",
    }
    before = (tmp_path / "updates.csv").read_bytes()
    assert command.main([*asked, "--out", str(tmp_path)]) == 0
    assert "all is measured already" in capsys.readouterr().err
    assert (tmp_path / "updates.csv").read_bytes() == before


# --- the stored table ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored():
    return store.read(STORED)


def test_every_stored_row_has_its_case_and_its_source(stored):
    known = {(peer, *astuple(case)) for peer in PEERS for case in cases_of(peer, complete=True)}
    keys = list(stored[list(store.KEY)].itertuples(index=False, name=None))
    assert len(set(keys)) == len(keys)
    assert set(keys) <= known
    assert set(stored["invocation"]) == set(store.read_manifests(STORED))
    measured = table.measured(stored)
    assert measured["q25_seconds"].le(measured["q75_seconds"]).all()
    assert measured["min_seconds"].gt(0).all()
    assert stored.loc[stored["status"] != "measured", "reason"].notna().all()


def test_the_stored_table_has_both_engines_at_every_bar(stored):
    assert not table.ratios(stored).query("peer == 'torch'")["ratio"].isna().any()


def test_no_peer_is_faster_than_the_floor(stored):
    times = table.by_peer(stored)
    rest = times.drop(columns="floor")
    assert (rest.min(axis=1) > times["floor"]).all()


def test_auto_is_never_clearly_slower_than_torch(stored):
    choices = table.auto_choices(stored)
    slower = choices[choices["slower"]]
    assert slower.empty, slower.to_string()


def test_the_caption_names_commit_and_machine(stored):
    drawing = draw_updates(stored, store.read_manifests(STORED))
    assert "Commit" in drawing.caption
    assert (STORED / "figures" / "updates.txt").read_text().strip() == drawing.caption


COSTS = {"run_seconds": 1e-4, "pack_seconds": 1e-3}


@pytest.mark.parametrize(
    ("workers", "pack", "run_seconds", "rate"),
    [
        (1, 1, 1.0, 1 / (1 + 1e-3 + 1e-4)),  # one worker waits for the parent after each run
        (10, 1, 1.0, 10.0),  # the parent is idle
        (1000, 1, 0.01, 1 / (1e-3 + 1e-4)),  # the parent is the limit
        (1000, 100, 0.01, 100 / (1e-3 + 1e-2)),
    ],
)
def test_the_model_of_throughput_at_its_ends(workers, pack, run_seconds, rate):
    assert scale.throughput(workers, pack, run_seconds, COSTS) == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("pack", scale.PACK_SIZES)
def test_what_the_parent_can_take_in_is_the_models_rate_with_many_workers(pack):
    assert scale.limit(pack, COSTS) == pytest.approx(
        scale.throughput(1000, pack, 0.01, COSTS), rel=0.01
    )


def test_the_costs_of_the_parent_are_found_again_in_what_it_spent(monkeypatch):
    def timed(row, runs, workers, pack, seconds):
        return COSTS["run_seconds"] * len(runs) + COSTS["pack_seconds"] * -(-len(runs) // pack), 0.0

    monkeypatch.setattr(scale, "timed", timed)
    assert scale.parent_costs({}) == pytest.approx(COSTS)

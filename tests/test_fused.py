"""The fused engine against the torch engine: whole trajectories, every option, both data types."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from scipy.stats import ks_2samp

from study.engines import fused, torch_engine
from study.engines.fused import data, places
from study.engines.fused.build import layers_source, loop_source
from study.model.cells import CELLS
from study.model.engines import FUSED_CELLS
from study.model.optimizers import OPTIMIZERS
from study.runs.settings import Run

COMMON = {
    "dtype": "float64",
    "hidden_size": 5,
    "length": 7,
    "batch_size": 3,
    "max_updates": 100,
    "eval_every": 10,
    "eval_sequences": 9,
    "final_sequences": 30,
    "long_sequences": 5,
    "stop_when_solved": False,
}
RATES = {
    "sgd": 0.1,
    "momentum": 0.05,
    "nesterov": 0.05,
    "rmsprop": 0.003,
    "adagrad": 0.03,
    "adam": 0.01,
    "adamw": 0.01,
}
# One cell of each kind: two states, split gates, one state, a product in two parts, own weights,
# and no recurrent matrix.
KINDS = ("lstm", "gru", "rnn_tanh", "gru_v1", "lstm_peephole", "mingru")
OF_TORCH = tuple(name for name in FUSED_CELLS if CELLS[name].torch_class)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile the loops that these tests need and the machine lacks, two at a time."""
    needed = [Run(**(COMMON | {"cell": cell})) for cell in FUSED_CELLS]
    needed += [Run(**(COMMON | {"cell": cell, "dtype": "float32"})) for cell in {*KINDS, *OF_TORCH}]
    missing = [run for run in needed if not fused.is_ready(run)]
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="A worker stopped"
        )  # loky restarts those that grew large
        Parallel(n_jobs=2)(delayed(fused.prepare)(run) for run in missing)


def both(**given_settings):
    """Outcomes of the fused and of the torch engine for the same run."""
    run = Run(**(COMMON | given_settings))
    return fused.train(run), torch_engine.train(run)


def assert_same(ours, theirs, atol=1e-8):
    for name in vars(theirs.curve):
        if name != "train_seconds":
            np.testing.assert_allclose(
                getattr(ours.curve, name),
                getattr(theirs.curve, name),
                rtol=0,
                atol=atol,
                err_msg=name,
            )
    assert set(ours.weights) == set(theirs.weights)
    for name, array in theirs.weights.items():
        np.testing.assert_allclose(ours.weights[name], array, rtol=0, atol=atol, err_msg=name)
    assert (ours.updates, ours.diverged_update) == (theirs.updates, theirs.diverged_update)
    for mine, other in ((ours.final, theirs.final), (ours.long, theirs.long)):
        assert (mine.accuracy, mine.exact, mine.first_error) == (
            other.accuracy,
            other.exact,
            other.first_error,
        )
        assert mine.loss == pytest.approx(other.loss, abs=atol)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", FUSED_CELLS)
def test_trajectories_equal_torchs_for_every_cell_and_optimizer(cell, optimizer):
    assert_same(*both(cell=cell, optimizer=optimizer, lr=RATES.get(optimizer, 0.01)))


OPTIONS = {
    "two layers": {"layers": 2},
    "three layers, two inputs": {"layers": 3, "task": "reset"},
    "never zeroed": {"accumulate": True, "optimizer": "sgd", "lr": 0.003},
    "fixed data": {"data": "fixed", "epoch_sequences": 12},
    "update per epoch": {"data": "fixed", "epoch_sequences": 12, "update_per": "epoch"},
    "update per epoch, fresh": {"epoch_sequences": 6, "update_per": "epoch"},
    "the post": {
        "data": "fixed", "epoch_sequences": 2, "batch_size": 1, "update_per": "epoch",
        "accumulate": True, "optimizer": "sgd", "lr": 0.01,
    },
    "gradient cut": {"cut_every": 3},
    "gradient cut, two layers, learned": {"cut_every": 2, "layers": 2, "start": "learned"},
    "gradient cut half a chunk later": {"cut_every": 3, "cut_offset": "shifted", "layers": 2},
    "gradient cut at random": {"cut_every": 3, "cut_offset": "random", "start": "learned"},
    "cut at random, update per epoch": {
        "cut_every": 2, "cut_offset": "random", "data": "fixed", "epoch_sequences": 12,
        "update_per": "epoch",
    },
    "reset": {"state": "reset"},
    "reset, learned": {"state": "reset", "start": "learned", "layers": 2},
    "reset, normal": {"state": "reset", "start": "normal"},
    "across batches": {"state": "across_batches", "layers": 2},
    "across batches, learned": {"state": "across_batches", "start": "learned"},
    "learned start": {"start": "learned"},
    "normal start": {"start": "normal", "layers": 2},
    "clipped": {"clip_norm": 0.05},
    "clipped and never zeroed": {
        "clip_norm": 0.05, "accumulate": True, "optimizer": "sgd", "lr": 0.01,
    },
    "parity": {"task": "parity"},
    "three classes": {"task": "cyclic"},
    "six classes": {"task": "permutation", "layers": 2, "start": "learned"},
    "other pattern, no cue": {"pattern": "1100", "cue": False},
    "other test length": {"test_length": 13},
    "orthogonal": {"init": "orthogonal"},
    "one unit, one sequence": {"hidden_size": 1, "batch_size": 1},
    "budget cut short": {"max_updates": 97},
    "amsgrad": {"optimizer_settings": {"amsgrad": True}},
    "adam with decay": {"optimizer_settings": {"weight_decay": 0.1}},
    "centred rmsprop with momentum": {
        "optimizer": "rmsprop", "lr": 0.001,
        "optimizer_settings": {"centered": True, "momentum": 0.5, "weight_decay": 0.01},
    },
    "sgd with decay": {"optimizer": "sgd", "optimizer_settings": {"weight_decay": 0.1}},
    "dampened momentum": {"optimizer": "momentum", "optimizer_settings": {"dampening": 0.3}},
    "adagrad slowing down": {
        "optimizer": "adagrad",
        "optimizer_settings": {"lr_decay": 0.1, "initial_accumulator_value": 0.2},
    },
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("cell", KINDS)
def test_trajectories_equal_torchs_under_every_option(cell, options):
    if "init" in options and not CELLS[cell].recurrent:
        pytest.skip("this cell has no recurrent matrix to initialise")
    assert_same(*both(cell=cell, **options))


@given(
    cell=st.sampled_from(FUSED_CELLS),
    hidden_size=st.integers(1, 9),
    length=st.integers(2, 12),
    batch_size=st.integers(1, 5),
    layers=st.integers(1, 3),
    task=st.sampled_from(["alternating", "reset", "parity", "cyclic", "permutation"]),
    state=st.sampled_from(["carried", "reset", "across_batches"]),
    start=st.sampled_from(["zeros", "learned", "normal"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_gradients_equal_those_of_autograd(**drawn):
    """One step of plain SGD with learning rate 1 moves the weights by minus the gradient."""
    one_step = {
        "optimizer": "sgd",
        "lr": 1.0,
        "max_updates": 1,
        "eval_every": 1,
        "solved_evaluations": 1,
    }
    ours, theirs = both(**drawn, **one_step)
    for name, array in theirs.weights.items():
        np.testing.assert_allclose(ours.weights[name], array, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("cell", OF_TORCH)
def test_convergence_times_in_float32_have_the_distribution_of_torchs(cell):
    """Two-sample Kolmogorov–Smirnov test with 200 other seeds per engine."""

    def times(engine, seeds):
        runs = (
            Run(
                cell=cell,
                lr=0.05,
                length=5,
                max_updates=100,
                eval_every=4,
                final_sequences=2,
                long_sequences=2,
                seed=s,
            )
            for s in seeds
        )
        return [engine.train(run).updates for run in runs]

    assert ks_2samp(times(fused, range(200)), times(torch_engine, range(1000, 1200))).pvalue > 0.001


@pytest.mark.parametrize("hidden_size", [5, 11])  # one block of lanes, and one and a part
@pytest.mark.parametrize("cell", KINDS)
def test_float32_stays_close_to_torch_for_some_updates(cell, hidden_size):
    settings = {
        "dtype": "float32",
        "hidden_size": hidden_size,
        "max_updates": 20,
        "solved_evaluations": 1,
    }
    assert_same(*both(cell=cell, **settings), atol=1e-4)


@pytest.mark.parametrize("start", ["zeros", "normal"])
def test_evaluating_a_few_sequences_at_a_time_gives_torchs_scores(monkeypatch, start):
    """The loop takes three blocks of eight sequences at a time, then the rest; torch takes all."""
    monkeypatch.setattr(places, "AT_A_TIME", 3 * 8 * 8 * 6)
    places._kept.clear()
    places._scratch.clear()
    assert_same(*both(start=start, task="reset", layers=2))


def test_solving_stops_at_the_same_update():
    ours, theirs = both(max_updates=400, lr=0.05, stop_when_solved=True, length=4)
    assert ours.updates == theirs.updates < 400
    assert_same(ours, theirs)


def test_divergence_is_found_at_the_same_update():
    run = Run(**(COMMON | {"cell": "rnn_relu", "optimizer": "sgd", "lr": 1e30, "dtype": "float32"}))
    ours, theirs = fused.train(run), torch_engine.train(run)
    assert ours.diverged_update == theirs.diverged_update is not None
    assert ours.final is None
    assert len(ours.curve.loss) == len(theirs.curve.loss)


def test_a_solution_that_explodes_on_long_sequences_has_not_diverged():
    settings = {
        "cell": "rnn_relu",
        "optimizer": "momentum",
        "lr": 0.3,
        "eval_every": 5,
        "seed": 1006,
    }
    ours, theirs = fused.train(Run(**settings)), torch_engine.train(Run(**settings))
    assert not np.isfinite(ours.long.loss)
    assert ours.diverged_update is theirs.diverged_update is None
    assert ours.long.accuracy == theirs.long.accuracy


def same_bits(first, second):
    """Whether two outcomes are equal to the last bit."""
    weights = (np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)
    return (
        np.array_equal(first.curve.loss, second.curve.loss)
        and (first.final, first.long) == (second.final, second.long)
        and all(weights)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_run_gives_the_same_bits(dtype):
    first, second = (fused.train(Run(**(COMMON | {"dtype": dtype}))) for _ in range(2))
    assert same_bits(first, second)


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_drawing_data_further_ahead_changes_no_bit(monkeypatch, ahead):
    run = Run(**(COMMON | {"start": "normal", "dtype": "float32"}))
    reference = fused.train(run)
    monkeypatch.setattr(fused, "MOST_AHEAD", ahead)
    data._kept.clear()
    assert same_bits(fused.train(run), reference)


@pytest.mark.parametrize("most_numbers", [0, 3_000, data.MOST_NUMBERS])
def test_a_run_depends_on_no_run_before_it(monkeypatch, most_numbers):
    """Runs of one seed share what they draw, and runs of one shape share their arrays."""
    monkeypatch.setattr(data, "MOST_NUMBERS", most_numbers)
    common = COMMON | {"dtype": "float32", "max_updates": 40}
    runs = [
        Run(**(common | change))
        for change in (
            {},
            {"optimizer": "sgd", "lr": 1e30, "cell": "rnn_relu"},  # leaves infinite numbers behind
            {"cell": "rnn_relu"},
            {"start": "normal"},
            {"cell": "gru", "layers": 2, "eval_every": 3},
            {"noise": 0.5, "batch_size": 9},
            {"max_updates": 90, "start": "normal"},
            {"data": "fixed", "epoch_sequences": 12},
        )
    ]
    alone = []
    for run in runs:
        data._kept.clear()
        places._kept.clear()
        places._scratch.clear()
        alone.append(fused.train(run))
    for order in (range(len(runs)), reversed(range(len(runs)))):
        for i in order:
            if alone[i].diverged_update is None:
                assert same_bits(fused.train(runs[i]), alone[i])
            else:
                assert fused.train(runs[i]).diverged_update == alone[i].diverged_update


SMALL_BATCHES = {
    "one sequence": {"batch_size": 1},
    "two, two layers, learned": {"batch_size": 2, "layers": 2, "start": "learned"},
    "normal start": {"batch_size": 1, "start": "normal"},
    "fixed data": {"batch_size": 1, "data": "fixed", "epoch_sequences": 6},
    "reset": {"batch_size": 2, "state": "reset"},
    "cut and clipped": {"batch_size": 1, "cut_every": 3, "clip_norm": 0.1},
    "three classes": {"batch_size": 2, "task": "cyclic"},
}


@pytest.mark.parametrize("change", SMALL_BATCHES.values(), ids=SMALL_BATCHES)
def test_runs_trained_together_have_the_bits_of_runs_trained_alone(change):
    """There are more runs than fit at once, with other optimizers and budgets; one diverges."""
    common = COMMON | {"cell": "rnn_tanh", "dtype": "float32", "stop_when_solved": True} | change
    runs = [Run(**(common | {"lr": 0.05, "max_updates": 60, "seed": seed})) for seed in range(7)]
    for optimizer, lr, budget in (("sgd", 0.5, 40), ("rmsprop", 0.01, 33), ("sgd", 1e30, 60)):
        runs.append(Run(**(common | {"optimizer": optimizer, "lr": lr, "max_updates": budget})))
    assert len({fused.company(run) for run in runs}) == 1
    alone = [fused.train(run) for run in runs]
    together = fused.train_together(runs)
    assert all(same_bits(*pair) for pair in zip(alone[:-1], together, strict=False))
    assert alone[-1].diverged_update == together[-1].diverged_update is not None
    assert [o.updates for o in alone] == [o.updates for o in together]


def test_followed_yields_what_train_finds_for_runs_in_turns():
    runs = [Run(**(COMMON | {"dtype": "float32", "seed": seed})) for seed in (0, 1)]
    in_turns = list(zip(*map(fused.followed, runs), strict=True))
    for run, steps in zip(runs, zip(*in_turns, strict=True), strict=True):
        outcome = fused.train(run)
        assert [update for update, _, _ in steps] == outcome.curve.update.tolist()
        assert [loss for _, loss, _ in steps] == outcome.curve.loss.tolist()
        assert all(np.array_equal(steps[-1][2][k], w) for k, w in outcome.weights.items())


PLAIN = """
from study.engines import fused
from study.runs import Run
for cell in ("lstm", "gru_v1", "lstm_peephole", "mingru"):
    small = dict(cell=cell, dtype="float64", task="cyclic", hidden_size=3, length=4, batch_size=2)
    short = dict(max_updates=6, eval_every=2, eval_sequences=5, final_sequences=3, layers=2)
    print(*fused.train(Run(**small, **short, long_sequences=2, start="learned")).curve.loss)
"""


def test_the_loop_runs_as_plain_python_too(tmp_path):
    """With NUMBA_DISABLE_JIT=1, a debugger can step through the loop."""
    found = []
    for plain in ("1", "0"):
        changed = os.environ | {"NUMBA_DISABLE_JIT": plain}
        if plain == "1":
            changed["NUMBA_CACHE_DIR"] = str(tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", PLAIN], env=changed, capture_output=True, text=True, check=True
        )
        found.append([float(word) for word in done.stdout.split()])
    assert len(found[0]) == 16
    np.testing.assert_allclose(*found, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"device": "cuda"}, "cannot use device 'cuda'"),
        ({"optimizer": "NAdam"}, "no torch.optim.NAdam"),
    ],
)
def test_the_reason_names_what_the_loop_lacks(change, why):
    assert why in fused.unavailable(Run(**change))
    assert fused.unavailable(Run()) is None


def test_every_cell_and_data_type_has_its_own_source():
    texts = [
        layers_source(cell, dtype) for cell in ("lstm", "gru") for dtype in ("float32", "float64")
    ]
    texts += [loop_source("float32"), loop_source("float64")]
    assert len(set(texts)) == len(texts)
    assert "return gru_forward(" in layers_source("gru", "float32")
    assert "lstm" not in loop_source("float32")

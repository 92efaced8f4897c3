"""The names in `study`: networks that equal their stored runs, and training anywhere."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import sleep

import numpy as np
import pytest
import torch
from drawn import rows
from torch import nn

import study
from study.dynamics import look
from study.engines import Outcome, engine_of
from study.errors import BadInput
from study.grid import Missing, run_of, weights_in
from study.grid.store import Store
from study.grid.train import Job, train_job
from study.model import CELLS
from study.runs import Run, Sequences

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"), flags=re.S
)


@pytest.fixture
def stored(tmp_path):
    """A function that stores rows and returns their folder."""

    def store(*made: dict) -> Path:
        with Store(tmp_path / "results") as opened:
            opened.append(made)
            opened.write_plan({"a": [row["run_id"] for row in made]})
        return opened.folder

    return store


def time_first(array: np.ndarray, network: nn.Module) -> torch.Tensor:
    dtype = next(network.parameters()).dtype
    return torch.tensor(array, dtype=dtype).transpose(0, 1).contiguous()


# --- names --------------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_slow_and_offers_every_name():
    code = "import sys, study; print(set(study.__all__) <= set(dir(study)), "
    code += "{'torch', 'pandas', 'numba', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "set()"]
    assert all(getattr(study, name).__doc__ for name in study.__all__)
    with pytest.raises(AttributeError, match="module 'study' has no attribute 'trian'"):
        study.trian  # noqa: B018


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
def test_the_examples_run(place, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(EXAMPLES[place], {})
    assert capsys.readouterr().out


# --- train --------------------------------------------------------------------------------------


def assert_same(ours: Outcome, theirs: Outcome) -> None:
    np.testing.assert_array_equal(ours.curve.loss, theirs.curve.loss)
    assert ours.final == theirs.final
    for name, array in theirs.weights.items():
        np.testing.assert_array_equal(ours.weights[name], array)


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_train_gives_the_outcome_of_the_runs_engine(quick, engine):
    run = quick(engine=engine)
    assert_same(study.train(run), engine_of(run).train(run))


def test_a_run_whose_device_is_missing_is_refused(quick, monkeypatch):
    run = quick()
    monkeypatch.setattr(engine_of(run), "unavailable", lambda run: "this machine has no such chip")
    with pytest.raises(BadInput, match=f"run {run.run_id}: cannot be trained here: this machine"):
        study.train(run)


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_threads_train_to_the_same_bits(quick, engine):
    runs = [quick(engine=engine, lr=lr) for lr in (0.01, 0.02, 0.03, 0.04)]
    threads, alone = torch.get_num_threads(), [study.train(run) for run in runs]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(pool.map(study.train, runs), alone, strict=True):
            assert_same(ours, theirs)
    assert torch.get_num_threads() == threads


def test_threads_take_turns(quick, monkeypatch):
    """Runs of one seed share their data, so threads that trained at once would mix them up."""
    taken = Lock()

    def slow(run):
        is_alone = taken.acquire(blocking=False)
        sleep(0.02)
        if is_alone:
            taken.release()
        return is_alone

    monkeypatch.setattr(engine_of(quick()), "train", slow)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(study.train, [quick()] * 4))


SCRIPT = """
import threading
import study

run = study.Run(cell="rnn_tanh", hidden_size=2, length=4, max_updates=15, eval_every=5)
found = []
thread = threading.Thread(target=lambda: found.append(study.train(run)))
thread.start()
thread.join()
print(run.engine, found[0].updates, study.train(run).updates)
print(study.load({folder!r})["status"].tolist())
print(type(study.network({folder!r}, {run_id!r})).__name__)
"""


def test_everything_works_in_a_script_without_a_main_guard(stored, tmp_path):
    (row,) = rows([20], weights=True)
    text = SCRIPT.format(folder=str(stored(row)), run_id=row["run_id"])
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["fused 15 15", "['solved']", "Network"], done.stderr


# --- networks -----------------------------------------------------------------------------------


def by_the_rule(run: Run, weights: dict[str, np.ndarray], inputs: torch.Tensor) -> torch.Tensor:
    """The logits (T, batch, K) of a network in float64, step by step from the cell's rule."""
    w = {name: torch.tensor(array) for name, array in weights.items()}
    cell, outputs = CELLS[run.cell], []
    layers = [{n: w[f"cell.{n}_l{i}"] for n in cell.shapes(1, 1)} for i in range(run.layers)]
    shape = (inputs.shape[1], run.hidden_size)
    zeros = torch.zeros(run.layers, 1, run.hidden_size, dtype=torch.float64)
    states = [
        tuple(w.get(f"start.{name}", zeros)[i].expand(shape) for name in cell.states)
        for i in range(run.layers)
    ]
    for x in inputs:
        below = x
        for i, layer in enumerate(layers):
            states[i] = cell.rule(below, states[i], layer)
            below = states[i][0]
        outputs.append(below @ w["readout.weight"].T + w["readout.bias"])
    return torch.stack(outputs)


@pytest.mark.parametrize("start", ["zeros", "learned"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_network_computes_the_rule_of_its_cell(stored, cell, start):
    some = {"start.h": np.full((2, 1, 6), 0.3)} if start == "learned" else True
    (row,) = rows([20], weights=some, cell=cell, layers=2, start=start, dtype="float64")
    network, run = study.network(stored(row), row["run_id"]), run_of(row)
    inputs = time_first(Sequences(run, "final", 20).draw(7)[0], network)
    with torch.no_grad():
        logits, state = network(inputs)
        head, between = network(inputs[:9])
        tail, after = network(inputs[9:], between)
    expected = by_the_rule(run, weights_in(row) or {}, inputs)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat([head, tail]), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(after, state, rtol=0, atol=1e-12)
    assert not network.training
    assert type(network.cell).__name__ == (CELLS[cell].torch_class or "RuleLayers")
    assert network.run == run


@pytest.mark.parametrize("start", ["zeros", "learned", "normal"])
@pytest.mark.parametrize("engine", ["torch", "fused"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_relu", "mgu", "diagonal_complex"])
def test_a_network_has_the_final_scores_that_its_engine_stored(stored, quick, cell, engine, start):
    run = quick(cell=cell, engine=engine, start=start, lr=0.05, max_updates=100)
    row = train_job(Job(run, keep_weights=True))
    assert_has_scores(study.network(stored(row), run.run_id), row)


def assert_has_scores(network: nn.Module, row) -> None:
    run = run_of(row)
    sequences = Sequences(run, "final", run.evaluation_length)
    inputs, labels = sequences.draw(run.final_sequences)
    state = network.start_state(run.final_sequences, sequences.draw_starts(run.final_sequences))
    with torch.no_grad():
        logits, _ = network(time_first(inputs, network), state)
    answers = torch.tensor(labels).T
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), answers.flatten()).item()
    assert loss == pytest.approx(row["loss"], rel=1e-5, abs=1e-5)
    right = (logits.argmax(-1) == answers)[1:].double().mean().item()
    assert right == pytest.approx(row["accuracy"], abs=2 / answers.numel())


def test_networks_of_published_results_have_their_stored_scores():
    results = study.Results(ROOT / "results" / "dynamics")
    first = results.runs.drop_duplicates(["cell", "hidden_size", "status"])
    assert len(first) > 20
    for _, row in first.iterrows():
        assert_has_scores(results.network(row["run_id"]), row)


def test_the_parts_of_a_network_can_be_looked_at(stored):
    (row,) = rows([20], weights=True, cell="gru")
    network = study.network(stored(row), row["run_id"])
    assert look(network.cell, network.readout, "10").found


def test_a_network_that_was_trained_on_another_device_is_rebuilt_on_the_cpu(stored):
    (row,) = rows([20], weights=True, device="cuda", engine="torch")
    network = study.network(stored(row), row["run_id"])
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    assert network.run.run_id == row["run_id"]


def test_what_cannot_be_rebuilt_is_refused_with_its_reason(stored, monkeypatch, tmp_path):
    monkeypatch.setitem(CELLS, "own", CELLS["rnn_tanh"])
    bare, kept = rows([20, 40], cell="own", engine="torch")
    (kept,) = rows([40], first_seed=1, weights=True, cell="own", engine="torch")
    folder = stored(bare, kept)
    assert study.network(folder, kept["run_id"])
    with pytest.raises(Missing, match="has no run 'none'; the column `run_id` of its rows lists"):
        study.network(folder, "none")
    with pytest.raises(Missing, match=f"weights of run {bare['run_id']} were not kept; set"):
        study.network(folder, bare["run_id"])
    with pytest.raises(BadInput, match="other: holds no results"):
        study.network(tmp_path / "other", kept["run_id"])
    monkeypatch.setitem(CELLS, "own", CELLS["gru"])
    with pytest.raises(BadInput, match="was made by another version of cell 'own'"):
        study.network(folder, kept["run_id"])
    monkeypatch.delitem(CELLS, "own")
    with pytest.raises(BadInput, match="unknown cell 'own'; allowed: lstm"):
        study.network(folder, kept["run_id"])


def test_a_stored_run_that_is_not_planned_has_a_network_too(stored):
    planned, other = rows([20, 40], weights=True)
    folder = stored(planned)
    with Store(folder) as store:
        store.append([other])
    assert study.network(folder, other["run_id"])

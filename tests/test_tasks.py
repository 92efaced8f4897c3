"""Tasks against examples worked out by hand, and the moments of the noise."""

import re
from itertools import permutations

import numpy as np
import pytest
from pydantic import ValidationError

from study.__main__ import main
from study.model.measures import accuracy
from study.model.tasks import (
    NOISE_KINDS,
    TASKS,
    Task,
    alternating,
    cyclic,
    data_fault,
    noise_from,
    parity,
    permutation,
    reset,
)
from study.runs import Run

DRAWS = np.array([[0.9, 0.2, 0.5, 0.7]])[:, :, None]
PLAIN = {"pattern": "10", "noise": 1.0, "noise_kind": "uniform", "cue": True}


def test_alternating_maps_a_cue_and_noise_to_a_repeated_pattern():
    inputs, labels = alternating(DRAWS.copy(), **PLAIN)
    assert inputs[0, :, 0].tolist() == [1.0, 0.2, 0.5, 0.7]
    assert labels.tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize(
    ("change", "inputs", "labels"),
    [
        ({"cue": False}, [0.9, 0.2, 0.5, 0.7], [1, 0, 1, 0]),
        ({"noise": 0.0}, [1.0, 0.0, 0.0, 0.0], [1, 0, 1, 0]),
        ({"noise": 2.0}, [1.0, 0.4, 1.0, 1.4], [1, 0, 1, 0]),
        ({"noise_kind": "centred"}, [1.0, -0.3, 0.0, 0.2], [1, 0, 1, 0]),
        ({"pattern": "110"}, [1.0, 0.2, 0.5, 0.7], [1, 1, 0, 1]),
    ],
)
def test_alternating_settings(change, inputs, labels):
    got_inputs, got_labels = alternating(DRAWS.copy(), **(PLAIN | change))
    np.testing.assert_allclose(got_inputs[0, :, 0], inputs, atol=1e-15)
    assert got_labels.tolist() == [labels]


def test_parity_is_a_running_exclusive_or():
    inputs, labels = parity(np.array([[0.1, 0.9, 0.2, 0.3]])[:, :, None])
    assert inputs[0, :, 0].tolist() == [1, 0, 1, 1]
    assert labels.tolist() == [[1, 1, 0, 1]]


def test_cyclic_is_a_running_sum_of_digits():
    inputs, labels = cyclic(np.array([[0.9, 0.5, 0.1, 0.4, 0.7, 0.99]])[:, :, None])
    assert inputs[0].argmax(axis=1).tolist() == [2, 1, 0, 1, 2, 2]
    assert inputs.sum(axis=2).tolist() == [[1] * 6]
    assert labels.tolist() == [[2, 0, 0, 1, 0, 2]]


def test_permutation_is_a_running_product():
    """The product of permutations, each written as the tuple of its values."""
    draws = np.random.default_rng(3).random((20, 9, 1))
    inputs, labels = permutation(draws)
    elements, generators = list(permutations(range(3))), [(1, 0, 2), (1, 2, 0)]
    for sequence, answers in zip(inputs, labels, strict=True):
        product = (0, 1, 2)
        for which, label in zip(sequence.argmax(axis=1), answers, strict=True):
            product = tuple(product[i] for i in generators[which])
            assert elements.index(product) == label
    assert inputs.sum(axis=2).tolist() == [[1] * 9] * 20
    assert set(labels.ravel()) == set(range(6))
    draws = np.array([[[0.1], [0.9], [0.9], [0.1], [0.1], [0.9]]])
    assert permutation(draws)[1].tolist() == [[2, 1, 5, 3, 5, 2]]


def every_sequence(choices, length):
    """Uniforms (choices ** length, length, 1) that make every sequence of inputs once."""
    grids = np.meshgrid(*[(np.arange(choices) + 0.5) / choices] * length, indexing="ij")
    return np.stack([grid.ravel() for grid in grids], axis=1)[:, :, None]


def best_without_memory(inputs, labels, step):
    """Accuracy at a step of the best answers that use the step alone, and its input too."""
    answers = labels[:, step]
    of_input = [answers[inputs[:, step, k] == 1] for k in range(inputs.shape[2])]
    alone = np.bincount(answers).max()
    return alone / len(answers), sum(np.bincount(g).max() for g in of_input) / len(answers)


def test_the_best_answers_without_memory_are_those_of_the_docstrings():
    data = cyclic(every_sequence(3, 6))
    for step in range(1, 6):
        assert best_without_memory(*data, step) == pytest.approx((1 / 3, 1 / 3), abs=1e-15)
    data = permutation(every_sequence(2, 10))
    best = [1 / 6 + 2.0**-t / (3 if t % 2 == 0 else 6) for t in range(10)]
    for step in range(1, 10):
        expected = best[step], best[step - 1]
        assert best_without_memory(*data, step) == pytest.approx(expected, abs=1e-15)


def test_reset_restarts_the_pattern():
    flags = np.array([0.0, 0.9, 0.9, 0.01, 0.9, 0.01])  # the flag of step 0 is never raised
    draws = np.stack([np.full(6, 0.5), flags], axis=-1)[None]
    inputs, labels = reset(draws, **PLAIN, reset_rate=0.1)
    assert inputs[0, :, 1].tolist() == [0, 0, 0, 1, 0, 1]
    assert inputs[0, :, 0].tolist() == [1, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert labels.tolist() == [[1, 0, 1, 1, 0, 1]]


@pytest.mark.parametrize(("kind", "mean"), [("uniform", 1.0), ("centred", 0.0), ("gaussian", 0.0)])
def test_noise_kinds_share_their_deviation_and_differ_in_mean(kind, mean):
    noise = noise_from(np.random.default_rng(0).random(200_000), 2.0, kind)
    assert noise.mean() == pytest.approx(mean, abs=5 * 2 / np.sqrt(12 * 200_000))
    assert noise.std() == pytest.approx(2 / np.sqrt(12), rel=0.01)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_noise_is_finite_at_the_ends_of_the_draws(kind):
    assert np.isfinite(noise_from(np.array([0.0, np.nextafter(1, 0)]), 1.0, kind)).all()


def test_a_task_declares_the_settings_that_its_function_takes():
    assert TASKS["alternating"].settings == PLAIN
    assert TASKS["reset"].settings == PLAIN | {"reset_rate": 0.1}
    assert TASKS["parity"].settings == {}


@pytest.mark.parametrize("name", TASKS)
def test_shapes(name):
    task = TASKS[name]
    settings = task.settings | ({"reset_rate": 0.3} if name == "reset" else {})
    draws = np.random.default_rng(1).random((5, 7, task.draws_per_step))
    inputs, labels = task.make(draws, **settings)
    assert inputs.shape == (5, 7, task.input_size)
    assert inputs.dtype == np.float64
    assert labels.shape == (5, 7)
    assert labels.dtype == np.int64


def test_labels_must_be_among_the_classes_of_the_task():
    assert data_fault(Task(cyclic, input_size=3, outputs=3), 60) is None
    fault = data_fault(Task(cyclic, input_size=3, outputs=2), 60)
    assert fault == "its labels reach from 0 to 2, but must lie between 0 and 1"


def test_the_best_predictor_without_memory():
    """It knows the cue, and then answers 0, the commoner label at an even length: 1/2 + 1/T.

    Over t >= 1 that is (T/2)/(T - 1), a little above 1/2: 0.51 at T = 50.
    """
    inputs, labels = alternating(np.random.default_rng(2).random((2000, 50, 1)), **PLAIN)
    guess = np.where(inputs[:, :, 0] == 1.0, 1, 0)
    assert (guess == labels).mean() == pytest.approx(1 / 2 + 1 / 50, abs=1e-12)
    assert accuracy(guess == labels) == pytest.approx(25 / 49, abs=1e-12)


def wrong(change):
    """A task whose inputs or labels are changed before they are returned."""
    return Task(lambda uniforms: change(*parity(uniforms)))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (wrong(lambda x, y: (x, y + 1)), "labels reach from 1 to 2, but must lie between 0 and 1"),
        (wrong(lambda x, y: (x, -y)), "labels reach from -1 to 0"),
        (
            wrong(lambda x, y: (x, y[:, 1:])),
            r"labels are int64 \(2, 59\), but must be .* \(2, 60\)",
        ),
        (wrong(lambda x, y: (x, y.astype(float))), r"labels are float64 .* must be int64"),
        (wrong(lambda x, y: (x, y.astype(bool))), r"labels are bool .* must be int64"),
        (wrong(lambda x, y: (x / 0, y)), "inputs are not all finite"),
        (wrong(lambda x, y: (x.astype(np.int64), y)), "inputs are int64 .* must be float64"),
        (Task(parity, input_size=2), r"inputs are float64 \(2, 60, 1\), .* \(2, 60, 2\)"),
        (Task(reset), "IndexError"),
        (wrong(lambda x, y: x), r"inputs are float64 \(60, 1\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_task_with_wrong_data_is_refused(monkeypatch, tmp_path, capsys, task, message):
    """On every engine, in the plan and in a notebook."""
    monkeypatch.setitem(TASKS, "odd", task)
    path = tmp_path / "grid.yaml"
    path.write_text("{name: odd, blocks: {a: {fixed: {task: odd, length: 60}, vary: {seed: [1]}}}}")
    assert main(["grid", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "task 'odd' gives wrong data for sequences of 60 steps: " in said
    assert "grid.yaml:1:" in said
    assert re.search(message, said)
    assert not (tmp_path / "out").exists()


def test_a_task_with_an_argument_that_has_no_default_is_refused(monkeypatch):
    monkeypatch.setitem(TASKS, "deep", Task(lambda x, *, depth, cue=True: parity(x * depth)))
    with pytest.raises(ValidationError, match="missing 1 required keyword-only argument: 'depth'"):
        Run(task="deep")


def test_a_task_is_tried_once_for_each_setting_and_length(monkeypatch):
    lengths = []
    counted = wrong(lambda x, y: (lengths.append(x.shape[1]) or x, y))
    monkeypatch.setitem(TASKS, "counted", counted)
    for seed in range(5):
        for length in (4, 1_000_000):
            Run(task="counted", length=length, seed=seed)
    assert lengths == [4, 40, 10_000]


@pytest.mark.parametrize(("steps", "test_length"), [(8, 8), (300, 300), (80, 8)])
def test_a_task_is_tried_at_the_test_length_and_at_ten_times_it_too(
    monkeypatch, steps, test_length
):
    wrong_then = wrong(lambda x, y: (x, y + 2 * (x.shape[1] == steps)))
    monkeypatch.setitem(TASKS, "odd", wrong_then)
    Run(task="odd", length=4)
    with pytest.raises(
        ValidationError, match=f"wrong data for sequences of {steps} steps: its lab"
    ):
        Run(task="odd", length=4, test_length=test_length)

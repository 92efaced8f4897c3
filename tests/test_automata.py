"""Word problems and what cells can carry: the maps, the bounds, and how hypotheses are judged."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import linprog

from study.dynamics import automata, words
from study.dynamics.network import Network
from study.dynamics.patterns import right_labels
from study.model import CELLS, TASKS
from study.runs import Run, weights_of

# --- what real decays can carry -----------------------------------------------------------------


def can_give(pattern: str, decays: np.ndarray, steps: int) -> bool:
    """Whether a readout of these decays gives the pattern's labels from step 1 to `steps`."""
    t = np.arange(1, steps + 1)
    signs = 2 * right_labels(pattern, steps + 1)[1:] - 1
    terms = np.column_stack([np.ones(steps), decays ** t[:, None]])
    found = linprog(
        np.zeros(terms.shape[1]), -signs[:, None] * terms, -np.ones(steps), bounds=(None, None)
    )
    return found.status == 0


@pytest.mark.parametrize("pattern", ["10", "110", "1100"])
def test_positive_decays_carry_a_pattern_up_to_the_bound_and_no_further(pattern):
    decays = np.array([0.3, 0.6, 0.9])
    most = automata.bound(pattern, len(decays), is_signed=False)
    assert can_give(pattern, decays, int(most))
    assert not can_give(pattern, decays, int(most) + 1)


def test_signed_decays_alternate_for_ever_but_carry_no_longer_pattern_past_the_bound():
    assert automata.bound("10", 2, is_signed=True) == math.inf
    assert can_give("10", np.array([-0.9]), 40)
    for pattern in ("110", "1100"):
        most = int(automata.bound(pattern, 2, is_signed=True))
        for decays in np.random.default_rng(0).uniform(-1, 1, (20, 2)):
            assert not can_give(pattern, decays, most + 1)


def carried(first_errors: list[int | None], cell: str) -> pd.DataFrame:
    settings = {"cell": cell, "pattern": "110", "layers": 1, "hidden_size": 2, "length": 20}
    return pd.DataFrame([
        settings | {"long_first_error": error, "test_length": 20, "blocks": ("carriers",),
                    "long_exact": float(error is None)}
        for error in first_errors
    ])  # fmt: skip


def test_r6_fails_only_if_real_decays_exceed_the_bound():
    most = int(automata.bound("110", 2, is_signed=False))

    def judged(last: int | None, cell: str) -> dict:
        found = automata.carries(carried([most + 1, last, last], cell))
        return {finding.key: finding for finding in found}

    assert judged(most + 1, "mingru")["R6.within_bound"].held is True
    assert judged(most + 2, "mingru")["R6.within_bound"].held is False
    assert judged(None, "mingru")["R6.lasts"].estimate.value == 199
    gated = judged(None, "gru")
    assert "R6.within_bound" not in gated
    assert gated["R6.carried"].agreeing == 2
    others = carried([None], "mingru").assign(blocks=[("headline",)])
    assert not list(automata.carries(others))


# --- word problems ------------------------------------------------------------------------------


def run_of(task: str, cell: str = "gru") -> Run:
    return Run(
        task=task, cell=cell, hidden_size=8, length=40, optimizer="adam", lr=0.03, seed=3,
        eval_every=20, eval_sequences=16, max_updates=600,
    )  # fmt: skip


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
def test_the_map_under_an_input_is_that_of_the_cell(cell):
    run, x = run_of("cyclic", cell), np.array([0.2, 0.9, -0.4])
    weights = weights_of(run)
    network = words.under(Network(run, weights), x)
    points = np.random.default_rng(0).normal(size=(5, network.dimension))
    images, _ = network.derivatives(points, 123.0)  # whatever its own input is
    layer = {n[5:-3]: torch.tensor(w).double() for n, w in weights.items() if n.startswith("cell.")}
    state = torch.tensor(points).split(run.hidden_size, 1)
    after = CELLS[cell].rule(torch.tensor(x)[None].expand(5, 3), state, layer)
    assert np.allclose(images, torch.cat(after, 1))


def test_inputs_are_those_of_the_tasks_and_have_their_orders():
    """An input repeated as often as its order brings the label back, and no fewer do."""
    for task in ("parity", "cyclic", "permutation"):
        inputs = {name: case for name, case in words.INPUTS[task].items() if name != words.MEAN}
        uniforms = (np.arange(len(inputs)) + 0.5) / len(inputs)
        x, labels = TASKS[task].make(np.tile(uniforms[:, None, None], (1, 7, 1)))
        named = {case[0]: case[1] for case in inputs.values()}
        for row, label in zip(x, labels, strict=True):
            order = named[tuple(row[0])]
            assert next(k for k in range(1, 7) if label[k] == label[0]) == order
        mean = np.array(words.INPUTS[task][words.MEAN][0])
        assert np.allclose(mean, x[:, 0].mean(0))


def test_no_label_of_a_sum_depends_on_a_single_earlier_input():
    for task in ("parity", "cyclic"):
        change = words.dependence(task, 5)
        assert change[0, 0] > 0.4
        change[0, 0] = 0
        assert np.abs(change).max() < 1e-12
    change = words.dependence("permutation", 6)
    assert np.triu(change, 1).max() == 0  # nothing depends on inputs to come
    assert change.max(1) == pytest.approx([0.5, *(2.0 ** -max(2, t) for t in range(1, 6))])


def test_parity_is_learned_by_a_flip_under_the_input_that_flips():
    run = run_of("parity")
    table = pd.DataFrame(words.rows(Network(run, weights_of(run)))).set_index("input")
    assert list(table.index) == ["0", "1", "mean"]
    flips = table.loc["1"]
    assert flips["angle"] == pytest.approx(math.pi)
    assert flips["first_radius"] < 1 <= flips["radius"]
    assert flips["crossing"] == pytest.approx(flips["leaving"], abs=40)
    assert table.loc["0", "crossing"] != flips["crossing"]


def table(mean: list[float], turns: list[float], angle: float = math.pi) -> pd.DataFrame:
    """Networks that learn parity and leave at update 100, with these crossings."""
    inputs = {"0": (1, turns), "1": (2, turns), "mean": (2, mean)}
    return pd.DataFrame([
        {"run_id": f"run {i}", "cell": "gru", "task": "parity", "optimizer": "adam", "length": 40,
         "input": name, "order": order, "leaving": 100.0, "crossing": crossings[i],
         "angle": angle, "first_angle": 0.0}
        for name, (order, crossings) in inputs.items() for i in range(len(mean))
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("mean", "in_time", "first"),
    [
        ([110, math.nan, 95], True, True),
        ([99, 100, math.nan], False, True),
        ([98, 97, math.nan], False, False),
    ],
)
def test_r7_fails_if_most_networks_cross_at_the_mean_input_in_time_or_first(mean, in_time, first):
    runs = pd.DataFrame({"run_id": ["run 0"], "converged_update": [150], "long_exact": [1.0]})
    judged = automata.at_the_mean(table(mean, [98, 98, 98]), runs)
    found = {finding.key: finding for finding in judged}
    assert found["R7.in_time"].held is in_time
    assert found["R7.first"].held is first
    assert found["R7.longer"].agreeing == 1


@pytest.mark.parametrize(
    ("turns", "angle", "when", "on"),
    [([80, 125, 100], math.pi - 0.07, True, True), ([79, 126, 100], math.pi - 0.09, False, False)],
)
def test_r7a_needs_the_angle_of_the_input_and_the_update_of_the_leaving(turns, angle, when, on):
    found = automata.under_inputs(table([100, 100, 100], turns, angle))
    found = {finding.key: finding for finding in found}
    assert found["R7a.when"].held is when
    assert found["R7a.angle"].held is on
    assert found["R7a.before"].agreeing == 0
    assert found["R7a.ratio"].estimate.value == 1

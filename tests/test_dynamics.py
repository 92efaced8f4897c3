"""The dynamics of networks against autograd and against systems solved by hand."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from study.dynamics import Network, cycles, existence, interventions, noise, probes, slips
from study.engines import engine_of
from study.model import CELLS
from study.model.engines import FUSED_CELLS
from study.runs import Run, Sequences, weights_of


def network(cell: str, hidden_size: int = 4, scale: float = 3.0, **settings) -> Network:
    """A random network whose weights are scaled up."""
    run = Run(cell=cell, hidden_size=hidden_size, **settings)
    return Network(run, {name: scale * array for name, array in weights_of(run).items()})


def one_unit(cell: str, ih: float, hh: float, bias: float, **settings) -> Network:
    """h' = activation(ih u + hh h + bias), read out as the sign of h - 1/4."""
    layer = {"weight_ih": [[ih]], "weight_hh": [[hh]], "bias_ih": [bias], "bias_hh": [0.0]}
    weights = {"readout.weight": np.array([[-2.0], [2.0]]), "readout.bias": np.array([0.5, -0.5])}
    layer = {f"cell.{name}_l0": np.array(value) for name, value in layer.items()}
    return Network(Run(cell=cell, hidden_size=1, **settings), layer | weights)


def decays(values: list[float], **settings) -> Network:
    """The linear map h' = diag(values) h + u."""
    size = len(values)
    run = Run(cell="diagonal_signed", hidden_size=size, **settings)
    weights = weights_of(run) | {
        "cell.weight_ih_l0": np.ones((size, 1)),
        "cell.bias_ih_l0": np.zeros(size),
        "cell.weight_decay_l0": np.arctanh(values),
    }
    return Network(run, weights)


# --- the map ------------------------------------------------------------------------------------


def by_the_rule(net: Network, z: torch.Tensor, u: float) -> torch.Tensor:
    """F_u(z) by the cell's reference rule."""
    layer = [name for name in net.weights if name.startswith("cell.")]
    weights = {name[5:-3]: torch.from_numpy(net.weights[name]) for name in layer}
    state = z.reshape(len(net.states), 1, -1).unbind()
    x = torch.tensor([[u]], dtype=torch.float64)
    return torch.cat(CELLS[net.run.cell].rule(x, state, weights), -1)[0]


@pytest.mark.parametrize("cell", FUSED_CELLS)
def test_the_map_and_its_jacobian_are_those_of_the_rule_and_of_autograd(cell):
    net, rng = network(cell), np.random.default_rng(0)
    points, inputs = rng.normal(size=(5, net.dimension)), rng.random(5)
    images, jacobians = net.derivatives(points, inputs)
    for point, u, image, jacobian in zip(points, inputs, images, jacobians, strict=True):
        z = torch.from_numpy(point)
        np.testing.assert_allclose(image, by_the_rule(net, z, u).numpy(), rtol=0, atol=1e-14)
        expected = torch.autograd.functional.jacobian(lambda z, u=u: by_the_rule(net, z, u), z)
        np.testing.assert_allclose(jacobian, expected.numpy(), rtol=0, atol=1e-13)


def test_tanh_is_exact_to_a_few_units_in_the_last_place():
    net = one_unit("rnn_tanh", 1.0, 0.0, 0.0)
    small = np.logspace(-15, 1, 200)
    x = np.concatenate([np.linspace(-50, 50, 2001), small, -small])
    images, _ = net.derivatives(np.zeros((len(x), 1)), x)
    np.testing.assert_allclose(images[:, 0], np.tanh(x), rtol=1e-15)


def test_trained_weights_give_the_accuracy_that_the_engine_reported(quick):
    run = quick(cell="gru", engine="fused", dtype="float64", max_updates=200, lr=0.1)
    outcome = engine_of(run).train(run)
    net = Network(run, outcome.weights)
    inputs, _ = Sequences(run, "final", run.evaluation_length).draw(run.final_sequences)
    states, _ = net.follow(np.zeros((len(inputs), net.dimension)), inputs[:, :, 0])
    accuracy = 1 - net.wrong(states)[:, 1:].mean()
    assert accuracy == pytest.approx(outcome.final.accuracy, abs=1e-12)


# --- fixed points and cycles --------------------------------------------------------------------


def test_a_one_unit_tanh_network_solved_by_hand():
    """h' = tanh(-2 h): a flip saddle at 0 with eigenvalue -2, and the cycle ±h, h = tanh(2 h)."""
    roots = cycles.find(one_unit("rnn_tanh", 0.0, -2.0, 0.0), 0.5)
    fixed, cycle = roots
    h = brentq(lambda h: math.tanh(2 * h) - h, 0.5, 1)
    assert fixed.points[0] == pytest.approx([0.0], abs=1e-12)
    assert fixed.multipliers == pytest.approx([-2.0])
    assert cycle.points.ravel() == pytest.approx([h, -h])
    assert cycle.multipliers == pytest.approx([(2 * (1 - h**2)) ** 2])
    assert cycle.alternates
    assert cycle.is_stable
    assert cycles.carrier(roots) is cycle
    assert cycles.saddle(roots) is fixed
    (fixed,) = cycles.find(one_unit("rnn_tanh", 0.0, -0.9, 0.0), 0.5)  # before the flip
    assert fixed.multipliers == pytest.approx([-0.9])
    assert fixed.is_stable


def test_a_relu_network_solved_by_hand():
    """h' = max(0, 1 - 3 h): 1 and 0 in turn with multiplier 0, around 1/4 with eigenvalue -3."""
    fixed, cycle = cycles.find(one_unit("rnn_relu", 0.0, -3.0, 1.0), 0.0)
    assert fixed.points.ravel() == pytest.approx([0.25])
    assert fixed.multipliers == pytest.approx([-3.0])
    assert cycle.points.ravel() == pytest.approx([1.0, 0.0], abs=1e-12)
    assert cycle.multipliers == pytest.approx([0.0], abs=1e-12)


def test_a_linear_map_whose_every_point_is_on_a_2_cycle():
    """h' = 1 - h on [0, 1]: every h goes to 1 - h and back, with multiplier 1, around 1/2."""
    roots = cycles.find(one_unit("rnn_relu", 0.0, -1.0, 1.0), 0.0)
    off_the_kink = [root for root in roots if root.period == 2 and root.points.min() > 1e-9]
    assert len(off_the_kink) > 1
    for root in off_the_kink:
        assert root.points.sum() == pytest.approx(1.0)
        assert root.multipliers == pytest.approx([1.0])
        assert not root.is_stable
    assert [root.points[0, 0] for root in roots if root.period == 1] == pytest.approx([0.5])


def test_states_too_large_or_out_of_reach_are_no_roots():
    states = np.array([[0.5, 1e11], [0.5, 30.0], [1.5, 0.0], [np.nan, 0.0]])
    residuals = np.array([0.8, 1e-12, 1e-16, np.nan])
    lstm = network("lstm", hidden_size=1)
    assert cycles.are_roots(lstm, states, residuals).tolist() == [False, True, False, False]
    relu = network("rnn_relu", hidden_size=2)
    assert cycles.are_roots(relu, states, residuals).tolist() == [False, True, True, False]


def test_orbits_of_networks_solved_by_hand():
    """A cycle of labels 1 and 0; a fixed point; a decay so slow that the state still drifts."""
    assert cycles.orbit(one_unit("rnn_tanh", 0.1, -2.0, 0.0), 0.5) == (2, True)
    assert cycles.orbit(one_unit("rnn_tanh", 0.1, -0.9, 0.0), 0.5) == (1, False)
    assert cycles.orbit(decays([1 - 1e-5], noise=1.0), 0.5) == (0, False)


def test_roots_of_a_random_network_are_roots_by_the_rule_and_counted_once():
    net = network("lstm", scale=6.0)
    for root in cycles.find(net, 0.25):
        z = torch.from_numpy(root.points[0].copy())
        for _ in range(root.period):
            z = by_the_rule(net, z, 0.25)
        np.testing.assert_allclose(z.numpy(), root.points[0], rtol=0, atol=1e-9)
    points = [point for root in cycles.find(net, 0.25) for point in root.points]
    for i, j in product(range(len(points)), repeat=2):
        assert i == j or np.abs(points[i] - points[j]).max() > 1e-7


# --- noise --------------------------------------------------------------------------------------


def test_exponents_of_a_linear_map_are_the_logarithms_of_its_decays():
    net = decays([-0.9, 0.5, 0.1])
    found = noise.lyapunov(net, np.zeros(3), np.random.default_rng(0).random(400), 50)
    assert found == pytest.approx(np.log([0.9, 0.5, 0.1]), abs=1e-9)


def test_the_exponent_without_noise_is_half_the_logarithm_of_the_cycle_s_multiplier():
    (found,) = noise.exponents(one_unit("rnn_tanh", 0.0, -2.0, 0.0, noise=1.0))
    assert found["quiet"] == pytest.approx(found["half_log_rho"], abs=1e-9)


def test_the_separatrix_of_an_odd_map_is_halfway():
    (found,) = noise.margins(one_unit("rnn_tanh", 0.0, -2.0, 0.0, noise=1.0))
    assert found["toward"] == pytest.approx(0.5, abs=0.02)
    assert found["saddle"] == pytest.approx(1.0, abs=0.04)


def test_a_push_of_a_linear_map_shrinks_by_its_decay():
    """0.5^k <= 0.01 first at k = 7."""
    net, inputs = decays([0.5]), np.random.default_rng(0).random(50)
    assert noise.shrinks(net, np.zeros(1), np.ones(1), inputs) == 7
    assert noise.shrinks(net, np.zeros(1), np.ones(1), inputs[:6]) == math.inf


# --- slips --------------------------------------------------------------------------------------


def test_a_network_that_always_says_0_slips_at_every_step():
    """It is right at odd steps and wrong at even ones from 2 on: one slip per step from there."""
    found = slips.count(one_unit("rnn_tanh", 0.0, 0.0, -1.0), 101)
    assert [found[name] for name in ("steps", "first_error", "errors", "slips")] == [101, 2, 50, 99]
    assert found["smallest_margin"] == pytest.approx(4 * math.tanh(1) + 1)


# --- interventions ------------------------------------------------------------------------------


def test_interventions_on_networks_built_by_hand():
    """A donor's phase is adopted, and in the LSTM its h suffices while its c has no effect.

    Within a step its c suffices, since the output gate is open whatever the phase. A state frozen
    for one step flips the phase. Gates shut by their bias can be frozen, but the candidate cannot.
    A push along the phase flips it if it goes beyond the middle.
    """
    built = {cell: interventions.rows(existence.hand_built(cell)) for cell in ("rnn_tanh", "lstm")}
    every = [("opposite donor", "flipped"), ("same donor", "kept"), ("frozen", "at_once")]
    expected = [(cell, name, "all", column) for cell in built for name, column in every]
    expected += [("lstm", "opposite donor", "h", "flipped")]
    expected += [("lstm", "opposite donor", "c", "kept")]
    expected += [("lstm", "opposite donor within", "c", "at_once")]
    expected += [("lstm", "same donor within", "c", "kept")]
    for name in ("freeze gate", "cut recurrence"):
        expected += [("lstm", name, gate, "kept") for gate in ("input", "forget", "output")]
    for cell, name, part, column in expected:
        (row,) = [r for r in built[cell] if (r["intervention"], r["part"]) == (name, part)]
        assert row[column] == interventions.TRIALS, (cell, name, part)
    assert [row["kept"] for row in built["lstm"] if row["part"] == "candidate"] == [0, 0]
    pushes = {row["size"]: row for row in built["rnn_tanh"] if row["part"] == "phase"}
    assert pushes[0.25]["kept"] == pushes[1.0]["flipped"] == interventions.TRIALS


# --- probes -------------------------------------------------------------------------------------


def test_a_probe_reads_labels_only_if_the_states_depend_on_them():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (40, 30))
    states = rng.normal(size=(40, 30, 5))
    assert probes.accuracy(states, labels) == pytest.approx(0.5, abs=0.06)
    states[..., 2] += 10 * labels
    assert probes.accuracy(states, labels) == 1.0


def test_a_built_network_is_decodable_and_selective():
    trained, untrained = probes.rows(existence.hand_built("rnn_tanh"))
    assert trained["phase"] == 1.0
    assert trained["hashed"] < 0.75
    assert untrained["phase"] < 0.75


# --- existence ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", existence.HAND_BUILT)
def test_a_hand_built_unit_never_slips(cell):
    for seed in range(3):
        found = slips.count(existence.hand_built(cell, seed), 20_000)
        assert (found["slips"], found["first_error"], found["low"]) == (0, None, 0.0)
        assert found["high"] == pytest.approx(-math.log(0.025) / 20_000)  # exact Poisson, two-sided


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
def test_a_hand_built_unit_keeps_its_size_and_has_its_slack_to_spare(cell):
    """From every |h| >= m and x in [0, 1] h goes to the other sign and |h'| >= m.

    The drive may fall short by the slack and no more.
    """
    net, (*_, m, slack) = existence.hand_built(cell), existence.HAND_BUILT[cell]
    top = 0.76159 if cell == "lstm" else 1.0
    h = np.concatenate([np.linspace(m, top, 21), -np.linspace(m, top, 21)])
    c = np.arctanh(np.clip(h, -0.7616, 0.7616)) if cell == "lstm" else None
    points = h[:, None] if c is None else np.column_stack([h, c])
    for u in (0.0, 0.5, 1.0):
        images, _ = net.derivatives(points, u)
        assert (np.sign(images[:, 0]) == -np.sign(h)).all()
        assert (np.abs(images[:, 0]) >= m).all()
    worst = points[:1]  # h = m with the largest drive against it
    for share, keeps in ((0.999, True), (1.001, False)):
        bias = net.weights["cell.bias_ih_l0"].copy()
        bias[{"rnn_tanh": 0, "gru": 2, "lstm": 2}[cell]] += share * slack
        images, _ = net.with_weights(bias_ih=bias).derivatives(worst, 1.0)
        assert (images[0, 0] <= -m) == keeps


@pytest.mark.parametrize("hidden_size", range(1, 7))
def test_a_positive_recurrence_reaches_the_bound(hidden_size):
    """H + 1 labels from step 1 on are right, so the first error is at step H + 2."""
    assert slips.count(existence.tightest(hidden_size), 50)["first_error"] == hidden_size + 2


@pytest.mark.parametrize("cell", existence.POSITIVE)
def test_no_random_positive_recurrence_beats_the_bound(cell):
    for seed in range(60):
        net = network(cell, hidden_size=1 + seed % 3, scale=8.0, noise=0.0, seed=seed)
        assert slips.count(net, 60)["first_error"] <= net.run.hidden_size + 2

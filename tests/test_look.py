"""`look` against networks built by hand, the study's own analysis, and finite differences."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from study.dynamics import Network, cycles, look, patterns
from study.dynamics.look import _TorchMap
from study.errors import BadInput
from study.runs import Run, weights_of

HEIGHT = 0.957504024  # the positive root of h = tanh(2 h)


def built(ih: list, hh: list, readout: list, bias: float = 0.0) -> tuple[nn.RNN, nn.Linear]:
    """A tanh network h' = tanh(ih u + hh h), and a readout of one logit, both in float64."""
    rnn = nn.RNN(1, len(ih), dtype=torch.float64)
    out = nn.Linear(len(ih), 1, dtype=torch.float64)
    values = [np.reshape(ih, (-1, 1)), hh, np.zeros(len(ih)), np.zeros(len(ih)), [readout], [bias]]
    parameters = [*rnn.parameters(), *out.parameters()]
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(torch.tensor(np.array(value, float)))
    return rnn, out


def ring() -> tuple[nn.RNN, nn.Linear]:
    """Three units that hand their values around, and a cue that sets them to +, + and -."""
    return built([2, 2, -2], [[0, 2, 0], [0, 0, 2], [2, 0, 0]], [1, 0, 0])


def drawn(kind: type, *sizes: int, outputs: int = 2, scale: float = 3.0, **options) -> tuple:
    """A random network whose recurrent layers are scaled up, and its readout."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module, readout = kind(*sizes, **options), nn.Linear(sizes[1], outputs)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    return module, readout


# --- networks built by hand ---------------------------------------------------------------------


def test_a_one_unit_network_with_a_2_cycle():
    """h' = tanh(-2 h): a flip saddle at 0 with eigenvalue -2, and the cycle ±h, h = tanh(2 h)."""
    found = look(*built([1], [[-2]], [1]), "10", mean_input=0.0)
    h = HEIGHT
    assert found.fixed_point == pytest.approx([0.0], abs=1e-12)
    assert found.eigenvalues == pytest.approx([-2.0])
    assert (found.found, found.settles, found.rho) == (True, False, pytest.approx(2.0))
    assert found.angle == pytest.approx(math.pi)
    assert found.harmonic == (1, pytest.approx(0.0))
    fixed, cycle = found.cycles
    assert (fixed.period, fixed.is_stable, fixed.rotation) == (1, False, None)
    assert (cycle.period, cycle.is_stable) == (2, True)
    assert sorted(cycle.points.ravel()) == pytest.approx([-h, h])
    assert cycle.multipliers == pytest.approx([(2 * (1 - h**2)) ** 2])
    assert cycle.labels == ("10" if cycle.points[0] > 0 else "01")
    assert cycle.rotation == int(cycle.points[0, 0] < 0)
    assert (found.period, found.follows, found.right_from) == (2, True, 0)


def test_labels_that_alternate_in_the_wrong_phase_do_not_follow():
    found = look(*built([1], [[-2]], [-1]), "10", mean_input=0.0)
    assert (found.period, found.follows, found.right_from) == (2, False, None)
    assert found.cycles[1].rotation is not None


def test_a_ring_of_three_units_carries_110():
    """The cycle is (h, h, -h) and its rotations with h = tanh(2 h), around 0."""
    found = look(*ring(), "110", mean_input=0.0)
    h = HEIGHT
    assert found.angles == pytest.approx([0, 2 * math.pi / 3, 4 * math.pi / 3])
    assert found.powers == pytest.approx([0, 1 / 3, 1 / 3])
    assert found.fixed_point == pytest.approx(np.zeros(3), abs=1e-12)
    roots_of_unity = 2 * np.exp(1j * found.angles)
    assert patterns.matched(roots_of_unity, found.eigenvalues) == pytest.approx(roots_of_unity)
    (cycle,) = [cycle for cycle in found.cycles if cycle.rotation is not None]
    assert (cycle.period, cycle.is_stable) == (3, True)
    assert np.abs(cycle.points) == pytest.approx(h)
    assert cycle.points.sum(axis=0) == pytest.approx(h)
    assert cycle.multipliers == pytest.approx((2 * (1 - h**2)) ** 3)
    assert (found.period, found.right_from) == (3, 0)
    text = str(found).splitlines()
    assert text[0] == "pattern 110: harmonics k = 1 at 2.0944 rad (power 0.333)"
    assert text[-1] == (
        "from the start, over 2000 steps: the state repeats every 3 steps, "
        "labels are right from step 0 on"
    )
    assert 7 <= len(text) <= 13


@pytest.mark.parametrize("radius", [0.9, 1.2])
@pytest.mark.parametrize(("angle", "k"), [(2.0, 2), (-1.2, 1), (3.0, 3)])
def test_a_rotation_has_its_own_angle(radius, angle, k):
    """h' = tanh(r R h), where R turns by the angle: eigenvalues r exp(±i angle) at 0."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = [[radius * cos, -radius * sin], [radius * sin, radius * cos]]
    found = look(*built([1, 0], turn, [1, 0], bias=0.1), "110100", mean_input=0.0)
    assert found.residual < 1e-12
    assert found.settles == (radius < 1)
    expected = radius * np.exp(1j * np.array([abs(angle), -abs(angle)]))
    assert found.eigenvalues == pytest.approx(expected)
    assert found.angle == pytest.approx(abs(angle))
    assert found.harmonic == (k, pytest.approx(abs(abs(angle) - k * math.pi / 3)))
    assert (found.period == 1) == (radius < 1)
    assert found.follows is False


def test_a_network_without_a_fixed_point():
    """h' = max(0, h + 1) grows for ever."""
    rnn, readout = nn.RNN(1, 1, nonlinearity="relu"), nn.Linear(1, 1)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.fill_(0.5 if parameter.dim() == 1 else 1.0)
    found = look(rnn, readout, "10", mean_input=0.0)
    assert (found.found, found.settles, found.period, found.cycles) == (False, False, 0, ())
    assert np.isnan([found.rho, found.angle, found.residual, *found.fixed_point]).all()
    assert "fixed point: none found" in str(found)


def test_a_network_that_overflows():
    rnn, readout = nn.RNN(1, 2, nonlinearity="relu"), nn.Linear(2, 2)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.fill_(3.0)
    found = look(rnn, readout, "10")
    assert (found.found, found.period, found.follows) == (False, 0, False)


# --- against the study's own networks -----------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "kind"), [("rnn_tanh", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)]
)
def test_it_agrees_with_the_study_s_own_analysis(cell, kind):
    run = Run(cell=cell, hidden_size=4, noise=1.0)
    weights = {name: 4.0 * array for name, array in weights_of(run).items()}
    module, readout = kind(1, 4), nn.Linear(4, 2)
    for part, prefix in ((module, "cell."), (readout, "readout.")):
        named = {name.removeprefix(prefix): torch.tensor(array) for name, array in weights.items()
                 if name.startswith(prefix)}  # fmt: skip
        part.double().load_state_dict(named)
    net, found = Network(run, weights), look(module, readout, "10")

    path = net.visited(np.array([1.0] + [0.5] * (found.steps - 1)))
    assert found.right_from == (
        None if net.wrong(path[None])[0, -4:].any() else patterns.right_from(
            "10", (net.logit_margin(path) > 0).astype(int)
        )
    )  # fmt: skip
    _, (jacobian,) = net.derivatives(found.fixed_point[None], 0.5)
    expected = np.linalg.eigvals(jacobian)
    assert patterns.matched(expected, found.eigenvalues) == pytest.approx(expected, abs=1e-9)
    roots = cycles.find(net, 0.5)
    assert found.cycles
    for cycle in found.cycles:
        (root,) = [
            root
            for root in roots
            if root.period == cycle.period
            and min(np.abs(root.points - cycle.points[0]).max(axis=1)) < 1e-6
        ]
        matched = patterns.matched(root.multipliers, cycle.multipliers)
        assert matched == pytest.approx(root.multipliers, abs=1e-7)
        assert (cycle.rotation is not None) == root.alternates


# --- modules of torch ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sizes"), [(nn.GRU, (1, 3, 3)), (nn.LSTM, (2, 3, 2)), (nn.RNN, (1, 4, 2))]
)
def test_the_jacobian_of_many_layers_is_that_of_finite_differences(kind, sizes):
    network = _TorchMap(*drawn(kind, *sizes, scale=1.5))
    rng, u = np.random.default_rng(0), np.full(sizes[0], 0.5)
    points = rng.normal(size=(4, len(network.bounds)))
    _, jacobians = network.derivatives(points, u)
    for column, push in enumerate(1e-6 * np.eye(len(network.bounds))):
        ahead, behind = (network.derivatives(points + sign * push, u)[0] for sign in (1, -1))
        np.testing.assert_allclose(jacobians[:, :, column], (ahead - behind) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_the_state_is_that_of_torch_in_every_layer(kind):
    module, readout = drawn(kind, 2, 3, 2)
    network, (cue, mean) = _TorchMap(module, readout), np.array([[1.0, 0.0], [0.5, 0.2]])
    path = network.visited(cue, mean, 5)
    x = torch.tensor(np.array([cue, *[mean] * 4])[:, None])
    outputs, last = module.double()(x)
    parts = torch.cat(last) if kind is nn.LSTM else last
    assert path[-1] == pytest.approx(parts.detach().numpy().ravel())
    assert path[:, network.last] == pytest.approx(outputs[:, 0].detach().numpy())
    logits = readout.double()(outputs[:, 0])
    assert network.labels(path).tolist() == logits.argmax(dim=1).tolist()


def test_batch_first_changes_nothing():
    texts = []
    for batch_first in (False, True):
        module, readout = drawn(nn.GRU, 3, 4, 2, batch_first=batch_first)
        texts.append(str(look(module, readout, "110", cue=np.array([1.0, 0.0, 0.0]), steps=200)))
    assert texts[0] == texts[1]


def test_one_output_is_the_difference_of_two():
    module, two = drawn(nn.LSTM, 1, 4)
    one = nn.Linear(4, 1)
    with torch.no_grad():
        one.weight.copy_(two.weight[1:] - two.weight[:1])
        one.bias.copy_(two.bias[1:] - two.bias[:1])
    pair = [look(module, readout, "1100", steps=200) for readout in (one, two)]
    assert str(pair[0]) == str(pair[1])


def test_the_modules_are_left_unchanged():
    module, readout = drawn(nn.LSTM, 1, 3, 2, dropout=0.5)
    module.eval()
    before = [parameter.clone() for parameter in (*module.parameters(), *readout.parameters())]
    look(module, readout, "10", steps=50)
    after = [*module.parameters(), *readout.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert {parameter.dtype for parameter in after} == {torch.float32}
    assert all(parameter.grad is None for parameter in after)


# --- what is refused ----------------------------------------------------------------------------

INFINITE = nn.Linear(3, 2)
with torch.no_grad():
    INFINITE.bias.fill_(math.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": nn.LSTMCell(1, 3)}, "module: is of the class LSTMCell, but must be a torch.nn"),
        ({"module": nn.GRU(1, 3, bidirectional=True)}, "module: is bidirectional"),
        ({"module": nn.LSTM(1, 4, proj_size=3)}, "module: has proj_size=3"),
        ({"module": nn.GRU(1, 3, 2, dropout=0.1)}, r"module: applies dropout.*module\.eval\(\)"),
        ({"readout": nn.ReLU()}, "readout: is of the class ReLU, but must be a torch.nn.Linear"),
        ({"readout": nn.Linear(4, 2)}, "readout: has 4 inputs, but the module's hidden_size is 3"),
        ({"readout": nn.Linear(3, 3)}, r"readout: has 3 outputs, but must have 2 \("),
        ({"readout": INFINITE}, "readout: has weights that are not finite"),
        ({"pattern": "12"}, "pattern: must be a text of 0s and 1s such as '110': '12'"),
        ({"pattern": ""}, "pattern: must be a text of 0s and 1s"),
        ({"pattern": [1, 0]}, r"pattern: must be a text of 0s and 1s such as '110': \[1, 0\]"),
        ({"pattern": "11"}, "pattern: must contain both 0 and 1: '11'"),
        ({"cue": np.ones(2)}, r"cue: has the shape \(2,\), but must be a number or an array of 1"),
        ({"mean_input": math.nan}, "mean_input: must be finite: nan"),
        ({"steps": 7}, r"steps: must be an integer, at least four periods \(8\): 7"),
        ({"searches": 0}, "searches: must be a positive integer: 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = {"module": nn.GRU(1, 3), "readout": nn.Linear(3, 2), "pattern": "10"} | change
    with pytest.raises(BadInput, match=message) as caught:
        look(**arguments)
    assert len(caught.value.problems) == 1


def test_torch_is_imported_only_by_a_call():
    code = "import sys, study.dynamics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

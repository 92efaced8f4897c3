"""Each named optimizer against its update rule, and settings that are refused."""

import numpy as np
import pytest
import torch

from study.errors import SettingError
from study.model.optimizers import OPTIMIZERS, find_optimizer, resolve_settings, torch_optimizer
from study.runs import Run

RATE, GRADIENTS = 0.1, np.random.default_rng(3).normal(size=(6, 4))


def sgd(g, t, s, momentum, nesterov, **_):
    s["v"] = momentum * s.get("v", 0) + g
    return RATE * (g + momentum * s["v"] if nesterov else s["v"])


def rmsprop(g, t, s, alpha, eps, **_):
    s["s"] = alpha * s.get("s", 0) + (1 - alpha) * g**2
    return RATE * g / (np.sqrt(s["s"]) + eps)


def adagrad(g, t, s, eps, **_):
    s["s"] = s.get("s", 0) + g**2
    return RATE * g / (np.sqrt(s["s"]) + eps)


def adam(g, t, s, betas, eps, **_):
    mean, square = betas
    s["m"] = mean * s.get("m", 0) + (1 - mean) * g
    s["s"] = square * s.get("s", 0) + (1 - square) * g**2
    return RATE * (s["m"] / (1 - mean**t)) / (np.sqrt(s["s"] / (1 - square**t)) + eps)


def adamw(g, t, s, weight_decay, **settings):
    return adam(g, t, s, **settings) + RATE * weight_decay * s["theta"]


# The rule of each class of torch.optim; an optimizer of another class needs its rule here.
RULES = {"SGD": sgd, "RMSprop": rmsprop, "Adagrad": adagrad, "Adam": adam, "AdamW": adamw}
PLAIN = [name for name, optimizer in OPTIMIZERS.items() if name == optimizer.torch_class.lower()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_follows_its_rule(name):
    theta = np.ones(4)
    parameter = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
    settings = resolve_settings(name, None, {})
    optimizer = torch_optimizer(name, settings, [parameter], RATE)
    rule, memory = RULES[OPTIMIZERS[name].torch_class], {}
    for t, gradient in enumerate(GRADIENTS, start=1):
        memory["theta"] = theta
        theta = theta - rule(gradient, t, memory, **settings)
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        np.testing.assert_allclose(parameter.detach().numpy(), theta, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", PLAIN)
def test_settings_are_torchs_own_defaults(name):
    """They are written out, so that a later torch cannot change them without failing this test."""
    torch_class = getattr(torch.optim, OPTIMIZERS[name].torch_class)
    theirs = torch_class([torch.nn.Parameter(torch.ones(1))], lr=0.1).defaults
    for key, value in resolve_settings(name, None, {}).items():
        assert value == (list(theirs[key]) if isinstance(theirs[key], tuple) else theirs[key])


@pytest.mark.parametrize(
    "name", ["NAdam", "RAdam", "Adamax", "Adadelta", "ASGD", "Rprop", "Adafactor"]
)
def test_any_other_dense_optimizer_of_torch_by_name(name):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch_optimizer(name, resolve_settings(name, None, {}), [parameter], 0.01)
    parameter.grad = torch.ones(3)
    optimizer.step()
    assert (parameter != 1).all()


@pytest.mark.parametrize(
    ("name", "momentum", "settings", "message"),
    [
        ("adamm", None, {}, "did you mean 'adam'"),
        ("LBFGS", None, {}, "closure"),
        ("Muon", None, {}, "biases"),
        ("adam", None, {"beta": 0.9}, "did you mean 'betas'"),
        ("adam", None, {"betas": [0.9, 1.5]}, "Invalid beta"),
        ("momentum", None, {"momentum": 0.5}, "cannot be set here"),
        ("sgd", None, {"nesterov": True}, "cannot be set here"),
        ("rmsprop", None, {"alpha": "high"}, "must have the form of its default"),
        ("rmsprop", None, {"weight_decay": True}, "must have the form of its default"),
        ("rmsprop", None, {"weight_decay": float("inf")}, "must have the form of its default"),
        ("adam", None, {"amsgrad": "maybe"}, "must have the form of its default False"),
        ("adam", None, {"betas": [0.9]}, "must have the form of its default"),
        ("rmsprop", None, {"alpha": [0.9]}, "must have the form of its default"),
        ("adam", None, {"betas": []}, "must have the form of its default"),
        ("Adam", None, {}, "did you mean 'adam'"),
    ],
)
def test_refusals(name, momentum, settings, message):
    with pytest.raises(SettingError, match=message):
        resolve_settings(name, momentum, settings)


def test_given_settings_override_defaults():
    overridden = dict(OPTIMIZERS["adam"].settings) | {"eps": 1e-4}
    assert resolve_settings("adam", None, {"eps": 1e-4}) == overridden
    assert resolve_settings("momentum", 1.0, {})["momentum"] == 1.0
    assert find_optimizer("NAdam").settings["momentum_decay"] == 0.004


def test_a_whole_number_as_default_takes_any_number_but_true_and_false_stay():
    """torch gives some classes the default 0 where it means 0.0."""

    def weight_decay(value):
        return resolve_settings("NAdam", None, {"weight_decay": value})["weight_decay"]

    assert find_optimizer("NAdam").settings["weight_decay"] == 0
    assert weight_decay(0.01) == 0.01
    values = [0, 0.0, -0.0, 1, 1.0]
    assert list(map(repr, map(weight_decay, values))) == ["0", "0", "0", "1", "1"]
    decoupled = {"decoupled_weight_decay": True}
    assert resolve_settings("NAdam", None, decoupled)["decoupled_weight_decay"] is True
    for wrong in ({"weight_decay": True}, {"decoupled_weight_decay": 1}, {"eps": 10**400}):
        with pytest.raises(SettingError, match="must have the form of its default"):
            resolve_settings("NAdam", None, wrong)


def test_one_and_one_point_zero_are_one_run():
    for name, key in (("NAdam", "weight_decay"), ("adam", "weight_decay"), ("Adafactor", "eps")):
        one, other = ([None, 1], [None, 1.0]) if key == "eps" else (1, 1.0)
        runs = [Run(optimizer=name, optimizer_settings={key: value}) for value in (one, other)]
        assert runs[0].run_id == runs[1].run_id

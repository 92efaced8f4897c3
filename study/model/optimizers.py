"""Define the optimizers. Each is a class of `torch.optim` with all of its settings written out.

The settings are written out, not left to torch, because they are part of a run's identity. If a
later version of torch changes a default, old results must not be taken for new ones.

A grid can also name any other class of `torch.optim` in torch's spelling, such as `NAdam`. The
class must take dense gradients of any shape and need no closure. To give an optimizer another name,
enter it in `OPTIMIZERS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from typing import Any

from study.errors import SettingError, nearest, shown, unknown
from study.model.packages import ADD, find


@dataclass(frozen=True)
class Optimizer:
    """An optimizer, given by its class and all settings but the learning rate.

    `torch_class` is the name of a class in `torch.optim`, or a class that is derived from
    `torch.optim.Optimizer`. `version` identifies the code of a shipped optimizer (see
    `study.model.rules`).
    """

    torch_class: Any
    settings: Mapping[str, object] = field(default_factory=dict)
    version: int | None = None


_SGD = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
_ADAM = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}

OPTIMIZERS = {
    # θ ← θ − lr g
    "sgd": Optimizer("SGD", _SGD, version=1),
    # v ← μ v + g;  θ ← θ − lr v   (Polyak 1964; μ = 1 is the sum of all gradients so far)
    "momentum": Optimizer("SGD", _SGD | {"momentum": 0.9}, version=1),
    # v ← μ v + g;  θ ← θ − lr (g + μ v)   (Sutskever et al. 2013)
    "nesterov": Optimizer("SGD", _SGD | {"momentum": 0.9, "nesterov": True}, version=1),
    # s ← α s + (1 − α) g²;  θ ← θ − lr g / (√s + ε)   (Tieleman & Hinton 2012)
    "rmsprop": Optimizer(
        "RMSprop",
        {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        version=1,
    ),
    # s ← s + g²;  θ ← θ − lr g / (√s + ε)   (Duchi et al. 2011)
    "adagrad": Optimizer(
        "Adagrad",
        {"lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
        version=1,
    ),
    # m, s: running means of g and g², bias-corrected;  θ ← θ − lr m / (√s + ε)   (arXiv 1412.6980)
    "adam": Optimizer("Adam", _ADAM, version=1),
    # adam with θ ← (1 − lr λ) θ before the step   (arXiv 1711.05101)
    "adamw": Optimizer("AdamW", _ADAM | {"weight_decay": 0.01}, version=1),
}
SHIPPED_OPTIMIZERS = dict(OPTIMIZERS)

_UNFIT = {
    "LBFGS": "it needs a closure that recomputes the loss",
    "SparseAdam": "it needs sparse gradients",
    "Muon": "it takes only matrices, and a network here has biases",
}
# Arguments of torch's classes that are not settings here. `params` and `lr` are passed separately,
# and `maximize` is never used. The others decide how torch computes an update but not which update
# it computes, so they are not part of a run's identity.
_IMPLEMENTATION = {"params", "lr", "foreach", "fused", "capturable", "differentiable", "maximize"}


@cache
def _torch_classes() -> dict[str, Optimizer]:
    """Return each usable class of `torch.optim` that is not in OPTIMIZERS, by name.

    The settings of each class are its defaults.
    """
    import torch  # heavy, and needed only for an optimizer that is not in OPTIMIZERS

    registered = {optimizer.torch_class for optimizer in OPTIMIZERS.values()}
    classes = {}
    for name, value in vars(torch.optim).items():
        is_optimizer = isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
        if is_optimizer and name not in {"Optimizer", *_UNFIT, *registered}:
            parameters = signature(value).parameters.values()
            defaults = {p.name: p.default for p in parameters if p.name not in _IMPLEMENTATION}
            classes[name] = Optimizer(name, json.loads(json.dumps(defaults)))  # tuples as lists
    return classes


def find_optimizer(name: str) -> Optimizer:
    """Return the optimizer called `name`.

    Raises `SettingError` if the optimizer is unknown or cannot be used here.
    """
    if (entry := find("optimizer", OPTIMIZERS, name)) is not None:
        return entry
    if name in _UNFIT:
        raise SettingError("optimizer", f"torch.optim.{name} cannot be used here: {_UNFIT[name]}")
    if name not in optimizer_names():
        message = f"{unknown('optimizer', name, optimizer_names())}; {ADD}"
        raise SettingError("optimizer", message)
    return _torch_classes()[name]


def optimizer_names() -> list[str]:
    """Return the names of all optimizers: those in OPTIMIZERS and the other classes of torch."""
    return [*OPTIMIZERS, *_torch_classes()]


def resolve_settings(
    name: str, momentum: float | None, given: Mapping[str, object]
) -> dict[str, object]:
    """Return all settings of an optimizer except its learning rate.

    `momentum` is for the optimizers `momentum` and `nesterov`. It is a separate argument because
    grids vary it. `given` holds other settings, named as in torch, which replace the defaults.
    Raises `SettingError` if a setting is wrong.
    """
    optimizer = find_optimizer(name)
    entry = json.dumps([str(optimizer.torch_class), dict(optimizer.settings)])
    return json.loads(_resolve_settings(name, entry, momentum, json.dumps(given, sort_keys=True)))


@cache
def _resolve_settings(name: str, entry: str, momentum: float | None, given_json: str) -> str:
    """Do the work of `resolve_settings` on JSON texts, so that the result can be cached.

    `entry` holds the class and the default settings of the optimizer. It is an argument so that the
    cached result is not used after the optimizer's entry in `OPTIMIZERS` has changed.
    """
    (_, defaults), given = json.loads(entry), json.loads(given_json)
    settings = defaults | {key: _checked(name, key, value) for key, value in given.items()}
    if settings != defaults:
        _try_out(name, settings)
    if momentum is not None:
        settings["momentum"] = momentum
    return json.dumps(settings)


def _checked(name: str, key: str, value: Any) -> Any:
    """Return the value of the setting `key` of optimizer `name`, in the type of its default.

    Raises `SettingError` if the optimizer has no such setting, if the setting cannot be set here,
    or if the value does not fit.
    """
    defaults = find_optimizer(name).settings
    if key not in defaults:
        allowed = f"{nearest(key, defaults)}; allowed: {', '.join(defaults)}"
        raise SettingError("optimizer_settings", f"{name} has no setting {key!r}{allowed}")
    if name in ("sgd", "momentum", "nesterov") and key in ("momentum", "nesterov"):
        message = f"{key!r} cannot be set here; use the settings 'optimizer' and 'momentum'"
        raise SettingError("optimizer_settings", message)
    return _like(key, value, defaults[key], name)


def _like(key: str, value: Any, default: Any, name: str) -> Any:
    """Return the value of the setting `key` of optimizer `name`, in the type of its `default`.

    Any number fits a default that is a number, because some classes of torch have the default 0
    where they mean 0.0. Raises `SettingError` if the value does not fit.
    """
    if type(value) in (int, float) and type(default) in (int, float, type(None)):
        with suppress(OverflowError):  # from an integer beyond all floats
            if type(default) is int and value == int(value):
                return int(value)
            if math.isfinite(value):
                return float(value)
    if isinstance(default, list) and isinstance(value, list) and len(value) == len(default):
        return [_like(key, part, old, name) for part, old in zip(value, default, strict=True)]
    if default is None or (type(value) is type(default) and not isinstance(value, list | float)):
        return value
    message = f"{key!r} of {name} must have the form of its default {default!r}, not {shown(value)}"
    raise SettingError("optimizer_settings", message)


def takes_momentum(name: str) -> bool:
    """Return whether an optimizer takes the setting `momentum`."""
    return name in ("momentum", "nesterov")


def torch_optimizer(name: str, settings: Mapping[str, Any], parameters: list, lr: float) -> Any:
    """Return the torch object for the optimizer `name` with these `settings`.

    The settings must be complete, as `resolve_settings` returns them. Lists in the settings become
    tuples, as torch expects.
    """
    import torch  # heavy, and needed only by the torch engine

    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    found = find_optimizer(name).torch_class
    torch_class = getattr(torch.optim, found) if isinstance(found, str) else found
    return torch_class(parameters, lr=lr, **tuples)


def optimizer_fault(name: str, settings: Mapping[str, Any]) -> str | None:
    """Return a message that says why a registered optimizer cannot be used, or None if it can.

    This function takes two steps on a matrix and a vector. The settings must be complete, as
    `resolve_settings` returns them.
    """
    import torch  # heavy, and needed only for optimizers that this package does not ship

    found = OPTIMIZERS[name].torch_class
    torch_class = getattr(torch.optim, found, None) if isinstance(found, str) else found
    if not (isinstance(torch_class, type) and issubclass(torch_class, torch.optim.Optimizer)):
        return f"{shown(found)} is neither in torch.optim nor derived from torch.optim.Optimizer"
    weights = [torch.nn.Parameter(torch.ones(shape)) for shape in ((3, 2), (2,))]
    try:
        optimizer = torch_optimizer(name, settings, weights, 0.01)
        for _ in range(2):
            optimizer.zero_grad()
            torch.stack([weight.square().sum() for weight in weights]).sum().backward()
            optimizer.step()
    except Exception as error:  # a class of the user's own may raise any exception
        return f"its class raises {type(error).__name__}: {error}"
    is_finite = all(bool(weight.isfinite().all()) for weight in weights)
    return None if is_finite else "its steps make weights that are not finite"


def _try_out(name: str, settings: Mapping[str, Any]) -> None:
    """Test the settings by one optimizer step on a single weight.

    Raises `SettingError` if torch refuses the settings.
    """
    import torch  # heavy, and needed only for settings that are not the defaults

    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    try:
        torch_optimizer(name, settings, [parameter], 0.1).step()
    except Exception as error:  # torch may raise any kind
        message = f"torch.optim refuses the settings {settings} of {name}: {error}"
        raise SettingError("optimizer_settings", message) from error

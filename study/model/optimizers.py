"""The optimizers: each is a class of `torch.optim` with every one of its settings written out.

The settings are written out, not left to torch, because they are part of a run's identity: a default
that changes in a later torch must not pass old results off as new ones.

Any other class of `torch.optim` that takes dense gradients and no closure can be named in a grid as
torch spells it (`NAdam`). To give an optimizer a name of its own, enter it in `OPTIMIZERS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from types import ModuleType
from typing import Any

from study.errors import SettingError, nearest
from study.imports import standing_for


@dataclass(frozen=True)
class Optimizer:
    """A class of `torch.optim` and its settings besides the learning rate."""

    torch_class: str
    settings: Mapping[str, object] = field(default_factory=dict)


_SGD = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}

OPTIMIZERS = {
    # θ ← θ − lr g
    "sgd": Optimizer("SGD", _SGD),
    # v ← μ v + g;  θ ← θ − lr v   (Polyak 1964; μ = 1 is the sum of all gradients so far)
    "momentum": Optimizer("SGD", _SGD | {"momentum": 0.9}),
    # v ← μ v + g;  θ ← θ − lr (g + μ v)   (Sutskever et al. 2013)
    "nesterov": Optimizer("SGD", _SGD | {"momentum": 0.9, "nesterov": True}),
    # s ← α s + (1 − α) g²;  θ ← θ − lr g / (√s + ε)   (Tieleman & Hinton 2012)
    "rmsprop": Optimizer(
        "RMSprop",
        {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
    ),
    # s ← s + g²;  θ ← θ − lr g / (√s + ε)   (Duchi et al. 2011)
    "adagrad": Optimizer(
        "Adagrad",
        {"lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
    ),
    # m, s: running means of g and g², bias-corrected;  θ ← θ − lr m / (√s + ε)   (arXiv 1412.6980)
    "adam": Optimizer(
        "Adam", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
    ),
    # adam with θ ← (1 − lr λ) θ before the step   (arXiv 1711.05101)
    "adamw": Optimizer(
        "AdamW", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False}
    ),
}

_UNFIT = {
    "LBFGS": "it needs a closure that recomputes the loss",
    "SparseAdam": "it needs sparse gradients",
    "Muon": "it takes matrices only, and a network here has biases",
}
# How torch computes, not what: these cannot belong to a run's identity.
_IMPLEMENTATION = {"params", "lr", "foreach", "fused", "capturable", "differentiable", "maximize"}


@cache
def _torch_classes() -> dict[str, Optimizer]:
    """Every fit class of `torch.optim`, with the settings in its signature."""
    import torch  # heavy, and needed only for an optimizer that is not in OPTIMIZERS

    found = {}
    for name, value in vars(torch.optim).items():
        is_optimizer = isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
        registered = {optimizer.torch_class for optimizer in OPTIMIZERS.values()}
        if (
            is_optimizer
            and value is not torch.optim.Optimizer
            and name not in {*_UNFIT, *registered}
        ):
            parameters = signature(value).parameters.values()
            defaults = {p.name: p.default for p in parameters if p.name not in _IMPLEMENTATION}
            found[name] = Optimizer(name, json.loads(json.dumps(defaults)))
    return found


def find_optimizer(name: str) -> Optimizer:
    """The optimizer of that name; `SettingError` says what is allowed."""
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]
    if name in _UNFIT:
        raise SettingError("optimizer", f"torch.optim.{name} cannot be used here: {_UNFIT[name]}")
    if name in _torch_classes():
        return _torch_classes()[name]
    allowed = [*OPTIMIZERS, *_torch_classes()]
    raise SettingError(
        "optimizer",
        f"unknown optimizer {name!r}{nearest(name, allowed)}; allowed: {', '.join(allowed)}",
    )


def resolve_settings(
    name: str, momentum: float | None, given: Mapping[str, object]
) -> dict[str, object]:
    """Every setting of an optimizer but its learning rate; `SettingError` for one it does not take.

    `momentum` is the setting of that name of `momentum` and `nesterov`, set on its own since grids
    vary it; `given` overrides any other by torch's name for it.
    """
    return json.loads(_resolve_settings(name, momentum, json.dumps(given, sort_keys=True)))


@cache
def _resolve_settings(name: str, momentum: float | None, given_json: str) -> str:
    defaults = find_optimizer(name).settings
    settings, given = dict(defaults), json.loads(given_json)
    for key, value in given.items():
        if key not in settings:
            allowed = ", ".join(settings)
            raise SettingError(
                "optimizer_settings",
                f"{name} has no setting {key!r}{nearest(key, settings)}; allowed: {allowed}",
            )
        if name in ("sgd", "momentum", "nesterov") and key in ("momentum", "nesterov"):
            raise SettingError(
                "optimizer_settings", f"{key!r} is set by the keys 'optimizer' and 'momentum'"
            )
        settings[key] = _like(key, value, settings[key], name)
    if settings != defaults:
        _try_out(name, settings)
    if momentum is not None:
        settings["momentum"] = momentum
    return json.dumps(settings)


def _like(key: str, value: Any, default: Any, name: str) -> Any:
    """A setting's value in the type of its default; `SettingError` where it has another."""
    if type(value) in (int, float) and type(default) is float and math.isfinite(value):
        return float(value)
    if isinstance(default, list) and isinstance(value, list) and len(value) == len(default):
        return [_like(key, part, old, name) for part, old in zip(value, default, strict=True)]
    if default is not None and (
        type(value) is not type(default) or isinstance(default, list | float)
    ):
        message = f"{key!r} of {name} must be like its default {default!r}, not {value!r}"
        raise SettingError("optimizer_settings", message)
    return value


def takes_momentum(name: str) -> bool:
    """Whether the setting `momentum` applies to that optimizer."""
    return name in ("momentum", "nesterov")


def _try_out(name: str, settings: dict[str, object]) -> None:
    """Let torch judge settings that it will be given later, in a step of one number."""
    import torch  # heavy, and needed only for settings that are not the defaults

    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    try:
        optimizer = torch_optimizer(name, settings, [parameter], 0.1)
        with uncompiled():
            optimizer.step()
    except Exception as error:  # whatever torch makes of it
        raise SettingError(
            "optimizer_settings", f"torch.optim refuses {settings} for {name}: {error}"
        ) from error


def torch_optimizer(name: str, settings: Mapping[str, object], parameters: list, lr: float):
    """The `torch.optim` object for resolved settings (lists become the tuples torch wants)."""
    import torch  # heavy, and only the torch engine comes here

    tuples = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }
    with uncompiled():
        return getattr(torch.optim, find_optimizer(name).torch_class)(parameters, lr=lr, **tuples)


class _NoCompiler(ModuleType):
    """What torch's optimizers ask of its compiler, `torch._dynamo`, where nothing is compiled."""

    def __init__(self) -> None:
        super().__init__("torch._dynamo")
        self._told: list[Callable] = []

    def graph_break(self) -> None:
        """Here a compiler would break off."""

    def disable(self, function: Callable, *_: object, **__: object) -> Callable:
        """A function that no compiler looks into: itself. torch notes the answer on the function."""
        self._told.append(function)
        return function

    def forget(self) -> None:
        """Let torch ask again."""
        while self._told:
            vars(self._told.pop()).pop("__dynamo_disable", None)


_no_compiler = _NoCompiler()


@contextmanager
def uncompiled() -> Iterator[None]:
    """For an optimizer's methods: they import torch's compiler, which takes a second, only to be left alone by it.

    What is in here, hooks included, must not compile. In other threads than the main one it has no effect.
    """
    try:
        with standing_for("torch._dynamo", _no_compiler):
            yield
    finally:
        _no_compiler.forget()

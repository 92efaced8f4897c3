"""Look at a network of `torch.nn` that should repeat a pattern, and say how its state carries it.

`look` treats the network as a map F from its state to its next state, under a constant input. It
finds the fixed point, the angle of the outermost eigenvalue of the Jacobian there, the cycles that
could carry the pattern, and what the network does when it starts as in training.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from study.dynamics import maps, patterns
from study.dynamics.cycles import FARTHEST, SAME, SETTLED
from study.dynamics.maps import Cycle
from study.errors import BadInput, shown

if TYPE_CHECKING:
    from torch import Tensor, nn

    Layers = nn.RNN | nn.GRU | nn.LSTM

MOST_LISTED = 5  # cycles that a report lists


@dataclass(frozen=True)
class LabelledCycle(Cycle):
    """A cycle, with the labels that the network gives in its states.

    `labels` is a text such as "101", with one label per state. `rotation` is the place in the
    pattern at which these labels begin, or None if they are not those of the pattern.
    """

    labels: str
    rotation: int | None

    def __str__(self) -> str:
        kind = "stable" if self.is_stable else "unstable"
        place = f"the pattern from place {self.rotation}" if self.rotation else "the pattern"
        carries = "not the pattern" if self.rotation is None else place
        size = f"largest multiplier {self.rho:.4f}"
        return f"period {self.period}: {kind}, {size}, labels {self.labels} ({carries})"


@dataclass(frozen=True)
class Look:
    """The findings of `look`, which `print` shows in some ten lines.

    A state (D,) has the hidden states h of all layers, then for an LSTM the cell states c of all
    layers. Angles are in radians per step. Step 0 has the cue as its input, all others the mean
    input.
    """

    pattern: str  # of length p
    angles: np.ndarray  # (p,) angle ω_k = 2 π k / p of each harmonic
    powers: np.ndarray  # (p,) |y_k| of each harmonic
    fixed_point: np.ndarray  # (D,) under the mean input; NaN if none was found
    residual: float  # largest absolute entry of F(fixed_point) - fixed_point, or NaN
    settles: bool  # whether the network comes to rest at the fixed point
    eigenvalues: np.ndarray  # (D,) complex, of the Jacobian there, largest modulus first; or (0,)
    cycles: tuple[LabelledCycle, ...]  # found, whose period divides p; fixed points included
    steps: int  # number of steps from the start that were followed
    period: int  # with which the states repeat in the end; 0 if they do not within 2 p steps
    right_from: int | None  # step from which all labels are right, or None

    @property
    def found(self) -> bool:
        """Whether a fixed point was found."""
        return bool(self.eigenvalues.size)

    @property
    def rho(self) -> float:
        """The spectral radius of the Jacobian at the fixed point, or NaN."""
        return float(np.abs(self.eigenvalues[0])) if self.found else np.nan

    @property
    def angle(self) -> float:
        """The angle of the outermost eigenvalue, folded to [0, π], or NaN."""
        return float(patterns.folded(np.angle(self.eigenvalues[0]))) if self.found else np.nan

    @property
    def harmonic(self) -> tuple[int, float]:
        """The harmonic with power that is nearest to `angle`, and its distance; or (0, NaN)."""
        return patterns.nearest_harmonic(self.pattern, self.angle) if self.found else (0, np.nan)

    @property
    def follows(self) -> bool:
        """Whether the labels follow the pattern in phase, from the step `right_from` on."""
        return self.right_from is not None

    def __str__(self) -> str:
        return "\n".join(
            [self._harmonics(), *self._fixed_point(), *self._cycles(), self._from_the_start()]
        )

    def _harmonics(self) -> str:
        texts = [
            f"k = {k} at {self.angles[k]:.4f} rad (power {self.powers[k]:.3f})"
            for k in range(1, len(self.pattern) // 2 + 1)
            if self.powers[k] > patterns.POWER
        ]
        return f"pattern {self.pattern}: harmonics {', '.join(texts)}"

    def _fixed_point(self) -> list[str]:
        if not self.found:
            return ["fixed point: none found"]
        k, distance = self.harmonic
        settles = "settles" if self.settles else "does not settle"
        return [
            f"fixed point: the network {settles} there; residual {self.residual:.1e}",
            f"  spectral radius {self.rho:.4f}, outermost eigenvalue at {self.angle:.4f} rad",
            f"  nearest harmonic: k = {k} at {self.angles[k]:.4f} rad, {distance:.4f} rad away",
        ]

    def _cycles(self) -> list[str]:
        longest_first = sorted(self.cycles, key=lambda cycle: -cycle.period)
        lines = [f"cycles found whose period divides {len(self.pattern)}: {len(self.cycles)}"]
        lines += [f"  {cycle}" for cycle in longest_first[:MOST_LISTED]]
        more = len(self.cycles) - MOST_LISTED
        return lines + ([f"  and {more} more"] if more > 0 else [])

    def _from_the_start(self) -> str:
        endings = {0: "does not repeat", 1: "comes to rest"}
        ending = endings.get(self.period, f"repeats every {self.period} steps")
        right = f"right from step {self.right_from} on" if self.follows else "not right to the end"
        return f"from the start, over {self.steps} steps: the state {ending}, labels are {right}"


def look(
    module: Layers,
    readout: nn.Linear,
    pattern: str,
    *,
    cue: float | np.ndarray = 1.0,
    mean_input: float | np.ndarray = 0.5,
    steps: int = SETTLED,
    searches: int = 32,
) -> Look:
    """Look at how the state of a network carries a pattern of labels, and return a `Look`.

    `module` is a `torch.nn.RNN`, `GRU` or `LSTM` of one direction, with any number of layers.
    `readout` is a `torch.nn.Linear` on the h of its last layer. It has two outputs, the logits of
    the labels 0 and 1, or one, the logit of label 1. The label is 1 if its logit is the larger one,
    or above 0. `pattern` is the pattern of labels, such as "110". Both modules are left unchanged,
    and all is computed in float64.

    The network starts from zeros, has `cue` as its input at step 0 and `mean_input` at all others.
    Each is a number or an array (input_size,). It runs for `steps` steps. Newton's method then
    searches for fixed points and cycles from up to `searches` of the states visited, and from the
    mean of the last 2 p states. The fixed point reported is the one nearest to this mean: the one
    where the network settles, or else one around which it moves. A search may miss cycles. Its time
    and memory grow with the size D of the state, so it is meant for a D of up to some hundred.

    Raises `BadInput` for a network, a readout or an option that does not fit this description.
    """
    _check(module, readout, pattern, steps, searches)
    first = _input("cue", cue, module.input_size)
    constant = _input("mean_input", mean_input, module.input_size)
    network = _TorchMap(module, readout)
    p, path = len(pattern), network.visited(first, constant, steps)
    starts, centre = _starts(path, network.bounds, 2 * p, searches)

    def derivatives(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return network.derivatives(points, constant)

    fixed = maps.find(derivatives, starts, 1, network.bounds)
    nowhere = Cycle(np.full((1, len(centre)), np.nan), np.nan, np.empty(0, complex))
    point = min(fixed, key=lambda cycle: np.abs(cycle.points[0] - centre).max(), default=nowhere)
    starts = np.concatenate([*(cycle.points for cycle in fixed), starts])
    cycles = maps.find(derivatives, starts, p, network.bounds)
    right = patterns.right_from(pattern, network.labels(path))
    return Look(
        pattern=pattern,
        angles=patterns.angles(p),
        powers=np.abs(patterns.harmonics(pattern)),
        fixed_point=point.points[0],
        residual=point.residual,
        settles=maps.near(path[-1], point.points[0]),
        eigenvalues=point.multipliers,
        cycles=tuple(_labelled(cycle, network.labels(cycle.points), pattern) for cycle in cycles),
        steps=steps,
        period=_period(path, 2 * p),
        right_from=right if right <= steps - 2 * p else None,
    )


def _labelled(cycle: Cycle, labels: np.ndarray, pattern: str) -> LabelledCycle:
    place = patterns.rotation(pattern, np.resize(labels, len(pattern)))
    text = "".join(map(str, labels))
    return LabelledCycle(cycle.points, cycle.residual, cycle.multipliers, text, place)


def _starts(
    path: np.ndarray, bounds: np.ndarray, window: int, searches: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return different states (S,D) from which searches start, and the centre (D,) of the orbit.

    The centre is the mean of the last `window` states of the path (T,D). It is the first start. Of
    the others, a third are the last states of the path, and the rest its first ones. States beyond
    the `bounds` (D,), to which a diverging network goes, are left out.
    """
    path = np.concatenate([np.zeros((1, path.shape[1])), path])  # the start state, which is finite
    path = path[(np.abs(path) <= bounds).all(axis=1)]  # False for NaN
    centre, late = path[-window:].mean(axis=0), max(1, searches // 3)
    starts = [centre]
    for state in [*path[: searches - late], *path[-late:]]:
        if not any(maps.near(start, state) for start in starts):
            starts.append(state)
    return np.array(starts), centre


def _period(path: np.ndarray, longest: int) -> int:
    """Return the number of steps after which the last states of the path (T,D) repeat, or 0."""
    if not np.isfinite(path[-1]).all():
        return 0
    returns = [maps.near(path[-1], path[-1 - k]) for k in range(1, longest + 1)]
    return returns.index(True) + 1 if any(returns) else 0


class _TorchMap:
    """A copy of a network of `torch.nn` as a map from its state (D,) to its next state."""

    def __init__(self, module: Layers, readout: nn.Linear):
        import torch  # heavy, and loaded already by whoever brings a module

        self.module = deepcopy(module).to(device="cpu", dtype=torch.float64).requires_grad_(False)
        self.size, self.has_c = module.num_layers * module.hidden_size, module.mode == "LSTM"
        self.last = slice(self.size - module.hidden_size, self.size)  # h of the last layer
        h = FARTHEST if module.mode == "RNN_RELU" else 1 + SAME
        self.bounds = np.repeat([h, FARTHEST], [self.size, self.size * self.has_c])
        weight = readout.weight.detach().cpu().double().numpy()
        bias = np.zeros(len(weight)) if readout.bias is None else readout.bias.detach().cpu()
        # With one output, the logit of label 0 is 0.
        self.weight, self.bias = (
            array[-1] - (array[0] if len(array) == 2 else 0)
            for array in (weight, np.asarray(bias, float))
        )

    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the next states (S,D) from the states (S,D), under one input (input_size,)."""
        import torch

        layers, hidden = self.module.num_layers, self.module.hidden_size
        parts = states.reshape(len(states), -1, hidden).transpose(0, 1).contiguous()
        before = (parts[:layers], parts[layers:]) if self.has_c else parts
        shape = (len(states), 1, -1) if self.module.batch_first else (1, len(states), -1)
        _, after = self.module(inputs.expand(shape), before)
        parts = torch.cat(after) if self.has_c else after
        return parts.transpose(0, 1).reshape(len(states), -1)

    def derivatives(self, points: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the next states (S,D) and the Jacobians (S,D,D) at the points (S,D)."""
        import torch

        # Each point is copied D times. Entry i of the next state is taken of copy i only, so one
        # backward pass through the sum of these entries gives every row of every Jacobian.
        n, size = points.shape
        copies = torch.from_numpy(points.repeat(size, axis=0)).requires_grad_()
        with torch.enable_grad():
            images = self.step(copies, torch.from_numpy(u)).reshape(n, size, size)
            (rows,) = torch.autograd.grad(images.diagonal(dim1=1, dim2=2).sum(), copies)
        return images[:, 0].detach().numpy(), rows.reshape(n, size, size).numpy()

    def visited(self, first: np.ndarray, constant: np.ndarray, steps: int) -> np.ndarray:
        """Return the states (T,D) after each step from zeros; `first` is the input of step 0."""
        import torch

        cue, mean = torch.from_numpy(first), torch.from_numpy(constant)
        path = [torch.zeros(1, len(self.bounds), dtype=torch.float64)]
        with torch.no_grad():
            for t in range(steps):
                path.append(self.step(path[-1], mean if t else cue))
        return torch.cat(path[1:]).numpy()

    def labels(self, states: np.ndarray) -> np.ndarray:
        """Return the labels (T,) that the network gives in the states (T,D)."""
        with np.errstate(all="ignore"):  # a margin of NaN counts as label 0, as in training
            return (states[:, self.last] @ self.weight + self.bias > 0).astype(int)


# --- checks -------------------------------------------------------------------------------------


def _check(module: object, readout: object, pattern: object, steps: int, searches: int) -> None:
    """Raise `BadInput` with the first fault of the arguments of `look`."""
    from torch import nn  # heavy, and loaded already by whoever brings a module

    if not isinstance(module, nn.RNN | nn.GRU | nn.LSTM):
        kinds = "must be a torch.nn.RNN, GRU or LSTM, without the layers around it"
        raise BadInput.at("module", f"is of the class {type(module).__name__}, but {kinds}")
    if not isinstance(readout, nn.Linear):
        kind = "must be a torch.nn.Linear on the hidden state of the last layer"
        raise BadInput.at("readout", f"is of the class {type(readout).__name__}, but {kind}")
    faults = {
        "is bidirectional, so its state depends on inputs to come; train it with "
        "bidirectional=False": module.bidirectional,
        f"has proj_size={module.proj_size}, which is not supported; only 0 is": module.proj_size,
        "applies dropout, because it is in training mode; call module.eval() first": (
            module.training and module.dropout and module.num_layers > 1
        ),
        "has weights that are not finite": not _is_finite(module),
    }
    for fault, is_there in faults.items():
        if is_there:
            raise BadInput.at("module", fault)
    if readout.in_features != module.hidden_size:
        sizes = f"has {readout.in_features} inputs, but the module's hidden_size is"
        raise BadInput.at("readout", f"{sizes} {module.hidden_size}")
    if readout.out_features not in (1, 2):
        allowed = "must have 2 (logits of the labels 0 and 1) or 1 (the logit of label 1)"
        raise BadInput.at("readout", f"has {readout.out_features} outputs, but {allowed}")
    if not _is_finite(readout):
        raise BadInput.at("readout", "has weights that are not finite")
    if not isinstance(pattern, str) or not pattern or set(pattern) - set("01"):
        raise BadInput.at("pattern", f"must be a text of 0s and 1s such as '110': {shown(pattern)}")
    if len(set(pattern)) == 1:
        raise BadInput.at("pattern", f"must contain both 0 and 1: {shown(pattern)}")
    if not isinstance(steps, int) or steps < 4 * len(pattern):
        least = f"must be an integer, at least four periods ({4 * len(pattern)})"
        raise BadInput.at("steps", f"{least}: {shown(steps)}")
    if not isinstance(searches, int) or searches < 1:
        raise BadInput.at("searches", f"must be a positive integer: {shown(searches)}")


def _is_finite(module: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in module.parameters())


def _input(name: str, value: float | np.ndarray, size: int) -> np.ndarray:
    """Return the inputs (input_size,) of one step, or raise `BadInput`."""
    array = np.asarray(value, float)
    if array.shape not in ((), (size,)):
        shape = f"must be a number or an array of {size}, the module's input_size"
        raise BadInput.at(name, f"has the shape {array.shape}, but {shape}")
    if not np.isfinite(array).all():
        raise BadInput.at(name, f"must be finite: {shown(value)}")
    return np.broadcast_to(array, size).copy()

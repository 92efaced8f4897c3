"""Define the recurrent cells. Each cell has a rule, a function that computes one step.

A rule takes the input and the state of one step and returns the next state:

    rule(x, state, w) -> state
    x      (batch, input_size)
    state  a tuple of tensors (batch, hidden_size), one per name in the cell's `states`; h is first
    w      the layer's weights by name, with the names and shapes of `torch.nn`:
           weight_ih (gates * hidden_size, input_size)
           weight_hh (gates * hidden_size, hidden_size)
           bias_ih and bias_hh (gates * hidden_size,)

Each weight stacks one block of hidden_size rows per gate, in the order of the cell's `gates`. Cells
without a recurrent matrix have neither weight_hh nor bias_hh. Some cells have one more weight. In
the equations below, σ is the logistic sigmoid, ∘ multiplies elementwise, and ' marks a next state.

Rules use only operators and methods of tensors, so this module need not import torch. The torch
engine uses the class of `torch.nn` for cells that torch has, and the rule for all others. The fused
engine has its own code for each cell, in `study/engines/fused/gates.py`. The tests check that all
three compute the same numbers.

A file that a command loads with `--use` can add cells: it enters them in `CELLS`, without a
`version`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from study.model.keywords import keywords

if TYPE_CHECKING:
    from torch import Tensor

    State = tuple[Tensor, ...]
    Weights = Mapping[str, Tensor]


def rnn_tanh(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    This is the network of Elman 1990, "Finding Structure in Time", as in the class `torch.nn.RNN`.
    The weights have a single block of rows, for h'. The state is (h,).
    """
    (h,) = state
    return ((x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).tanh(),)


def rnn_relu(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = max(0, W_ih x + b_ih + W_hh h + b_hh).

    This is the network of Le, Jaitly & Hinton 2015 (arXiv 1504.00941), as in the class
    `torch.nn.RNN` with nonlinearity="relu". The weights have a single block of rows, for h'. The
    state is (h,).
    """
    (h,) = state
    return ((x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).relu(),)


def gru(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = (1 − z) ∘ n + z ∘ h, where

    r = σ(W_ir x + b_ir + W_hr h + b_hr)           is the reset gate,
    z = σ(W_iz x + b_iz + W_hz h + b_hz)           is the update gate, and
    n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))  is the candidate.

    This is the GRU of Cho et al. 2014 (arXiv 1406.1078), in the form of its first version and of
    `torch.nn.GRU`, where the reset gate acts after the matrix product. The weights stack the rows
    for r, z and n. The state is (h,).
    """
    (h,) = state
    input_r, input_z, input_n = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(3, -1)
    hidden_r, hidden_z, hidden_n = (h @ w["weight_hh"].T + w["bias_hh"]).chunk(3, -1)
    r = (input_r + hidden_r).sigmoid()
    z = (input_z + hidden_z).sigmoid()
    n = (input_n + r * hidden_n).tanh()
    return ((1 - z) * n + z * h,)


def lstm(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = o ∘ tanh(c') and c' = f ∘ c + i ∘ g, where

    i, f, o = σ(W_i· x + b_i· + W_h· h + b_h·)  are the input, forget and output gates, and
    g = tanh(W_ig x + b_ig + W_hg h + b_hg)     is the candidate.

    This is the LSTM of Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, as
    in the class `torch.nn.LSTM`. In the equation of the gates, · stands for i, f or o. The weights
    stack the rows for i, f, g and o. The state is (h, c).
    """
    h, c = state
    preactivation = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    i, f, g, o = preactivation.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


# --- variants -----------------------------------------------------------------------------------


def gru_v1(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = (1 − z) ∘ n + z ∘ h with n = tanh(W_in x + b_in + W_hn (r ∘ h) + b_hn).

    The gates r and z are computed as in `gru`, and n is the candidate. The reset gate acts before
    the matrix product, as in the third version of Cho et al. 2014 (arXiv 1406.1078v3). The weights
    stack the rows for r, z and n. The state is (h,).
    """
    (h,) = state
    input_part = x @ w["weight_ih"].T + w["bias_ih"]
    weight_r, weight_z, weight_n = w["weight_hh"].chunk(3)
    bias_r, bias_z, bias_n = w["bias_hh"].chunk(3)
    input_r, input_z, input_n = input_part.chunk(3, -1)
    r = (input_r + h @ weight_r.T + bias_r).sigmoid()
    z = (input_z + h @ weight_z.T + bias_z).sigmoid()
    n = (input_n + (r * h) @ weight_n.T + bias_n).tanh()
    return ((1 - z) * n + z * h,)


def mgu(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = (1 − f) ∘ h + f ∘ n with n = tanh(W_in x + b_in + W_hn (f ∘ h) + b_hn).

    The only gate is f = σ(W_if x + b_if + W_hf h + b_hf). This is the minimal gated unit of Zhou et
    al. 2016 (arXiv 1603.09420). The weights stack the rows for f and n. The state is (h,).
    """
    (h,) = state
    input_f, input_n = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(2, -1)
    weight_f, weight_n = w["weight_hh"].chunk(2)
    bias_f, bias_n = w["bias_hh"].chunk(2)
    f = (input_f + h @ weight_f.T + bias_f).sigmoid()
    n = (input_n + (f * h) @ weight_n.T + bias_n).tanh()
    return ((1 - f) * h + f * n,)


def lstm_peephole(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = o ∘ tanh(c') and c' = f ∘ c + i ∘ g, with gates that see the cell state.

    The gates are i = σ(… + p_i ∘ c), f = σ(… + p_f ∘ c) and o = σ(… + p_o ∘ c'). The sums "…" and
    the candidate g are as in `lstm`. This is the LSTM of Gers & Schmidhuber 2000. Greff et al. 2015
    (arXiv 1503.04069) call this cell the "vanilla" LSTM. The weights stack the rows for i, f, g and
    o. weight_peephole (3 * hidden_size,) stacks p_i, p_f and p_o. The state is (h, c).
    """
    h, c = state
    preactivation = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    i, f, g, o = preactivation.chunk(4, -1)
    peep_i, peep_f, peep_o = w["weight_peephole"].chunk(3)
    c_next = (f + peep_f * c).sigmoid() * c + (i + peep_i * c).sigmoid() * g.tanh()
    return (o + peep_o * c_next).sigmoid() * c_next.tanh(), c_next


def lstm_cifg(x: Tensor, state: State, w: Weights) -> State:
    """Return the state of an LSTM with the input gate 1 − f, so c' = f ∘ c + (1 − f) ∘ g.

    This is the variant CIFG (coupled input and forget gate) of Greff et al. 2015 (arXiv
    1503.04069). All else is as in `lstm`. The weights stack the rows for f, g and o. The state is
    (h, c).
    """
    h, c = state
    preactivation = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    f, g, o = preactivation.chunk(3, -1)
    c = f.sigmoid() * c + (1 - f.sigmoid()) * g.tanh()
    return o.sigmoid() * c.tanh(), c


def lstm_nfg(x: Tensor, state: State, w: Weights) -> State:
    """Return the state of an LSTM without a forget gate, so c' = c + i ∘ g.

    This is the LSTM of Hochreiter & Schmidhuber 1997, and the variant NFG (no forget gate) of Greff
    et al. 2015 (arXiv 1503.04069). All else is as in `lstm`. The weights stack the rows for i, g
    and o. The state is (h, c).
    """
    h, c = state
    preactivation = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    i, g, o = preactivation.chunk(3, -1)
    c = c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


# --- controls -----------------------------------------------------------------------------------


def lstm_no_recurrence(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = o ∘ tanh(c') and c' = f ∘ c + i ∘ g, with gates that see only the input.

    The gates are i, f, o = σ(W_i· x + b_i·), where · stands for i, f or o. The candidate is g =
    tanh(W_ig x + b_ig). This is one of the LSTM variants of Levy et al. 2018 (arXiv 1805.03716). It
    has no recurrent matrix. The weights stack the rows for i, f, g and o. The state is (h, c).
    """
    _, c = state
    i, f, g, o = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def mingru(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = (1 − z) ∘ h + z ∘ n with z = σ(W_z x + b_z) and n = W_n x + b_n.

    This is the minGRU of Feng et al. 2024 (arXiv 2410.01201), which has no recurrent matrix. The
    weights stack the rows for z and n. The state is (h,).
    """
    (h,) = state
    z, n = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(2, -1)
    return ((1 - z.sigmoid()) * h + z.sigmoid() * n,)


def minlstm(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = (f ∘ h + i ∘ n) / (f + i) with n = W_n x + b_n.

    The gates are f = σ(W_f x + b_f) and i = σ(W_i x + b_i), and n is the candidate. This is the
    minLSTM of Feng et al. 2024 (arXiv 2410.01201), which has no recurrent matrix. The weights stack
    the rows for f, i and n. The state is (h,).
    """
    (h,) = state
    f, i, n = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(3, -1)
    f, i = f.sigmoid(), i.sigmoid()
    return ((f * h + i * n) / (f + i),)


def diagonal_positive(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = σ(d) ∘ h + W x + b.

    This is a linear recurrence with decays σ(d) in (0, 1), as in a diagonal state-space model
    (Sarrof et al. 2024, arXiv 2405.17394). W is weight_ih, b is bias_ih and d is weight_decay
    (hidden_size,). There is no recurrent matrix. The state is (h,).
    """
    (h,) = state
    return (w["weight_decay"].sigmoid() * h + x @ w["weight_ih"].T + w["bias_ih"],)


def diagonal_signed(x: Tensor, state: State, w: Weights) -> State:
    """Return h' = tanh(d) ∘ h + W x + b.

    This is `diagonal_positive` with decays tanh(d) in (−1, 1), so that a unit can change sign at
    every step (Grazzi et al. 2024, arXiv 2411.12537). W is weight_ih, b is bias_ih and d is
    weight_decay (hidden_size,). There is no recurrent matrix. The state is (h,).
    """
    (h,) = state
    return (w["weight_decay"].tanh() * h + x @ w["weight_ih"].T + w["bias_ih"],)


def diagonal_complex(x: Tensor, state: State, w: Weights) -> State:
    """Return h' + i c' = λ ∘ (h + i c) + W x + b, with the complex numbers λ = σ(d) exp(i θ).

    This is the linear recurrent unit of Orvieto et al. 2023 (arXiv 2303.06349), which rotates the
    state of each unit by the angle θ, in radians, and shrinks it by σ(d) in (0, 1). It is simpler
    than there: only the real part h is output, the inputs are not normalised, the modulus is σ(d)
    rather than exp(−exp(ν)), and d and θ are initialised like any other weight. weight_ih and
    bias_ih stack the rows for the real and imaginary parts of W and b. weight_eigenvalue
    (2 * hidden_size,) stacks d and θ. There is no recurrent matrix. The state is (h, c).
    """
    h, c = state
    input_h, input_c = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(2, -1)
    d, angle = w["weight_eigenvalue"].chunk(2)
    real, imaginary = d.sigmoid() * angle.cos(), d.sigmoid() * angle.sin()
    return real * h - imaginary * c + input_h, imaginary * h + real * c + input_c


# --- the registry -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A recurrent cell, given by its rule, its gates, its states and its `torch.nn` class, if any.

    The weights stack the rows of the gates in the order of `gates`. `nonlinearity` is passed to
    `torch.nn.RNN`. `recurrent` says whether the cell has a recurrent matrix. If the cell has one
    more weight, `extra` holds the weight's name, and its size as a multiple of hidden_size.
    `version` identifies the code of a shipped cell (see `study.model.rules`).
    """

    rule: Callable[..., tuple]
    gates: tuple[str, ...]
    states: tuple[str, ...] = ("h",)
    torch_class: str | None = None
    nonlinearity: str | None = None
    recurrent: bool = True
    extra: tuple[str, int] | None = None
    version: int | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that the rule takes, with their defaults (see `study.model.keywords`)."""
        return keywords(self.rule)

    def shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of one layer's weights, by name.

        The weights are in torch's order. If there is a weight `extra`, it comes last.
        """
        rows = len(self.gates) * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size),
            "bias_ih": (rows,), "bias_hh": (rows,),
        }  # fmt: skip
        if not self.recurrent:
            del shapes["weight_hh"], shapes["bias_hh"]
        if self.extra:
            name, blocks = self.extra
            shapes[name] = (blocks * hidden_size,)
        return shapes


def cell_fault(cell: Cell, input_size: int, hidden_size: int, dtype: str) -> str | None:
    """Return a message that says why a cell cannot be trained, or None if it can.

    This function computes three steps of two random sequences of inputs with random weights. It
    checks the states, and the gradients that autograd finds.
    """
    import torch  # heavy, and needed only for cells that this package does not ship

    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Tensor:
        return torch.tensor(rng.uniform(-0.5, 0.5, shape), dtype=getattr(torch, dtype))

    weights = {
        n: drawn(*s).requires_grad_() for n, s in cell.shapes(input_size, hidden_size).items()
    }
    state = tuple(torch.zeros_like(drawn(2, hidden_size)) for _ in cell.states)
    try:
        for _ in range(3):
            state = cell.rule(drawn(2, input_size), state, weights)
            if fault := _state_fault(cell, state, (2, hidden_size), f"torch.{dtype}"):
                return fault
        if not state[0].requires_grad:
            return "its rule gives a state without a gradient; use only operations of torch"
        gradients = torch.autograd.grad(state[0].sum(), [*weights.values()], allow_unused=True)
    except Exception as error:  # a rule of the user's own may raise any exception
        return f"its rule raises {type(error).__name__}: {error}"
    for name, gradient in zip(weights, gradients, strict=True):
        if gradient is not None and not gradient.isfinite().all():
            return f"the gradient of {name} is not finite"
    return None


def _state_fault(cell: Cell, state: object, shape: tuple[int, int], dtype: str) -> str | None:
    if not isinstance(state, tuple) or len(state) != len(cell.states):
        is_a = f"{len(state)} values" if isinstance(state, tuple) else f"a {type(state).__name__}"
        names = "".join(f"{name}, " for name in cell.states).strip()
        return f"its rule returns {is_a}, but must return the tuple ({names})"
    for name, part in zip(cell.states, state, strict=True):
        found = f"{getattr(part, 'dtype', type(part).__name__)} {tuple(getattr(part, 'shape', ()))}"
        if found != f"{dtype} {shape}":
            return f"its state {name} is {found}, but must be {dtype} {shape}"
        if not part.isfinite().all():
            return f"its state {name} is not finite"
    return None


_LSTM_GATES = ("input", "forget", "candidate", "output")
_DECAY = ("weight_decay", 1)

CELLS = {
    "lstm": Cell(lstm, _LSTM_GATES, ("h", "c"), torch_class="LSTM", version=1),
    "gru": Cell(gru, ("reset", "update", "candidate"), torch_class="GRU", version=1),
    "rnn_tanh": Cell(rnn_tanh, ("candidate",), torch_class="RNN", nonlinearity="tanh", version=1),
    "rnn_relu": Cell(rnn_relu, ("candidate",), torch_class="RNN", nonlinearity="relu", version=1),
    "gru_v1": Cell(gru_v1, ("reset", "update", "candidate"), version=1),
    "mgu": Cell(mgu, ("forget", "candidate"), version=1),
    "lstm_peephole": Cell(
        lstm_peephole, _LSTM_GATES, ("h", "c"), extra=("weight_peephole", 3), version=1
    ),
    "lstm_cifg": Cell(lstm_cifg, ("forget", "candidate", "output"), ("h", "c"), version=1),
    "lstm_nfg": Cell(lstm_nfg, ("input", "candidate", "output"), ("h", "c"), version=1),
    "lstm_no_recurrence": Cell(
        lstm_no_recurrence, _LSTM_GATES, ("h", "c"), recurrent=False, version=1
    ),
    "mingru": Cell(mingru, ("update", "candidate"), recurrent=False, version=1),
    "minlstm": Cell(minlstm, ("forget", "input", "candidate"), recurrent=False, version=1),
    "diagonal_positive": Cell(
        diagonal_positive, ("input",), recurrent=False, extra=_DECAY, version=1
    ),
    "diagonal_signed": Cell(diagonal_signed, ("input",), recurrent=False, extra=_DECAY, version=1),
    "diagonal_complex": Cell(
        diagonal_complex,
        ("real", "imaginary"),
        ("h", "c"),
        recurrent=False,
        extra=("weight_eigenvalue", 2),
        version=1,
    ),
}
SHIPPED_CELLS = dict(CELLS)

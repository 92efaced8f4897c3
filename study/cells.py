"""The recurrent cells, one readable update rule each.

A rule takes the input and the state of one step and gives the next state:

    rule(x, state, w) -> state
    x      (batch, input_size)
    state  a tuple of (batch, hidden_size), one for each name in the cell's `states`; h comes first
    w      the layer's weights by name, in the shapes of `torch.nn`, where the gates' blocks of
           hidden_size rows are stacked in the order of the cell's `gates`:
           weight_ih (gates * hidden_size, input_size), weight_hh (gates * hidden_size, hidden_size),
           bias_ih and bias_hh (gates * hidden_size,)

Rules use only operators and methods of tensors, so this module needs no torch. A cell that
`torch.nn` has is trained by `torch.nn`; the tests hold its rule equal to it. A cell that
`torch.nn` does not have is trained by its rule.

To add a cell: write its rule, and enter it in `CELLS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    State = tuple[Tensor, ...]
    Weights = Mapping[str, Tensor]


def rnn_tanh(x: Tensor, state: State, w: Weights) -> State:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    Elman 1990, "Finding Structure in Time"; `torch.nn.RNN`. One block, state (h,).
    """
    (h,) = state
    return ((x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).tanh(),)


def rnn_relu(x: Tensor, state: State, w: Weights) -> State:
    """h' = max(0, W_ih x + b_ih + W_hh h + b_hh)

    Le, Jaitly & Hinton 2015 (arXiv 1504.00941); `torch.nn.RNN(nonlinearity="relu")`.
    One block, state (h,).
    """
    (h,) = state
    return ((x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).relu(),)


def gru(x: Tensor, state: State, w: Weights) -> State:
    """r = σ(W_ir x + b_ir + W_hr h + b_hr)           reset gate
    z = σ(W_iz x + b_iz + W_hz h + b_hz)           update gate
    n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))  candidate
    h' = (1 − z) ∘ n + z ∘ h

    Cho et al. 2014 (arXiv 1406.1078), in the form of `torch.nn.GRU`: the reset gate acts after the
    matrix product. Three blocks r, z, n; state (h,).
    """
    (h,) = state
    input_r, input_z, input_n = (x @ w["weight_ih"].T + w["bias_ih"]).chunk(3, -1)
    hidden_r, hidden_z, hidden_n = (h @ w["weight_hh"].T + w["bias_hh"]).chunk(3, -1)
    r = (input_r + hidden_r).sigmoid()
    z = (input_z + hidden_z).sigmoid()
    n = (input_n + r * hidden_n).tanh()
    return ((1 - z) * n + z * h,)


def lstm(x: Tensor, state: State, w: Weights) -> State:
    """i, f, o = σ(W_i· x + b_i· + W_h· h + b_h·)  input, forget and output gate
    g = tanh(W_ig x + b_ig + W_hg h + b_hg)      candidate
    c' = f ∘ c + i ∘ g                           cell state
    h' = o ∘ tanh(c')                            hidden state

    Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; `torch.nn.LSTM`.
    Four blocks i, f, g, o; state (h, c).
    """
    h, c = state
    preactivation = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
    i, f, g, o = preactivation.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@dataclass(frozen=True)
class Cell:
    """A cell's rule, its gates in stacking order, its states, and its class in `torch.nn`, if any."""

    rule: Callable[..., tuple]
    gates: tuple[str, ...]
    states: tuple[str, ...] = ("h",)
    torch_class: str | None = None
    nonlinearity: str | None = None

    def shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """The shape of each weight of one layer, by name, in `torch.nn`'s order."""
        rows = len(self.gates) * hidden_size
        return {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }


CELLS = {
    "lstm": Cell(lstm, ("input", "forget", "candidate", "output"), ("h", "c"), torch_class="LSTM"),
    "gru": Cell(gru, ("reset", "update", "candidate"), torch_class="GRU"),
    "rnn_tanh": Cell(rnn_tanh, ("candidate",), torch_class="RNN", nonlinearity="tanh"),
    "rnn_relu": Cell(rnn_relu, ("candidate",), torch_class="RNN", nonlinearity="relu"),
}

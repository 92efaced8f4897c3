"""Define one step of each cell, both for torch and for JAX.

The peers that train many models at once use these functions. The input of a cell's gates is the sum
of two parts, each (..., gates * H) and with its bias: `a` comes from the cell's input and `r` from
the hidden state. A function takes both parts and the state, and returns the next state. `ops` has
the library's functions `sigmoid`, `tanh`, `relu` and `split(a, n)`, which cuts the last axis into n
equal blocks. The equations are the same as in `study.model.cells`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

State = tuple[Any, ...]


def lstm(ops: Any, a: Any, r: Any, state: State) -> State:
    """c' = f ∘ c + i ∘ g; h' = o ∘ tanh(c')"""
    i, f, g, o = ops.split(a + r, 4)
    c = ops.sigmoid(f) * state[1] + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


def gru(ops: Any, a: Any, r: Any, state: State) -> State:
    """h' = (1 − z) ∘ tanh(a_n + r ∘ r_n) + z ∘ h"""
    (h,) = state
    a_reset, a_update, a_candidate = ops.split(a, 3)
    r_reset, r_update, r_candidate = ops.split(r, 3)
    update = ops.sigmoid(a_update + r_update)
    candidate = ops.tanh(a_candidate + ops.sigmoid(a_reset + r_reset) * r_candidate)
    return ((1 - update) * candidate + update * h,)


def rnn_tanh(ops: Any, a: Any, r: Any, state: State) -> State:
    """h' = tanh(a + r)"""
    return (ops.tanh(a + r),)


def rnn_relu(ops: Any, a: Any, r: Any, state: State) -> State:
    """h' = max(0, a + r)"""
    return (ops.relu(a + r),)


GATES: dict[str, Callable[..., State]] = {
    "lstm": lstm,
    "gru": gru,
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
}

"""Estimate the machine's floor: a lower bound on the time that an update takes in any peer.

The floor counts only matrix products and functions. The products are those with the weights, at the
rate of a large float32 product on one thread. The functions are tanh and the logistic function in
the gates, and the exponential and the logarithm in the loss, at the rate of the fastest tanh
available. Everything else (sums, memory, the optimizer's step) counts as free. Both rates are those
of the widest vectors of the machine, such as AVX-512: torch, numpy and LLVM look for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numba import njit

from benchmarks.problem import Case
from benchmarks.timing import summary
from study.engines.fused.lanes import COUNT, lanes, put, tanh
from study.model import CELLS, TASKS

OUTPUTS = TASKS["alternating"].outputs
# Values of tanh and of the logistic function in one step of one unit.
FUNCTIONS = {"lstm": 5, "gru": 3, "rnn_tanh": 1, "rnn_relu": 0}
PRODUCT = 512  # rows and columns
REPEATS = 200
VECTOR = 4096  # numbers, which fit the nearest cache


def unavailable() -> str | None:
    """Return None, since every machine has a floor."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Return the floor of the case, in the form of `timing.timed`; `seconds` is not used.

    The quartiles are those of repeated measurements of the machine's rates.
    """
    products, functions = rates()
    spread = summary(products * operations(case) + functions * function_calls(case))
    once = {"models": 1, "updates_per_repeat": 1, "prepare_seconds": 0.0}
    return spread | once | {"wall_seconds": spread["min_seconds"]}


def operations(case: Case) -> int:
    """Count the multiplications and additions in products with the weights in one update.

    Both the forward and the backward pass count. The input weights take part in two products, since
    no gradient flows back to the inputs; all other weights take part in three. The state before
    step 0 is zero and needs no product.
    """
    shapes = CELLS[case.cell].shapes(1, case.hidden_size)
    recurrent, of_input = (math.prod(shapes[name]) for name in ("weight_hh", "weight_ih"))
    per_step = 2 * of_input + 3 * OUTPUTS * case.hidden_size
    return 2 * case.batch_size * (case.length * per_step + (case.length - 1) * 3 * recurrent)


def function_calls(case: Case) -> int:
    """Count the values of tanh, logistic function, exponential and logarithm in one update."""
    of_gates = FUNCTIONS[case.cell] * case.hidden_size
    of_loss = OUTPUTS  # one exponential and one logarithm per label
    return case.length * case.batch_size * (of_gates + of_loss)


@cache
def rates() -> tuple[np.ndarray, np.ndarray]:
    """Measure the seconds per operation of a matrix product, and the seconds per value of tanh.

    Both are returned in this order, as ascending arrays (REPEATS,).
    """
    a, out = torch.rand(PRODUCT, PRODUCT), torch.empty(PRODUCT, PRODUCT)
    values = np.linspace(-4, 4, VECTOR, dtype=np.float32)
    target = values.copy()
    candidates = (lambda: np.tanh(values, out=target), lambda: _tanh_of_lanes(target))
    functions = min((_repeats(one) for one in candidates), key=np.min) / VECTOR
    products = _repeats(lambda: torch.mm(a, a, out=out)) / (2 * PRODUCT**3)
    return products, functions


@njit(fastmath={"contract"})
def _tanh_of_lanes(values):
    for i in range(0, values.size, COUNT):
        put(values, i, tanh(lanes(values, i)))  # pyright: ignore[reportCallIssue]


def _repeats(call: Callable[[], Any]) -> np.ndarray:
    """Return the seconds of each of `REPEATS` calls, ascending, after a few calls to warm up."""
    seconds = []
    for _ in range(10):  # the first call may compile
        call()
    for _ in range(REPEATS):
        started = perf_counter()
        call()
        seconds.append(perf_counter() - started)
    return np.sort(seconds)

"""The machine's floor: what an update's products and functions take at the best rates measured here.

The products are those with the weights, at the rate of a large float32 product on one thread. The functions
are the gates' tanh and logistic ones and the loss's exponential and logarithm, at the rate of the fastest
tanh at hand. All else (sums, memory, the optimizer's step) counts nothing: no peer can be faster.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numba import njit
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.problem import Case
from benchmarks.timing import summary
from study.engines.fused.lanes import COUNT, lanes, put, tanh
from study.model.cells import CELLS
from study.model.tasks import CLASSES

PRODUCT = 512  # rows and columns
REPEATS = 200
LANES = COUNT["float32"]
VECTOR = 4096  # numbers, which fit the nearest cache
FUNCTIONS = (torch.ops.aten.tanh.default, torch.ops.aten.sigmoid.default)


def unavailable() -> str | None:
    """Any machine has a floor."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """The floor of a case's update; its quartiles are at those of the rates. `seconds` plays no part."""
    products, functions = rates()
    spread = summary(products * operations(case) + functions * function_calls(case))
    once = {"models": 1, "updates_per_repeat": 1, "prepare_seconds": 0.0}
    return spread | once | {"wall_seconds": spread["min_seconds"]}


def operations(case: Case) -> int:
    """Multiplications and additions in products with the weights: forward, and back to inputs and weights.

    No gradient goes back to the inputs of the network, so their weights have two products, all others three.
    The state before step 0 is zero, and needs none with the recurrent matrix.
    """
    shapes = CELLS[case.cell].shapes(1, case.hidden_size)
    recurrent = int(np.prod(shapes["weight_hh"])) if "weight_hh" in shapes else 0
    a_step = 2 * int(np.prod(shapes["weight_ih"])) + 3 * CLASSES * case.hidden_size
    return 2 * case.batch_size * (case.length * a_step + (case.length - 1) * 3 * recurrent)


def function_calls(case: Case) -> int:
    """Values of tanh, logistic function, exponential and logarithm in one update."""
    of_loss = CLASSES  # an exponential and a logarithm a label
    return (
        case.length * case.batch_size * (functions_per_unit(case.cell) * case.hidden_size + of_loss)
    )


class _Count(TorchDispatchMode):
    """Notes the arguments of FUNCTIONS inside, each once; those without a batch need no value a sequence."""

    def __init__(self):
        super().__init__()
        self.arguments: dict[
            tuple, torch.Tensor
        ] = {}  # kept, so that no other tensor comes to lie there

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function in FUNCTIONS and arguments[0].ndim == 2:
            self.arguments[function, arguments[0].data_ptr()] = arguments[0]
        return function(*arguments, **(keywords or {}))


@cache
def functions_per_unit(cell: str) -> int:
    """How many values of tanh and logistic function a step of one unit takes: counted in the cell's rule."""
    spec = CELLS[cell]
    weights = {name: torch.zeros(shape) for name, shape in spec.shapes(1, 1).items()}
    with _Count() as count:
        spec.rule(torch.zeros(1, 1), tuple(torch.zeros(1, 1) for _ in spec.states), weights)
    return sum(argument.numel() for argument in count.arguments.values())


@cache
def rates() -> tuple[np.ndarray, np.ndarray]:
    """Seconds of one operation of a product, and of one value of tanh: REPEATS each, the fastest first."""
    a, out = torch.rand(PRODUCT, PRODUCT), torch.empty(PRODUCT, PRODUCT)
    values = np.linspace(-4, 4, VECTOR, dtype=np.float32)
    target = values.copy()
    candidates = (lambda: np.tanh(values, out=target), lambda: _tanh_of_lanes(target))
    functions = min((_repeats(one) for one in candidates), key=np.min) / VECTOR
    products = _repeats(lambda: torch.mm(a, a, out=out)) / (2 * PRODUCT**3)
    return products, functions


@njit(fastmath={"contract"})
def _tanh_of_lanes(values):
    for i in range(0, values.size, LANES):
        put(values, i, tanh(lanes(values, i)))  # pyright: ignore[reportCallIssue]


def _repeats(call: Callable[[], Any]) -> np.ndarray:
    """Seconds of each call (REPEATS,), the fastest first."""
    found = []
    for _ in range(10):  # which may compile
        call()
    for _ in range(REPEATS):
        started = perf_counter()
        call()
        found.append(perf_counter() - started)
    return np.sort(found)

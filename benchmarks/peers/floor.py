"""The machine's floor: the time of an update's products and functions at the best rates seen here.

The products are those with the weights, at the rate of a large float32 product on one thread. The
functions are the gates' tanh and logistic function and the loss's exponential and logarithm, at the
rate of the fastest tanh available. Everything else (sums, memory, the optimizer's step) counts as
free, so that no peer can be faster.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numba import njit

from benchmarks.problem import Case
from benchmarks.timing import summary
from study.engines.fused.lanes import COUNT, lanes, put, tanh
from study.model import CELLS, CLASSES

PRODUCT = 512  # rows and columns
REPEATS = 200
LANES = COUNT["float32"]
VECTOR = 4096  # numbers, which fit the nearest cache
FUNCTIONS = ("TanhBackward0", "SigmoidBackward0")


def unavailable() -> str | None:
    """None: every machine has a floor."""


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """The floor of a case's update, with the rates' quartiles; `seconds` is not used."""
    products, functions = rates()
    spread = summary(products * operations(case) + functions * function_calls(case))
    once = {"models": 1, "updates_per_repeat": 1, "prepare_seconds": 0.0}
    return spread | once | {"wall_seconds": spread["min_seconds"]}


def operations(case: Case) -> int:
    """Multiplications and additions in products with the weights, forward and backward.

    No gradient flows back to the inputs of the network, so their weights take part in two products,
    all others in three. The state before step 0 is zero and needs no product.
    """
    shapes = CELLS[case.cell].shapes(1, case.hidden_size)
    recurrent = int(np.prod(shapes["weight_hh"])) if "weight_hh" in shapes else 0
    a_step = 2 * int(np.prod(shapes["weight_ih"])) + 3 * CLASSES * case.hidden_size
    return 2 * case.batch_size * (case.length * a_step + (case.length - 1) * 3 * recurrent)


def function_calls(case: Case) -> int:
    """Values of tanh, logistic function, exponential and logarithm in one update."""
    of_gates = functions_per_unit(case.cell) * case.hidden_size
    of_loss = CLASSES  # one exponential and one logarithm per label
    return case.length * case.batch_size * (of_gates + of_loss)


@cache
def functions_per_unit(cell: str) -> int:
    """How many values of tanh and logistic function one step of one unit takes.

    They are counted in the gradient's graph of the cell's rule: each function of each argument
    once, and none of weights alone, which need no value per sequence.
    """
    spec = CELLS[cell]
    weights = {name: torch.zeros(shape) for name, shape in spec.shapes(1, 1).items()}
    state = tuple(torch.zeros(1, 1) for _ in spec.states)
    for tensor in (*state, *weights.values()):
        tensor.requires_grad_()
    after = spec.rule(torch.zeros(1, 1, requires_grad=True), state, weights)
    counted: dict[tuple, int] = {}  # by function and argument
    nodes, seen = [tensor.grad_fn for tensor in after], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [before for before, _ in node.next_functions]
        if node.name() in FUNCTIONS:
            key = node.name(), node.next_functions[0]
            node.register_prehook(partial(_note, counted, key))
    torch.stack([tensor.sum() for tensor in after]).sum().backward()
    return sum(counted.values())


def _note(counted: dict[tuple, int], key: tuple, gradients: tuple[torch.Tensor, ...]) -> None:
    if gradients[0].ndim == 2:  # with a batch
        counted[key] = gradients[0].numel()


@cache
def rates() -> tuple[np.ndarray, np.ndarray]:
    """Seconds per operation of a product and per value of tanh, (REPEATS,) each, ascending."""
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
    """Seconds of each call, (REPEATS,), the fastest first."""
    found = []
    for _ in range(10):  # the first of which may compile
        call()
    for _ in range(REPEATS):
        started = perf_counter()
        call()
        found.append(perf_counter() - started)
    return np.sort(found)
